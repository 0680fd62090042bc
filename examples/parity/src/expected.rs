//! `expected.json` and `expected.safetensors` of a folder.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    rc::Rc,
};

use glm_core::checkpoint::{CheckpointFiles, TensorInfo, WeightDType};
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

/// The only columns of the logits that a set of a large vocabulary holds.
const LOGITS_COLUMNS: &str = "logits_columns";

/// The expectations of one folder, or one set of them. Remembers which tensors were looked at.
#[derive(Clone)]
pub(crate) struct Expected {
    files: Rc<Files>,
    /// Tensors called `{set}.NAME`, and entries of `expected.json` with this `set`, come first.
    set: Option<String>,
}

struct Files {
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
    std::fs::read_dir(dir).map_err(|source| {
        let path = dir.into();
        glm_core::Error::Io { path, source }
    })?;
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
        let files = Files {
            json: dir.join("expected.json"),
            document,
            tensors,
            unread: RefCell::new(unread),
        };
        Ok(Self {
            files: Rc::new(files),
            set: None,
        })
    }

    /// The sets that the folder holds, for checkpoints whose official code gave different results over time.
    pub(crate) fn sets(&self) -> BTreeSet<String> {
        let entries = self.files.document.get("single").and_then(Value::as_array);
        entries
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.get("set")?.as_str()?.to_owned()))
            .collect()
    }

    /// The same expectations, those of one set first.
    pub(crate) fn of_set(&self, set: &str) -> Self {
        Self {
            files: Rc::clone(&self.files),
            set: Some(set.to_owned()),
        }
    }

    /// A part of `expected.json`, without what is of another set; its default when the key is absent.
    pub(crate) fn json<T: DeserializeOwned + Default>(&self, key: &str) -> Result<T> {
        let of_other_set = |value: &Value| match (&self.set, value.get("set")) {
            (Some(set), Some(other)) => other.as_str() != Some(set),
            _ => false,
        };
        let mut value = match self.files.document.get(key) {
            None => return Ok(T::default()),
            Some(value) if of_other_set(value) => return Ok(T::default()),
            Some(value) => value.clone(),
        };
        if let Value::Array(entries) = &mut value {
            entries.retain(|entry| !of_other_set(entry));
        }
        T::deserialize(value).map_err(|error| self.malformed(format!("`{key}`: {error}")))
    }

    /// The tensor that `name` means: that of the set, if there is one.
    fn info(&self, name: &str) -> Option<&TensorInfo> {
        let tensors = &self.files.tensors;
        let of_set = self.set.as_ref().map(|set| format!("{set}.{name}"));
        of_set
            .and_then(|name| tensors.get(&name))
            .or_else(|| tensors.get(name))
    }

    /// An error about `expected.json`.
    pub(crate) fn malformed(&self, reason: impl Into<String>) -> Error {
        Error::Malformed {
            path: self.files.json.clone(),
            reason: reason.into(),
        }
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.info(name).is_some()
    }

    /// The names of all tensors that start with `prefix`, without it.
    pub(crate) fn names_under(&self, prefix: &str) -> Vec<&str> {
        let without_set = |name| match &self.set {
            Some(set) => str::strip_prefix(name, set.as_str())
                .and_then(|name| name.strip_prefix('.'))
                .unwrap_or(name),
            None => name,
        };
        self.files
            .tensors
            .tensors()
            .filter_map(|info| without_set(&info.name).strip_prefix(prefix))
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

    /// Of logits `[rows, vocab_size]`, those that `wanted` holds: all, or the columns that the folder names and the
    /// last rows.
    pub(crate) fn recorded_logits(
        &self,
        found: Array<f32>,
        wanted: &Array<f32>,
    ) -> Result<Array<f32>> {
        if !self.has(LOGITS_COLUMNS) {
            return Ok(found);
        }
        let columns = self.integers(LOGITS_COLUMNS)?.values;
        let columns = columns.iter().map(|&column| usize::try_from(column).ok());
        let columns: Option<Vec<usize>> = columns.collect();
        found
            .columns(&columns.unwrap_or_default())
            .map(|found| found.last_rows(wanted.shape.first().copied().unwrap_or(0)))
            .ok_or_else(|| self.wrong_tensor(LOGITS_COLUMNS, "columns of the logits", "others"))
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
        let files = &self.files;
        let info = self
            .info(name)
            .ok_or_else(|| glm_core::Error::MissingTensor {
                path: files.tensors.path().to_path_buf(),
                tensor: name.to_owned(),
            })?;
        let values = files.tensors.read(&info.name)?;
        files.unread.borrow_mut().remove(&info.name);
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
            path: self.files.tensors.path().to_path_buf(),
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
        let wrong =
            listed.iter().find_map(
                |(name, (dtype, shape))| match self.files.tensors.get(name) {
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
                },
            );
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
        self.files.unread.borrow().iter().cloned().collect()
    }
}

/// Little-endian elements; the byte count was checked against the shape when the file was opened.
pub(crate) fn elements<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (elements, _) = bytes.as_chunks::<N>();
    elements.iter().map(|&bytes| convert(bytes)).collect()
}
