//! A tensor in the form that the model uses it in, in memory or in a mapped file.

use burn::tensor::TensorData;
use glm_quant::{BLOCK_ROWS, PackedLayout, PackedMatrix};

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
}

/// The shape of the codes of a packed matrix.
pub(super) fn codes_shape(layout: &PackedLayout) -> [usize; 3] {
    [layout.row_blocks(), layout.steps(), BLOCK_ROWS]
}

/// The shape of the scales of a packed matrix.
pub(super) fn scales_shape(layout: &PackedLayout) -> [usize; 3] {
    [layout.row_blocks(), layout.groups(), BLOCK_ROWS]
}
