//! Writes a model in the official folder layout, as one `model.safetensors` beside `config.json`.

use std::{
    io::{BufWriter, Write},
    path::Path,
};

use burn::tensor::{FloatDType, Tensor};
use glm_backends::PackedWeight;
use glm_quant::{Bits, GroupSize, PackedMatrix, half::f16};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};

use crate::{
    checkpoint::{
        atomic_file::{PartialFile, write_error},
        names::{LM_HEAD, WORD_EMBEDDINGS},
        network::{Part, parts_of},
    },
    config::{ModelConfig, QuantizationBit, TorchDtype},
    error::{Error, Result},
    model::Model,
};

/// Saves `config.json` and `model.safetensors` (every float tensor in f16) into `dir`, which must exist. A head that
/// is the embedding is stored once. Tensors are converted one at a time.
///
/// Each file appears under its name when it is whole, so that a crash leaves the old file or the new one.
///
/// # Errors
/// [`Error::Io`], [`Error::PermissionDenied`] and [`Error::StorageFull`] when a file cannot be written,
/// [`Error::OfficialLayout`] for a quantised model.
pub fn save_f16(model: &Model, dir: impl AsRef<Path>) -> Result<()> {
    save(model, dir.as_ref(), None)
}

/// As [`save_f16`], for a model whose layers are INT8 or INT4 with one scale per row: the layout of the official
/// `chatglm-6b-int8` and `chatglm-6b-int4`, which other programs read. Embedding and head must be float.
///
/// # Errors
/// As [`save_f16`]; [`Error::OfficialLayout`] for any other precision.
pub fn save_quantized(model: &Model, dir: impl AsRef<Path>) -> Result<()> {
    let codes = parts_of(model.network())
        .into_iter()
        .find_map(|(_, part)| match part {
            Part::Packed(weight) => Some(weight.layout().bits),
            _ => None,
        });
    // Of a model without codes the first matrix of a layer is refused.
    save(model, dir.as_ref(), Some(codes.unwrap_or(Bits::Eight)))
}

/// `bits` are those of the layers' codes; `None` for a float model.
fn save(model: &Model, dir: &Path, bits: Option<Bits>) -> Result<()> {
    let mut tensors = Vec::new();
    for (name, part) in parts_of(model.network()) {
        push(&mut tensors, name, part, bits)?;
    }
    write_safetensors(&dir.join("model.safetensors"), tensors)?;

    let ModelConfig::ChatGlm(mut config) = model.config();
    config.torch_dtype = Some(TorchDtype::Float16);
    config.quantization_bit = bits.map(|bits| match bits {
        Bits::Four => QuantizationBit::Int4,
        Bits::Eight => QuantizationBit::Int8,
    });
    let json = ModelConfig::ChatGlm(config).to_json()? + "\n";
    let path = dir.join("config.json");
    let partial = PartialFile::create(&path)?;
    let mut file = partial.file();
    file.write_all(json.as_bytes())
        .and_then(|()| partial.commit())
        .map_err(|error| write_error(&path, json.len() as u64, error))
}

/// One tensor of the file, converted when its turn comes.
struct FileTensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    source: Source,
}

enum Source {
    /// Boxed, since tensors of some devices are large.
    Float(Box<Part>),
    Codes(PackedWeight),
    Scales(PackedWeight),
}

impl FileTensor {
    fn byte_len(&self) -> usize {
        let size = if self.dtype == Dtype::I8 { 1 } else { 2 };
        self.shape.iter().product::<usize>() * size
    }

    /// Little-endian, row-major. `path` is the file that they are for.
    fn bytes(&self, path: &Path) -> Result<Vec<u8>> {
        Ok(match &self.source {
            Source::Float(part) => match &**part {
                Part::Vector(vector) => f16_bytes(vector.clone()),
                Part::Matrix(matrix) => f16_bytes(matrix.clone()),
                Part::Packed(_) => Vec::new(), // Never made: `push` gives codes and scales.
            },
            Source::Codes(weight) => self.codes(weight, path)?,
            Source::Scales(weight) => {
                // With one scale per row they lie in the order of the rows; those of the padding are behind them.
                let scales = weight.scales().into_data();
                let mut bytes = scales.as_bytes().to_vec();
                bytes.truncate(self.byte_len());
                bytes
            }
        })
    }

    fn codes(&self, weight: &PackedWeight, path: &Path) -> Result<Vec<u8>> {
        let layout = *weight.layout();
        let words = weight.codes().into_data();
        let scales = weight.scales().into_data();
        let unpack = || {
            let words = words.as_slice::<u32>().unwrap_or_default().to_vec();
            let scales = scales.as_slice::<f16>().unwrap_or_default().to_vec();
            // Buffers of another type would be of the wrong length here.
            let matrix = PackedMatrix::new(layout, words, scales)?;
            Ok(match layout.bits {
                Bits::Four => matrix.to_int4()?.into_parts().0,
                Bits::Eight => {
                    let codes = matrix.to_int8()?.into_parts().0;
                    codes.into_iter().map(i8::cast_unsigned).collect()
                }
            })
        };
        unpack().map_err(|source| Error::Quantize {
            path: path.to_path_buf(),
            tensor: self.name.clone(),
            source,
        })
    }
}

fn f16_bytes<const D: usize>(tensor: Tensor<D>) -> Vec<u8> {
    let data = tensor.cast(FloatDType::F16).into_data();
    data.as_bytes().to_vec()
}

/// Adds one tensor of the model as the file holds it, in one or two of its own.
fn push(tensors: &mut Vec<FileTensor>, name: String, part: Part, bits: Option<Bits>) -> Result<()> {
    let refuse = |reason: &str| {
        Err(Error::OfficialLayout {
            tensor: name.clone(),
            reason: reason.to_owned(),
        })
    };
    let is_head = [WORD_EMBEDDINGS, LM_HEAD].contains(&name.as_str());
    let shape = match &part {
        Part::Vector(vector) => vector.dims().to_vec(),
        Part::Matrix(matrix) => matrix.dims().to_vec(),
        Part::Packed(weight) => vec![weight.layout().rows, weight.layout().cols],
    };
    let weight = match (part, bits) {
        (Part::Matrix(_), Some(_)) if !is_head => {
            return refuse("it is float, beside layers of codes");
        }
        (Part::Packed(_), _) if is_head => {
            return refuse("embedding and head must be float there; keep them as stored");
        }
        (Part::Packed(_), None) => return refuse("it is quantised, and cannot be made f16 again"),
        (Part::Packed(weight), Some(bits)) if weight.layout().bits != bits => {
            return refuse("all layers must have codes of the same width there");
        }
        (Part::Packed(weight), Some(_)) if weight.layout().group != GroupSize::Row => {
            return refuse(
                "it has one scale for each row, and this model one for each group of columns; use int8-row or int4-row",
            );
        }
        (Part::Packed(weight), Some(_)) => weight,
        (part, _) => {
            tensors.push(FileTensor {
                name,
                dtype: Dtype::F16,
                shape,
                source: Source::Float(Box::new(part)),
            });
            return Ok(());
        }
    };
    let layout = weight.layout();
    let (rows, cols) = (layout.rows, layout.cols);
    tensors.push(FileTensor {
        name: format!("{name}_scale"),
        dtype: Dtype::F16,
        shape: vec![rows],
        source: Source::Scales(weight.clone()),
    });
    let columns_per_byte = match layout.bits {
        Bits::Four => 2,
        Bits::Eight => 1,
    };
    tensors.push(FileTensor {
        name,
        dtype: Dtype::I8,
        shape: vec![rows, cols / columns_per_byte],
        source: Source::Codes(weight),
    });
    Ok(())
}

/// Writes a `.safetensors` file: the length of the header, the header, and one tensor after the other.
fn write_safetensors(path: &Path, mut tensors: Vec<FileTensor>) -> Result<()> {
    // Halves before bytes, so that all are aligned.
    tensors.sort_by_key(|tensor| tensor.dtype == Dtype::I8);
    let mut end = 0;
    let mut infos = Vec::with_capacity(tensors.len());
    for tensor in &tensors {
        let start = end;
        end += tensor.byte_len();
        let info = TensorInfo {
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            data_offsets: (start, end),
        };
        infos.push((tensor.name.clone(), info));
    }
    let metadata = Metadata::new(None, infos).map_err(|error| Error::malformed(path, error))?;
    let header = serde_json::to_string(&metadata).map_err(|error| Error::malformed(path, error))?;
    let mut header = header.into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');

    let required = (8 + header.len() + end) as u64;
    let failed = |error| write_error(path, required, error);
    let partial = PartialFile::create(path)?;
    let mut file = BufWriter::new(partial.file());
    file.write_all(&(header.len() as u64).to_le_bytes())
        .and_then(|()| file.write_all(&header))
        .map_err(failed)?;
    for tensor in &tensors {
        file.write_all(&tensor.bytes(path)?).map_err(failed)?;
    }
    file.flush().map_err(failed)?;
    drop(file);
    partial.commit().map_err(failed)
}
