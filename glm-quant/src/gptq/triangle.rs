//! The lower triangle of a large square matrix, in tiles.

use rayon::prelude::*;

use super::tile::{Lanes, SIDE, add_product, transpose};

/// A lower triangle `[n, n]`, `n` padded to a multiple of 16.
///
/// Panel `p` holds rows `16p .. 16p + 16` up to and including the diagonal tile, as `[column][16 rows]`.
#[derive(Debug, Clone)]
pub(super) struct Triangle {
    panels: Vec<Vec<Lanes>>,
}

impl Triangle {
    /// `n` rows of zeros.
    pub(super) fn zeros(n: usize) -> Self {
        let panels = 1..=n.div_ceil(SIDE);
        Self {
            panels: panels.map(|p| vec![[0.0; SIDE]; p * SIDE]).collect(),
        }
    }

    /// Panels of 16 rows.
    pub(super) fn len(&self) -> usize {
        self.panels.len()
    }

    /// The rows `16p .. 16p + 16`, as `[16 (p + 1)][16 rows]`.
    pub(super) fn panel(&self, p: usize) -> &[Lanes] {
        &self.panels[p]
    }

    /// All panels, for threads to fill.
    pub(super) fn panels_mut(&mut self) -> &mut [Vec<Lanes>] {
        &mut self.panels
    }

    /// The element in `row` and `column`, one not above the diagonal.
    pub(super) fn get(&self, row: usize, column: usize) -> f32 {
        self.panels[row / SIDE][column][row % SIDE]
    }

    /// The place of the element in `row` and `column`, one not above the diagonal.
    pub(super) fn get_mut(&mut self, row: usize, column: usize) -> &mut f32 {
        &mut self.panels[row / SIDE][column][row % SIDE]
    }

    /// Columns `16q .. 16q + 16` of the rows of the panels from `first`, appended to `to` as `[row][16 columns]`.
    pub(super) fn columns(&self, first: usize, end: usize, q: usize, to: &mut Vec<Lanes>) {
        for panel in &self.panels[first..end] {
            let at = to.len();
            to.resize(at + SIDE, [0.0; SIDE]);
            transpose(&panel[q * SIDE..(q + 1) * SIDE], &mut to[at..]);
        }
    }

    /// The inverse of [`Triangle::columns`]. On the diagonal tile, what is above the diagonal is written too.
    pub(super) fn set_columns(&mut self, first: usize, end: usize, q: usize, from: &[Lanes]) {
        for (panel, from) in self.panels[first..end].iter_mut().zip(from.chunks(SIDE)) {
            transpose(from, &mut panel[q * SIDE..(q + 1) * SIDE]);
        }
    }

    /// Adds `factor · Xᵀ·X` to the first rows, as many as `X` has columns: `x` is `[panel][depth][16 columns]`.
    pub(super) fn add_second_moments(&mut self, factor: f32, x: &[Lanes], depth: usize) {
        let count = x.len() / depth;
        self.panels[..count]
            .par_iter_mut()
            .with_max_len(1)
            .zip(x.par_chunks_exact(depth))
            .for_each(|(panel, rows)| {
                for (tile, columns) in panel.chunks_exact_mut(SIDE).zip(x.chunks_exact(depth)) {
                    add_product(tile, factor, columns, rows);
                }
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_moments_equal_plain_sums() {
        let (n, depth) = (40, 5);
        let x = |t: usize, c: usize| {
            if c < n {
                ((t * 7 + c * 3) % 11) as f32 - 5.0
            } else {
                0.0
            }
        };
        let packed: Vec<Lanes> = (0..3 * depth)
            .map(|i| std::array::from_fn(|lane| x(i % depth, i / depth * SIDE + lane)))
            .collect();
        let mut triangle = Triangle::zeros(n);
        triangle.add_second_moments(2.0, &packed, depth);
        triangle.add_second_moments(-1.0, &packed[..depth], depth); // The first panel only.
        for row in 0..48 {
            for column in 0..=row {
                let sum: f32 = (0..depth).map(|t| x(t, row) * x(t, column)).sum();
                let factor = if row < SIDE { 1.0 } else { 2.0 };
                assert_eq!(triangle.get(row, column), factor * sum, "{row} {column}");
            }
        }
    }

    #[test]
    fn columns_come_back() {
        let mut triangle = Triangle::zeros(64);
        for row in 0..64 {
            for column in 0..=row {
                *triangle.get_mut(row, column) = (row * 100 + column) as f32;
            }
        }
        let mut columns = Vec::new();
        triangle.columns(2, 4, 1, &mut columns);
        assert_eq!(columns[17][3], (49 * 100 + 19) as f32);
        let mut copy = Triangle::zeros(64);
        copy.set_columns(2, 4, 1, &columns);
        assert_eq!(copy.get(49, 19), triangle.get(49, 19));
        assert_eq!(copy.panel(3)[16..32], triangle.panel(3)[16..32]);
    }
}
