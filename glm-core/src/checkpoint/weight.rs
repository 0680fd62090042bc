//! A tensor in the form that the model uses it in, in memory or in a mapped file.

use bytemuck::NoUninit;
use bytes::Bytes;
use glm_quant::{PackedLayout, PackedMatrix};
use serde::{Deserialize, Serialize};

use crate::checkpoint::files::WeightDType;

/// A tensor ready for a device. Its bytes are those of its elements in this machine's order, and shared: neither a clone
/// nor a tensor made of them copies.
#[derive(Debug, PartialEq)]
pub(super) enum Weight {
    /// A vector in f32, or a matrix in f32, f16 or bf16.
    Float {
        dtype: FloatType,
        shape: Vec<usize>,
        bytes: Bytes,
    },
    /// A matrix of codes.
    Packed {
        layout: PackedLayout,
        /// `[row_blocks, steps, 16]`, u32.
        codes: Bytes,
        /// `[row_blocks, groups, 16]`, f16.
        scales: Bytes,
    },
}

/// Element type of a float tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FloatType {
    F32,
    F16,
    Bf16,
}

impl FloatType {
    /// Bytes of an element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Bytes of a tensor; `None` when they cannot be counted.
    pub(super) fn byte_len(self, shape: &[usize]) -> Option<usize> {
        shape
            .iter()
            .try_fold(self.size(), |bytes, &extent| bytes.checked_mul(extent))
    }

    pub(super) fn of(dtype: WeightDType) -> Option<Self> {
        match dtype {
            WeightDType::F32 => Some(Self::F32),
            WeightDType::F16 => Some(Self::F16),
            WeightDType::BF16 => Some(Self::Bf16),
            _ => None,
        }
    }
}

impl Weight {
    pub(super) fn f32(values: Vec<f32>, shape: Vec<usize>) -> Self {
        Self::Float {
            dtype: FloatType::F32,
            shape,
            bytes: bytes_of(values),
        }
    }

    pub(super) fn packed(matrix: PackedMatrix) -> Self {
        let layout = *matrix.layout();
        let (codes, scales) = matrix.into_parts();
        Self::Packed {
            layout,
            codes: bytes_of(codes),
            scales: bytes_of(scales),
        }
    }

    /// The matrix of these codes and scales, in memory of its own.
    ///
    /// # Errors
    /// As [`PackedMatrix::new`], also for bytes that end inside an element.
    pub(super) fn matrix(
        layout: PackedLayout,
        codes: &[u8],
        scales: &[u8],
    ) -> glm_quant::Result<PackedMatrix> {
        let (codes, scales) = (elements(codes), elements(scales));
        PackedMatrix::new(layout, codes, scales)
    }
}

/// The bytes of a vector, not copied.
pub(super) fn bytes_of<T: NoUninit + Send>(elements: Vec<T>) -> Bytes {
    struct Elements<T>(Vec<T>);

    impl<T: NoUninit> AsRef<[u8]> for Elements<T> {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }

    Bytes::from_owner(Elements(elements))
}

/// The elements of these bytes, wherever they lie; none when the last is not whole.
fn elements<T: bytemuck::AnyBitPattern + NoUninit>(bytes: &[u8]) -> Vec<T> {
    match bytes.len().is_multiple_of(size_of::<T>()) {
        true => bytemuck::pod_collect_to_vec(bytes),
        false => vec![],
    }
}
