//! Looks at every pickle that a `torch.save` file holds, before anything else reads it.
//!
//! What the reader takes for which container is decided here by the same bytes, so that no pickle is read that was not
//! looked at.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    ops::Range,
    path::Path,
};

use glm_tokenizer::{Phrase, phrase};
use zip::{CompressionMethod, ZipArchive, result::ZipError};

use super::{
    pickle_scan::{self, Budget, MAX_PICKLE_BYTES, Refusal},
    pickle_source::too_many_pickle_bytes,
    weight_file::truncated,
    zip_end,
};
use crate::error::{Error, Result};

/// How zip archives begin, empty ones too.
const ZIP_MAGIC: [[u8; 4]; 2] = [*b"PK\x03\x04", *b"PK\x05\x06"];
/// Start of the magic number that opens the pickle stream, as protocol 2 and later ones write it.
const STREAM_MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The same number as protocols 0 and 1 write it.
const STREAM_MAGIC_TEXT: &[u8] = b"119547037146038801333356";
/// How far into the file the magic number is looked for.
const STREAM_MAGIC_SEARCH: usize = 64;
/// Pickles of the stream before the tensors: magic, version, system, the object, storage keys.
const STREAM_PICKLES: usize = 5;

/// Where a tar archive has its magic. PyTorch wrote tar before 0.1.10 (2017).
const TAR_MAGIC: Range<usize> = 257..262;

/// How the name of the entry ends that describes the tensors.
const PICKLE_NAME: &str = "data.pkl";
/// Bytes that the compressed entries of an archive may have more, unpacked, than [`MAX_EXPANSION`] times those of the
/// file. `torch.save` compresses nothing.
const MAX_UNPACKED_BYTES: u64 = 64 << 20;
/// How many times larger than the file its entries may be, unpacked. Weights hardly shrink.
const MAX_EXPANSION: u64 = 16;

/// Refuses a file with a pickle that would import anything unusual, or that would take more memory than weights need.
///
/// # Errors
/// [`Error::UnsafePickle`], [`Error::TooLarge`], [`Error::Truncated`], [`Error::Malformed`], [`Error::Io`].
pub(super) fn check(path: &Path, file: File, length: u64) -> Result<()> {
    let mut reader = BufReader::new(file);
    let start = reader.fill_buf().map_err(|e| Error::io(path, e))?;
    if ZIP_MAGIC.iter().any(|magic| start.starts_with(magic)) {
        return check_zip(path, reader, length);
    }
    if start.get(TAR_MAGIC) == Some(b"ustar") {
        return Err(Error::malformed(
            path,
            phrase!(
                "torch-tar",
                "the tar container of PyTorch before 0.1.10 is not supported; save it again with a later version",
            ),
        ));
    }
    let search = start.get(..STREAM_MAGIC_SEARCH).unwrap_or(start);
    let is_stream = [STREAM_MAGIC, STREAM_MAGIC_TEXT]
        .iter()
        .any(|magic| search.windows(magic.len()).any(|window| window == *magic));
    // Anything else may be a bare pickle, which holds no tensors but may hold a call.
    let pickles = if is_stream { STREAM_PICKLES } else { 1 };
    let mut budget = Budget::of_file();
    for _ in 0..pickles {
        pickle_scan::scan(&mut reader, &mut budget).map_err(|refusal| match refusal {
            Refusal::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => truncated(
                path,
                length,
                phrase!(
                    "torch-description-cut",
                    "the description of its tensors is cut off"
                ),
            ),
            Refusal::NoOpcode(_) | Refusal::Malformed(_) if !is_stream => Error::malformed(
                path,
                phrase!("torch-no-file", "it is no file that torch.save wrote"),
            ),
            refusal => refused(path, refusal),
        })?;
    }
    Ok(())
}

/// The pickles of a zip container: every entry named `data.pkl`, as only one of them is used. Which one must not depend
/// on who reads: PyTorch takes names that differ in case for the same.
fn check_zip(path: &Path, mut reader: BufReader<File>, length: u64) -> Result<()> {
    zip_end::check(path, &mut reader, length)?;
    reader.rewind().map_err(|e| Error::io(path, e))?;
    let mut archive = ZipArchive::new(reader).map_err(|e| zip_error(path, e))?;
    if archive.has_duplicate_names() {
        return Err(ambiguous(path, phrase!("zip-some-name", "some name")));
    }
    let mut names = HashSet::new();
    let mut pickles = Vec::new();
    let mut unpacked = 0_u64;
    for index in 0..archive.len() {
        let entry = archive
            .by_index_raw(index)
            .map_err(|e| zip_error(path, e))?;
        let name = entry.name().map_err(|e| zip_error(path, e))?;
        let name = name.to_ascii_lowercase();
        let raw_name = entry.name_raw().to_ascii_lowercase();
        if [name.as_bytes(), &raw_name]
            .iter()
            .any(|name| name.ends_with(PICKLE_NAME.as_bytes()))
        {
            pickles.push(index);
        }
        let (size, stored) = (entry.size(), entry.compressed_size());
        if entry.compression() == CompressionMethod::Stored {
            if size != stored {
                let reason = phrase!(
                    "zip-entry-length",
                    "its entry `{name}` should have {size} bytes, {stored} are there",
                    name,
                    size,
                    stored
                );
                return Err(Error::malformed(path, reason));
            }
        } else {
            unpacked = unpacked.saturating_add(size);
        }
        if !names.insert(name.clone()) {
            return Err(ambiguous(path, Phrase::verbatim(format!("`{name}`"))));
        }
    }
    let most = MAX_UNPACKED_BYTES.saturating_add(length.saturating_mul(MAX_EXPANSION));
    if unpacked > most {
        return Err(Error::TooLarge {
            path: path.to_path_buf(),
            what: phrase!("too-many-unpacked-bytes", "bytes in its compressed entries"),
            most,
        });
    }
    if archive
        .has_overlapping_entries()
        .map_err(|e| zip_error(path, e))?
    {
        return Err(Error::malformed(
            path,
            phrase!("zip-entries-overlap", "entries of the archive overlap"),
        ));
    }
    let mut budget = Budget::of_file();
    for index in pickles {
        let entry = archive.by_index(index).map_err(|e| zip_error(path, e))?;
        if entry.size() > MAX_PICKLE_BYTES {
            return Err(refused(path, too_many_pickle_bytes()));
        }
        let mut pickle = BufReader::new(entry.take(MAX_PICKLE_BYTES));
        pickle_scan::scan(&mut pickle, &mut budget).map_err(|refusal| refused(path, refusal))?;
    }
    Ok(())
}

fn ambiguous(path: &Path, name: Phrase) -> Error {
    let reason = phrase!(
        "zip-ambiguous",
        "the archive has {name} twice, so what is read depends on the reader",
        name
    );
    Error::malformed(path, reason)
}

fn refused(path: &Path, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Unsafe(reason) => Error::UnsafePickle {
            path: path.to_path_buf(),
            reason,
        },
        Refusal::TooLarge { what, most } => Error::TooLarge {
            path: path.to_path_buf(),
            what,
            most,
        },
        Refusal::NoOpcode(byte) => Error::malformed(
            path,
            phrase!(
                "pickle-no-opcode",
                "its pickle has no opcode {byte}",
                byte = format!("{byte:#04x}")
            ),
        ),
        Refusal::Malformed(reason) => Error::malformed(
            path,
            phrase!("pickle-damaged", "its pickle is damaged: {reason}", reason),
        ),
        Refusal::Io(e) => Error::malformed(
            path,
            phrase!(
                "pickle-unreadable",
                "its pickle cannot be read: {reason}",
                reason = e
            ),
        ),
    }
}

/// An error of the archive, told apart from one of the system.
pub(super) fn zip_error(path: &Path, error: ZipError) -> Error {
    match error {
        ZipError::Io(e) if e.raw_os_error().is_some() => Error::io(path, e),
        error => Error::malformed(path, Phrase::verbatim(error)),
    }
}
