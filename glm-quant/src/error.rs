//! What can be wrong with the parts of a quantised matrix.

use crate::ggml_block::GgmlBlock;
use crate::layout::{Bits, GroupSize};

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate. Positions count from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A buffer does not have the length that the matrix's shape asks for.
    #[error("{what} must have {expected} elements, found {found}")]
    Length {
        /// The buffer.
        what: &'static str,
        /// Elements the shape asks for.
        expected: usize,
        /// Elements given.
        found: usize,
    },
    /// The number of elements does not fit a machine word.
    #[error("a matrix of {rows} rows and {cols} columns is too large")]
    TooLarge {
        /// Output rows.
        rows: usize,
        /// Input columns.
        cols: usize,
    },
    /// INT4 keeps two columns in a byte.
    #[error("an int4 matrix needs an even number of columns, found {cols}")]
    OddColumns {
        /// Input columns.
        cols: usize,
    },
    /// A row that the matrix does not have.
    #[error("row {row} was asked for, but the matrix has {rows}")]
    NoSuchRow {
        /// The row asked for.
        row: usize,
        /// Rows of the matrix.
        rows: usize,
    },
    /// A weight to be quantised is NaN or infinite.
    #[error("the weight in row {row}, column {column} is NaN or infinite")]
    NonFiniteWeight {
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
    },
    /// A stored scale is NaN or infinite.
    #[error("the scale of row {row} is NaN or infinite")]
    NonFiniteScale {
        /// Its row.
        row: usize,
    },
    /// The weights of a row are so large that their scale is beyond fp16.
    #[error("the weights in row {row} are too large for a half-precision scale")]
    ScaleOverflow {
        /// The row.
        row: usize,
    },
    /// A slab of rows ends inside a block of 16 rows, and it is not the last slab.
    #[error("a slab of rows ends at row {row}, which is neither the last row nor a multiple of 16")]
    SlabSplitsBlock {
        /// The row after the slab.
        row: usize,
    },
    /// An official format was asked for that cannot hold the matrix.
    #[error(
        "{}-bit codes with one scale a row were asked for, the matrix has {}-bit codes with one for {}",
        wanted.count(), bits.count(), scaled_columns(*group)
    )]
    NotOfficial {
        /// Bits of the official format.
        wanted: Bits,
        /// Bits of the matrix.
        bits: Bits,
        /// Columns of the matrix that share a scale.
        group: GroupSize,
    },
    /// A packed matrix was asked for that would need a minimum or five bits.
    #[error("{block:?} blocks have no packed form with the same weights")]
    NoPackedForm {
        /// The blocks.
        block: GgmlBlock,
    },
    /// An activation to calibrate with is NaN or infinite.
    #[error("the activation of token {token}, column {column} is NaN or infinite")]
    NonFiniteActivation {
        /// Its row.
        token: usize,
        /// Its column.
        column: usize,
    },
    /// The weights have another number of columns than the activations that were collected.
    #[error("the weights have {found} columns, the activations {expected}")]
    Columns {
        /// Columns of the activations.
        expected: usize,
        /// Columns of the weights.
        found: usize,
    },
    /// The Hessian cannot be factored, whatever the damping: its numbers are out of float32's range.
    #[error(
        "the second moments of the activations are not positive definite, whatever the damping"
    )]
    NotPositiveDefinite,
}

/// What shares a scale, in words.
fn scaled_columns(group: GroupSize) -> &'static str {
    match group {
        GroupSize::Row => "each row",
        GroupSize::G32 => "32 columns",
        GroupSize::G128 => "128 columns",
    }
}

/// `rows * cols`, or [`Error::TooLarge`].
pub(crate) fn element_count(rows: usize, cols: usize) -> Result<usize> {
    rows.checked_mul(cols).ok_or(Error::TooLarge { rows, cols })
}

/// [`Error::Length`] unless the lengths agree.
pub(crate) fn check_length(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        Ok(())
    } else {
        Err(Error::Length {
            what,
            expected,
            found,
        })
    }
}
