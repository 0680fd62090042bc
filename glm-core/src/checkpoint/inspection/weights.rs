//! The weight files of a checkpoint, and what their tensors are stored as.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    checkpoint::{
        files::{CheckpointFiles, TensorInfo, WeightFormat},
        names::{is_head, model_tensors},
    },
    config::{ModelConfig, QuantizationBit},
};

/// The weight files of one format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightFiles {
    /// The format.
    pub format: WeightFormat,
    /// The files, without the index.
    pub files: Vec<WeightFile>,
}

/// A weight file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightFile {
    /// Its name.
    pub name: String,
    /// Its size; `None` for a file that is missing.
    pub bytes: Option<u64>,
}

impl WeightFile {
    pub(super) fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default();
        Self {
            name: name.to_string_lossy().into_owned(),
            bytes: fs::metadata(path).ok().map(|file| file.len()),
        }
    }
}

impl WeightFiles {
    /// Size of all files, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.bytes).sum()
    }
}

/// The files of `format` in `dir`; an index that cannot be read names none.
pub(super) fn weight_files(dir: &Path, format: WeightFormat) -> WeightFiles {
    let paths = CheckpointFiles::paths_in(dir, Some(format)).unwrap_or_default();
    let is_index = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    };
    let files = paths.into_iter().filter(|path| !is_index(path));
    WeightFiles {
        format,
        files: files.map(|path| WeightFile::of(&path)).collect(),
    }
}

/// Numbers in all tensors of a model, with a head of its own or not.
pub(super) fn parameters(config: &ModelConfig, own_head: bool) -> u64 {
    model_tensors(config)
        .iter()
        .filter(|tensor| own_head || !is_head(&tensor.name))
        .map(|tensor| {
            tensor
                .shape
                .iter()
                .map(|&extent| extent as u64)
                .product::<u64>()
        })
        .sum()
}

/// What the matrices are stored as: the bits of the configuration, else the type of the largest tensor.
pub(super) fn stored_type(files: &CheckpointFiles, config: Option<&ModelConfig>) -> Option<String> {
    let bits = config.and_then(ModelConfig::quantization_bit);
    if let Some(bits) = bits {
        let name = match bits {
            QuantizationBit::Int4 => "int4",
            QuantizationBit::Int8 => "int8",
        };
        return Some(name.to_owned());
    }
    if files
        .tensors()
        .any(|info| info.name.ends_with(".weight_scale"))
    {
        return Some("codes".to_owned());
    }
    let largest = files
        .tensors()
        .max_by_key(|info| TensorInfo::byte_len(info))?;
    Some(largest.type_name())
}
