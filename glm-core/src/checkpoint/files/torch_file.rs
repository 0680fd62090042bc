//! One `.bin` file as `torch.save` writes it, in the zip container or the older pickle stream.
//!
//! `pytorch-reader` parses the pickle without executing anything and reads each tensor from the file when
//! it is asked for; [`pickle_scan`] has refused files that would call something in Python before that.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use pytorch_reader::{MAX_PICKLE_SIZE, PickleError, PytorchError, PytorchReader, Tensor};
use zip::ZipArchive;
use zip::result::ZipError;

use super::pickle_scan::{self, Refusal};
use super::tensor_info::{TensorInfo, WeightDType};
use super::weight_file::{self, truncated};
use crate::error::{Error, Result};

/// Keys under which training programs save the weights: DeepSpeed and SAT, Lightning, plain scripts.
const NESTING_KEYS: [&str; 4] = ["module", "state_dict", "model_state_dict", "model"];

/// Start of the magic number that opens the pickle stream, as protocol 2 writes it.
const STREAM_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// How far into the file the magic number is looked for.
const STREAM_MAGIC_SEARCH: usize = 64;
/// Pickles of the stream before the tensors: magic, version, system, the object, storage keys.
const STREAM_PICKLES: usize = 5;

/// Where a tar archive has its magic. PyTorch wrote tar before 0.1.10 (2017).
const TAR_MAGIC: Range = 257..262;

/// Size of the record that ends a zip archive, without its comment.
const ZIP_END_BYTES: usize = 22;
/// Longest distance of that record from the end of the file: its size and a comment of 64 KiB.
const ZIP_END_SEARCH: u64 = ZIP_END_BYTES as u64 + 0xffff;
const ZIP_END_MAGIC: [u8; 4] = *b"PK\x05\x06";

type Range = std::ops::Range<usize>;

/// An open file.
pub(super) struct TorchFile {
    path: PathBuf,
    length: u64,
    tensors: HashMap<String, Tensor>,
}

impl TorchFile {
    /// Opens `path` and gives what it holds. With `nested`, weights may lie under one of the usual keys, as
    /// `{"module": {...}}`; the key is not part of the names then.
    pub(super) fn open(path: &Path, nested: bool) -> Result<(Self, Vec<TensorInfo>)> {
        let (file, length) = weight_file::open(path)?;
        check_pickles(path, file, length)?;
        let mut tensors = PytorchReader::new(path)
            .map_err(|e| open_error(path, length, e))?
            .into_tensors();
        if nested {
            tensors = unnest(path, length, tensors)?;
        }
        let mut infos = Vec::new();
        for (name, tensor) in &tensors {
            infos.push(TensorInfo {
                name: name.clone(),
                dtype: WeightDType::from_torch(tensor.dtype(), path, name)?,
                shape: tensor.shape().to_vec(),
                blocks: None,
                file: path.to_path_buf(),
            });
        }
        let path = path.to_path_buf();
        Ok((
            Self {
                path,
                length,
                tensors,
            },
            infos,
        ))
    }

    /// The bytes of one tensor, `None` if there is no such tensor.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(tensor) = self.tensors.get(name) else {
            return Ok(None);
        };
        let mut bytes = tensor.read().map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData => Error::malformed(&self.path, e),
            io::ErrorKind::UnexpectedEof => truncated(&self.path, self.length, e.to_string()),
            _ => Error::io(&self.path, e),
        })?;
        // The reader gives native order.
        if cfg!(target_endian = "big") {
            for element in bytes.chunks_exact_mut(tensor.dtype().size()) {
                element.reverse();
            }
        }
        Ok(Some(bytes))
    }
}

/// Takes the weights out of the dictionaries that training programs wrap around them.
fn unnest(
    path: &Path,
    length: u64,
    mut tensors: HashMap<String, Tensor>,
) -> Result<HashMap<String, Tensor>> {
    for key in NESTING_KEYS {
        let prefix = format!("{key}.");
        if tensors.keys().all(|name| name.starts_with(&prefix)) {
            // A dictionary of its own, or names that all begin alike, as `DataParallel` makes them.
            tensors = tensors
                .into_iter()
                .filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?.to_owned(), tensor)))
                .collect();
        } else if tensors.keys().any(|name| name.starts_with(&prefix)) {
            // Beside other tensors, such as an optimiser's state, only a real dictionary counts.
            match PytorchReader::with_top_level_key(path, key) {
                Ok(reader) => tensors = reader.into_tensors(),
                Err(PytorchError::KeyNotFound(_)) => {}
                Err(error) => return Err(open_error(path, length, error)),
            }
        }
    }
    Ok(tensors)
}

/// Refuses a file with a pickle that would import anything unusual.
fn check_pickles(path: &Path, file: File, length: u64) -> Result<()> {
    let mut reader = BufReader::new(file);
    let start = reader.fill_buf().map_err(|e| Error::io(path, e))?;
    if start.starts_with(b"PK") {
        return check_zip(path, reader, length);
    }
    if start.get(TAR_MAGIC) == Some(b"ustar") {
        return Err(Error::malformed(
            path,
            "the tar container of PyTorch before 0.1.10 is not supported; save it again with a later version",
        ));
    }
    let search = start.get(..STREAM_MAGIC_SEARCH).unwrap_or(start);
    let is_stream = search
        .windows(STREAM_MAGIC.len())
        .any(|window| window == STREAM_MAGIC);
    // Anything else may be a bare pickle, which holds no tensors but may hold a call.
    let pickles = if is_stream { STREAM_PICKLES } else { 1 };
    for _ in 0..pickles {
        pickle_scan::scan(&mut reader).map_err(|refusal| match refusal {
            Refusal::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                truncated(path, length, "the description of its tensors is cut off")
            }
            Refusal::NoOpcode(_) if !is_stream => {
                Error::malformed(path, "it is no file that torch.save wrote")
            }
            refusal => refused(path, refusal),
        })?;
    }
    Ok(())
}

/// The pickles of a zip container: every entry named `data.pkl`, as only one of them is used.
fn check_zip(path: &Path, mut reader: BufReader<File>, length: u64) -> Result<()> {
    if !has_zip_end(&mut reader, length).map_err(|e| Error::io(path, e))? {
        return Err(truncated(
            path,
            length,
            "the directory at the end of the archive is missing",
        ));
    }
    let mut archive = ZipArchive::new(reader).map_err(|e| zip_error(path, e))?;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|e| zip_error(path, e))?;
        let is_pickle = entry.name().is_ok_and(|name| name.ends_with("data.pkl"));
        if is_pickle {
            let mut pickle = BufReader::new(entry.take(MAX_PICKLE_SIZE));
            pickle_scan::scan(&mut pickle).map_err(|refusal| refused(path, refusal))?;
        }
    }
    Ok(())
}

/// Whether the record that ends a zip archive is where it can be.
fn has_zip_end(reader: &mut BufReader<File>, length: u64) -> io::Result<bool> {
    reader.seek(SeekFrom::Start(length.saturating_sub(ZIP_END_SEARCH)))?;
    let mut end = Vec::new();
    reader.take(ZIP_END_SEARCH).read_to_end(&mut end)?;
    reader.seek(SeekFrom::Start(0))?;
    Ok(end
        .windows(ZIP_END_BYTES)
        .any(|record| record.starts_with(&ZIP_END_MAGIC)))
}

fn refused(path: &Path, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Unsafe(reason) => Error::UnsafePickle {
            path: path.to_path_buf(),
            reason,
        },
        Refusal::NoOpcode(byte) => {
            Error::malformed(path, format!("its pickle has no opcode {byte:#04x}"))
        }
        Refusal::Io(e) => Error::malformed(path, format!("its pickle cannot be read: {e}")),
    }
}

fn zip_error(path: &Path, error: ZipError) -> Error {
    match error {
        ZipError::Io(e) if e.raw_os_error().is_some() => Error::io(path, e),
        error => Error::malformed(path, error),
    }
}

/// An error of opening, with truncation told apart where the reader lets it be known.
fn open_error(path: &Path, length: u64, error: PytorchError) -> Error {
    match error {
        PytorchError::Io(e) | PytorchError::Pickle(PickleError::Io(e)) => {
            if e.kind() == io::ErrorKind::UnexpectedEof {
                truncated(path, length, e.to_string())
            } else if e.raw_os_error().is_some() {
                Error::io(path, e)
            } else {
                Error::malformed(path, e)
            }
        }
        PytorchError::Zip(e) => zip_error(path, e),
        // The pickle stream has no checksum or total length; this is how the reader says it ends early.
        PytorchError::InvalidFormat(reason)
            if reason.contains("extends beyond the end of the file") =>
        {
            truncated(path, length, reason)
        }
        error => Error::malformed(path, error),
    }
}
