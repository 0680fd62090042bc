//! The prepacked file: a whole model as it lies in memory, mapped and used in place.
//!
//! ```text
//! offset  bytes
//!      0      8   magic: "GLMPACK\n"
//!      8      4   format version, u32
//!     12      4   H, length of the header, u32
//!     16      8   length of the file, u64
//!     24      8   checksum, u64: XXH3-64 of bytes 0..24 and the header
//!     32      H   header, JSON, padded with spaces
//!      D          the tensors; D is the first multiple of 4096 behind the header
//! ```
//!
//! All numbers are little-endian. The header holds the configuration, the precision of layers and of the head, and for
//! every tensor its kind, type, shape, and where its bytes lie, counted from `D`; see `docs/weights.md`. Matrices begin
//! at a multiple of 4096, scales and vectors of 64.
//!
//! Opening checks the header against the length of the file and against every tensor that the configuration asks for,
//! and reads none of them: a file of 3 GB opens in milliseconds, and its pages come in as they are used.

mod header;
mod place;
mod writer;

use std::{io, ops::Range, path::Path};

use burn::tensor::{DType, Device, TensorData};
use glm_backends::MappedFile;

use crate::{
    checkpoint::{
        network::Parts,
        precision::Forms,
        weight::{Weight, codes_shape, scales_shape},
    },
    config::ChatGlmConfig,
    error::{Error, Result},
    model::Model,
};
use header::Header;
use place::{FloatType, Place};

pub(super) use header::VERSION;
pub use writer::save_prepacked;
pub(super) use writer::write;

/// An open file whose header was found right.
#[derive(Debug)]
pub(super) struct PrepackedFile {
    map: MappedFile,
    header: Header,
}

impl PrepackedFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::PermissionDenied`]; [`Error::Malformed`], [`Error::Truncated`],
    /// [`Error::OtherVersion`]; [`Error::MissingTensor`], [`Error::UnexpectedTensor`], [`Error::TensorShape`],
    /// [`Error::TensorType`] when the tensors are not those of the configuration; those of its `config`;
    /// [`Error::BigEndian`].
    pub(super) fn open(path: &Path) -> Result<Self> {
        if cfg!(target_endian = "big") {
            return Err(Error::BigEndian {
                path: path.to_path_buf(),
            });
        }
        let map = MappedFile::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Error::malformed(path, "another process is writing it"),
            _ => Error::io(path, error),
        })?;
        let header = Header::read(path, map.as_bytes())?;
        Ok(Self { map, header })
    }

    /// What the matrices are kept as.
    pub(super) fn forms(&self) -> Forms {
        self.header.forms
    }

    /// The configuration that the file holds.
    pub(super) fn config(&self) -> &ChatGlmConfig {
        &self.header.config
    }

    /// Whether the file has this tensor.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.header.tensors.iter().any(|entry| entry.name == name)
    }

    /// The model; on the CPU its tensors lie in the file.
    ///
    /// # Errors
    /// [`Error::Malformed`] when a tensor does not lie where the header says, which opening has ruled out.
    pub(super) fn into_model(self, path: &Path, device: Device) -> Result<Model> {
        let mut parts = Parts::new(path.to_path_buf(), device.clone());
        for entry in &self.header.tensors {
            let weight = self.weight(&entry.place);
            let weight = weight.ok_or_else(|| {
                Error::malformed(path, format!("tensor `{}` is out of place", entry.name))
            })?;
            parts.insert(&entry.name, weight);
        }
        let network = parts.into_network(&self.header.config)?;
        Ok(Model::new(self.header.config, network, device))
    }

    fn weight(&self, place: &Place) -> Option<Weight> {
        Some(match place {
            Place::Float { dtype, shape, data } => {
                let dtype = match dtype {
                    FloatType::F32 => DType::F32,
                    FloatType::F16 => DType::F16,
                    FloatType::Bf16 => DType::BF16,
                };
                Weight::Float(self.data(data, shape, dtype)?)
            }
            Place::Packed {
                layout,
                codes,
                scales,
            } => Weight::Packed {
                layout: *layout,
                codes: self.data(codes, &codes_shape(layout), DType::U32)?,
                scales: self.data(scales, &scales_shape(layout), DType::F16)?,
            },
        })
    }

    fn data(&self, range: &Range<usize>, shape: &[usize], dtype: DType) -> Option<TensorData> {
        self.map.tensor_data(range.clone(), shape.to_vec(), dtype)
    }
}
