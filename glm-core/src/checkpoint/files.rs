//! Finds the weight files of a checkpoint folder and reads their tensors one at a time.
//!
//! Opening reads names, types and shapes only. Whether the checkpoint fits its configuration, and the model
//! into memory, can therefore be decided before anything large is touched, and the most that is ever held
//! of the files is one tensor.

mod byte_source;
mod ggml_file;
mod ggml_header;
mod name_wrapper;
mod pickle_imports;
mod pickle_scan;
mod pickle_source;
mod safetensors_file;
mod shard_index;
mod tensor_info;
mod torch_file;
mod torch_pickles;
mod unique_entries;
mod weight_file;
mod zip_end;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use glm_tokenizer::phrase;
use serde::Serialize;

use crate::config::{ModelConfig, ModelFamily};
use crate::error::{Error, Result};
use ggml_file::GgmlFile;
use safetensors_file::SafetensorsFile;
use torch_file::TorchFile;

pub use tensor_info::{TensorInfo, WeightDType};

/// Most tensors of a checkpoint, and of each of its files. ChatGLM-6B has 339.
const MAX_TENSORS: usize = 1 << 16;

/// The open weight files of a checkpoint.
pub struct CheckpointFiles {
    /// The folder, or the file if it is a single one.
    path: PathBuf,
    format: WeightFormat,
    shards: Vec<Shard>,
    /// What every tensor's name begins with in the files.
    wrapper: String,
    /// By their names without the wrapper.
    tensors: BTreeMap<String, Stored>,
}

/// A tensor and the position of its shard in the list of shards.
struct Stored {
    info: TensorInfo,
    shard: usize,
}

enum Shard {
    Safetensors(SafetensorsFile),
    Torch(TorchFile),
    Ggml(GgmlFile),
}

/// How a folder holds its weights.
enum Weights {
    Single(PathBuf),
    Index(PathBuf),
}

/// The containers in which checkpoints are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightFormat {
    /// `model.safetensors`, or shards listed in `model.safetensors.index.json`.
    Safetensors,
    /// `pytorch_model.bin`, or shards listed in `pytorch_model.bin.index.json`.
    PytorchBin,
    /// A ggml file of chatglm.cpp, opened by its own path; it lies in no folder.
    Ggml,
}

impl WeightFormat {
    /// What a folder can hold, in order of preference.
    pub(crate) const IN_FOLDERS: [Self; 2] = [Self::Safetensors, Self::PytorchBin];

    /// The names that a folder has for a single file and for an index of shards.
    pub(crate) fn names(self) -> Option<[&'static str; 2]> {
        match self {
            Self::Safetensors => Some(["model.safetensors", "model.safetensors.index.json"]),
            Self::PytorchBin => Some(["pytorch_model.bin", "pytorch_model.bin.index.json"]),
            Self::Ggml => None,
        }
    }

    /// The format of a file by its name; everything but `.safetensors` is taken for `torch.save`'s.
    fn of_file(path: &Path) -> Self {
        let is_safetensors = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"));
        if is_safetensors {
            Self::Safetensors
        } else {
            Self::PytorchBin
        }
    }
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::PytorchBin => "pytorch bin",
            Self::Ggml => "ggml",
        })
    }
}

impl CheckpointFiles {
    /// Opens the weights in `dir`: `model.safetensors` or its shards if there are any, else
    /// `pytorch_model.bin` or its shards.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::PermissionDenied`] and [`Error::Io`] for the folder or a file; [`Error::NoCheckpoint`];
    /// [`Error::LfsPointer`]; [`Error::MissingShard`]; [`Error::Truncated`] and [`Error::Malformed`] for a
    /// damaged file or index, or a tensor in two shards; [`Error::UnsafePickle`]; [`Error::MissingTensor`]
    /// when a shard lacks a tensor that the index places there; [`Error::TensorType`] for an element type
    /// without a [`WeightDType`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::open_first_of(dir.as_ref(), &WeightFormat::IN_FOLDERS)
    }

    /// Opens the weights in `dir` in one format, for folders that hold both. Errors as
    /// [`CheckpointFiles::open`].
    pub fn open_with_format(dir: impl AsRef<Path>, format: WeightFormat) -> Result<Self> {
        Self::open_first_of(dir.as_ref(), &[format])
    }

    /// The files that [`CheckpointFiles::open`] would open, or [`CheckpointFiles::open_with_format`], index included.
    /// Reads the index alone.
    ///
    /// # Errors
    ///
    /// As [`CheckpointFiles::open`], for the folder and the index.
    pub(super) fn paths_in(dir: &Path, format: Option<WeightFormat>) -> Result<Vec<PathBuf>> {
        let formats = format.map_or(WeightFormat::IN_FOLDERS.to_vec(), |format| vec![format]);
        match Self::find(dir, &formats)? {
            (_, Weights::Single(path)) => Ok(vec![path]),
            (_, Weights::Index(index)) => {
                let shards = shards_in_index(&index)?;
                let mut paths: Vec<_> = shards.iter().map(|shard| dir.join(shard)).collect();
                paths.push(index);
                Ok(paths)
            }
        }
    }

    /// The formats that `dir` holds weights in, in order of preference. An unreadable folder holds none.
    pub fn formats_in(dir: impl AsRef<Path>) -> Vec<WeightFormat> {
        let dir = dir.as_ref();
        let mut formats = WeightFormat::IN_FOLDERS.to_vec();
        formats.retain(|format| {
            let mut names = format.names().into_iter().flatten();
            names.any(|name| exists(&dir.join(name)).unwrap_or(false))
        });
        formats
    }

    /// Opens one `.safetensors`, `torch.save` or ggml file, the last known by its first bytes. In the second the
    /// weights may lie under a key such as `module` or `state_dict`, which is then left out of their names.
    ///
    /// # Errors
    ///
    /// As [`CheckpointFiles::open`]; [`Error::UnsupportedModel`] for a GGUF file, and a ggml file of another model.
    pub fn open_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if is_ggml(path) {
            let mut files = Self::new(path, WeightFormat::Ggml);
            let (file, tensors) = GgmlFile::open(path)?;
            files.insert(Shard::Ggml(file), tensors)?;
            return Ok(files);
        }
        let mut files = Self::new(path, WeightFormat::of_file(path));
        files.add_shard(path, true)?;
        Ok(files.unwrapped())
    }

    /// Opens a `.safetensors` file that is part of the program. `name` stands for its path in errors.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::Malformed`], [`Error::TensorType`].
    pub fn from_memory(name: &str, safetensors: &'static [u8]) -> Result<Self> {
        let path = Path::new(name);
        let mut files = Self::new(path, WeightFormat::Safetensors);
        let (file, tensors) = SafetensorsFile::from_memory(path, safetensors)?;
        files.insert(Shard::Safetensors(file), tensors)?;
        Ok(files.unwrapped())
    }

    /// The folder or file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format of the files.
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// What every tensor's name begins with in the files and is left out of the names here, such as the `module.` of
    /// DeepSpeed and `DataParallel`; `None` when the files have the names of the model.
    pub fn name_wrapper(&self) -> Option<&str> {
        (!self.wrapper.is_empty()).then_some(&*self.wrapper)
    }

    /// All tensors, in the order of their names.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        self.tensors.values().map(|stored| &stored.info)
    }

    /// One tensor by name.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name).map(|stored| &stored.info)
    }

    /// Reads one tensor: its elements in row-major order, little-endian, exactly
    /// [`TensorInfo::byte_len`] bytes. Blocks are dequantised. Nothing is kept; a second call reads the file again.
    ///
    /// # Errors
    ///
    /// [`Error::MissingTensor`]; [`Error::Io`]; [`Error::Malformed`] when the data fail their checksum;
    /// [`Error::Truncated`] when the file became shorter since it was opened; [`Error::OutOfMemory`].
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let bytes = self.read_stored(name)?;
        Ok(match self.get(name).and_then(|info| info.blocks) {
            None => bytes,
            Some(block) => {
                let weights = block.dequantize(&bytes);
                weights.into_iter().flat_map(f32::to_le_bytes).collect()
            }
        })
    }

    /// As [`CheckpointFiles::read`], but blocks are given as they are: exactly [`TensorInfo::stored_len`] bytes.
    ///
    /// # Errors
    ///
    /// As [`CheckpointFiles::read`].
    pub fn read_stored(&self, name: &str) -> Result<Vec<u8>> {
        let stored = self.tensors.get(name);
        let shard = stored.and_then(|stored| self.shards.get(stored.shard));
        let in_file = format!("{}{name}", self.wrapper);
        let bytes = match shard {
            None => None,
            Some(Shard::Safetensors(file)) => file.read(&in_file)?,
            Some(Shard::Torch(file)) => file.read(&in_file)?,
            Some(Shard::Ggml(file)) => file.read(&in_file)?,
        };
        let (Some(stored), Some(bytes)) = (stored, bytes) else {
            return Err(Error::MissingTensor {
                path: self.path.clone(),
                tensor: name.into(),
            });
        };
        let expected = stored.info.stored_len();
        if bytes.len() as u64 == expected {
            Ok(bytes)
        } else {
            Err(Error::malformed(
                &stored.info.file,
                phrase!(
                    "tensor-length",
                    "tensor `{name}` should have {expected} bytes, found {found}",
                    name,
                    expected,
                    found = bytes.len()
                ),
            ))
        }
    }

    /// The model family that a ggml file says it is of; `None` for other formats.
    pub fn embedded_family(&self) -> Option<ModelFamily> {
        self.ggml().map(GgmlFile::family)
    }

    /// The configuration that a ggml file holds; `None` for other formats, which have a `config.json` beside them.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a number out of range, [`Error::UnsupportedModel`] for another model than ChatGLM-6B,
    /// [`Error::Tokenizer`] for its tokenizer, and as [`CheckpointFiles::read`].
    pub fn embedded_config(&self) -> Result<Option<ModelConfig>> {
        self.ggml().map(GgmlFile::config).transpose()
    }

    /// The SentencePiece model that a ggml file holds, as the bytes of an `ice_text.model` or `tokenizer.model`; `None`
    /// for other formats, which have it beside them.
    ///
    /// # Errors
    ///
    /// As [`CheckpointFiles::read`].
    pub fn embedded_tokenizer(&self) -> Result<Option<Vec<u8>>> {
        self.ggml().map(GgmlFile::sentencepiece).transpose()
    }

    fn ggml(&self) -> Option<&GgmlFile> {
        match self.shards.first() {
            Some(Shard::Ggml(file)) => Some(file),
            _ => None,
        }
    }

    fn new(path: &Path, format: WeightFormat) -> Self {
        Self {
            path: path.to_path_buf(),
            format,
            shards: Vec::new(),
            wrapper: String::new(),
            tensors: BTreeMap::new(),
        }
    }

    fn open_first_of(dir: &Path, formats: &[WeightFormat]) -> Result<Self> {
        match Self::find(dir, formats)? {
            (format, Weights::Single(path)) => {
                let mut files = Self::new(dir, format);
                files.add_shard(&path, true)?;
                Ok(files.unwrapped())
            }
            (format, Weights::Index(index)) => Self::open_sharded(dir, format, &index),
        }
    }

    /// The first of these formats that `dir` holds weights in.
    fn find(dir: &Path, formats: &[WeightFormat]) -> Result<(WeightFormat, Weights)> {
        // Tells an unreadable folder from an empty one.
        fs::read_dir(dir).map_err(|e| Error::io(dir, e))?;
        for &format in formats {
            let Some(names) = format.names() else {
                continue;
            };
            let [single, index] = names.map(|name| dir.join(name));
            if exists(&single)? {
                return Ok((format, Weights::Single(single)));
            }
            if exists(&index)? {
                return Ok((format, Weights::Index(index)));
            }
        }
        let looked_for: Vec<_> = formats
            .iter()
            .filter_map(|format| format.names())
            .flatten()
            .collect();
        Err(Error::NoCheckpoint {
            dir: dir.to_path_buf(),
            looked_for: looked_for.join(", "),
        })
    }

    fn open_sharded(dir: &Path, format: WeightFormat, index: &Path) -> Result<Self> {
        let shards = shard_index::read(index)?;
        // All at once, so that a half-finished download is not found out shard by shard.
        for (shard, tensors) in &shards {
            if !exists(&dir.join(shard))? {
                return Err(Error::MissingShard {
                    index: index.to_path_buf(),
                    shard: shard.clone(),
                    tensor: tensors.first().cloned().unwrap_or_default(),
                });
            }
        }
        let mut files = Self::new(dir, format);
        for (shard, tensors) in &shards {
            let path = dir.join(shard);
            files.add_shard(&path, false)?;
            let is_here = |name: &String| files.get(name).is_some_and(|info| info.file == path);
            if let Some(tensor) = tensors.iter().find(|name| !is_here(name)) {
                return Err(Error::MissingTensor {
                    path,
                    tensor: tensor.clone(),
                });
            }
        }
        Ok(files.unwrapped())
    }

    /// Takes all names out of what a training program has put around every one of them.
    fn unwrapped(mut self) -> Self {
        self.wrapper = name_wrapper::find(self.tensors.keys().map(String::as_str));
        if !self.wrapper.is_empty() {
            let tensors = std::mem::take(&mut self.tensors);
            self.tensors = tensors
                .into_values()
                .map(|mut stored| {
                    stored.info.name.drain(..self.wrapper.len());
                    (stored.info.name.clone(), stored)
                })
                .collect();
        }
        self
    }

    /// Opens one file; its own name decides the format, since an index may name either kind.
    fn add_shard(&mut self, path: &Path, nested: bool) -> Result<()> {
        if WeightFormat::of_file(path) == WeightFormat::Safetensors {
            let (file, tensors) = SafetensorsFile::open(path)?;
            self.insert(Shard::Safetensors(file), tensors)
        } else {
            let (file, tensors) = TorchFile::open(path, nested)?;
            self.insert(Shard::Torch(file), tensors)
        }
    }

    fn insert(&mut self, shard: Shard, tensors: Vec<TensorInfo>) -> Result<()> {
        for info in tensors {
            if let Some(first) = self.tensors.get(&info.name) {
                return Err(Error::malformed(
                    &info.file,
                    phrase!(
                        "tensor-twice",
                        "tensor `{name}` is in {other} too",
                        name = &info.name,
                        other = &first.info.file
                    ),
                ));
            }
            if self.tensors.len() == MAX_TENSORS {
                return Err(Error::TooLarge {
                    path: info.file,
                    what: phrase!("too-many-tensors", "tensors"),
                    most: MAX_TENSORS as u64,
                });
            }
            let shard = self.shards.len();
            self.tensors
                .insert(info.name.clone(), Stored { info, shard });
        }
        self.shards.push(shard);
        Ok(())
    }
}

impl fmt::Debug for CheckpointFiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CheckpointFiles")
            .field("path", &self.path)
            .field("format", &self.format)
            .field("shards", &self.shards.len())
            .field("tensors", &self.tensors.len())
            .finish()
    }
}

/// The shards that the index at `path` names, each a plain file name.
///
/// # Errors
///
/// As [`CheckpointFiles::open`], for the index.
pub(crate) fn shards_in_index(path: &Path) -> Result<Vec<String>> {
    Ok(shard_index::read(path)?.into_keys().collect())
}

/// `Ok` unless something else lies at `path` in place of the file: a git-lfs pointer, a web page, nothing.
///
/// # Errors
/// [`Error::LfsPointer`], [`Error::Malformed`], [`Error::Truncated`]; those of opening it.
pub(super) fn refuse_stand_in(path: &Path) -> Result<()> {
    weight_file::open(path).map(drop)
}

/// Whether the file at `path` begins as a ggml file does, or as GGUF, which is told from it when it is opened.
pub(super) fn is_ggml(path: &Path) -> bool {
    ggml_file::has_magic(path)
}

/// Whether there is something at `path`; a folder that cannot be searched is an error, not a "no".
fn exists(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io(path, e)),
    }
}
