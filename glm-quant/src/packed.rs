//! The layout that kernels read: 16 rows side by side, a few columns of each at a time.
//!
//! A dot-product instruction multiplies four neighbouring bytes of 16 lanes at once (`vpdpbusd` on x86, `sdot` on ARM
//! with four lanes). So a *word* holds neighbouring columns of one row, and the words of 16 rows lie side by side:
//!
//! ```text
//! INT4   word (block, step, lane): row 16·block + lane, columns 8·step .. 8·step + 8
//!        bits  31..28 27..24 23..20 19..16 15..12 11..8  7..4   3..0
//!        column    +7     +3     +6     +2     +5    +1    +4     +0       stored code + 8
//! INT8   word (block, step, lane): row 16·block + lane, columns 4·step .. 4·step + 4
//!        bits  31........24 23........16 15.........8 7..........0
//!        column          +3           +2           +1           +0        stored code + 128
//! ```
//!
//! Words are ordered `[row block][step][lane]`. Rows are padded to a multiple of 16 and columns to a multiple of 32,
//! with codes of zero; padded rows have a scale of zero. Scales are `[row block][group][lane]`, where a group is all
//! columns ([`GroupSize::Row`]), 32 or 128 of them; the last group may be shorter.

use half::f16;

use crate::error::{Error, Result, check_length, element_count};
use crate::{Int4Matrix, Int8Matrix};

/// Rows that lie side by side: the lanes of a 512-bit register.
pub const BLOCK_ROWS: usize = 16;

/// Columns are padded to a multiple of this.
pub const COLUMN_ALIGNMENT: usize = 32;

/// Bits of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bits {
    /// -8 to 7.
    Four,
    /// -128 to 127.
    Eight,
}

impl Bits {
    /// Largest code that a quantiser writes: 7 or 127.
    pub fn max_code(self) -> i8 {
        match self {
            Self::Four => Int4Matrix::MAX_CODE,
            Self::Eight => Int8Matrix::MAX_CODE,
        }
    }

    /// Columns in a 32-bit word: 8 or 4.
    pub fn columns_per_word(self) -> usize {
        match self {
            Self::Four => 8,
            Self::Eight => 4,
        }
    }

    /// What is added to a code to store it: 8 or 128.
    pub fn offset(self) -> i32 {
        match self {
            Self::Four => 8,
            Self::Eight => 128,
        }
    }
}

/// How many columns of a row share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupSize {
    /// All: the official formats.
    Row,
    /// 32.
    G32,
    /// 128.
    G128,
}

impl GroupSize {
    /// Columns that share a scale, for a row of `cols`.
    pub fn columns(self, cols: usize) -> usize {
        match self {
            Self::Row => cols,
            Self::G32 => 32,
            Self::G128 => 128,
        }
    }
}

/// Shape and format of a [`PackedMatrix`]: everything but the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackedLayout {
    /// Output rows.
    pub rows: usize,
    /// Input columns.
    pub cols: usize,
    /// Bits of a code.
    pub bits: Bits,
    /// Columns that share a scale.
    pub group: GroupSize,
}

impl PackedLayout {
    /// Blocks of 16 rows, the last one padded.
    pub fn row_blocks(&self) -> usize {
        self.rows.div_ceil(BLOCK_ROWS)
    }

    /// Columns with their padding.
    pub fn padded_cols(&self) -> usize {
        self.cols.next_multiple_of(COLUMN_ALIGNMENT)
    }

    /// Words of one row: `[row_blocks, steps, 16]` is the shape of the codes.
    pub fn steps(&self) -> usize {
        self.padded_cols() / self.bits.columns_per_word()
    }

    /// Scales of one row: `[row_blocks, groups, 16]` is the shape of the scales.
    pub fn groups(&self) -> usize {
        match self.group {
            GroupSize::Row => 1,
            GroupSize::G32 => self.padded_cols() / 32,
            GroupSize::G128 => self.padded_cols().div_ceil(128),
        }
    }

    /// 32-bit words of codes in all.
    pub fn words(&self) -> usize {
        self.row_blocks() * self.steps() * BLOCK_ROWS
    }

    /// Scales in all.
    pub fn scales(&self) -> usize {
        self.row_blocks() * self.groups() * BLOCK_ROWS
    }

    /// Bytes of codes and scales together.
    pub fn byte_len(&self) -> usize {
        self.words() * 4 + self.scales() * 2
    }

    /// Index of the word that holds `col` of `row`, and the bit at which its code starts.
    pub fn locate(&self, row: usize, col: usize) -> (usize, u32) {
        let per_word = self.bits.columns_per_word();
        let word =
            ((row / BLOCK_ROWS) * self.steps() + col / per_word) * BLOCK_ROWS + row % BLOCK_ROWS;
        let within = (col % per_word) as u32;
        let bit = match self.bits {
            Bits::Four => 8 * (within % 4) + 4 * (within / 4),
            Bits::Eight => 8 * within,
        };
        (word, bit)
    }

    /// Index of the scale of `col` of `row`.
    pub fn scale_index(&self, row: usize, col: usize) -> usize {
        let group = match self.group {
            GroupSize::Row => 0,
            GroupSize::G32 => col / 32,
            GroupSize::G128 => col / 128,
        };
        ((row / BLOCK_ROWS) * self.groups() + group) * BLOCK_ROWS + row % BLOCK_ROWS
    }
}

/// A quantised weight matrix `[rows, cols]` in the layout of the kernels. The module's page draws the words.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedMatrix {
    layout: PackedLayout,
    codes: Vec<u32>,  // [row_blocks, steps, 16]
    scales: Vec<f16>, // [row_blocks, groups, 16]
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

    /// The same codes and scales as an official INT8 matrix.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`].
    pub fn from_int8(matrix: &Int8Matrix) -> Result<Self> {
        let codes = |row: usize| matrix.codes().iter().skip(row * matrix.cols()).copied();
        Self::from_rows(
            Bits::Eight,
            matrix.rows(),
            matrix.cols(),
            matrix.scales(),
            codes,
        )
    }

    /// The same codes and scales as an official INT4 matrix.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`].
    pub fn from_int4(matrix: &Int4Matrix) -> Result<Self> {
        let codes = |row: usize| {
            let bytes = matrix.packed().iter().skip(row * (matrix.cols() / 2));
            bytes.flat_map(|byte| <[i8; 2]>::from(Int4Matrix::unpack(*byte)))
        };
        Self::from_rows(
            Bits::Four,
            matrix.rows(),
            matrix.cols(),
            matrix.scales(),
            codes,
        )
    }

    fn from_rows<I: Iterator<Item = i8>>(
        bits: Bits,
        rows: usize,
        cols: usize,
        scales: &[f16],
        codes: impl Fn(usize) -> I,
    ) -> Result<Self> {
        let group = GroupSize::Row;
        let mut packed = Self::zeros(PackedLayout {
            rows,
            cols,
            bits,
            group,
        })?;
        for (row, scale) in scales.iter().enumerate() {
            packed.set_row(row, &[*scale], codes(row).take(cols));
        }
        Ok(packed)
    }

    /// Writes one row: the scales of its groups, and a code for each column.
    pub(crate) fn set_row(&mut self, row: usize, scales: &[f16], codes: impl Iterator<Item = i8>) {
        let Self {
            layout,
            codes: words,
            scales: all_scales,
        } = self;
        for (group, scale) in scales.iter().enumerate() {
            let index = layout.scale_index(row, 0) + group * BLOCK_ROWS;
            if let Some(slot) = all_scales.get_mut(index) {
                *slot = *scale;
            }
        }
        let mask = (2 * layout.bits.offset() - 1).cast_unsigned();
        for (col, code) in codes.enumerate() {
            let (word, bit) = layout.locate(row, col);
            let stored = (i32::from(code) + layout.bits.offset()).cast_unsigned() & mask;
            if let Some(word) = words.get_mut(word) {
                *word = *word & !(mask << bit) | stored << bit;
            }
        }
    }

    /// Shape and format.
    pub fn layout(&self) -> &PackedLayout {
        &self.layout
    }

    /// The words of codes `[row_blocks, steps, 16]`.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The scales `[row_blocks, groups, 16]`.
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
        check_length("the output", self.layout.cols, out.len())?;
        for (col, out) in out.iter_mut().enumerate() {
            let scale = self.scales.get(self.layout.scale_index(row, col));
            let (Some(code), Some(scale)) = (self.code(row, col), scale) else {
                let rows = self.layout.rows;
                return Err(Error::NoSuchRow { row, rows });
            };
            *out = scale.to_f32() * f32::from(code);
        }
        Ok(())
    }
}

/// [`Error::TooLarge`] when the padded matrix cannot be counted in a machine word.
fn check_size(layout: &PackedLayout) -> Result<()> {
    let too_large = || Error::TooLarge {
        rows: layout.rows,
        cols: layout.cols,
    };
    let rows = layout.rows.checked_next_multiple_of(BLOCK_ROWS);
    let cols = layout.cols.checked_next_multiple_of(COLUMN_ALIGNMENT);
    let (rows, cols) = rows.zip(cols).ok_or_else(too_large)?;
    element_count(rows, cols)
        .and_then(|count| element_count(count, 4))
        .map_err(|_| too_large())?;
    Ok(())
}
