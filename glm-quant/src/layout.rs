//! Shape and format of a packed matrix, and where each weight lies in it.
//!
//! A word holds neighbouring columns of one row, and the words of 16 rows lie side by side: `[row block][step][lane]`.
//! The crate's front page draws this, and says why.

use crate::error::{Error, Result, element_count};
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

    /// The number of bits: 4 or 8.
    pub fn count(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
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

/// Shape and format of a [`crate::PackedMatrix`]: everything but the numbers.
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

/// [`Error::TooLarge`] when the padded matrix cannot be counted in a machine word.
pub(crate) fn check_size(layout: &PackedLayout) -> Result<()> {
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
