//! Sixteen or thirty-two queries over the same keys, a query in each lane: two matrix products in tiles that stay in the
//! cache of a core.
//!
//! The queries are transposed once, scores and results are kept as `[key, query]` and `[dim, query]`, and so the largest
//! score, the sum and the correction of what is already added up are plain vectors, and neither keys nor values are
//! transposed.
//!
//! Every sum is added up in the order of [`super::decode`], where lanes are dims or keys, so both give the same bits.

use std::ops::Range;

use half::f16;

use super::{Call, HALF, PIECE, Total};
use crate::cpu::{
    cache_slice::{CacheSlice, Element},
    exp::exp,
    lanes::{LANES, Lanes},
    prefetch::{Ahead, DISTANCE, prefetch_behind},
};

mod products;

use products::{score_tiles, value_tile};

/// Keys in a block: in f32 they stay in the fastest cache.
const BLOCK: usize = 32;

/// Steps in which a block of keys is scored where registers are many: tiles of 8 keys, 8 parts of the dims.
const SCORE_STEPS: usize = BLOCK / 8 * 8;

/// Values that are weighted in a step.
const VALUE_STEP: usize = 4;

/// Dims of a tile of the second product, at most.
const DIMS: usize = 16;

/// A value for each of `V` vectors of queries, in whole lines of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Queries<const V: usize>([[f32; LANES]; V]);

impl<const V: usize> Queries<V> {
    const ZEROS: Self = Self([[0.0; LANES]; V]);
    const NO_SCORES: Self = Self([[f32::MIN; LANES]; V]);

    fn of(&self, query: usize) -> f32 {
        self.0[query / LANES][query % LANES]
    }
}

/// Some dims of a key or a value. Heads are cut into strips and the last one is padded with zeros: so the products read
/// rows at distances that are known when they are compiled.
type Strip = [f32; STRIP];

/// Dims of a strip.
const STRIP: usize = 64;

/// Memory for tiles of `V` vectors of queries, kept from call to call.
pub(super) struct Scratch<const V: usize> {
    /// A block of keys or all keys of a piece, in f32 but without the scales of INT8: `[strips, PIECE]`.
    keys: Vec<Strip>,
    /// The values that belong to them.
    values: Vec<Strip>,
    /// `[PIECE]`
    scores: Vec<Queries<V>>,
    /// The queries of a tile, `[V * LANES, head_dim]`: they come from places far apart, which is faster row by row.
    rows: Vec<f32>,
    tiles: Vec<QueryTile<V>>,
}

impl<const V: usize> Default for Scratch<V> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            values: Vec::new(),
            scores: vec![Queries::ZEROS; PIECE],
            rows: Vec::new(),
            tiles: Vec::new(),
        }
    }
}

impl<const V: usize> Scratch<V> {
    /// Queries of a tile.
    const QUERIES: usize = V * LANES;

    /// Lets `count` queries of a key head see those of the keys in `range` that are for them, a piece after the other.
    /// `query` says which token of the step each is, and which head. `range` begins where a piece begins.
    #[inline(always)]
    pub(super) fn attend<L: Lanes>(
        &mut self,
        lanes: L,
        call: &Call<'_>,
        (batch, kv_head): (usize, usize),
        range: Range<usize>,
        count: usize,
        query: impl Fn(usize) -> (usize, usize),
    ) {
        let Self {
            keys,
            values,
            scores,
            rows,
            tiles,
        } = self;
        let head_dim = call.layout.head_dim;
        rows.resize(Self::QUERIES * head_dim, 0.0);
        let used = count.div_ceil(Self::QUERIES);
        tiles.resize_with(tiles.len().max(used), QueryTile::default);
        let tiles = &mut tiles[..used];
        for (index, tile) in tiles.iter_mut().enumerate() {
            let first = index * Self::QUERIES;
            let numbers = first..count.min(first + Self::QUERIES);
            tile.start(call, batch, numbers.map(&query), rows);
        }
        for strips in [&mut *keys, &mut *values] {
            if !head_dim.is_multiple_of(STRIP) {
                strips.clear(); // Zeros where heads are padded, whatever the last call left.
            }
            strips.resize(PIECE * head_dim.div_ceil(STRIP), [0.0; STRIP]);
        }
        let end = tiles.iter().map(|tile| tile.end).max().unwrap_or(0);
        let end = end.min(range.end);
        for first in (range.start..end).step_by(PIECE) {
            let row = call.row(batch, kv_head, first);
            let len = PIECE.min(end - first);
            let [cached_keys, cached_values] =
                [call.keys, call.values].map(|cache| cache.rows(row..row + len, head_dim));
            // Several tiles share what is loaded; for a single one, a block is loaded when its turn comes. While it is
            // multiplied, the next one is asked for little by little: all at once would keep the core waiting.
            let is_shared = tiles.len() > 1;
            if is_shared {
                load::<L, true>(lanes, cached_keys, 0..len, head_dim, 0, keys);
                load::<L, true>(lanes, cached_values, 0..len, head_dim, 0, values);
            }
            for tile in &mut *tiles {
                let len = tile.end.saturating_sub(first).min(len);
                if len == 0 {
                    continue;
                }
                for block in blocks(0..len) {
                    let (mut place, mut ahead) = (block.start, Ahead::NOTHING);
                    if !is_shared {
                        place = 0;
                        load::<L, false>(lanes, cached_keys, block.clone(), head_dim, 0, keys);
                        let (next, row) = match block.end < len {
                            true => (cached_keys, block.end),
                            false => (cached_values, 0),
                        };
                        ahead = next.ahead(row..row + BLOCK, head_dim, SCORE_STEPS);
                    }
                    tile.score(lanes, keys, place, &mut scores[block], &mut ahead);
                }
                let scores = &mut scores[..len];
                let of_piece = tile.weights(lanes, first, cached_keys, cached_values, scores);
                for half in 0..2 {
                    tile.sums_of_halves[half].fill(Queries::ZEROS);
                    for block in blocks(half * HALF..len.min((half + 1) * HALF)) {
                        let (mut place, mut ahead) = (block.start, Ahead::NOTHING);
                        if !is_shared {
                            place = 0;
                            let rows = block.clone();
                            load::<L, false>(lanes, cached_values, rows, head_dim, 0, values);
                            // Behind the last values, the keys of the next piece.
                            let (next, row) = match block.end < len {
                                true => (cached_values, block.end),
                                false => (cached_keys, len),
                            };
                            let steps = BLOCK / VALUE_STEP * head_dim.div_ceil(DIMS);
                            ahead = next.ahead(row..row + BLOCK, head_dim, steps);
                        }
                        tile.add_weighted(lanes, values, place, &scores[block], half, &mut ahead);
                    }
                }
                tile.join(lanes, of_piece);
            }
        }
    }

    /// What query `number` has seen: the weighted sum of the values, to `out`, the largest score, and the sum of the
    /// exponentials.
    pub(super) fn seen(&self, number: usize, out: &mut [f32]) -> (f32, f32) {
        let tile = &self.tiles[number / Self::QUERIES];
        let lane = number % Self::QUERIES;
        for (out, sums) in out.iter_mut().zip(&tile.sum_of_values) {
            *out = sums.of(lane);
        }
        (tile.largest.of(lane), tile.sum.of(lane))
    }
}

/// The blocks of a range of keys.
fn blocks(keys: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = keys.end;
    keys.step_by(BLOCK)
        .map(move |first| first..end.min(first + BLOCK))
}

/// Copies some rows of `cache` in f32 into strips, the first to place `place`; with `AHEAD` it asks for those behind them.
#[inline(always)]
fn load<L: Lanes, const AHEAD: bool>(
    lanes: L,
    cache: CacheSlice<'_>,
    rows: Range<usize>,
    head_dim: usize,
    place: usize,
    out: &mut [Strip],
) {
    let values = rows.start * head_dim..rows.end * head_dim;
    match cache {
        CacheSlice::F32(rows) => {
            load_values::<L, _, AHEAD>(lanes, &rows[values], head_dim, place, out)
        }
        CacheSlice::F16(rows) => {
            load_values::<L, _, AHEAD>(lanes, &rows[values], head_dim, place, out)
        }
        CacheSlice::Int8 { codes, .. } => {
            load_values::<L, _, AHEAD>(lanes, &codes[values], head_dim, place, out);
        }
    }
}

#[inline(always)]
fn load_values<L: Lanes, E: Element, const AHEAD: bool>(
    lanes: L,
    rows: &[E],
    head_dim: usize,
    place: usize,
    out: &mut [Strip],
) {
    // Loops of a known length for the heads of the published models.
    match head_dim {
        128 => load_rows::<L, E, AHEAD>(lanes, rows, 128, place, out),
        _ => load_rows::<L, E, AHEAD>(lanes, rows, head_dim, place, out),
    }
}

#[inline(always)]
fn load_rows<L: Lanes, E: Element, const AHEAD: bool>(
    lanes: L,
    rows: &[E],
    head_dim: usize,
    place: usize,
    out: &mut [Strip],
) {
    for (key, row) in (place..).zip(rows.chunks_exact(head_dim)) {
        if AHEAD {
            prefetch_behind(row, DISTANCE);
        }
        for (index, row) in row.chunks(STRIP).enumerate() {
            let (out, _) = out[index * PIECE + key].as_chunks_mut::<LANES>();
            for (row, out) in row.chunks(LANES).zip(out) {
                let values = match row.first_chunk() {
                    Some(row) => E::load(lanes, row),
                    None => E::load_tail(lanes, row),
                };
                lanes.store(values, out);
            }
        }
    }
}

/// As many queries as there are lanes, and what is known about them.
struct QueryTile<const V: usize> {
    /// Scaled, `[head_dim]`, padded to whole strips.
    query: Vec<Queries<V>>,
    /// The weighted sum of the values so far, `[head_dim]`, padded to a multiple of [`DIMS`].
    sum_of_values: Vec<Queries<V>>,
    /// That of the first half of a piece, and that of the second.
    sums_of_halves: [Vec<Queries<V>>; 2],
    /// The largest score so far.
    largest: Queries<V>,
    /// The sum of the exponentials so far, relative to it.
    sum: Queries<V>,
    /// The first key that no query sees any more.
    end: usize,
    /// The first key that a query no longer sees.
    ends: [[usize; LANES]; V],
}

impl<const V: usize> Default for QueryTile<V> {
    fn default() -> Self {
        Self {
            query: Vec::new(),
            sum_of_values: Vec::new(),
            sums_of_halves: [Vec::new(), Vec::new()],
            largest: Queries::NO_SCORES,
            sum: Queries::ZEROS,
            end: 0,
            ends: [[0; LANES]; V],
        }
    }
}

impl<const V: usize> QueryTile<V> {
    /// Takes new queries, tokens of the step and heads.
    #[inline(always)]
    fn start(
        &mut self,
        call: &Call<'_>,
        batch: usize,
        queries: impl Iterator<Item = (usize, usize)>,
        rows: &mut [f32],
    ) {
        let head_dim = call.layout.head_dim;
        let padded_dim = head_dim.next_multiple_of(STRIP);
        self.query.clear();
        self.query.resize(padded_dim, Queries::ZEROS);
        let dims = head_dim.next_multiple_of(DIMS);
        self.sum_of_values.clear();
        self.sum_of_values.resize(dims, Queries::ZEROS);
        for sums in &mut self.sums_of_halves {
            sums.resize(dims, Queries::ZEROS);
        }
        self.largest = Queries::NO_SCORES;
        self.sum = Queries::ZEROS;
        self.ends = [[0; LANES]; V];
        let ends = self.ends.as_flattened_mut();
        for (lane, (index, head)) in queries.enumerate() {
            rows[lane * head_dim..][..head_dim].copy_from_slice(call.query(batch, index, head));
            ends[lane] = call.visible(batch, index).end;
        }
        self.end = ends.iter().copied().max().unwrap_or(0);
        let scale = call.scale();
        for (dim, query) in self.query[..head_dim].iter_mut().enumerate() {
            for (lane, query) in query.0.as_flattened_mut().iter_mut().enumerate() {
                *query = rows[lane * head_dim + dim] * scale;
            }
        }
    }

    /// The scores of a block of keys, which lie in `keys` from `place` on.
    #[inline(always)]
    fn score<L: Lanes>(
        &self,
        lanes: L,
        keys: &[Strip],
        place: usize,
        scores: &mut [Queries<V>],
        ahead: &mut Ahead,
    ) {
        let query = &self.query;
        // In registers: sixteen sums of vectors, or four of twice as many.
        if !L::MANY_REGISTERS {
            score_tiles::<L, V, 1, 4, 1>(lanes, keys, place, query, scores, ahead);
        } else if V == 1 {
            score_tiles::<L, V, 1, 8, 2>(lanes, keys, place, query, scores, ahead);
        } else {
            score_tiles::<L, V, 2, 4, 2>(lanes, keys, place, query, scores, ahead);
        }
    }

    /// Makes weights of the scores of a piece that begins with key `first`; returns its largest scores, and the sums of
    /// the exponentials.
    #[inline(always)]
    fn weights<L: Lanes>(
        &self,
        lanes: L,
        first: usize,
        keys: CacheSlice<'_>,
        values: CacheSlice<'_>,
        scores: &mut [Queries<V>],
    ) -> [Queries<V>; 2] {
        let len = scores.len();
        let within = |end: usize| end.saturating_sub(first).min(len);
        multiply(lanes, scores, keys.scales());
        let of_piece = exponentials(lanes, scores, self.ends.map(|ends| ends.map(within)));
        multiply(lanes, scores, values.scales());
        of_piece
    }

    /// Adds the values of a block of keys, which lie in `values` from `place` on, to the sums of a half of the piece.
    #[inline(always)]
    fn add_weighted<L: Lanes>(
        &mut self,
        lanes: L,
        values: &[Strip],
        place: usize,
        weights: &[Queries<V>],
        half: usize,
        ahead: &mut Ahead,
    ) {
        let sums = self.sums_of_halves[half].chunks_exact_mut(DIMS);
        for (index, sums) in sums.enumerate() {
            let (strip, dim) = (index * DIMS / STRIP, index * DIMS % STRIP);
            let values = &values[strip * PIECE + place..][..weights.len()];
            if !L::MANY_REGISTERS {
                for (part, sums) in sums.chunks_exact_mut(4).enumerate() {
                    for vector in 0..V {
                        let dim = dim + 4 * part;
                        value_tile::<L, V, 1, 4>(lanes, values, dim, weights, vector, sums, ahead);
                    }
                }
            } else if V == 1 {
                value_tile::<L, V, 1, 16>(lanes, values, dim, weights, 0, sums, ahead);
            } else {
                for (part, sums) in sums.chunks_exact_mut(8).enumerate() {
                    let dim = dim + 8 * part;
                    value_tile::<L, V, 2, 8>(lanes, values, dim, weights, 0, sums, ahead);
                }
            }
        }
    }

    /// Puts what a piece gives together with what the pieces before it gave: its halves, the largest of its scores, and
    /// the sum of their exponentials.
    #[inline(always)]
    fn join<L: Lanes>(&mut self, lanes: L, [largest, sum]: [Queries<V>; 2]) {
        for vector in 0..V {
            let total = Total {
                largest: lanes.load(&self.largest.0[vector]),
                sum: lanes.load(&self.sum.0[vector]),
            };
            let piece = Total {
                largest: lanes.load(&largest.0[vector]),
                sum: lanes.load(&sum.0[vector]),
            };
            let (joined, factors) = total.join(lanes, piece);
            lanes.store(joined.largest, &mut self.largest.0[vector]);
            lanes.store(joined.sum, &mut self.sum.0[vector]);
            let [front, back] = &self.sums_of_halves;
            for ((total, front), back) in self.sum_of_values.iter_mut().zip(front).zip(back) {
                let of_piece = lanes.add(lanes.load(&front.0[vector]), lanes.load(&back.0[vector]));
                let before = lanes.load(&total.0[vector]);
                lanes.store(factors.add(lanes, before, of_piece), &mut total.0[vector]);
            }
        }
    }
}

/// Multiplies the scores of each key by its scale, if there are scales.
#[inline(always)]
fn multiply<L: Lanes, const V: usize>(lanes: L, scores: &mut [Queries<V>], scales: Option<&[f16]>) {
    for (scores, scale) in scores.iter_mut().zip(scales.unwrap_or_default()) {
        let scale = lanes.splat(scale.to_f32());
        for scores in &mut scores.0 {
            lanes.store(lanes.mul(lanes.load(scores), scale), scores);
        }
    }
}

/// `scores ← e^(scores - largest)` for the keys before the end of each query, 0 for the others; returns the largest, and
/// the sum.
#[inline(always)]
fn exponentials<L: Lanes, const V: usize>(
    lanes: L,
    scores: &mut [Queries<V>],
    ends: [[usize; LANES]; V],
) -> [Queries<V>; 2] {
    let ends_of_all = ends.as_flattened().iter();
    let seen_by_all = ends_of_all.fold(scores.len(), |least, end| least.min(*end));
    let (mut largest_scores, mut sums_of_queries) = (Queries::ZEROS, Queries::ZEROS);
    for vector in 0..V {
        let ends = lanes.load(&ends[vector].map(|end| end as f32));
        let hidden = lanes.splat(f32::NEG_INFINITY);
        for (key, scores) in scores.iter_mut().enumerate().skip(seen_by_all) {
            let key = lanes.splat(key as f32);
            let score = lanes.load(&scores.0[vector]);
            let score = lanes.select_less(key, ends, score, hidden);
            lanes.store(score, &mut scores.0[vector]);
        }
        let mut largest = lanes.splat(f32::MIN);
        for scores in &*scores {
            largest = lanes.max(lanes.load(&scores.0[vector]), largest);
        }
        // One for each class of keys, as where lanes are keys.
        let mut sums = [[0.0; LANES]; LANES];
        for scores in scores.chunks_mut(LANES) {
            for (scores, sum) in scores.iter_mut().zip(&mut sums) {
                let shifted = lanes.sub(lanes.load(&scores.0[vector]), largest);
                let weight = exp(lanes, shifted);
                lanes.store(lanes.add(lanes.load(sum), weight), sum);
                lanes.store(weight, &mut scores.0[vector]);
            }
        }
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            let (low, high) = sums.split_at_mut(width);
            for (low, high) in low.iter_mut().zip(high) {
                lanes.store(lanes.add(lanes.load(low), lanes.load(high)), low);
            }
        }
        lanes.store(largest, &mut largest_scores.0[vector]);
        sums_of_queries.0[vector] = sums[0];
    }
    [largest_scores, sums_of_queries]
}
