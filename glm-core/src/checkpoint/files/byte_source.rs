//! Bytes of a weight file by their position: of an open file, or of one that is part of the program.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use glm_tokenizer::{Phrase, phrase};

use super::weight_file::truncated;
use crate::checkpoint::memory::available_memory;
use crate::error::{Error, Result};

/// Something to read ranges of.
pub(super) struct ByteSource {
    path: PathBuf,
    content: Content,
}

enum Content {
    File(Mutex<File>),
    Memory(&'static [u8]),
}

impl ByteSource {
    pub(super) fn file(path: &Path, file: File) -> Self {
        Self {
            path: path.to_path_buf(),
            content: Content::File(Mutex::new(file)),
        }
    }

    /// `path` is its name in errors.
    pub(super) fn memory(path: &Path, bytes: &'static [u8]) -> Self {
        Self {
            path: path.to_path_buf(),
            content: Content::Memory(bytes),
        }
    }

    /// The bytes of `range`, which was inside the file when it was opened; `what` lies there.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Truncated`] when the file has shrunk, [`Error::OutOfMemory`].
    pub(super) fn read(&self, range: &Range<u64>, what: &Phrase) -> Result<Vec<u8>> {
        let mut bytes = self.zeroed(range.end - range.start)?;
        match &self.content {
            Content::Memory(all) => {
                let start = usize::try_from(range.start).unwrap_or(usize::MAX);
                let end = start.saturating_add(bytes.len());
                // Opening has checked the range.
                if let Some(part) = all.get(start..end) {
                    bytes.copy_from_slice(part);
                }
            }
            Content::File(file) => {
                // A panic elsewhere cannot leave the file in a bad state: each read seeks first.
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(range.start))
                    .and_then(|_| file.read_exact(&mut bytes))
                    .map_err(|e| self.read_error(what, &file, e))?;
            }
        }
        Ok(bytes)
    }

    /// Zeros in place of what is read; something too large for memory is an error, not an abort.
    fn zeroed(&self, length: u64) -> Result<Vec<u8>> {
        // Asking first and allocating again is free; writing zeros into a reserved buffer is not, while
        // fresh memory is zero already.
        usize::try_from(length)
            .ok()
            .filter(|length| Vec::<u8>::new().try_reserve_exact(*length).is_ok())
            .map(|length| vec![0; length])
            .ok_or_else(|| Error::OutOfMemory {
                path: self.path.clone(),
                required: length,
                available: available_memory().unwrap_or(0),
            })
    }

    /// The file was long enough when it was opened, so an early end means that it shrank.
    fn read_error(&self, what: &Phrase, file: &File, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            let length = file.metadata().map_or(0, |metadata| metadata.len());
            let reason = phrase!(
                "file-became-shorter",
                "it became shorter while {what} was read",
                what
            );
            truncated(&self.path, length, reason)
        } else {
            Error::io(&self.path, error)
        }
    }
}
