//! The second moments of a layer's inputs.

use rayon::prelude::*;

use super::inverse_factor::inverse_factor;
use super::tile::{Lanes, SIDE};
use super::triangle::Triangle;
use crate::error::{Error, Result, element_count};

/// Tokens that are summed before they are added to the matrix. Sums of sums keep float32 accurate over many tokens.
const BATCH: usize = 256;

/// How often the damping is raised before giving up.
const RAISES: usize = 3;

/// `H = 2·XᵀX`, summed over all inputs `X` `[tokens, cols]` that a layer was seen to get.
///
/// The lower half is kept, in float32: `2 · cols²` bytes.
#[derive(Debug, Clone)]
pub struct Hessian {
    cols: usize,
    triangle: Triangle,
}

impl Hessian {
    /// Of a layer with `cols` input columns, with no inputs yet.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`].
    pub fn new(cols: usize) -> Result<Self> {
        let too_large = Error::TooLarge { rows: cols, cols };
        let padded = cols
            .checked_next_multiple_of(SIDE)
            .ok_or_else(|| too_large.clone())?;
        let elements = element_count(padded, padded).map_err(|_| too_large.clone())?;
        // Half of the elements, four bytes each.
        if isize::try_from(elements).map_or(true, |count| count.checked_mul(4).is_none()) {
            return Err(too_large);
        }
        Ok(Self {
            cols,
            triangle: Triangle::zeros(cols),
        })
    }

    /// Input columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Adds the inputs of some tokens, `[tokens, cols]`.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] when these are no whole rows, [`Error::NonFiniteActivation`]; nothing is added then.
    pub fn add(&mut self, activations: &[f32]) -> Result<()> {
        let cols = self.cols.max(1);
        if !activations.len().is_multiple_of(cols) {
            return Err(Error::Length {
                what: "the last row of the activations",
                expected: self.cols,
                found: activations.len() % cols,
            });
        }
        if let Some(index) = activations.par_iter().position_first(|x| !x.is_finite()) {
            return Err(Error::NonFiniteActivation {
                token: index / cols,
                column: index % cols,
            });
        }
        let mut panels = Vec::new();
        for batch in activations.chunks(BATCH * cols) {
            let tokens = batch.len() / cols;
            panels.resize(self.triangle.len() * tokens, [0.0; SIDE]);
            pack(batch, cols, tokens, &mut panels);
            self.triangle.add_second_moments(2.0, &panels, tokens);
        }
        Ok(())
    }

    /// Columns by falling second moment, the first of equals first.
    pub(super) fn activation_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.cols).collect();
        let moment = |column: &usize| self.triangle.get(*column, *column);
        order.sort_by(|a, b| moment(b).total_cmp(&moment(a)));
        order
    }

    /// Whether a column was zero in every input, for each column.
    pub(super) fn dead_columns(&self) -> Vec<bool> {
        (0..self.cols)
            .map(|column| self.triangle.get(column, column) == 0.0)
            .collect()
    }

    /// `L` of `H⁻¹ = L·Lᵀ`, with rows and columns of `H` in this order and its diagonal damped.
    pub(super) fn inverse_factor(&self, damping: f32, order: Option<&[usize]>) -> Result<Triangle> {
        let mut damping = f64::from(damping);
        for _ in 0..=RAISES {
            if let Some(factor) = inverse_factor(self.damped(damping, order)) {
                return Ok(factor);
            }
            damping = 10.0 * damping.max(f64::from(f32::EPSILON));
        }
        Err(Error::NotPositiveDefinite)
    }

    /// Dead columns and padding get the mean of the others as their diagonal: they stand alone, so any number does.
    fn damped(&self, damping: f64, order: Option<&[usize]>) -> Triangle {
        let diagonal = (0..self.cols).map(|column| f64::from(self.triangle.get(column, column)));
        let live: Vec<f64> = diagonal.filter(|moment| *moment != 0.0).collect();
        let mean = match live.len() {
            0 => 1.0,
            count => live.iter().sum::<f64>() / count as f64,
        };
        let mut triangle = match order {
            Some(order) => self.permuted(order),
            None => self.triangle.clone(),
        };
        for index in 0..triangle.len() * SIDE {
            let moment = triangle.get_mut(index, index);
            let undamped = match *moment {
                0.0 => mean,
                moment => f64::from(moment),
            };
            #[allow(clippy::cast_possible_truncation)] // Rounded to the precision of the others.
            {
                *moment = (undamped + damping * mean) as f32;
            }
        }
        triangle
    }

    fn permuted(&self, order: &[usize]) -> Triangle {
        let mut permuted = Triangle::zeros(self.cols);
        let panels = permuted.panels_mut().par_iter_mut().enumerate();
        panels.for_each(|(p, panel)| {
            let rows = order.iter().skip(p * SIDE).take(SIDE);
            for (lane, row) in rows.enumerate() {
                for (to, column) in panel.iter_mut().zip(order) {
                    to[lane] = self.triangle.get(*row.max(column), *row.min(column));
                }
            }
        });
        permuted
    }
}

/// `[tokens, cols]` to `[panel][tokens][16 columns]`.
fn pack(batch: &[f32], cols: usize, tokens: usize, panels: &mut [Lanes]) {
    let panels = panels.par_chunks_exact_mut(tokens).enumerate();
    panels.for_each(|(p, panel)| {
        for (to, row) in panel.iter_mut().zip(batch.chunks_exact(cols)) {
            let from = &row[p * SIDE..cols.min((p + 1) * SIDE)];
            to[..from.len()].copy_from_slice(from);
            to[from.len()..].fill(0.0);
        }
    });
}
