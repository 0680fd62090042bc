//! What lies beside the weights and makes a folder usable: the tokenizer, and settings that only other programs read.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use glm_tokenizer::Phrase;
use glm_tokenizer::{
    GlmTokenizer,
    regular_file::{self, FileError, FileKind},
};
use serde_json::{Map, Value};

use crate::{
    checkpoint::{
        atomic_file::{check_replaceable, write_whole},
        source::{Source, folder_of},
        tokenizer_choice::TokenizerChoice,
    },
    config::{MAX_CONFIG_BYTES, ModelConfig},
    error::{Error, Occupied, Result},
    json_file,
};

/// Files that belong to the tokenizer and to generating, beside the tokenizer's model.
const FILES: [&str; 2] = ["tokenizer_config.json", "generation_config.json"];
/// Largest of them that is copied, in bytes. The tokenizer of ChatGLM-6B has 2.7 MB.
const MAX_BYTES: u64 = 64 << 20;

/// The files beside the weights of a source, by their names.
pub(super) struct Companions {
    files: Vec<(&'static str, Vec<u8>)>,
    /// The name of the tokenizer's model.
    tokenizer: &'static str,
    /// The keys of `config.json`, also those that mean nothing here.
    config: Map<String, Value>,
}

impl Companions {
    /// Those of `source`. None has to be there.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::PermissionDenied`], [`Error::Malformed`].
    pub(super) fn of(source: &Source) -> Result<Self> {
        let mut companions = Self {
            files: Vec::new(),
            tokenizer: tokenizer_name(source.config()),
            config: Map::new(),
        };
        let folder = match source {
            Source::Checkpoint { files, .. } => match files.embedded_tokenizer()? {
                Some(tokenizer) => {
                    companions.files.push((companions.tokenizer, tokenizer));
                    return Ok(companions);
                }
                None => files.path(),
            },
            Source::Prepacked(file) => folder_of(file.path()),
        };
        // One of another model is left where it is.
        let tokenizer = TokenizerChoice::beside(folder, source.config())
            .filter(|choice| choice.check_family(folder, source.config()).is_ok())
            .map(|choice| (companions.tokenizer, choice.file));
        let others = FILES.map(|name| (name, folder.join(name)));
        for (name, path) in tokenizer.into_iter().chain(others) {
            if let Some(content) = read(&path, MAX_BYTES)? {
                companions.files.push((name, content));
            }
        }
        if matches!(source, Source::Checkpoint { .. }) {
            let path = folder.join("config.json");
            let json = read(&path, MAX_CONFIG_BYTES)?.unwrap_or_default();
            companions.config = json_file::parse(&path, &json, MAX_CONFIG_BYTES)?;
        }
        Ok(companions)
    }

    /// Writes everything into the folder `dir`; `config.json` with the values of `config`, last, so that a folder with it
    /// is whole. Gives the files.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::PermissionDenied`], [`Error::StorageFull`].
    pub(super) fn write(mut self, dir: &Path, config: &ModelConfig) -> Result<Vec<PathBuf>> {
        let path = dir.join("config.json");
        let ours = config.to_json()?;
        let ours: Map<String, Value> = serde_json::from_str(&ours)
            .map_err(|error| Error::malformed(&path, Phrase::verbatim(error)))?;
        self.config.extend(ours);
        let mut json = serde_json::to_vec_pretty(&self.config)
            .map_err(|error| Error::malformed(&path, Phrase::verbatim(error)))?;
        json.push(b'\n');
        self.files.push(("config.json", json));
        self.files
            .into_iter()
            .map(|(name, content)| {
                let path = dir.join(name);
                write_whole(&path, &content).map(|()| path)
            })
            .collect()
    }

    /// Says before the work that [`Companions::write`] would replace something else than files.
    ///
    /// # Errors
    /// As [`check_replaceable`].
    pub(super) fn check_folder(&self, dir: &Path) -> Result<()> {
        let names = self.files.iter().map(|(name, _)| *name);
        let mut names = names.chain(["config.json"]);
        names.try_for_each(|name| check_replaceable(&dir.join(name)))
    }

    /// Says before the work that [`Companions::write_tokenizer`] would overwrite another tokenizer.
    ///
    /// # Errors
    /// [`Error::Exists`]; those of reading it.
    pub(super) fn check_tokenizer(&self, file: &Path) -> Result<()> {
        let path = folder_of(file).join(self.tokenizer);
        match (self.tokenizer(), read(&path, MAX_BYTES)?) {
            (Some(ours), Some(theirs)) if theirs != ours => Err(Error::Exists {
                path,
                why: Occupied::OtherTokenizer,
            }),
            (Some(_), None) => check_replaceable(&path),
            _ => Ok(()),
        }
    }

    /// Puts the tokenizer beside `file`, where it is looked for, unless it is there already.
    ///
    /// # Errors
    /// As [`Companions::write`].
    pub(super) fn write_tokenizer(&self, file: &Path) -> Result<Option<PathBuf>> {
        let path = folder_of(file).join(self.tokenizer);
        match self.tokenizer() {
            Some(tokenizer) if !path.exists() => write_whole(&path, tokenizer).map(|()| Some(path)),
            _ => Ok(None),
        }
    }

    fn tokenizer(&self) -> Option<&[u8]> {
        let tokenizer = self.files.iter().find(|(name, _)| *name == self.tokenizer);
        tokenizer.map(|(_, content)| content.as_slice())
    }
}

/// The name under which the official code looks for the tokenizer's model.
pub(super) fn tokenizer_name(config: &ModelConfig) -> &'static str {
    let [chatglm, chatglm2] = GlmTokenizer::FILE_NAMES;
    match config {
        ModelConfig::ChatGlm(_) => chatglm,
        ModelConfig::ChatGlm2(_) => chatglm2,
    }
}

/// The content of a file; `None` when it is not there.
fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    match regular_file::read(path, most) {
        Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        content => content.map(Some).map_err(|error| Error::file(path, error)),
    }
}

/// Whether `output`, a file or folder, may be written: never when that would touch `source`, or replace a device, a named
/// pipe or a link to nothing, and over other files only when told to `overwrite`.
///
/// # Errors
/// [`Error::Exists`] and [`Error::NotAFile`] when not; [`Error::Io`].
pub fn refuse_overwrite(source: &Path, output: &Path, overwrite: bool) -> Result<()> {
    let same = |a: &Path, b: &Path| match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    let touches_source = same(source, output)
        || same(source, &output.join(super::official::WEIGHTS))
        || (source.is_dir() && output.is_file() && same(source, folder_of(output)));
    let exists = |why| {
        Err(Error::Exists {
            path: output.to_path_buf(),
            why,
        })
    };
    if touches_source {
        return exists(Occupied::Source);
    }
    match FileKind::at(output).map_err(|error| Error::io(output, error))? {
        None => Ok(()),
        Some(FileKind::Regular) if overwrite => Ok(()),
        Some(FileKind::Regular) => exists(Occupied::File),
        Some(FileKind::Folder) if overwrite || is_empty(output)? => Ok(()),
        Some(FileKind::Folder) => exists(Occupied::Folder),
        Some(found) => Err(Error::NotAFile {
            path: output.to_path_buf(),
            found,
        }),
    }
}

fn is_empty(folder: &Path) -> Result<bool> {
    let mut entries = folder
        .read_dir()
        .map_err(|error| Error::io(folder, error))?;
    Ok(entries.next().is_none())
}
