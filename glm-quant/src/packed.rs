//! A quantised matrix in the kernels' layout, as buffers with checked lengths.

use half::f16;
use rayon::prelude::*;

use crate::error::{Error, Result, check_length};
use crate::layout::{BLOCK_ROWS, Bits, PackedLayout, check_size};
use crate::row_block;

/// A quantised weight matrix `[rows, cols]` in the layout of the kernels. The crate's front page draws the words.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedMatrix {
    layout: PackedLayout,
    codes: Vec<u32>,  // [row_blocks, steps, 16]
    scales: Vec<f16>, // [row_blocks, groups, 16]
}

/// The words and scales of 16 rows.
pub(crate) struct RowBlock<'a> {
    pub(crate) words: &'a mut [u32],  // [steps, 16]
    pub(crate) scales: &'a mut [f16], // [groups, 16]
}

impl PackedMatrix {
    /// A matrix of these words and scales.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] when a buffer does not fit the layout, [`Error::TooLarge`], [`Error::NonFiniteScale`].
    pub fn new(layout: PackedLayout, codes: Vec<u32>, scales: Vec<f16>) -> Result<Self> {
        check_size(&layout)?;
        check_length("the packed codes", layout.words(), codes.len())?;
        check_length("the scales", layout.scales(), scales.len())?;
        match scales.iter().position(|scale| !scale.is_finite()) {
            Some(index) => Err(Error::NonFiniteScale {
                row: index / (layout.groups() * BLOCK_ROWS) * BLOCK_ROWS + index % BLOCK_ROWS,
            }),
            None => Ok(Self {
                layout,
                codes,
                scales,
            }),
        }
    }

    /// A matrix whose codes and scales are all zero, to be filled.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`].
    pub fn zeros(layout: PackedLayout) -> Result<Self> {
        check_size(&layout)?;
        let zero = match layout.bits {
            Bits::Four => 0x8888_8888,
            Bits::Eight => 0x8080_8080,
        };
        Ok(Self {
            layout,
            codes: vec![zero; layout.words()],
            scales: vec![f16::ZERO; layout.scales()],
        })
    }

    /// Shape and format.
    pub fn layout(&self) -> &PackedLayout {
        &self.layout
    }

    /// The words of codes `[row_blocks, steps, 16]`.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The scales `[row_blocks, groups, 16]`. Those of INT4 groups may be negative.
    pub fn scales(&self) -> &[f16] {
        &self.scales
    }

    /// Words and scales.
    pub fn into_parts(self) -> (Vec<u32>, Vec<f16>) {
        (self.codes, self.scales)
    }

    /// The code of one weight; `None` outside the matrix.
    pub fn code(&self, row: usize, col: usize) -> Option<i8> {
        if row >= self.layout.rows || col >= self.layout.cols {
            return None;
        }
        let (word, bit) = self.layout.locate(row, col);
        let mask = (2 * self.layout.bits.offset() - 1).cast_unsigned();
        let stored = self.codes.get(word)? >> bit & mask;
        // At most 255 - 128 and at least -128.
        i8::try_from(stored.cast_signed() - self.layout.bits.offset()).ok()
    }

    /// Writes the weights of one row, `f32(scale) · code`, to `out` `[cols]`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRow`], [`Error::Length`].
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) -> Result<()> {
        let layout = &self.layout;
        check_length("the output", layout.cols, out.len())?;
        if row >= layout.rows {
            let rows = layout.rows;
            return Err(Error::NoSuchRow { row, rows });
        }
        let (block, lane) = (row / BLOCK_ROWS, row % BLOCK_ROWS);
        row_block::load_row(layout.bits, self.block_words(block), lane, out);
        let scales = self.scales.chunks_exact(BLOCK_ROWS);
        let scales = scales.skip(block * layout.groups());
        let group = layout.group.columns(layout.cols).max(1);
        for (out, scales) in out.chunks_mut(group).zip(scales) {
            let scale = scales[lane].to_f32();
            out.iter_mut().for_each(|out| *out *= scale);
        }
        Ok(())
    }

    /// The words `[steps, 16]` of a block of rows.
    pub(crate) fn block_words(&self, block: usize) -> &[u32] {
        let len = self.layout.steps() * BLOCK_ROWS;
        &self.codes[block * len..(block + 1) * len]
    }

    /// The blocks of 16 rows from `first` on, for threads to fill. Without columns there are none.
    pub(crate) fn blocks_mut(
        &mut self,
        first: usize,
    ) -> impl IndexedParallelIterator<Item = RowBlock<'_>> {
        let words = self.layout.steps() * BLOCK_ROWS;
        let scales = self.layout.groups() * BLOCK_ROWS;
        self.codes[first * words..]
            .par_chunks_mut(words.max(1))
            .zip(self.scales[first * scales..].par_chunks_mut(scales.max(1)))
            .map(|(words, scales)| RowBlock { words, scales })
    }

    /// All scales, to be filled.
    pub(crate) fn scales_mut(&mut self) -> &mut [f16] {
        &mut self.scales
    }
}
