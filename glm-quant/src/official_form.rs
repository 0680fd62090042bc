//! The official formats to the kernels' layout when a checkpoint is loaded, and back when one is saved.

use half::f16;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::layout::{BLOCK_ROWS, Bits, GroupSize, PackedLayout};
use crate::{Int4Matrix, Int8Matrix, PackedMatrix, row_block};

impl PackedMatrix {
    /// The same codes and scales as an official INT8 matrix.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`].
    pub fn from_int8(matrix: &Int8Matrix) -> Result<Self> {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        let mut packed = with_row_scales(rows, cols, Bits::Eight, matrix.scales())?;
        let blocks = matrix.codes().par_chunks((BLOCK_ROWS * cols).max(1));
        packed.blocks_mut(0).zip(blocks).for_each(|(block, rows)| {
            for (lane, row) in rows.chunks_exact(cols).enumerate() {
                row_block::store_official_int8(row, lane, block.words);
            }
        });
        Ok(packed)
    }

    /// The same codes and scales as an official INT4 matrix.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`].
    pub fn from_int4(matrix: &Int4Matrix) -> Result<Self> {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        let mut packed = with_row_scales(rows, cols, Bits::Four, matrix.scales())?;
        let blocks = matrix.packed().par_chunks((BLOCK_ROWS * cols / 2).max(1));
        packed.blocks_mut(0).zip(blocks).for_each(|(block, rows)| {
            for (lane, row) in rows.chunks_exact(cols / 2).enumerate() {
                row_block::store_official_int4(row, lane, block.words);
            }
        });
        Ok(packed)
    }

    /// The same codes and scales in the official INT8 format.
    ///
    /// # Errors
    ///
    /// [`Error::NotOfficial`] unless this is an INT8 matrix with one scale a row.
    pub fn to_int8(&self) -> Result<Int8Matrix> {
        let PackedLayout { rows, cols, .. } = *self.layout();
        let scales = self.row_scales(Bits::Eight)?;
        let mut codes = vec![0; rows * cols];
        let blocks = codes.par_chunks_mut((BLOCK_ROWS * cols).max(1));
        blocks.enumerate().for_each(|(block, rows)| {
            for (lane, row) in rows.chunks_exact_mut(cols).enumerate() {
                row_block::load_official_int8(self.block_words(block), lane, row);
            }
        });
        Int8Matrix::new(rows, cols, codes, scales)
    }

    /// The same codes and scales in the official INT4 format.
    ///
    /// # Errors
    ///
    /// [`Error::NotOfficial`] unless this is an INT4 matrix with one scale a row, [`Error::OddColumns`].
    pub fn to_int4(&self) -> Result<Int4Matrix> {
        let PackedLayout { rows, cols, .. } = *self.layout();
        let scales = self.row_scales(Bits::Four)?;
        if !cols.is_multiple_of(2) {
            return Err(Error::OddColumns { cols });
        }
        let mut bytes = vec![0; rows * cols / 2];
        let blocks = bytes.par_chunks_mut((BLOCK_ROWS * cols / 2).max(1));
        blocks.enumerate().for_each(|(block, rows)| {
            for (lane, row) in rows.chunks_exact_mut(cols / 2).enumerate() {
                row_block::load_official_int4(self.block_words(block), lane, row);
            }
        });
        Int4Matrix::new(rows, cols, bytes, scales)
    }

    /// The scale of every row, if that is all there are.
    fn row_scales(&self, wanted: Bits) -> Result<Vec<f16>> {
        let PackedLayout { bits, group, .. } = *self.layout();
        if bits != wanted || group != GroupSize::Row {
            return Err(Error::NotOfficial {
                wanted,
                bits,
                group,
            });
        }
        Ok(self.scales()[..self.layout().rows].to_vec())
    }
}

/// Codes of zero with the scales of all rows. With one group a row, `[row_blocks, 1, 16]` is the rows in order.
fn with_row_scales(rows: usize, cols: usize, bits: Bits, scales: &[f16]) -> Result<PackedMatrix> {
    let group = GroupSize::Row;
    let mut packed = PackedMatrix::zeros(PackedLayout {
        rows,
        cols,
        bits,
        group,
    })?;
    packed.scales_mut()[..rows].copy_from_slice(scales);
    Ok(packed)
}
