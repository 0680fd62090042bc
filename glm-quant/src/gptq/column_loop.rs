//! Sixteen rows of weights, column after column: round, then spread the error over the columns to come.

use std::ops::Range;

use half::f16;

use super::tile::{Lanes, SIDE, add_product, add_scaled};
use super::triangle::Triangle;
use crate::error::{Error, Result};
use crate::group_scale::{CodeRange, group_scale};
use crate::layout::PackedLayout;
use crate::official_rounding::check_weights;
use crate::packed::RowBlock;
use crate::row_block;

/// Columns that are rounded before the columns behind them move.
const BATCH: usize = 128;

/// What all rows share.
pub(super) struct Columns<'a> {
    layout: PackedLayout,
    range: CodeRange,
    /// `L` of `H⁻¹ = L·Lᵀ`, in the order of quantising.
    factor: &'a Triangle,
    /// The column that is quantised at each step; the natural order if `None`.
    order: Option<Vec<usize>>,
    dead: Vec<bool>,
}

/// Buffers of one thread.
pub(super) struct Buffers {
    row: Vec<f32>,          // [cols]
    weights: Vec<Lanes>,    // [padded steps][16 rows]: in the order of quantising
    errors: Vec<Lanes>,     // [BATCH][16 rows]
    codes: Vec<[i8; SIDE]>, // [padded_cols][16 rows]
    scales: Vec<Lanes>,     // [groups][16 rows]
}

impl<'a> Columns<'a> {
    pub(super) fn new(
        layout: PackedLayout,
        factor: &'a Triangle,
        order: Option<Vec<usize>>,
        dead: Vec<bool>,
    ) -> Self {
        Self {
            layout,
            range: CodeRange::new(layout.bits, layout.group),
            factor,
            order,
            dead,
        }
    }

    pub(super) fn buffers(&self) -> Buffers {
        Buffers {
            row: vec![0.0; self.layout.cols],
            weights: vec![[0.0; SIDE]; self.factor.len() * SIDE],
            errors: vec![[0.0; SIDE]; BATCH],
            codes: vec![[0; SIDE]; self.layout.padded_cols()],
            scales: vec![[0.0; SIDE]; self.layout.groups()],
        }
    }

    /// Quantises up to 16 rows, the first of which has this number.
    pub(super) fn quantize(
        &self,
        first_row: usize,
        weights: &[f32],
        buffers: &mut Buffers,
        block: RowBlock,
    ) -> Result<()> {
        let cols = self.layout.cols;
        buffers.weights.fill([0.0; SIDE]);
        buffers.scales.fill([0.0; SIDE]);
        for (lane, weights) in weights.chunks_exact(cols).enumerate() {
            self.load(first_row + lane, lane, weights, buffers)?;
        }
        for first in (0..cols).step_by(BATCH) {
            let end = cols.min(first + BATCH);
            let panels_end = end.div_ceil(SIDE);
            for panel in first / SIDE..panels_end {
                let steps = panel * SIDE..cols.min((panel + 1) * SIDE);
                for step in steps.clone() {
                    self.find_scales(first_row, step, buffers)?;
                    self.round(step, buffers);
                }
                self.spread(steps, panel + 1..panels_end, buffers);
            }
            self.spread(first..end, panels_end..self.factor.len(), buffers);
        }
        row_block::store_lanes(self.layout.bits, &buffers.codes, block.words);
        let found = buffers.scales.iter().flatten();
        for (to, scale) in block.scales.iter_mut().zip(found) {
            // Exact: they were fp16 before.
            *to = f16::from_f32(*scale);
        }
        Ok(())
    }

    /// Puts a row in its lane, in the order of quantising. With an order of our own, finds the scales now, while the
    /// columns of a group lie side by side.
    fn load(&self, row: usize, lane: usize, weights: &[f32], buffers: &mut Buffers) -> Result<()> {
        check_weights(row, weights)?;
        buffers.row.copy_from_slice(weights);
        for (weight, _) in buffers
            .row
            .iter_mut()
            .zip(&self.dead)
            .filter(|(_, dead)| **dead)
        {
            *weight = 0.0;
        }
        for (step, weights) in buffers.weights[..self.layout.cols].iter_mut().enumerate() {
            weights[lane] = buffers.row[self.column(step)];
        }
        if self.order.is_some() {
            let groups = buffers
                .row
                .chunks(self.layout.group.columns(self.layout.cols));
            for (weights, scales) in groups.zip(&mut buffers.scales) {
                scales[lane] = self.scale(row, weights)?;
            }
        }
        Ok(())
    }

    fn column(&self, step: usize) -> usize {
        self.order.as_ref().map_or(step, |order| order[step])
    }

    fn group(&self, column: usize) -> usize {
        column / self.layout.group.columns(self.layout.cols)
    }

    /// In the natural order, finds the scales of the group that begins at this step, if one does.
    fn find_scales(&self, first_row: usize, step: usize, buffers: &mut Buffers) -> Result<()> {
        let columns = self.layout.group.columns(self.layout.cols);
        if self.order.is_some() || !step.is_multiple_of(columns) {
            return Ok(());
        }
        let weights = &buffers.weights[step..self.layout.cols.min(step + columns)];
        let scales = &mut buffers.scales[self.group(step)];
        let group = &mut buffers.row[..weights.len()];
        let rows = self.layout.rows - first_row;
        for (lane, scale) in scales.iter_mut().take(rows).enumerate() {
            for (to, weights) in group.iter_mut().zip(weights) {
                *to = weights[lane];
            }
            *scale = self.scale(first_row + lane, group)?;
        }
        Ok(())
    }

    /// An error of earlier columns may in theory blow weights up beyond float32, which no scale can hold.
    fn scale(&self, row: usize, weights: &[f32]) -> Result<f32> {
        let finite = weights.iter().fold(true, |sound, w| sound & w.is_finite());
        finite
            .then(|| group_scale(self.layout.bits, self.layout.group, weights))
            .flatten()
            .map(f16::to_f32)
            .ok_or(Error::ScaleOverflow { row })
    }

    /// Rounds the column of `step`, and moves the columns behind it in its panel.
    fn round(&self, step: usize, buffers: &mut Buffers) {
        let column = self.column(step);
        let scales = &buffers.scales[self.group(column)];
        let (panel, lane) = (step / SIDE, step % SIDE);
        let (known, behind) =
            buffers.weights[panel * SIDE..(panel + 1) * SIDE].split_at_mut(lane + 1);
        let weights = &known[lane];
        let codes = &mut buffers.codes[column];
        let error = &mut buffers.errors[step % BATCH];
        let factors = &self.factor.panel(panel)[step];
        for row in 0..SIDE {
            let (weight, scale) = (weights[row], scales[row]);
            let code = self.range.code(weight, scale);
            codes[row] = code;
            error[row] = (weight - scale * f32::from(code)) / factors[lane];
        }
        for (weights, factor) in behind.iter_mut().zip(&factors[lane + 1..]) {
            add_scaled(weights, -factor, error);
        }
    }

    /// Moves the columns of these panels by the errors of these steps: `weights[j] -= Σ_k L[j][k] · errors[k]`.
    fn spread(&self, steps: Range<usize>, panels: Range<usize>, buffers: &mut Buffers) {
        let errors = &buffers.errors[steps.start % BATCH..][..steps.len()];
        for panel in panels {
            let tile = &mut buffers.weights[panel * SIDE..(panel + 1) * SIDE];
            let factors = &self.factor.panel(panel)[steps.clone()];
            add_product(tile, -1.0, factors, errors);
        }
    }
}
