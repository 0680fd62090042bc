//! What is known of a tensor before it is read.

use std::fmt;
use std::path::{Path, PathBuf};

use glm_quant::GgmlBlock;
use glm_tokenizer::{Phrase, phrase};

use crate::error::{Error, Result};

/// Name, type and shape of a stored tensor, and the file it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name in the checkpoint.
    pub name: String,
    /// Element type; of blocks, that of the weights that they stand for.
    pub dtype: WeightDType,
    /// Extents, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The blocks that a ggml file stores it in, when it is no plain array.
    pub blocks: Option<GgmlBlock>,
    /// The file that holds it.
    pub file: PathBuf,
}

impl TensorInfo {
    /// What it is stored as, in messages: `f16`, `i8`, `q4_0`.
    pub(crate) fn type_name(&self) -> String {
        let name = match self.blocks {
            Some(block) => format!("{block:?}"),
            None => format!("{:?}", self.dtype),
        };
        name.to_lowercase()
    }

    /// Number of bytes that reading the tensor gives.
    pub fn byte_len(&self) -> u64 {
        // Saturation is out of reach: a file with such a shape does not open.
        self.shape
            .iter()
            .fold(self.dtype.size() as u64, |bytes, extent| {
                bytes.saturating_mul(*extent as u64)
            })
    }

    /// Number of bytes that the tensor takes in its file.
    pub fn stored_len(&self) -> u64 {
        let elements = self.byte_len() / self.dtype.size() as u64;
        match self.blocks {
            None => self.byte_len(),
            Some(block) => elements / GgmlBlock::COLUMNS as u64 * block.byte_len() as u64,
        }
    }
}

/// Element type of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WeightDType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// IEEE double precision.
    F64,
    /// 8 bits, signed.
    I8,
    /// 8 bits, unsigned.
    U8,
    /// 16 bits, signed.
    I16,
    /// 32 bits, signed.
    I32,
    /// 64 bits, signed.
    I64,
    /// One byte, 0 or 1.
    Bool,
}

impl WeightDType {
    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    /// The type of a tensor in a `.safetensors` header.
    pub(super) fn from_safetensors(
        dtype: safetensors::Dtype,
        path: &Path,
        tensor: &str,
    ) -> Result<Self> {
        use safetensors::Dtype;
        Ok(match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::BF16,
            Dtype::F64 => Self::F64,
            Dtype::I8 => Self::I8,
            Dtype::U8 => Self::U8,
            Dtype::I16 => Self::I16,
            Dtype::I32 => Self::I32,
            Dtype::I64 => Self::I64,
            Dtype::BOOL => Self::Bool,
            other => return Err(unknown_type(path, tensor, format!("{other:?}"))),
        })
    }

    /// The type of a tensor in a ggml file, and the blocks that it is stored in.
    pub(super) fn from_ggml(
        number: i32,
        path: &Path,
        tensor: &str,
    ) -> Result<(Self, Option<GgmlBlock>)> {
        Ok(match number {
            0 => (Self::F32, None),
            1 => (Self::F16, None),
            2 => (Self::F32, Some(GgmlBlock::Q4_0)),
            3 => (Self::F32, Some(GgmlBlock::Q4_1)),
            6 => (Self::F32, Some(GgmlBlock::Q5_0)),
            7 => (Self::F32, Some(GgmlBlock::Q5_1)),
            8 => (Self::F32, Some(GgmlBlock::Q8_0)),
            _ => {
                return Err(Error::TensorType {
                    path: path.to_path_buf(),
                    tensor: tensor.into(),
                    expected: phrase!("type-of-ggml", "f32, f16, q4_0, q4_1, q5_0, q5_1 or q8_0"),
                    found: phrase!("type-ggml-number", "ggml's type {number}", number),
                });
            }
        })
    }

    /// The type of a tensor in a `.bin` file.
    pub(super) fn from_torch(
        dtype: pytorch_reader::DType,
        path: &Path,
        tensor: &str,
    ) -> Result<Self> {
        use pytorch_reader::DType;
        Ok(match dtype {
            DType::F32 => Self::F32,
            DType::F16 => Self::F16,
            DType::BF16 => Self::BF16,
            DType::F64 => Self::F64,
            DType::I8 => Self::I8,
            DType::U8 => Self::U8,
            DType::I16 => Self::I16,
            DType::I32 => Self::I32,
            DType::I64 => Self::I64,
            DType::Bool => Self::Bool,
            DType::U16 | DType::U32 | DType::U64 => {
                return Err(unknown_type(path, tensor, format!("{dtype:?}")));
            }
        })
    }
}

impl fmt::Display for WeightDType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::F64 => "float64",
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::Bool => "bool",
        })
    }
}

fn unknown_type(path: &Path, tensor: &str, found: String) -> Error {
    Error::TensorType {
        path: path.to_path_buf(),
        tensor: tensor.into(),
        expected: phrase!(
            "type-of-tensor",
            "a floating point, signed integer, uint8 or bool type"
        ),
        found: Phrase::verbatim(found),
    }
}
