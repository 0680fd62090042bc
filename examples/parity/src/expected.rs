//! `expected.json` and `expected.safetensors` of a folder.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use glm_core::checkpoint::{CheckpointFiles, WeightDType};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    array::Array,
    check::{Outcome, Recorder},
    error::{Error, Result},
};

/// Largest `expected.json` that is read, in bytes.
pub const MAX_JSON_BYTES: u64 = 1 << 28;

/// Tensors under this name show what the official code does *not* compute.
const DIAGNOSTIC: &str = "diagnostic.";

/// The expectations of one folder. Remembers which tensors were looked at.
pub(crate) struct Expected {
    json: PathBuf,
    document: Map<String, Value>,
    tensors: CheckpointFiles,
    unread: RefCell<BTreeSet<String>>,
}

/// Reads `expected.json` of a folder, whatever it is of.
pub(crate) fn read_json(dir: &Path) -> Result<Map<String, Value>> {
    let path = dir.join("expected.json");
    let unreadable = |reason: String| Error::Unreadable {
        path: path.clone(),
        reason,
    };
    // Tells a missing folder from a folder without expectations.
    std::fs::read_dir(dir).map_err(|error| glm_core::Error::io(dir, error))?;
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::NoExpectations {
                dir: dir.to_path_buf(),
            });
        }
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let mut text = Vec::new();
    file.take(MAX_JSON_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > MAX_JSON_BYTES {
        return Err(unreadable(format!(
            "it has more than {MAX_JSON_BYTES} bytes"
        )));
    }
    serde_json::from_slice(&text).map_err(|error| Error::Malformed {
        path,
        reason: error.to_string(),
    })
}

impl Expected {
    /// Opens `expected.safetensors` beside an `expected.json` that was read before.
    pub(crate) fn open(dir: &Path, document: Map<String, Value>) -> Result<Self> {
        let tensors = CheckpointFiles::open_file(dir.join("expected.safetensors"))?;
        let unread = tensors
            .tensors()
            .map(|info| info.name.clone())
            .filter(|name| !name.starts_with(DIAGNOSTIC))
            .collect();
        Ok(Self {
            json: dir.join("expected.json"),
            document,
            tensors,
            unread: RefCell::new(unread),
        })
    }

    /// A part of `expected.json`; its default when the key is absent.
    pub(crate) fn json<T: DeserializeOwned + Default>(&self, key: &str) -> Result<T> {
        match self.document.get(key) {
            None => Ok(T::default()),
            Some(value) => {
                T::deserialize(value).map_err(|error| self.malformed(format!("`{key}`: {error}")))
            }
        }
    }

    /// An error about `expected.json`.
    pub(crate) fn malformed(&self, reason: impl Into<String>) -> Error {
        Error::Malformed {
            path: self.json.clone(),
            reason: reason.into(),
        }
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.get(name).is_some()
    }

    /// The names of all tensors that start with `prefix`, without it.
    pub(crate) fn names_under(&self, prefix: &str) -> Vec<&str> {
        self.tensors
            .tensors()
            .filter_map(|info| info.name.strip_prefix(prefix))
            .collect()
    }

    /// The numbers `I` of all tensors `{group}.{I}.*`.
    pub(crate) fn indices(&self, group: &str) -> BTreeSet<usize> {
        self.names_under(&format!("{group}."))
            .into_iter()
            .filter_map(|rest| rest.split_once('.')?.0.parse().ok())
            .collect()
    }

    /// A tensor of f32 or f16.
    pub(crate) fn floats(&self, name: &str) -> Result<Array<f32>> {
        let (dtype, bytes) = self.bytes(name)?;
        let values = match dtype {
            WeightDType::F32 => elements(&bytes.values, f32::from_le_bytes),
            WeightDType::F16 => elements(&bytes.values, |half| {
                glm_quant::half::f16::from_le_bytes(half).to_f32()
            }),
            other => return Err(self.wrong_tensor(name, "float32 or float16", other)),
        };
        Ok(Array {
            shape: bytes.shape,
            values,
        })
    }

    /// A tensor of i64, i8 or u8.
    pub(crate) fn integers(&self, name: &str) -> Result<Array<i64>> {
        let (dtype, bytes) = self.bytes(name)?;
        let values = match dtype {
            WeightDType::I64 => elements(&bytes.values, i64::from_le_bytes),
            WeightDType::I8 => elements(&bytes.values, |byte| i64::from(i8::from_le_bytes(byte))),
            WeightDType::U8 | WeightDType::Bool => {
                bytes.values.iter().copied().map(i64::from).collect()
            }
            other => return Err(self.wrong_tensor(name, "int64, int8 or uint8", other)),
        };
        Ok(Array {
            shape: bytes.shape,
            values,
        })
    }

    /// A tensor of token ids with as many axes as `AXES`.
    pub(crate) fn token_ids<const AXES: usize>(
        &self,
        name: &str,
    ) -> Result<(Array<u32>, [usize; AXES])> {
        let ids = self.integers(name)?;
        let dims = <[usize; AXES]>::try_from(ids.shape.as_slice()).map_err(|_| {
            self.wrong_tensor(name, format!("of {AXES} axes"), format!("{:?}", ids.shape))
        })?;
        let values = ids
            .values
            .iter()
            .map(|&id| u32::try_from(id).map_err(|_| self.wrong_tensor(name, "token ids", id)))
            .collect::<Result<_>>()?;
        Ok((
            Array {
                shape: ids.shape,
                values,
            },
            dims,
        ))
    }

    /// A tensor as it is stored: its type, and bytes with the shape of its elements.
    pub(crate) fn bytes(&self, name: &str) -> Result<(WeightDType, Array<u8>)> {
        let values = self.tensors.read(name)?;
        let info = self
            .tensors
            .get(name)
            .ok_or_else(|| glm_core::Error::MissingTensor {
                path: self.tensors.path().to_path_buf(),
                tensor: name.to_owned(),
            })?;
        self.unread.borrow_mut().remove(name);
        Ok((
            info.dtype,
            Array {
                shape: info.shape.clone(),
                values,
            },
        ))
    }

    pub(crate) fn wrong_tensor(
        &self,
        name: &str,
        expected: impl ToString,
        found: impl ToString,
    ) -> Error {
        Error::Tensor {
            path: self.tensors.path().to_path_buf(),
            tensor: name.to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    /// Compares the list of tensors in `expected.json` with those that are there, so that a damaged set cannot pass by
    /// having less to check.
    pub(crate) fn check_listed_tensors(&self, recorder: &mut Recorder<'_>) -> Result<()> {
        let listed: BTreeMap<String, (String, Vec<usize>)> = self.json("tensors")?;
        if listed.is_empty() {
            return Ok(());
        }
        let wrong = listed
            .iter()
            .find_map(|(name, (dtype, shape))| match self.tensors.get(name) {
                None => Some(format!(
                    "expected.json lists `{name}`, which expected.safetensors lacks"
                )),
                Some(info) if info.dtype.to_string() != *dtype || info.shape != *shape => {
                    Some(format!(
                        "`{name}` is {} {:?}, but expected.json says {dtype} {shape:?}",
                        info.dtype, info.shape
                    ))
                }
                Some(_) => None,
            });
        let outcome = wrong.map_or(
            Outcome::Equal {
                values: listed.len(),
            },
            Outcome::Failed,
        );
        recorder.record(
            "expected.safetensors (as listed)",
            "list of tensors",
            outcome,
        );
        Ok(())
    }

    /// The tensors that nothing has looked at, in the order of their names.
    pub(crate) fn unread(&self) -> Vec<String> {
        self.unread.borrow().iter().cloned().collect()
    }
}

/// Little-endian elements; the byte count was checked against the shape when the file was opened.
pub(crate) fn elements<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (elements, _) = bytes.as_chunks::<N>();
    elements.iter().map(|&bytes| convert(bytes)).collect()
}
