//! A tensor in the form that the model uses it in, in memory or in a mapped file.

use burn::tensor::TensorData;
use glm_quant::{BLOCK_ROWS, PackedLayout, PackedMatrix};
use half::f16;

/// A tensor ready for a device.
#[derive(Debug)]
pub(super) enum Weight {
    /// A vector in f32, or a matrix in f32, f16 or bf16.
    Float(TensorData),
    /// A matrix of codes.
    Packed {
        layout: PackedLayout,
        /// `[row_blocks, steps, 16]`, u32.
        codes: TensorData,
        /// `[row_blocks, groups, 16]`, f16.
        scales: TensorData,
    },
}

impl Weight {
    pub(super) fn packed(matrix: PackedMatrix) -> Self {
        let layout = *matrix.layout();
        let (codes, scales) = matrix.into_parts();
        Self::Packed {
            layout,
            codes: TensorData::new(codes, codes_shape(&layout)),
            scales: TensorData::new(scales, scales_shape(&layout)),
        }
    }

    /// Whether two tensors have the same form and the same bytes.
    pub(super) fn same_bytes(&self, other: &Self) -> bool {
        let same =
            |a: &TensorData, b: &TensorData| a.dtype() == b.dtype() && a.as_bytes() == b.as_bytes();
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => same(a, b),
            (
                Self::Packed {
                    layout: a,
                    codes: codes_a,
                    scales: scales_a,
                },
                Self::Packed {
                    layout: b,
                    codes: codes_b,
                    scales: scales_b,
                },
            ) => a == b && same(codes_a, codes_b) && same(scales_a, scales_b),
            _ => false,
        }
    }

    /// The matrix of these codes and scales, in memory of its own.
    ///
    /// # Errors
    /// As [`PackedMatrix::new`], also for data of another type.
    pub(super) fn matrix(
        layout: PackedLayout,
        codes: &TensorData,
        scales: &TensorData,
    ) -> glm_quant::Result<PackedMatrix> {
        // Data of another type would be of the wrong length here.
        let codes = codes.as_slice::<u32>().unwrap_or_default().to_vec();
        let scales = scales.as_slice::<f16>().unwrap_or_default().to_vec();
        PackedMatrix::new(layout, codes, scales)
    }
}

/// The shape of the codes of a packed matrix.
pub(super) fn codes_shape(layout: &PackedLayout) -> [usize; 3] {
    [layout.row_blocks(), layout.steps(), BLOCK_ROWS]
}

/// The shape of the scales of a packed matrix.
pub(super) fn scales_shape(layout: &PackedLayout) -> [usize; 3] {
    [layout.row_blocks(), layout.groups(), BLOCK_ROWS]
}
