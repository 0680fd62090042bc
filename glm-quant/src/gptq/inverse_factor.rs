//! The lower triangular `L` with `H⁻¹ = L·Lᵀ`, without ever writing the inverse.
//!
//! `H = Kᵀ·K` with a lower triangular `K`: Cholesky's method, begun at the last row. Then `H⁻¹ = K⁻¹·K⁻ᵀ`, so `L = K⁻¹`.
//! Both steps go by blocks of 128 rows, nearly all of their work is products of tiles, and the triangle is overwritten
//! in place. They cost `2/3 · n³` operations, half of what inverting first and factoring then would.

use rayon::prelude::*;

use super::tile::{Lanes, SIDE, add_product, add_scaled};
use super::triangle::Triangle;

/// Panels in a block of rows.
const BLOCK_PANELS: usize = 8;

/// `L` of `H⁻¹ = L·Lᵀ`, in place of `H`; `None` if `H` is not positive definite.
pub(super) fn inverse_factor(mut h: Triangle) -> Option<Triangle> {
    factor(&mut h)?;
    invert(&mut h);
    Some(h)
}

/// `K` of `H = Kᵀ·K`, in place of `H`.
fn factor(h: &mut Triangle) -> Option<()> {
    for first in (0..h.len()).step_by(BLOCK_PANELS).rev() {
        let end = h.len().min(first + BLOCK_PANELS);
        let depth = (end - first) * SIDE;
        let mut corner = Corner::of(h, first, end);
        corner.factor()?;
        corner.write(h, first);

        // The rows of K left of the corner: cornerᵀ · rows = the rows of H.
        let mut rows = vec![[0.0; SIDE]; first * depth]; // [panel][depth][16 columns]
        let panels = rows.par_chunks_exact_mut(depth).enumerate();
        panels.for_each(|(q, panel)| {
            let mut columns = Vec::with_capacity(depth);
            h.columns(first, end, q, &mut columns);
            corner.solve_transposed(&mut columns);
            panel.copy_from_slice(&columns);
        });
        if first > 0 {
            for (q, panel) in rows.chunks_exact(depth).enumerate() {
                h.set_columns(first, end, q, panel);
            }
            h.add_second_moments(-1.0, &rows, depth);
        }
    }
    Some(())
}

/// `K⁻¹` in place of `K`.
fn invert(k: &mut Triangle) {
    for first in (0..k.len()).step_by(BLOCK_PANELS) {
        let end = k.len().min(first + BLOCK_PANELS);
        let depth = (end - first) * SIDE;
        let corner = Corner::of(k, first, end);

        // corner · rows of the inverse = - rows of K · the inverse above them.
        let rows: Vec<Vec<Lanes>> = (0..first)
            .into_par_iter()
            .with_max_len(1)
            .map(|q| {
                let mut above = Vec::with_capacity((first - q) * SIDE);
                k.columns(q, first, q, &mut above);
                let mut rows = vec![[0.0; SIDE]; depth];
                for (tile, p) in rows.chunks_exact_mut(SIDE).zip(first..end) {
                    add_product(tile, -1.0, &k.panel(p)[q * SIDE..first * SIDE], &above);
                }
                corner.solve(&mut rows);
                rows
            })
            .collect();
        for (q, rows) in rows.iter().enumerate() {
            k.set_columns(first, end, q, rows);
        }
        corner.inverse().write(k, first);
    }
}

/// A block on the diagonal, `[n, n]` row after row in float64, zero above the diagonal.
struct Corner {
    n: usize,
    values: Vec<f64>,
}

impl Corner {
    fn of(triangle: &Triangle, first: usize, end: usize) -> Self {
        let n = (end - first) * SIDE;
        let mut values = vec![0.0; n * n];
        for row in 0..n {
            for column in 0..=row {
                let (row_of_all, column_of_all) = (first * SIDE + row, first * SIDE + column);
                values[row * n + column] = f64::from(triangle.get(row_of_all, column_of_all));
            }
        }
        Self { n, values }
    }

    #[allow(clippy::cast_possible_truncation)] // Rounded to the precision of the triangle.
    fn write(&self, triangle: &mut Triangle, first: usize) {
        let n = self.n;
        for row in 0..n {
            // To the end of the diagonal tile: there the triangle held the mirrored elements.
            for column in 0..(row / SIDE + 1) * SIDE {
                let value = self.values[row * n + column];
                *triangle.get_mut(first * SIDE + row, first * SIDE + column) = value as f32;
            }
        }
    }

    fn factor(&mut self) -> Option<()> {
        let n = self.n;
        for pivot in (0..n).rev() {
            let (above, row) = self.values.split_at_mut(pivot * n);
            let row = &mut row[..=pivot];
            // Also refuses NaN.
            if !(row[pivot] > 0.0 && row[pivot].is_finite()) {
                return None;
            }
            let root = row[pivot].sqrt();
            row[..pivot].iter_mut().for_each(|value| *value /= root);
            row[pivot] = root;
            for (i, values) in above.chunks_exact_mut(n).enumerate() {
                let factor = row[i];
                for (value, other) in values[..=i].iter_mut().zip(row.iter()) {
                    *value -= factor * other;
                }
            }
        }
        Some(())
    }

    fn inverse(&self) -> Self {
        let n = self.n;
        let mut inverse = vec![0.0; n * n];
        for row in 0..n {
            let (above, this) = inverse.split_at_mut(row * n);
            let factors = &self.values[row * n..=row * n + row];
            for (factor, above) in factors.iter().zip(above.chunks_exact(n)) {
                for (value, above) in this[..row].iter_mut().zip(above) {
                    *value -= factor * above;
                }
            }
            let pivot = factors[row];
            this[..row].iter_mut().for_each(|value| *value /= pivot);
            this[row] = 1.0 / pivot;
        }
        Self { n, values: inverse }
    }

    /// Solves `corner · x = b` for 16 right sides, in place.
    #[allow(clippy::cast_possible_truncation)] // As precise as the right sides.
    fn solve(&self, b: &mut [Lanes]) {
        for (row, values) in self.values.chunks_exact(self.n).enumerate() {
            let (known, rest) = b.split_at_mut(row);
            let x = &mut rest[0];
            for (value, known) in values.iter().zip(known.iter()) {
                add_scaled(x, -*value as f32, known);
            }
            let pivot = values[row] as f32;
            x.iter_mut().for_each(|x| *x /= pivot);
        }
    }

    /// Solves `cornerᵀ · x = b` for 16 right sides, in place.
    #[allow(clippy::cast_possible_truncation)] // As precise as the right sides.
    fn solve_transposed(&self, b: &mut [Lanes]) {
        for (row, values) in self.values.chunks_exact(self.n).enumerate().rev() {
            let (unknown, rest) = b.split_at_mut(row);
            let x = &mut rest[0];
            let pivot = values[row] as f32;
            x.iter_mut().for_each(|x| *x /= pivot);
            for (value, unknown) in values.iter().zip(unknown) {
                add_scaled(unknown, -*value as f32, x);
            }
        }
    }
}
