//! What was read, in a file: the next run of a program need not read it again.
//!
//! The format is drawn in `docs/weights.md`. Its digest of the model is that of the logits that the model computes for a few
//! tokens, so it changes with weights, precisions and numerics, and does not depend on the file that the model came from.

use std::path::Path;

use glm_tokenizer::{Phrase, phrase};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{
    Prefix,
    snapshot_file::{MAGIC, SnapshotFile, VERSION, code, file_bytes},
};
use crate::{
    checkpoint::{atomic_file::PartWriter, memory::check_fits},
    error::{Error, Result, SnapshotField},
    host::to_host,
    model::{DecodeState, Model},
    numerics::CachePrecision,
    prefix_lm::TokenId,
    row_layout::RowLayout,
};

impl Prefix {
    /// Writes tokens, keys and values to a file, which appears under its name when it is whole, over what was there.
    /// `model` is the one that has read them.
    ///
    /// The file is as large as the tokens are in memory ([`Model::cache_bytes_per_token`]); its format is in
    /// `docs/weights.md`.
    ///
    /// ```no_run
    /// use glm_core::prefix_cache::Prefix;
    ///
    /// let model = glm_core::load("chatglm2-6b")?;
    /// let tokenizer = glm_core::load_tokenizer("chatglm2-6b")?;
    /// let document = std::fs::read_to_string("report.txt").unwrap_or_default();
    /// let tokens = tokenizer.with_special_tokens(tokenizer.encode(&document));
    /// Prefix::read(&model, &tokens)?.save(&model, "report.prefix")?;
    /// // In the next run:
    /// let prefix = Prefix::load(&model, "report.prefix")?;
    /// # Ok::<(), glm_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::PermissionDenied`], [`Error::StorageFull`], [`Error::FileTooLarge`]; [`Error::NotAFile`] when
    /// `path` is a device or something else that is no file; [`Error::Prompt`] when another model has read the tokens.
    pub fn save(&self, model: &Model, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let layout = RowLayout::of(&self.tokens, model.config())?;
        if !self.state.is_of(model, &layout) {
            return Err(Error::Prompt {
                expected: phrase!(
                    "prompt-of-this-model",
                    "what this model has read as a prompt"
                ),
                tokens: self.tokens.len(),
            });
        }
        let (digest, like) = probe(model)?;
        let precision = like.cache().stored_precision();
        let token_bytes = bytes_per_token(model, precision);
        let mut writer = Writer {
            file: PartWriter::create(path, file_bytes(self.tokens.len(), token_bytes))?,
            written: 0,
            hash: Xxh3::new(),
        };
        let mut header = MAGIC.to_vec();
        header.extend(VERSION.to_le_bytes());
        header.extend(code(precision).to_le_bytes());
        header.extend(digest.to_le_bytes());
        header.extend((self.tokens.len() as u64).to_le_bytes());
        header.extend(self.tokens.iter().flat_map(|id| id.to_le_bytes()));
        writer.write(&header)?;
        for layer in self.state.cache().layers_to_le_bytes() {
            writer.write(&layer?)?;
        }
        let checksum = writer.hash.digest();
        writer.write(&checksum.to_le_bytes())?;
        writer.file.commit()
    }

    /// Reads a file that [`Prefix::save`] has written, and checks all of it.
    ///
    /// A model with weights in f32 may refuse what the same model has read on another CPU: their products are not the same
    /// to the bit everywhere.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::PermissionDenied`], [`Error::NotAFile`]; [`Error::Snapshot`] for a file of another kind,
    /// version, precision or model, and for one that is damaged; [`Error::OutOfMemory`] when it would not fit.
    pub fn load(model: &Model, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut file = SnapshotFile::open(path)?;
        let (digest, like) = probe(model)?;
        let precision = like.cache().stored_precision();
        let token_bytes = bytes_per_token(model, precision);
        let tokens = file.check(precision, digest, token_bytes)?;
        // A file can be longer than the disk is large.
        check_fits(path, file_bytes(tokens, token_bytes))?;
        let ids = file.read(tokens * size_of::<TokenId>())?;
        let cache = like
            .cache()
            .read_le_bytes(tokens, |bytes| file.read(bytes))?;
        file.check_sum()?;
        let (ids, _) = ids.as_chunks();
        let ids: Vec<TokenId> = ids.iter().copied().map(TokenId::from_le_bytes).collect();
        let layout = model.layouts(&[&ids]).map_err(|error| {
            let expected = phrase!("snapshot-prompt", "a prompt of this model");
            file.differs(SnapshotField::Tokens, expected, Phrase::from(&error))
        })?;
        let state = DecodeState::of_row(model, layout[0], cache);
        Ok(Self::new(ids, state))
    }
}

/// A digest of what the model computes, and the state that it leaves.
fn probe(model: &Model) -> Result<(u64, DecodeState)> {
    let text = 0..model.vocab_size().min(8);
    // In range, as the model's own.
    let tokens = text.chain(model.config().prompt_end());
    let tokens: Vec<TokenId> = tokens.map(|id| id as TokenId).collect();
    let (logits, state) = model.prefill(&[&tokens])?;
    let logits = to_host(logits)?;
    let bytes: Vec<u8> = logits
        .iter()
        .flat_map(|logit| logit.to_le_bytes())
        .collect();
    Ok((xxh3_64(&bytes), state))
}

fn bytes_per_token(model: &Model, precision: CachePrecision) -> usize {
    size_of::<TokenId>() + model.config().cache_bytes_per_token(precision)
}

/// A file that is written from its beginning to its end.
struct Writer {
    file: PartWriter,
    written: u64,
    hash: Xxh3,
}

impl Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.file.write_at(self.written, bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}
