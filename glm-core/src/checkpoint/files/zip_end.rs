//! The records that end a zip archive: where its directory is, and how large.
//!
//! The library that reads archives searches for them, in a file of any size, and makes room for as many entries as they
//! claim. So what they claim is held against the file first, as strictly as `torch.save` writes it: the last record ends
//! the file, and the directory ends where the records begin.
//!
//! ```text
//! directory | 64-bit record (PK\6\6) | its locator (PK\6\7) | record (PK\5\6) | comment
//! ```

use std::{
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use glm_tokenizer::phrase;

use super::weight_file::truncated;
use crate::error::{Error, Result};

/// Most entries of an archive: a tensor is one.
const MAX_ENTRIES: u64 = 1 << 17;
/// Most bytes of the directory.
const MAX_DIRECTORY_BYTES: u64 = 32 << 20;

/// Size of the last record without its comment.
const END_BYTES: usize = 22;
/// Longest distance of that record from the end of the file: its size and a comment of 64 KiB.
const END_SEARCH: u64 = END_BYTES as u64 + 0xffff;
const END_MAGIC: [u8; 4] = *b"PK\x05\x06";

/// Size of the record that has 64-bit numbers.
const END_64_BYTES: usize = 56;
const END_64_MAGIC: [u8; 4] = *b"PK\x06\x06";
/// Bytes of that record before those that its own length counts.
const END_64_UNCOUNTED: u64 = 12;

/// Size of what says where that record is.
const LOCATOR_BYTES: usize = 20;
const LOCATOR_MAGIC: [u8; 4] = *b"PK\x06\x07";

/// Checks the records that end the archive of `length` bytes.
///
/// # Errors
/// [`Error::Truncated`] when there are none, [`Error::Malformed`], [`Error::TooLarge`], [`Error::Io`].
pub(super) fn check(path: &Path, reader: &mut (impl Read + Seek), length: u64) -> Result<()> {
    let start = length.saturating_sub(END_SEARCH + LOCATOR_BYTES as u64);
    let tail = read_at(reader, start, length - start).map_err(|e| Error::io(path, e))?;
    let last = tail
        .windows(END_BYTES)
        .rposition(|record| record.starts_with(&END_MAGIC));
    let Some(end) = last else {
        let reason = phrase!(
            "zip-no-directory",
            "the directory at the end of the archive is missing"
        );
        return Err(truncated(path, length, reason));
    };
    let malformed = |reason| Error::malformed(path, reason);
    let record = tail.get(end..).unwrap_or_default();
    let end_position = start + end as u64;
    if end_position + END_BYTES as u64 + number(record, 20, 2) != length {
        return Err(malformed(phrase!(
            "zip-bytes-left",
            "bytes follow the end of the archive"
        )));
    }
    let mut directory = Directory {
        entries: number(record, 10, 2),
        bytes: number(record, 12, 4),
        start: number(record, 16, 4),
        end: end_position,
    };
    let locator = end
        .checked_sub(LOCATOR_BYTES)
        .and_then(|locator| tail.get(locator..end))
        .filter(|locator| locator.starts_with(&LOCATOR_MAGIC));
    if let Some(locator) = locator {
        let position = number(locator, 8, 8);
        let locator_position = end_position - LOCATOR_BYTES as u64;
        let record = match position.checked_add(END_64_BYTES as u64) {
            Some(end) if end <= locator_position => {
                read_at(reader, position, END_64_BYTES as u64).map_err(|e| Error::io(path, e))?
            }
            _ => Vec::new(),
        };
        let counted = number(&record, 4, 8).checked_add(END_64_UNCOUNTED);
        let ends_at = counted.and_then(|bytes| bytes.checked_add(position));
        if !record.starts_with(&END_64_MAGIC) || ends_at != Some(locator_position) {
            return Err(malformed(phrase!(
                "zip-no-64-bit-record",
                "the 64-bit record that ends the archive is missing"
            )));
        }
        let wide = Directory {
            entries: number(&record, 32, 8),
            bytes: number(&record, 40, 8),
            start: number(&record, 48, 8),
            end: position,
        };
        // A narrow number is the same, or says that only the wide one is true.
        let agree = |narrow: u64, wide: u64, unknown: u64| narrow == wide || narrow == unknown;
        if !agree(directory.entries, wide.entries, 0xffff)
            || !agree(directory.bytes, wide.bytes, 0xffff_ffff)
            || !agree(directory.start, wide.start, 0xffff_ffff)
        {
            return Err(malformed(phrase!(
                "zip-records-differ",
                "the records that end the archive differ"
            )));
        }
        directory = wide;
    }
    directory.check(path)
}

/// Where the directory is.
struct Directory {
    entries: u64,
    bytes: u64,
    start: u64,
    /// Where the records begin.
    end: u64,
}

impl Directory {
    fn check(&self, path: &Path) -> Result<()> {
        let too_large = |what, most| {
            let path = path.to_path_buf();
            Err(Error::TooLarge { path, what, most })
        };
        if self.entries > MAX_ENTRIES {
            return too_large(
                phrase!("too-many-archive-entries", "entries in the archive"),
                MAX_ENTRIES,
            );
        }
        if self.bytes > MAX_DIRECTORY_BYTES {
            return too_large(
                phrase!(
                    "too-many-directory-bytes",
                    "bytes in the directory of the archive"
                ),
                MAX_DIRECTORY_BYTES,
            );
        }
        if self.start.checked_add(self.bytes) != Some(self.end) {
            return Err(Error::malformed(
                path,
                phrase!(
                    "zip-directory-misplaced",
                    "the directory of the archive is not where its end says"
                ),
            ));
        }
        Ok(())
    }
}

fn read_at(reader: &mut (impl Read + Seek), start: u64, bytes: u64) -> io::Result<Vec<u8>> {
    reader.seek(SeekFrom::Start(start))?;
    let mut content = Vec::new();
    reader.take(bytes).read_to_end(&mut content)?;
    Ok(content)
}

/// The little-endian number of `bytes` bytes at `start`; 0 where the record ends before.
fn number(record: &[u8], start: usize, bytes: usize) -> u64 {
    let digits = record.get(start..start + bytes).unwrap_or_default();
    digits
        .iter()
        .rev()
        .fold(0, |number, &byte| (number << 8) | u64::from(byte))
}
