//! The one inner loop of GPTQ: a tile of 16 × 16 numbers gains a product of two panels.
//!
//! Everything here is `[n][16]`: 16 lanes side by side, so that the compiler turns loops over lanes into vectors. No
//! products are fused with their sums, so results are the same on every processor.

/// Numbers side by side; also the rows of a packed block.
pub(super) const SIDE: usize = crate::BLOCK_ROWS;

/// 16 numbers side by side.
pub(super) type Lanes = [f32; SIDE];

/// Rows of the tile that are summed at a time: four rows of sums fill the registers of x86-64's base level.
const STRIP: usize = 4;

/// `tile[m] += factor · Σ_k left[k][m] · right[k]`.
pub(super) fn add_product(tile: &mut [Lanes], factor: f32, left: &[Lanes], right: &[Lanes]) {
    for (strip, rows) in tile.chunks_exact_mut(STRIP).enumerate() {
        let mut sums = [[0.0; SIDE]; STRIP];
        for (left, right) in left.iter().zip(right) {
            for (m, sums) in sums.iter_mut().enumerate() {
                let left = left[strip * STRIP + m];
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum += left * right;
                }
            }
        }
        for (row, sums) in rows.iter_mut().zip(sums) {
            add_scaled(row, factor, &sums);
        }
    }
}

/// `to += factor · from`.
#[inline]
pub(super) fn add_scaled(to: &mut Lanes, factor: f32, from: &Lanes) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

/// Writes a tile's transpose.
pub(super) fn transpose(from: &[Lanes], to: &mut [Lanes]) {
    for (column, from) in from.iter().enumerate() {
        for (to, value) in to.iter_mut().zip(from) {
            to[column] = *value;
        }
    }
}
