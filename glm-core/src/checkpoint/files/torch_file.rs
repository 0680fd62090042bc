//! One `.bin` file as `torch.save` writes it, in the zip container or the older pickle stream.
//!
//! `pytorch-reader` parses the pickle without executing anything and reads each tensor from the file when
//! it is asked for; [`torch_pickles`] has refused files that would call something in Python before that.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use glm_tokenizer::{Phrase, phrase};
use pytorch_reader::{PickleError, PytorchError, PytorchReader, Tensor};

use super::tensor_info::{TensorInfo, WeightDType};
use super::torch_pickles::{self, zip_error};
use super::unique_entries::MAX_DIMS;
use super::weight_file::{self, truncated};
use crate::error::{Error, Result};

/// Keys under which training programs save the weights: DeepSpeed and SAT, Lightning, plain scripts.
const NESTING_KEYS: [&str; 4] = ["module", "state_dict", "model_state_dict", "model"];

/// Longest reason of the reader that is handed on, in bytes: it may quote what is in the file.
const MAX_REASON_BYTES: usize = 400;

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
        torch_pickles::check(path, file, length)?;
        let mut tensors = PytorchReader::new(path)
            .map_err(|e| open_error(path, length, e))?
            .into_tensors();
        if nested {
            tensors = unnest(path, length, tensors)?;
        }
        let mut infos = Vec::new();
        for (name, tensor) in &tensors {
            if tensor.shape().len() > MAX_DIMS {
                let reason = phrase!(
                    "tensor-too-many-extents",
                    "tensor `{name}` has more than {most} extents",
                    name,
                    most = MAX_DIMS
                );
                return Err(Error::malformed(path, reason));
            }
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
            io::ErrorKind::InvalidData => Error::malformed(&self.path, Phrase::verbatim(e)),
            io::ErrorKind::UnexpectedEof => truncated(&self.path, self.length, Phrase::verbatim(e)),
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
        let is_inside = |name: &String| name.starts_with(&prefix);
        // Names that all begin alike are taken out of it later, whatever the container.
        if tensors.keys().any(is_inside) && !tensors.keys().all(is_inside) {
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

/// An error of opening, with truncation told apart where the reader lets it be known.
fn open_error(path: &Path, length: u64, error: PytorchError) -> Error {
    match error {
        PytorchError::Io(e) | PytorchError::Pickle(PickleError::Io(e)) => {
            if e.kind() == io::ErrorKind::UnexpectedEof {
                truncated(path, length, shortened(&e))
            } else if e.raw_os_error().is_some() {
                Error::io(path, e)
            } else {
                Error::malformed(path, shortened(&e))
            }
        }
        PytorchError::Zip(e) => zip_error(path, e),
        // The pickle stream has no checksum or total length; this is how the reader says it ends early.
        PytorchError::InvalidFormat(reason)
            if reason.contains("extends beyond the end of the file") =>
        {
            truncated(path, length, shortened(&reason))
        }
        error => Error::malformed(path, shortened(&error)),
    }
}

/// The beginning of a reason of the reader.
fn shortened(reason: &impl ToString) -> Phrase {
    let reason = reason.to_string();
    Phrase::verbatim(match reason.floor_char_boundary(MAX_REASON_BYTES) {
        end if end < reason.len() => format!("{}…", reason.split_at(end).0),
        _ => reason,
    })
}
