//! Writes the official folder layout, as one `model.safetensors` beside `config.json`, tensor by tensor.

#[cfg(feature = "tensor")]
mod save;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use glm_quant::Bits;
use glm_tokenizer::{Phrase, phrase};
use half::{bf16, f16};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};

use crate::{
    checkpoint::{
        atomic_file::PartWriter,
        check::check_tensors,
        conversion::Conversion,
        files::{CheckpointFiles, WeightFormat},
        names::{Role, expected_tensors, is_head},
        precision::{Form, Forms},
        progress::{LoadStage, Meter},
        stored_tensor::{all_finite, values},
        weight::{FloatType, Weight, bytes_of},
    },
    config::{ModelConfig, QuantizationBit, TorchDtype},
    error::{Error, Result},
};

#[cfg(feature = "tensor")]
pub use save::save_f16;

/// The file of the weights.
pub(super) const WEIGHTS: &str = "model.safetensors";

/// The configuration of a folder whose matrices are of these forms.
pub(super) fn official_config(config: &ModelConfig, forms: Forms) -> ModelConfig {
    let bit = match forms.layers {
        Form::Float => None,
        Form::Packed { bits, .. } => Some(match bits {
            Bits::Four => QuantizationBit::Int4,
            Bits::Eight => QuantizationBit::Int8,
        }),
    };
    let embeddings = matches!(forms.head, Form::Packed { .. });
    config
        .clone()
        .with_torch_dtype(TorchDtype::Float16)
        .with_quantization(bit, embeddings)
}

/// Converts a checkpoint and writes the weights into `dir`; `config` is that of the result.
///
/// # Errors
/// As [`Conversion::run`]; [`Error::Io`], [`Error::PermissionDenied`] and [`Error::StorageFull`] for the file;
/// [`Error::OfficialLayout`] for weights that f16 cannot hold. Nothing is left of the file then.
pub(super) fn write(
    conversion: &Conversion<'_>,
    config: &ModelConfig,
    dir: &Path,
    meter: &mut Meter<'_>,
) -> Result<()> {
    let has_head = conversion.has_head();
    let mut writer = Writer::create(&dir.join(WEIGHTS), config, has_head)?;
    meter.begin(LoadStage::Converting, conversion.bytes_to_read());
    conversion.run(|tensor, weight, bytes_read| {
        match weight {
            None => writer.drop_head(),
            Some(weight) => writer.put(&tensor.name, &weight)?,
        }
        meter.add(bytes_read);
        Ok(())
    })?;
    meter.enter(LoadStage::Saving);
    writer.finish()
}

/// Reads the weights in `dir` again and holds each against another conversion.
///
/// # Errors
/// [`Error::Verification`] for the first tensor that is not what it should be; as [`write`].
pub(super) fn verify(
    conversion: &Conversion<'_>,
    config: &ModelConfig,
    dir: &Path,
    meter: &mut Meter<'_>,
) -> Result<()> {
    let files = CheckpointFiles::open_with_format(dir, WeightFormat::Safetensors)?;
    check_tensors(&files, config)?;
    let path = dir.join(WEIGHTS);
    let differs = |tensor: &str| {
        Err(Error::Verification {
            path: path.clone(),
            tensor: tensor.to_owned(),
        })
    };
    meter.begin(LoadStage::Verifying, conversion.bytes_to_read());
    conversion.run(|tensor, weight, bytes_read| {
        let expected = match &weight {
            None if files.get(&tensor.name).is_some() => return differs(&tensor.name),
            None => vec![],
            Some(weight) => encode(&path, &tensor.name, weight)?,
        };
        for (name, bytes) in expected {
            if files.read(&name)? != bytes {
                return differs(&name);
            }
        }
        meter.add(bytes_read);
        Ok(())
    })
}

/// A `.safetensors` file being written.
struct Writer {
    path: PathBuf,
    /// The head last, so that it can be left out.
    tensors: Vec<FileTensor>,
    /// Bytes of the header with its padding.
    header_bytes: usize,
    file: PartWriter,
}

/// One tensor of the file.
struct FileTensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    /// From the end of the header.
    range: Range<usize>,
}

impl Writer {
    fn create(path: &Path, config: &ModelConfig, has_head: bool) -> Result<Self> {
        let mut expected = expected_tensors(config);
        expected.retain(|tensor| has_head || !is_head(&tensor.name));
        // Halves before bytes, so that all are aligned. A head of codes follows them: there are even numbers of codes.
        expected.sort_by_key(|tensor| (is_head(&tensor.name), tensor.role == Role::Codes));
        let mut end = 0;
        let mut tensors = Vec::with_capacity(expected.len());
        for tensor in expected {
            let (dtype, size) = match tensor.role {
                Role::Codes => (Dtype::I8, 1),
                Role::Matrix | Role::Vector | Role::Scales => (Dtype::F16, 2),
            };
            let start = end;
            end += tensor.shape.iter().product::<usize>() * size;
            tensors.push(FileTensor {
                name: tensor.name,
                dtype,
                shape: tensor.shape,
                range: start..end,
            });
        }
        let header_bytes = header(path, &tensors)?.len().next_multiple_of(8);
        let required = (LENGTH_BYTES + header_bytes + end) as u64;
        Ok(Self {
            path: path.to_path_buf(),
            tensors,
            header_bytes,
            file: PartWriter::create(path, required)?,
        })
    }

    /// Leaves the head out; the file ends where it would have begun.
    fn drop_head(&mut self) {
        self.tensors.retain(|tensor| !is_head(&tensor.name));
    }

    /// Writes what a tensor of the model becomes. They may come in any order.
    fn put(&mut self, name: &str, weight: &Weight) -> Result<()> {
        for (name, bytes) in encode(&self.path, name, weight)? {
            let place = self.tensors.iter().find(|tensor| tensor.name == name);
            let range = place.map(|tensor| &tensor.range);
            let Some(range) = range.filter(|range| range.len() == bytes.len()) else {
                return Err(Error::OfficialLayout {
                    tensor: name,
                    reason: phrase!(
                        "layout-other-precision",
                        "it is of another precision than the folder"
                    ),
                });
            };
            let start = (LENGTH_BYTES + self.header_bytes + range.start) as u64;
            self.file.write_at(start, &bytes)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        let mut header = header(&self.path, &self.tensors)?;
        header.resize(self.header_bytes, b' ');
        let length = (header.len() as u64).to_le_bytes();
        self.file.write_at(0, &[&length[..], &header].concat())?;
        self.file.commit()
    }
}

/// Bytes of the header length at the start.
const LENGTH_BYTES: usize = 8;

fn header(path: &Path, tensors: &[FileTensor]) -> Result<Vec<u8>> {
    let info = |tensor: &FileTensor| {
        let info = TensorInfo {
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            data_offsets: (tensor.range.start, tensor.range.end),
        };
        (tensor.name.clone(), info)
    };
    let metadata = Metadata::new(None, tensors.iter().map(info).collect());
    let metadata = metadata.map_err(|error| Error::malformed(path, Phrase::verbatim(error)))?;
    serde_json::to_vec(&metadata).map_err(|error| Error::malformed(path, Phrase::verbatim(error)))
}

/// The tensors of a folder that one of the model becomes, little-endian and row-major: halves, or codes and their scales.
/// `path` is the file that they are for.
fn encode(path: &Path, name: &str, weight: &Weight) -> Result<Vec<(String, Bytes)>> {
    let (layout, codes, scales) = match weight {
        Weight::Float { dtype, bytes, .. } => {
            return Ok(vec![(name.to_owned(), halves(name, *dtype, bytes)?)]);
        }
        Weight::Packed {
            layout,
            codes,
            scales,
        } => (*layout, codes, scales),
    };
    let official = || {
        let matrix = Weight::matrix(layout, codes, scales)?;
        Ok(match layout.bits {
            Bits::Four => matrix.to_int4()?.into_parts(),
            Bits::Eight => {
                let (codes, scales) = matrix.to_int8()?.into_parts();
                (codes.into_iter().map(i8::cast_unsigned).collect(), scales)
            }
        })
    };
    let (codes, scales) = official().map_err(|source| Error::Quantize {
        path: path.to_path_buf(),
        tensor: name.to_owned(),
        source,
    })?;
    let scales: Vec<u8> = scales.into_iter().flat_map(f16::to_le_bytes).collect();
    Ok(vec![
        (name.to_owned(), codes.into()),
        (format!("{name}_scale"), scales.into()),
    ])
}

/// The values of a tensor in f16; not copied when they are.
fn halves(name: &str, dtype: FloatType, bytes: &Bytes) -> Result<Bytes> {
    let halves = match dtype {
        FloatType::F16 => bytes.clone(),
        FloatType::Bf16 => bytes_of(values(bytes, |value| {
            f16::from_f32(bf16::from_ne_bytes(value).to_f32())
        })),
        FloatType::F32 => bytes_of(values(bytes, |value| {
            f16::from_f32(f32::from_ne_bytes(value))
        })),
    };
    if all_finite(&halves, |value| f16::from_ne_bytes(value).is_finite()) {
        Ok(halves)
    } else {
        Err(Error::OfficialLayout {
            tensor: name.to_owned(),
            reason: phrase!(
                "layout-beyond-half",
                "it has weights beyond the range of half precision"
            ),
        })
    }
}
