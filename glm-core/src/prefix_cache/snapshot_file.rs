//! The bytes of a snapshot, without the model that they are of, so that they are fuzzed without one.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use glm_tokenizer::{Phrase, phrase, regular_file};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    error::{Error, Result, SnapshotField},
    numerics::CachePrecision,
};

/// How every snapshot begins. The line feed shows a transfer that changed line ends.
pub(super) const MAGIC: [u8; 8] = *b"GLMREAD\n";
/// Raised whenever the meaning of any byte changes.
pub(super) const VERSION: u32 = 1;
/// Bytes before the token ids.
pub(super) const HEADER_BYTES: usize = 32;
pub(super) const CHECKSUM_BYTES: usize = size_of::<u64>();

/// Length of a whole file; more than any file has where it cannot be counted.
pub(super) fn file_bytes(tokens: usize, token_bytes: usize) -> u64 {
    let fixed = (HEADER_BYTES + CHECKSUM_BYTES) as u64;
    let tokens = (tokens as u64).checked_mul(token_bytes as u64);
    tokens
        .and_then(|bytes| bytes.checked_add(fixed))
        .unwrap_or(u64::MAX)
}

/// The number that stands for a precision.
pub(super) fn code(precision: CachePrecision) -> u32 {
    match precision {
        CachePrecision::F32 => 0,
        CachePrecision::F16 => 1,
        CachePrecision::Int8 => 2,
        CachePrecision::Int16 => 3,
    }
}

/// The precision that a number stands for, in words.
fn name(code: u32) -> Phrase {
    Phrase::verbatim(match code {
        0 => "f32",
        1 => "f16",
        2 => "int8",
        3 => "int16",
        _ => return phrase!("snapshot-unknown-precision", "unknown ({code})", code),
    })
}

fn hexadecimal(digest: u64) -> Phrase {
    Phrase::verbatim(format!("{digest:016x}"))
}

fn bytes_long(bytes: u64) -> Phrase {
    phrase!("snapshot-bytes", "{bytes} bytes", bytes)
}

/// A snapshot that is read from its beginning to its end. Of its header only the version is known to be right.
pub struct SnapshotFile<'path> {
    path: &'path Path,
    file: BufReader<File>,
    file_bytes: u64,
    hash: Xxh3,
    precision: u32,
    digest: u64,
    tokens: u64,
}

impl<'path> SnapshotFile<'path> {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::PermissionDenied`], [`Error::NotAFile`]; [`Error::Snapshot`] for a file of another kind or
    /// version.
    pub fn open(path: &'path Path) -> Result<Self> {
        let file = regular_file::open(path).map_err(|error| Error::file(path, error))?;
        let metadata = file.metadata().map_err(|error| Error::io(path, error))?;
        let mut file = Self {
            path,
            file: BufReader::new(file),
            file_bytes: metadata.len(),
            hash: Xxh3::new(),
            precision: 0,
            digest: 0,
            tokens: 0,
        };
        file.read_header()?;
        Ok(file)
    }

    fn read_header(&mut self) -> Result<()> {
        let known = self.file_bytes.min(MAGIC.len() as u64);
        let magic = self.read(known as usize)?;
        if !MAGIC.starts_with(&magic) {
            let [expected, found] = [&MAGIC[..], &magic].map(|bytes| bytes.escape_ascii());
            let [expected, found] =
                [expected, found].map(|bytes| Phrase::verbatim(format!("`{bytes}`")));
            return Err(self.differs(SnapshotField::Beginning, expected, found));
        }
        let least = file_bytes(0, 0);
        if self.file_bytes < least {
            let expected = phrase!("snapshot-least-bytes", "at least {least} bytes", least);
            let found = bytes_long(self.file_bytes);
            return Err(self.differs(SnapshotField::Length, expected, found));
        }
        let version = u32::from_le_bytes(self.array()?);
        if version != VERSION {
            let [expected, found] = [VERSION, version].map(Phrase::verbatim);
            return Err(self.differs(SnapshotField::Version, expected, found));
        }
        self.precision = u32::from_le_bytes(self.array()?);
        self.digest = u64::from_le_bytes(self.array()?);
        self.tokens = u64::from_le_bytes(self.array()?);
        Ok(())
    }

    /// Holds the header against a model with this digest, whose tokens take `token_bytes` each with their keys and values in
    /// this precision. Gives the number of tokens.
    ///
    /// # Errors
    /// [`Error::Snapshot`].
    pub fn check(
        &self,
        precision: CachePrecision,
        digest: u64,
        token_bytes: usize,
    ) -> Result<usize> {
        if self.precision != code(precision) {
            let [expected, found] = [code(precision), self.precision].map(name);
            return Err(self.differs(SnapshotField::Precision, expected, found));
        }
        if self.digest != digest {
            let [expected, found] = [digest, self.digest].map(hexadecimal);
            return Err(self.differs(SnapshotField::Model, expected, found));
        }
        let tokens = usize::try_from(self.tokens).unwrap_or(usize::MAX);
        let expected = file_bytes(tokens, token_bytes);
        if self.file_bytes != expected {
            let [expected, found] = [expected, self.file_bytes].map(bytes_long);
            return Err(self.differs(SnapshotField::Length, expected, found));
        }
        Ok(tokens)
    }

    /// Reads what follows.
    ///
    /// # Errors
    /// [`Error::Io`], also where the file ends.
    pub fn read(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let read = self.file.read_exact(&mut bytes);
        read.map_err(|error| Error::io(self.path, error))?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.read(N)?);
        Ok(bytes)
    }

    /// Reads the last bytes, and holds them against all before.
    ///
    /// # Errors
    /// [`Error::Snapshot`], [`Error::Io`].
    pub fn check_sum(&mut self) -> Result<()> {
        let expected = self.hash.digest();
        let found = u64::from_le_bytes(self.array()?);
        if found == expected {
            return Ok(());
        }
        let [expected, found] = [expected, found].map(hexadecimal);
        Err(self.differs(SnapshotField::Checksum, expected, found))
    }

    pub(super) fn differs(&self, field: SnapshotField, expected: Phrase, found: Phrase) -> Error {
        Error::Snapshot {
            path: self.path.to_path_buf(),
            field,
            expected,
            found,
        }
    }
}
