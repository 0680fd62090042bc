//! GPTQ: quantise column after column, and let the columns still to come make up for each error.
//!
//! Rounding to nearest makes every weight's error small. What counts is the error of the layer's output,
//! `‖X·(W - Ŵ)ᵀ‖²`, which depends on the layer's inputs `X` only through their second moments `H = 2·XᵀX`. [`Hessian`]
//! collects these over sample texts; [`quantize`] goes through the columns and, after rounding one, moves the weights of
//! the following columns to where the output error is least. (Frantar, Ashkboos, Hoefler, Alistarh: *GPTQ: Accurate
//! Post-Training Quantization for Generative Pre-trained Transformers*, 2022, <https://arxiv.org/abs/2210.17323>.)
//!
//! How much to move is written in the inverse of `H`. With `H⁻¹ = L·Lᵀ`, `L` lower triangular, the error `e` of column
//! `i` moves column `j` by `-e / L[i][i] · L[j][i]`. All columns of a batch of 128 are rounded before the columns behind
//! the batch move, which then is a matrix product.
//!
//! ```
//! use glm_quant::{Bits, GroupSize, PackedLayout, gptq};
//!
//! // Inputs whose second column repeats the first: only the sum of their weights matters.
//! let activations = [[1.0, 1.0, 0.5], [2.0, 2.0, -1.0], [-1.0, -1.0, 3.0]].concat();
//! let mut hessian = gptq::Hessian::new(3)?;
//! hessian.add(&activations)?;
//!
//! let layout = PackedLayout { rows: 1, cols: 3, bits: Bits::Four, group: GroupSize::Row };
//! let matrix = gptq::quantize(layout, &[0.44, 0.44, 0.7], &hessian, &gptq::Options::default())?;
//! // In steps of 0.1 the weights are 4.4 and 4.4: one is rounded down, so the other goes up.
//! assert_eq!([matrix.code(0, 0), matrix.code(0, 1)], [Some(4), Some(5)]);
//! # Ok::<(), glm_quant::Error>(())
//! ```

mod column_loop;
mod hessian;
mod inverse_factor;
mod tile;
mod triangle;

use rayon::prelude::*;

pub use hessian::Hessian;

use crate::error::{Error, Result, check_length, element_count};
use crate::layout::{BLOCK_ROWS, PackedLayout};
use crate::packed::PackedMatrix;

/// How [`quantize`] works.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// What is added to the diagonal of the Hessian, over the mean of the diagonal. It keeps the inverse sound when
    /// there are few samples. Raised tenfold, three times at most, when the Hessian cannot be factored.
    pub damping: f32,
    /// Quantise the columns with the largest activations first, while all others can still make up for them. Groups
    /// stay those of the layout, so their scales are found in advance.
    pub activation_order: bool,
}

impl Default for Options {
    /// Damping of 1 %, columns in order.
    fn default() -> Self {
        Self {
            damping: 0.01,
            activation_order: false,
        }
    }
}

/// Quantises `weights` `[rows, cols]` of a layer whose inputs have these second moments.
///
/// Scales are found as by [`PackedMatrix::quantize_f32`], but from the weights as the errors of earlier columns left
/// them. Without correlation between columns the result is the same. Weights of columns that were never active become 0.
///
/// Needs `2 · cols²` bytes besides weights, Hessian and result.
///
/// # Errors
///
/// [`Error::Length`], [`Error::TooLarge`], [`Error::Columns`], [`Error::NonFiniteWeight`], [`Error::ScaleOverflow`],
/// [`Error::NotPositiveDefinite`].
pub fn quantize(
    layout: PackedLayout,
    weights: &[f32],
    hessian: &Hessian,
    options: &Options,
) -> Result<PackedMatrix> {
    let count = element_count(layout.rows, layout.cols)?;
    check_length("the weights", count, weights.len())?;
    if hessian.cols() != layout.cols {
        return Err(Error::Columns {
            expected: hessian.cols(),
            found: layout.cols,
        });
    }
    let mut matrix = PackedMatrix::zeros(layout)?;
    if layout.cols == 0 {
        return Ok(matrix);
    }
    let order = options.activation_order.then(|| hessian.activation_order());
    let factor = hessian.inverse_factor(options.damping, order.as_deref())?;
    let columns = column_loop::Columns::new(layout, &factor, order, hessian.dead_columns());
    let blocks = weights.par_chunks(BLOCK_ROWS * layout.cols);
    let failed = matrix
        .blocks_mut(0)
        .zip(blocks)
        .enumerate()
        .map_init(
            || columns.buffers(),
            |buffers, (block, (packed, weights))| {
                columns.quantize(block * BLOCK_ROWS, weights, buffers, packed)
            },
        )
        .find_map_first(Result::err);
    failed.map_or(Ok(matrix), Err)
}
