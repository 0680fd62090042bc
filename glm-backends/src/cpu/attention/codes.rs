//! Queries and weights as 16-bit codes, for the products with the codes of [`CacheSlice::Int16`].
//!
//! A product of two codes and the sum of all of them must fit into 32 bits. Keys and values have 14 bits, so the codes of a
//! query, or of the weights of a block of values, may together be as large as [`LARGEST_SUM`]. Sums of integers are the
//! same in any order, so the paths for few and for many queries give the same bits.

use std::ops::Range;

use crate::cpu::{
    cache_slice::{CacheSlice, LARGEST_CODE},
    lanes::{LANES, Lanes, ROUND, round_to_i16},
};

/// The largest sum of the codes, without their signs, that are multiplied with codes of the cache and added up.
const LARGEST_SUM: i32 = i32::MAX / LARGEST_CODE as i32;

/// Values that are added up as integers: their weights share a scale.
pub(super) const BLOCK: usize = 128;

/// The largest weight of a block counts as no less, so that weights that are all zero have a scale.
const LEAST_WEIGHT: f32 = 1e-30;

/// Some rows of a cache: `codes` is `[rows, head_dim]`.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub codes: &'a [i16],
    pub scales: &'a [f32],
    pub head_dim: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn of(cache: CacheSlice<'a>, head_dim: usize) -> Self {
        let CacheSlice::Int16 { codes, scales } = cache else {
            unreachable!("keys and values have the same precision");
        };
        Self {
            codes,
            scales,
            head_dim,
        }
    }

    pub(super) fn some(self, rows: Range<usize>) -> Self {
        Self {
            codes: &self.codes[rows.start * self.head_dim..rows.end * self.head_dim],
            scales: &self.scales[rows],
            ..self
        }
    }
}

/// Writes the codes of a query, and zeros behind them; returns the scale: `value = code · scale`. It is not a number where
/// one of the values is none.
#[cfg_attr(not(unoptimised), inline(always))]
pub(super) fn quantize_query<L: Lanes>(lanes: L, query: &[f32], codes: &mut [i16]) -> f32 {
    let (mut largest, mut sum) = (lanes.splat(0.0), lanes.splat(0.0));
    for values in query.chunks(LANES) {
        let values = lanes.load_part(values, 0.0);
        let magnitudes = lanes.max(values, lanes.sub(lanes.splat(0.0), values));
        largest = lanes.max(magnitudes, largest);
        sum = lanes.add(sum, magnitudes);
    }
    let (largest, sum) = (lanes.largest(largest), lanes.sum(sum));
    // Every code is rounded by a half at most.
    let sum_of_codes = LARGEST_SUM as f32 - query.len() as f32;
    let scale = (largest / f32::from(i16::MAX)).max(sum / sum_of_codes);
    let scale = scale.max(f32::MIN_POSITIVE) + sum * 0.0;
    codes[query.len()..].fill(0);
    for (code, value) in codes.iter_mut().zip(query) {
        *code = round_to_i16(value / scale);
    }
    scale
}

/// What the weights of a block become codes by, for a query in each lane.
pub(super) struct BlockScale<V> {
    /// `code = round(weight · factor)`
    pub factor: V,
    /// `weight = code · scale`
    pub scale: V,
}

impl<V: Copy> BlockScale<V> {
    /// The factor for codes of 15 bits, where `largest` is the largest weight.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn finest<L: Lanes<Vector = V>>(lanes: L, largest: V) -> V {
        let largest = lanes.max(largest, lanes.splat(LEAST_WEIGHT));
        lanes.div(lanes.splat(f32::from(i16::MAX)), largest)
    }

    /// As fine as the sum of the codes allows, where `sum` is that of the finest: an integer, or not a number where one of
    /// the weights is none.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn new<L: Lanes<Vector = V>>(lanes: L, finest: V, sum: V) -> Self {
        // Both times that a code is rounded it may grow by a half.
        const MOST: f32 = (LARGEST_SUM - BLOCK as i32) as f32;
        const _: () = assert!(BLOCK as i32 * (i16::MAX as i32 + 1) / 16 <= LARGEST_SUM);
        let mut part = lanes.splat(0.0625);
        for (most, larger) in [
            (8.0 * MOST, 0.125),
            (4.0 * MOST, 0.25),
            (2.0 * MOST, 0.5),
            (MOST, 1.0),
        ] {
            part = lanes.select_less(sum, lanes.splat(most), lanes.splat(larger), part);
        }
        let factor = lanes.mul(finest, part);
        let scale = lanes.div(lanes.splat(1.0), factor);
        let scale = lanes.mul_add(sum, lanes.splat(0.0), scale);
        Self { factor, scale }
    }
}

/// `weights · factor`, rounded to integers, which are below 2^15.
#[cfg_attr(not(unoptimised), inline(always))]
pub(super) fn rounded<L: Lanes>(lanes: L, weights: L::Vector, factor: L::Vector) -> L::Vector {
    let round = lanes.splat(ROUND);
    lanes.sub(lanes.mul_add(weights, factor, round), round)
}
