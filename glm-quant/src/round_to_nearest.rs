//! Every weight to its nearest code: the quantiser that needs nothing but the weights.
//!
//! With one scale a row the result is the official one, bit for bit. Groups are our own: float32 arithmetic, a scale as
//! `group_scale` finds it, and codes for the scale as it is stored, in fp16.

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use crate::error::{Error, Result, check_length, element_count};
use crate::group_scale::{CodeRange, group_scale};
use crate::layout::{BLOCK_ROWS, GroupSize, PackedLayout};
use crate::official_rounding::{RowQuantizer, check_weights};
use crate::packed::{PackedMatrix, RowBlock};
use crate::row_block;

impl PackedMatrix {
    /// Quantises fp16 `weights` `[rows, cols]`, each to the nearest code.
    ///
    /// With [`GroupSize::Row`] the codes and scales are those of [`crate::Int4Matrix::quantize_f16`] or
    /// [`crate::Int8Matrix::quantize_f16`].
    ///
    /// # Errors
    ///
    /// [`Error::Length`], [`Error::TooLarge`], [`Error::NonFiniteWeight`], [`Error::ScaleOverflow`].
    pub fn quantize_f16(layout: PackedLayout, weights: &[f16]) -> Result<Self> {
        quantize(layout, weights)
    }

    /// Quantises float32 `weights` `[rows, cols]`, each to the nearest code. With [`GroupSize::Row`] as the `quantize_f32`
    /// of the official formats; errors as [`PackedMatrix::quantize_f16`].
    pub fn quantize_f32(layout: PackedLayout, weights: &[f32]) -> Result<Self> {
        quantize(layout, weights)
    }
}

fn quantize<T: Weight>(layout: PackedLayout, weights: &[T]) -> Result<PackedMatrix> {
    let count = element_count(layout.rows, layout.cols)?;
    check_length("the weights", count, weights.len())?;
    let mut writer = PackedWriter::new(layout)?;
    if layout.cols > 0 {
        writer.push(weights)?;
    }
    writer.finish()
}

/// Quantises a matrix slab by slab, so that no more than one slab of floats need exist at a time.
///
/// The result has room for all rows from the start; between calls nothing else is held.
///
/// ```
/// use glm_quant::{Bits, GroupSize, PackedLayout, PackedMatrix, PackedWriter};
///
/// let weights: Vec<f32> = (0..40 * 64).map(|index| (index as f32).sin()).collect();
/// let layout = PackedLayout { rows: 40, cols: 64, bits: Bits::Four, group: GroupSize::G32 };
/// let mut writer = PackedWriter::new(layout)?;
/// for slab in weights.chunks(16 * 64) {
///     writer.push_f32(slab)?;
/// }
/// assert_eq!(writer.finish()?, PackedMatrix::quantize_f32(layout, &weights)?);
/// # Ok::<(), glm_quant::Error>(())
/// ```
#[derive(Debug, PartialEq)]
pub struct PackedWriter {
    matrix: PackedMatrix,
    next_row: usize,
}

impl PackedWriter {
    /// A matrix without any of its rows yet.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`].
    pub fn new(layout: PackedLayout) -> Result<Self> {
        Ok(Self {
            matrix: PackedMatrix::zeros(layout)?,
            // Rows without columns have nothing to wait for.
            next_row: if layout.cols == 0 { layout.rows } else { 0 },
        })
    }

    /// Quantises the next rows, fp16 `[n, cols]`. `n` is a multiple of 16, except in the last slab.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] when the slab is no whole rows, or more than there are left; [`Error::SlabSplitsBlock`];
    /// [`Error::NonFiniteWeight`] and [`Error::ScaleOverflow`], after which the slab's rows are still to come.
    pub fn push_f16(&mut self, rows: &[f16]) -> Result<()> {
        self.push(rows)
    }

    /// Quantises the next rows, float32 `[n, cols]`; otherwise as [`PackedWriter::push_f16`].
    pub fn push_f32(&mut self, rows: &[f32]) -> Result<()> {
        self.push(rows)
    }

    /// The matrix.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] when rows are missing.
    pub fn finish(self) -> Result<PackedMatrix> {
        check_length("the pushed rows", self.matrix.layout().rows, self.next_row)?;
        Ok(self.matrix)
    }

    fn push<T: Weight>(&mut self, weights: &[T]) -> Result<()> {
        let layout = *self.matrix.layout();
        let cols = layout.cols;
        let left = (layout.rows - self.next_row) * cols;
        if weights.len() > left {
            return check_length("the slab", left, weights.len());
        }
        if !weights.len().is_multiple_of(cols.max(1)) {
            return check_length("the slab's last row", cols, weights.len() % cols);
        }
        let end = self.next_row + weights.len() / cols.max(1);
        if !end.is_multiple_of(BLOCK_ROWS) && end != layout.rows {
            return Err(Error::SlabSplitsBlock { row: end });
        }
        let first_row = self.next_row;
        let blocks = self.matrix.blocks_mut(first_row / BLOCK_ROWS);
        let failed = blocks
            .zip(weights.par_chunks((BLOCK_ROWS * cols).max(1)))
            .enumerate()
            .map_init(
                || RowRounder::new(&layout),
                |rounder, (block, (packed, weights))| {
                    rounder.block(first_row + block * BLOCK_ROWS, weights, packed)
                },
            )
            .find_map_first(Result::err);
        match failed {
            Some(error) => Err(error),
            None => {
                self.next_row = end;
                Ok(())
            }
        }
    }
}

/// The two types that checkpoints hold weights in.
trait Weight: Copy + Sync {
    /// The official scale and codes of a row.
    fn official(
        quantizer: &mut RowQuantizer,
        row: usize,
        weights: &[Self],
        codes: &mut [i8],
    ) -> Result<f16>;

    fn to_floats(weights: &[Self], floats: &mut [f32]);
}

impl Weight for f16 {
    fn official(
        quantizer: &mut RowQuantizer,
        row: usize,
        weights: &[Self],
        codes: &mut [i8],
    ) -> Result<f16> {
        let (scale, found) = quantizer.f16_row(row, weights)?;
        write_codes(codes, found);
        Ok(scale)
    }

    fn to_floats(weights: &[Self], floats: &mut [f32]) {
        weights.convert_to_f32_slice(floats);
    }
}

impl Weight for f32 {
    fn official(
        quantizer: &mut RowQuantizer,
        row: usize,
        weights: &[Self],
        codes: &mut [i8],
    ) -> Result<f16> {
        let (scale, found) = quantizer.f32_row(row, weights)?;
        write_codes(codes, found);
        Ok(scale)
    }

    fn to_floats(weights: &[Self], floats: &mut [f32]) {
        floats.copy_from_slice(weights);
    }
}

fn write_codes(codes: &mut [i8], found: impl Iterator<Item = i8>) {
    codes
        .iter_mut()
        .zip(found)
        .for_each(|(to, code)| *to = code);
}

/// Buffers of one thread.
struct RowRounder {
    layout: PackedLayout,
    official: RowQuantizer,
    floats: Vec<f32>, // [cols]
    codes: Vec<i8>,   // [padded_cols]
}

impl RowRounder {
    fn new(layout: &PackedLayout) -> Self {
        Self {
            layout: *layout,
            official: RowQuantizer::new(layout.bits, layout.cols),
            floats: vec![0.0; layout.cols],
            codes: vec![0; layout.padded_cols()],
        }
    }

    /// Up to 16 rows, the first of which has this number.
    fn block<T: Weight>(&mut self, first_row: usize, weights: &[T], block: RowBlock) -> Result<()> {
        for (lane, weights) in weights.chunks_exact(self.layout.cols).enumerate() {
            let row = first_row + lane;
            match self.layout.group {
                GroupSize::Row => {
                    block.scales[lane] =
                        T::official(&mut self.official, row, weights, &mut self.codes)?;
                }
                GroupSize::G32 | GroupSize::G128 => {
                    T::to_floats(weights, &mut self.floats);
                    self.groups(row, block.scales, lane)?;
                }
            }
            row_block::store_row(self.layout.bits, &self.codes, lane, block.words);
        }
        Ok(())
    }

    /// Scales and codes of the groups of the row in `floats`.
    fn groups(&mut self, row: usize, scales: &mut [f16], lane: usize) -> Result<()> {
        check_weights(row, &self.floats)?;
        let PackedLayout {
            bits, group, cols, ..
        } = self.layout;
        let range = CodeRange::new(bits, group);
        let columns = group.columns(cols);
        let weights = self.floats.chunks(columns);
        let codes = self.codes.chunks_mut(columns);
        let scales = scales.chunks_exact_mut(BLOCK_ROWS);
        for ((weights, codes), scales) in weights.zip(codes).zip(scales) {
            let scale = group_scale(bits, group, weights).ok_or(Error::ScaleOverflow { row })?;
            scales[lane] = scale;
            let scale = scale.to_f32();
            for (code, weight) in codes.iter_mut().zip(weights) {
                *code = range.code(*weight, scale);
            }
        }
        Ok(())
    }
}
