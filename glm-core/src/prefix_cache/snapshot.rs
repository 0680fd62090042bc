//! What was read, in a file: the next run of a program need not read it again.
//!
//! The format is drawn in `docs/weights.md`. Its digest of the model is that of the logits that the model computes for a few
//! tokens, so it changes with weights, precisions and numerics, and does not depend on the file that the model came from.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use glm_tokenizer::regular_file;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::Prefix;
use crate::{
    checkpoint::{atomic_file::PartWriter, memory::check_fits},
    error::{Error, Result, SnapshotField},
    host::to_host,
    model::{DecodeState, Model},
    numerics::CachePrecision,
    prefix_lm::TokenId,
    row_layout::RowLayout,
};

/// How every snapshot begins. The line feed shows a transfer that changed line ends.
const MAGIC: [u8; 8] = *b"GLMREAD\n";
/// Raised whenever the meaning of any byte changes.
const VERSION: u32 = 1;
/// Bytes before the token ids.
const HEADER_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = size_of::<u64>();

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
                expected: "what this model has read as a prompt".to_owned(),
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
        let mut reader = Reader::open(path)?;
        let header = reader.header()?;
        let (digest, like) = probe(model)?;
        let precision = like.cache().stored_precision();
        if header.precision != code(precision) {
            let (expected, found) = (name(code(precision)), name(header.precision));
            return Err(reader.differs(SnapshotField::Precision, expected, found));
        }
        if header.digest != digest {
            let [expected, found] = [digest, header.digest].map(hexadecimal);
            return Err(reader.differs(SnapshotField::Model, expected, found));
        }
        let tokens = usize::try_from(header.tokens).unwrap_or(usize::MAX);
        let expected = file_bytes(tokens, bytes_per_token(model, precision));
        if reader.file_bytes != expected {
            let [expected, found] =
                [expected, reader.file_bytes].map(|bytes| format!("{bytes} bytes"));
            return Err(reader.differs(SnapshotField::Length, expected, found));
        }
        // A file can be longer than the disk is large.
        check_fits(path, expected)?;
        let ids = reader.read(tokens * size_of::<TokenId>())?;
        let cache = like
            .cache()
            .read_le_bytes(tokens, |bytes| reader.read(bytes))?;
        reader.check_sum()?;
        let (ids, _) = ids.as_chunks();
        let ids: Vec<TokenId> = ids.iter().copied().map(TokenId::from_le_bytes).collect();
        let layout = model.layouts(&[&ids]).map_err(|error| {
            let expected = "a prompt of this model".to_owned();
            reader.differs(SnapshotField::Tokens, expected, error.to_string())
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

/// Length of a whole file; more than any file has where it cannot be counted.
fn file_bytes(tokens: usize, token_bytes: usize) -> u64 {
    let fixed = (HEADER_BYTES + CHECKSUM_BYTES) as u64;
    let tokens = (tokens as u64).checked_mul(token_bytes as u64);
    tokens
        .and_then(|bytes| bytes.checked_add(fixed))
        .unwrap_or(u64::MAX)
}

/// The number that stands for a precision.
fn code(precision: CachePrecision) -> u32 {
    match precision {
        CachePrecision::F32 => 0,
        CachePrecision::F16 => 1,
        CachePrecision::Int8 => 2,
        CachePrecision::Int16 => 3,
    }
}

/// The precision that a number stands for, in words.
fn name(code: u32) -> String {
    match code {
        0 => "f32".to_owned(),
        1 => "f16".to_owned(),
        2 => "int8".to_owned(),
        3 => "int16".to_owned(),
        _ => format!("unknown ({code})"),
    }
}

fn hexadecimal(digest: u64) -> String {
    format!("{digest:016x}")
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

/// What the header of a snapshot says.
struct Header {
    precision: u32,
    digest: u64,
    tokens: u64,
}

/// A file that is read from its beginning to its end.
struct Reader<'path> {
    path: &'path Path,
    file: BufReader<File>,
    file_bytes: u64,
    hash: Xxh3,
}

impl<'path> Reader<'path> {
    fn open(path: &'path Path) -> Result<Self> {
        let file = regular_file::open(path).map_err(|error| Error::file(path, error))?;
        let metadata = file.metadata().map_err(|error| Error::io(path, error))?;
        let file_bytes = metadata.len();
        Ok(Self {
            path,
            file: BufReader::new(file),
            file_bytes,
            hash: Xxh3::new(),
        })
    }

    fn read(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let read = self.file.read_exact(&mut bytes);
        read.map_err(|error| Error::io(self.path, error))?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn header(&mut self) -> Result<Header> {
        let known = self.file_bytes.min(MAGIC.len() as u64);
        let magic = self.read(known as usize)?;
        if !MAGIC.starts_with(&magic) {
            let [expected, found] = [&MAGIC[..], &magic].map(|bytes| bytes.escape_ascii());
            let (expected, found) = (format!("`{expected}`"), format!("`{found}`"));
            return Err(self.differs(SnapshotField::Beginning, expected, found));
        }
        let least = file_bytes(0, 0);
        if self.file_bytes < least {
            let expected = format!("at least {least} bytes");
            let found = format!("{} bytes", self.file_bytes);
            return Err(self.differs(SnapshotField::Length, expected, found));
        }
        let version = u32::from_le_bytes(self.array()?);
        if version != VERSION {
            let [expected, found] = [VERSION, version].map(|version| version.to_string());
            return Err(self.differs(SnapshotField::Version, expected, found));
        }
        Ok(Header {
            precision: u32::from_le_bytes(self.array()?),
            digest: u64::from_le_bytes(self.array()?),
            tokens: u64::from_le_bytes(self.array()?),
        })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.read(N)?);
        Ok(bytes)
    }

    /// Reads the last bytes, and holds them against all before.
    fn check_sum(&mut self) -> Result<()> {
        let expected = self.hash.digest();
        let found = u64::from_le_bytes(self.array()?);
        if found == expected {
            return Ok(());
        }
        let [expected, found] = [expected, found].map(hexadecimal);
        Err(self.differs(SnapshotField::Checksum, expected, found))
    }

    fn differs(&self, field: SnapshotField, expected: String, found: String) -> Error {
        Error::Snapshot {
            path: self.path.to_path_buf(),
            field,
            expected,
            found,
        }
    }
}
