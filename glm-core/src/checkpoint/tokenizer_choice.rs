//! Which SentencePiece file in a folder belongs to a model, and whether it does.
//!
//! A checkpoint folder has one of the two names. A folder of prepacked files may have both, for models of both families;
//! then what is in them decides.

use std::path::{Path, PathBuf};

use glm_tokenizer::{Family, GlmTokenizer, Phrase, TokenizerFile, phrase};

use crate::{
    checkpoint::companions::tokenizer_name,
    config::{ModelConfig, ModelFamily},
    error::{Error, Mix, Result},
};

/// The tokenizer in `dir` for a model of `config`, which stands in the file `described_by`.
///
/// # Errors
/// [`Error::Tokenizer`] when there is none or it cannot be used; [`Error::Mixed`].
pub(super) fn tokenizer_beside(
    dir: &Path,
    described_by: &Path,
    config: &ModelConfig,
) -> Result<GlmTokenizer> {
    // As a rule it is the one with the official name. Nothing is read twice then.
    if let Ok(tokenizer) = GlmTokenizer::from_file(dir.join(tokenizer_name(config)))
        && mix(tokenizer.family(), config).is_none()
    {
        return Ok(tokenizer);
    }
    match TokenizerChoice::beside(dir, config) {
        None => GlmTokenizer::from_dir(dir).map_err(Error::from),
        Some(choice) => {
            choice.check_family(described_by, config)?;
            GlmTokenizer::from_file(&choice.file).map_err(Error::from)
        }
    }
}

/// How a tokenizer of a family contradicts the configuration.
fn mix(family: Family, config: &ModelConfig) -> Option<Mix> {
    match (family, config) {
        (Family::ChatGlm2, ModelConfig::ChatGlm2(_)) => None,
        (_, ModelConfig::ChatGlm2(_)) => Some(Mix::ChatGlmTokenizer),
        (Family::ChatGlm2, ModelConfig::ChatGlm(_)) => Some(Mix::ChatGlm2Tokenizer),
        (Family::ChatGlm, ModelConfig::ChatGlm(config)) if config.is_first_generation() => {
            Some(Mix::SecondTokenizer)
        }
        (Family::ChatGlmFirstGeneration, ModelConfig::ChatGlm(config))
            if !config.is_first_generation() =>
        {
            Some(Mix::FirstTokenizer)
        }
        _ => None,
    }
}

/// The tokenizer beside a model.
#[derive(Debug)]
pub(super) struct TokenizerChoice {
    /// The file.
    pub(super) file: PathBuf,
    /// What it is of, when it can be read.
    look: std::result::Result<TokenizerFile, glm_tokenizer::Error>,
}

impl TokenizerChoice {
    /// The file in `dir` for a model of `config`: of two the one that makes its ids, else the one with the official name.
    /// `None` when there is none.
    pub(super) fn beside(dir: &Path, config: &ModelConfig) -> Option<Self> {
        let official = tokenizer_name(config);
        let mut names = GlmTokenizer::FILE_NAMES;
        names.sort_by_key(|name| *name != official);
        let files = names.map(|name| dir.join(name));
        let mut there = files.into_iter().filter(|file| file.exists());
        let first = Self::look_at(there.next()?);
        if first.mix(config).is_none() && first.look.is_ok() {
            return Some(first);
        }
        let second = there.next().map(Self::look_at);
        let fits = |choice: &Self| choice.look.is_ok() && choice.mix(config).is_none();
        second.filter(fits).or(Some(first))
    }

    fn look_at(file: PathBuf) -> Self {
        let look = TokenizerFile::look(&file);
        Self { file, look }
    }

    /// How it contradicts the configuration, by its family. One that cannot be read contradicts nothing.
    fn mix(&self, config: &ModelConfig) -> Option<Mix> {
        mix(self.look.as_ref().ok()?.family, config)
    }

    /// What may be wrong with it and cannot be told for sure: the tokenizers of ChatGLM2-6B and CodeGeeX2-6B have the same
    /// pieces, and the two configurations differ in a name or in the type of the weights.
    pub(super) fn doubt(&self, config: &ModelConfig) -> Option<Phrase> {
        let found = self.look.as_ref().ok()?;
        let found = (found.family == Family::ChatGlm2).then_some(found)?;
        let (family, other) = match (config.family(), found.dummy_prefix) {
            (ModelFamily::CodeGeeX2, true) => ("CodeGeeX2-6B", "ChatGLM2-6B"),
            (ModelFamily::ChatGlm2, false) => ("ChatGLM2-6B", "CodeGeeX2-6B"),
            _ => return None,
        };
        Some(phrase!(
            "inspection-doubtful-tokenizer",
            "{file} is the tokenizer of {other}, the model seems to be {family}: the two differ in the first token of a \
             text; take the file that was published with the weights",
            file = &self.file,
            other,
            family
        ))
    }

    /// `Ok` when it makes the ids of `config`, which stands in the file `described_by`. One that cannot be read is no
    /// matter here: it is refused where it is used.
    ///
    /// # Errors
    /// [`Error::Mixed`].
    pub(super) fn check_family(&self, described_by: &Path, config: &ModelConfig) -> Result<()> {
        match self.mix(config) {
            None => Ok(()),
            Some(mix) => Err(Error::Mixed {
                mix,
                path: described_by.to_path_buf(),
                other: self.file.clone(),
            }),
        }
    }

    /// `Ok` when a model of `config` can be used with it, as far as the list of its pieces tells.
    ///
    /// # Errors
    /// As [`TokenizerChoice::check_family`]; [`Error::Tokenizer`] for a file that is none; [`Error::OtherTokenizer`] for
    /// special tokens with other ids.
    pub(super) fn check(self, described_by: &Path, config: &ModelConfig) -> Result<()> {
        self.check_family(described_by, config)?;
        let found = self.look?;
        for (token, expected) in config.special_tokens() {
            // A piece that is missing would be none of the vocabulary.
            let id = found.special_id(token).map(|id| id as usize);
            if id != Some(expected) {
                return Err(Error::OtherTokenizer {
                    token,
                    expected,
                    found: id,
                    model: Some(described_by.to_path_buf()),
                    tokenizer: Some(self.file),
                });
            }
        }
        Ok(())
    }
}
