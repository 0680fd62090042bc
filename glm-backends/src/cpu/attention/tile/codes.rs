//! The two products of a tile in integers, for a cache of 16-bit codes: two dims of a key at a time, or two keys of a
//! value.

use std::ops::Range;

use super::{
    super::codes::{BLOCK, BlockScale, Rows, quantize_query, rounded},
    Piece, Queries, QueryTile, exponentials,
};
use crate::cpu::{
    cache_slice::CacheSlice,
    lanes::{LANES, Lanes, Pair},
    prefetch::Ahead,
};

/// Keys, or queries with weights, that are multiplied together: where registers are many, and where they are few.
const MANY_ROWS: usize = 16;
const FEW_ROWS: usize = 4;

/// Pairs that are multiplied from one look ahead to the next.
const STEPS: usize = 8;

/// A pair for each of `V` vectors of queries, in whole lines of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Pairs<const V: usize>([[Pair; LANES]; V]);

impl<const V: usize> Pairs<V> {
    const ZEROS: Self = Self([[[0; 2]; LANES]; V]);
}

/// Two keys of 16 dims of a value, in whole lines of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct ValuePairs([Pair; LANES]);

/// Memory that is kept between calls.
#[derive(Default)]
pub(super) struct CodeScratch<const V: usize> {
    /// The values of a piece, or of a block where a single tile reads the cache.
    values: Vec<ValuePairs>,
    weights: WeightCodes<V>,
}

impl<const V: usize> CodeScratch<V> {
    /// Lets the queries of some tiles see a piece.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn attend<L: Lanes>(
        &mut self,
        lanes: L,
        tiles: &mut [QueryTile<V>],
        piece: Piece<'_>,
        scores: &mut [Queries<V>],
    ) {
        let is_loaded = tiles.len() > 1;
        if is_loaded {
            let values = Rows::of(piece.values, piece.head_dim);
            load(lanes, values, &mut self.values);
        }
        for tile in tiles {
            tile.see_codes(lanes, piece, is_loaded, scores, self);
        }
    }
}

impl<const V: usize> QueryTile<V> {
    /// Takes in a piece. Its values have been put together, or are now, block by block: then this is the only tile, and
    /// asks for what comes next.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn see_codes<L: Lanes>(
        &mut self,
        lanes: L,
        piece: Piece<'_>,
        is_loaded: bool,
        scores: &mut [Queries<V>],
        scratch: &mut CodeScratch<V>,
    ) {
        let len = self.end.saturating_sub(piece.first).min(piece.len);
        if len == 0 {
            return;
        }
        let head_dim = piece.head_dim;
        let [keys, values] = [piece.keys, piece.values].map(|cache| Rows::of(cache, head_dim));
        let scores = &mut scores[..len];
        let blocks = || (0..len.div_ceil(BLOCK)).map(|b| b * BLOCK..len.min((b + 1) * BLOCK));
        // With a block the next one of the same kind, and with the last one what comes behind it.
        let ahead =
            |block: &Range<usize>, this: CacheSlice<'_>, then: (CacheSlice<'_>, usize), times| {
                let (next, row) = match block.end < len {
                    true => (this, block.end),
                    false => then,
                };
                match is_loaded {
                    true => Ahead::NOTHING,
                    false => next.ahead(row..row + BLOCK, head_dim, times),
                }
            };
        let times = steps::<L, V>(head_dim);
        for block in blocks() {
            let mut ahead = ahead(&block, piece.keys, (piece.values, 0), times[0]);
            let keys = keys.some(block.clone());
            self.codes
                .scores(lanes, keys, &mut scores[block], &mut ahead);
        }
        let of_piece = exponentials(lanes, scores, self.ends_within(piece, len));
        let vectors = head_dim.div_ceil(LANES);
        let sums = self.sums_of_halves[0].as_chunks_mut().0;
        for block in blocks() {
            let mut ahead = ahead(&block, piece.values, (piece.keys, len), times[1]);
            let goes_on = block.start > 0;
            let values = values.some(block.clone());
            let first = match is_loaded {
                true => block.start / 2 * vectors,
                false => {
                    load(lanes, values, &mut scratch.values);
                    0
                }
            };
            let pairs = &scratch.values[first..][..block.len().div_ceil(2) * vectors];
            let weights = &mut scratch.weights;
            weights.take(lanes, &mut scores[block], values.scales);
            weights.add_weighted(lanes, (pairs, vectors), goes_on, sums, &mut ahead);
        }
        self.join(lanes, of_piece);
    }
}

/// The queries of a tile.
#[derive(Default)]
pub(super) struct QueryCodes<const V: usize> {
    /// `[head_dim / 2]`
    pairs: Vec<Pairs<V>>,
    scales: Queries<V>,
    row: Vec<i16>,
}

impl<const V: usize> QueryCodes<V> {
    /// Takes queries, `[up to V * LANES, head_dim]`.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn take<L: Lanes>(&mut self, lanes: L, rows: &[f32], head_dim: usize, scale: f32) {
        let pairs = head_dim.div_ceil(2);
        self.pairs.clear();
        self.pairs.resize(pairs, Pairs::ZEROS);
        self.row.resize(2 * pairs, 0);
        self.scales = Queries::ZEROS;
        let scales = self.scales.0.as_flattened_mut();
        for (lane, row) in rows.chunks_exact(head_dim).enumerate() {
            scales[lane] = scale * quantize_query(lanes, row, &mut self.row);
            for (pairs, pair) in self.pairs.iter_mut().zip(self.row.as_chunks().0) {
                pairs.0.as_flattened_mut()[lane] = *pair;
            }
        }
    }

    /// `keys · query`
    #[cfg_attr(not(unoptimised), inline(always))]
    fn scores<L: Lanes>(
        &self,
        lanes: L,
        keys: Rows<'_>,
        scores: &mut [Queries<V>],
        ahead: &mut Ahead,
    ) {
        // Loops of a known length for the heads of the published models.
        let known = |head_dim| Rows { head_dim, ..keys };
        match keys.head_dim {
            128 => self.scores_of_width(lanes, known(128), scores, ahead),
            _ => self.scores_of_width(lanes, keys, scores, ahead),
        }
    }

    #[cfg_attr(not(unoptimised), inline(always))]
    fn scores_of_width<L: Lanes>(
        &self,
        lanes: L,
        keys: Rows<'_>,
        scores: &mut [Queries<V>],
        ahead: &mut Ahead,
    ) {
        let together = rows_together::<L>();
        for (part, scores) in scores.chunks_mut(together).enumerate() {
            let first = part * together;
            let keys = keys.some(first..first + scores.len());
            if scores.len() < together {
                for (key, scores) in scores.chunks_mut(1).enumerate() {
                    let key = keys.some(key..key + 1);
                    self.scores_of_rows::<L, 1>(lanes, key, scores, ahead);
                }
            } else if L::MANY_REGISTERS {
                self.scores_of_rows::<L, MANY_ROWS>(lanes, keys, scores, ahead);
            } else {
                self.scores_of_rows::<L, FEW_ROWS>(lanes, keys, scores, ahead);
            }
        }
    }

    /// The scores of `R` keys.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn scores_of_rows<L: Lanes, const R: usize>(
        &self,
        lanes: L,
        keys: Rows<'_>,
        scores: &mut [Queries<V>],
        ahead: &mut Ahead,
    ) {
        let Rows {
            codes: keys,
            scales,
            head_dim,
        } = keys;
        let (scores, scales) = (&mut scores[..R], &scales[..R]);
        let mut rows: [&[Pair]; R] = [&[]; R];
        for row in 0..R {
            rows[row] = keys[row * head_dim..][..head_dim].as_chunks().0;
        }
        for vector in 0..V {
            let mut sums = [lanes.no_ints(); R];
            let whole = head_dim / 2;
            for first in (0..whole).step_by(STEPS) {
                ahead.ask_for_later();
                for pair in first..whole.min(first + STEPS) {
                    let query = lanes.load_pairs(&self.pairs[pair].0[vector]);
                    for row in 0..R {
                        let key = lanes.splat_pair(rows[row][pair]);
                        sums[row] = lanes.add_products(query, key, sums[row]);
                    }
                }
            }
            if !head_dim.is_multiple_of(2) {
                let query = lanes.load_pairs(&self.pairs[whole].0[vector]);
                for row in 0..R {
                    let key = lanes.splat_pair([keys[(row + 1) * head_dim - 1], 0]);
                    sums[row] = lanes.add_products(query, key, sums[row]);
                }
            }
            let scales_of_queries = lanes.load(&self.scales.0[vector]);
            for row in 0..R {
                let sum = lanes.mul(lanes.to_floats(sums[row]), scales_of_queries);
                let score = lanes.mul(sum, lanes.splat(scales[row]));
                lanes.store(score, &mut scores[row].0[vector]);
            }
        }
    }
}

/// Copies rows of values, two and two put together, the dims padded to whole vectors: `[rows / 2, padded head_dim]`.
#[cfg_attr(not(unoptimised), inline(always))]
fn load<L: Lanes>(lanes: L, rows: Rows<'_>, out: &mut Vec<ValuePairs>) {
    let Rows {
        codes, head_dim, ..
    } = rows;
    let vectors = head_dim.div_ceil(LANES);
    let len = rows.scales.len().div_ceil(2) * vectors;
    if out.len() < len {
        out.resize(len, ValuePairs([[0; 2]; LANES]));
    }
    for (rows, out) in codes
        .chunks(2 * head_dim)
        .zip(out.chunks_exact_mut(vectors))
    {
        let (front, back) = rows.split_at(head_dim);
        let whole = front.as_chunks().0.iter().zip(back.as_chunks().0);
        let done = whole.len();
        for ((front, back), out) in whole.zip(&mut *out) {
            lanes.store_pairs(lanes.pair_up(front, back), &mut out.0);
        }
        for (vector, out) in out.iter_mut().enumerate().skip(done) {
            let pairs = lanes.pair_up(&part(front, vector), &part(back, vector));
            lanes.store_pairs(pairs, &mut out.0);
        }
    }
}

/// Part number `vector` of a row of codes, zeros where it has none.
fn part(row: &[i16], vector: usize) -> [i16; LANES] {
    let mut part = [0; LANES];
    let codes = row.chunks(LANES).nth(vector).unwrap_or_default();
    part[..codes.len()].copy_from_slice(codes);
    part
}

/// The weights of a block of values.
struct WeightCodes<const V: usize> {
    /// Two keys in each.
    pairs: [Pairs<V>; BLOCK / 2],
    scales: Queries<V>,
}

impl<const V: usize> Default for WeightCodes<V> {
    fn default() -> Self {
        Self {
            pairs: [Pairs::ZEROS; BLOCK / 2],
            scales: Queries::ZEROS,
        }
    }
}

impl<const V: usize> WeightCodes<V> {
    /// Takes the weights of up to [`BLOCK`] keys, and multiplies them with the scales of the values.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn take<L: Lanes>(&mut self, lanes: L, weights: &mut [Queries<V>], scales: &[f32]) {
        for vector in 0..V {
            let mut largest = lanes.splat(0.0);
            for (weights, scale) in weights.iter_mut().zip(scales) {
                let weight = lanes.mul(lanes.load(&weights.0[vector]), lanes.splat(*scale));
                lanes.store(weight, &mut weights.0[vector]);
                largest = lanes.max(weight, largest);
            }
            let finest = BlockScale::finest(lanes, largest);
            let mut sum = lanes.splat(0.0);
            for weights in &*weights {
                let weights = lanes.load(&weights.0[vector]);
                sum = lanes.add(sum, rounded(lanes, weights, finest));
            }
            let BlockScale { factor, scale } = BlockScale::new(lanes, finest, sum);
            lanes.store(scale, &mut self.scales.0[vector]);
            for (weights, pairs) in weights.chunks(2).zip(&mut self.pairs) {
                let front = lanes.mul(lanes.load(&weights[0].0[vector]), factor);
                let back = match weights.get(1) {
                    Some(weights) => lanes.mul(lanes.load(&weights.0[vector]), factor),
                    None => lanes.splat(0.0),
                };
                lanes.store_pairs(lanes.round_to_pairs(front, back), &mut pairs.0[vector]);
            }
        }
    }

    /// `sums ← sums + weightsᵀ · values`, or without `sums` where nothing `goes_on`, for as many values, put together by
    /// [`load`]. `sums` is `[V * LANES, dims]`, the dims in `vectors` whole vectors.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn add_weighted<L: Lanes>(
        &self,
        lanes: L,
        values: (&[ValuePairs], usize),
        goes_on: bool,
        sums: &mut [[f32; LANES]],
        ahead: &mut Ahead,
    ) {
        if L::MANY_REGISTERS {
            self.add_rows::<L, MANY_ROWS>(lanes, values, goes_on, sums, ahead);
        } else {
            self.add_rows::<L, FEW_ROWS>(lanes, values, goes_on, sums, ahead);
        }
    }

    /// `R` queries at a time.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn add_rows<L: Lanes, const R: usize>(
        &self,
        lanes: L,
        (values, vectors): (&[ValuePairs], usize),
        goes_on: bool,
        sums: &mut [[f32; LANES]],
        ahead: &mut Ahead,
    ) {
        let scales = self.scales.0.as_flattened().as_chunks::<R>().0;
        for vector in 0..vectors {
            for (part, sums) in sums.chunks_exact_mut(R * vectors).enumerate() {
                let mut totals = [lanes.no_ints(); R];
                let values = values.chunks(STEPS * vectors);
                for (values, weights) in values.zip(self.pairs.chunks(STEPS)) {
                    ahead.ask_for_later();
                    for (values, weights) in values.chunks_exact(vectors).zip(weights) {
                        let values = lanes.load_pairs(&values[vector].0);
                        let weights = &weights.0.as_flattened().as_chunks::<R>().0[part];
                        for query in 0..R {
                            let weight = lanes.splat_pair(weights[query]);
                            totals[query] = lanes.add_products(weight, values, totals[query]);
                        }
                    }
                }
                for query in 0..R {
                    let sums = &mut sums[query * vectors + vector];
                    let scale = lanes.splat(scales[part][query]);
                    let total = lanes.to_floats(totals[query]);
                    let before = if goes_on {
                        lanes.load(sums)
                    } else {
                        lanes.splat(0.0)
                    };
                    lanes.store(lanes.mul_add(total, scale, before), sums);
                }
            }
        }
    }
}

/// Keys, or queries with weights, that are multiplied together.
const fn rows_together<L: Lanes>() -> usize {
    if L::MANY_REGISTERS {
        MANY_ROWS
    } else {
        FEW_ROWS
    }
}

/// How often [`QueryCodes::scores`] looks ahead for the keys of a block, and [`WeightCodes::add_weighted`] for its values.
const fn steps<L: Lanes, const V: usize>(head_dim: usize) -> [usize; 2] {
    let rows = rows_together::<L>();
    let of_scores = BLOCK / rows * V * (head_dim / 2).div_ceil(STEPS);
    let of_values = head_dim.div_ceil(LANES) * (V * LANES / rows) * (BLOCK / 2 / STEPS);
    [of_scores, of_values]
}
