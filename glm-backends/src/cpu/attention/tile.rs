//! Sixteen or thirty-two queries over the same keys, a query in each lane: two matrix products in tiles that stay in the
//! cache of a core.
//!
//! The queries are transposed once, scores and results are kept as `[key, query]` and `[dim, query]`, and so the largest
//! score, the sum and the correction of what is already added up are plain vectors, and neither keys nor values are
//! transposed.
//!
//! Every sum is added up in the order of [`super::decode`], where lanes are dims or keys, so both give the same bits.

use std::ops::Range;

use super::{Call, Factors, HALF, PIECE, Total};
use crate::cpu::{
    cache_slice::{CacheSlice, Element, with_elements},
    exp::exp_up_to_one,
    lanes::{LANES, Lanes},
    prefetch::Ahead,
};

mod codes;
mod products;
mod strips;

use codes::{CodeScratch, QueryCodes};
use products::{scores_of_rows, scores_of_strips, value_steps, value_tiles};
use strips::{STRIP, Strip, Values, load, make_room};

/// Values that are weighted before the sums are stored: as they lie in the cache they stay in the fastest one, with the
/// next ones.
const BLOCK: usize = 32;

/// Keys that are multiplied together where registers are many.
const KEYS: usize = 4;

/// Queries whose values are added up together: where registers are many, and where they are few.
const MANY_QUERIES: usize = 16;
const SOME_QUERIES: usize = 4;

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

impl<const V: usize> Default for Queries<V> {
    fn default() -> Self {
        Self::ZEROS
    }
}

/// Memory that is kept between calls.
pub(super) struct Scratch<const V: usize> {
    /// All keys of a piece, in f32 but without the scales of INT8.
    keys: Vec<Strip>,
    /// The values that belong to them.
    values: Vec<Strip>,
    /// The keys that are multiplied next, where a single tile reads the cache.
    next_keys: [Vec<Strip>; 2],
    /// In the place of all these with a cache of 16-bit codes.
    codes: CodeScratch<V>,
    /// `[PIECE]`
    scores: Vec<Queries<V>>,
    /// The queries of a tile, `[V * LANES, head_dim]`: they come from places far apart, which is faster row by row.
    rows: Vec<f32>,
    tiles: Vec<QueryTile<V>>,
    /// How many of the tiles have queries.
    used: usize,
}

impl<const V: usize> Default for Scratch<V> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            values: Vec::new(),
            next_keys: [Vec::new(), Vec::new()],
            codes: CodeScratch::default(),
            scores: vec![Queries::ZEROS; PIECE],
            rows: Vec::new(),
            tiles: Vec::new(),
            used: 0,
        }
    }
}

impl<const V: usize> Scratch<V> {
    /// Queries of a tile.
    const QUERIES: usize = V * LANES;

    /// Takes `count` queries. `query` says which token of the step each is, and which head.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn take<L: Lanes>(
        &mut self,
        lanes: L,
        call: &Call<'_>,
        batch: usize,
        count: usize,
        query: impl Fn(usize) -> (usize, usize),
    ) {
        self.rows.resize(Self::QUERIES * call.layout.head_dim, 0.0);
        self.used = count.div_ceil(Self::QUERIES);
        self.tiles
            .resize_with(self.tiles.len().max(self.used), QueryTile::default);
        for (index, tile) in self.tiles[..self.used].iter_mut().enumerate() {
            let first = index * Self::QUERIES;
            let numbers = first..count.min(first + Self::QUERIES);
            tile.take(lanes, call, batch, numbers.map(&query), &mut self.rows);
        }
    }

    /// Lets the queries see those of the keys in `range` that are for them, a piece after the other. `range` begins where a
    /// piece begins.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn attend<L: Lanes>(
        &mut self,
        lanes: L,
        call: &Call<'_>,
        (batch, kv_head): (usize, usize),
        range: Range<usize>,
    ) {
        let head_dim = call.layout.head_dim;
        let tiles = &mut self.tiles[..self.used];
        for tile in &mut *tiles {
            tile.start();
        }
        let end = tiles.iter().map(|tile| tile.end).max().unwrap_or(0);
        let end = end.min(range.end);
        for first in (range.start..end).step_by(PIECE) {
            let rows =
                call.row(batch, kv_head, first)..call.row(batch, kv_head, end.min(first + PIECE));
            let piece = Piece {
                first,
                keys: call.keys.rows(rows.clone(), head_dim),
                values: call.values.rows(rows.clone(), head_dim),
                len: rows.len(),
                head_dim,
            };
            let scores = &mut self.scores[..];
            if let CacheSlice::Int16 { .. } = piece.keys {
                self.codes.attend(lanes, tiles, piece, scores);
                continue;
            }
            match tiles {
                [tile] if V == 1 => {
                    let strips = (&mut self.next_keys, &mut self.values);
                    tile.see_cached(lanes, piece, scores, strips);
                }
                _ => {
                    for (strips, cache) in [
                        (&mut self.keys, piece.keys),
                        (&mut self.values, piece.values),
                    ] {
                        make_room(strips, PIECE, head_dim);
                        load(lanes, cache, head_dim, strips);
                    }
                    for tile in &mut *tiles {
                        tile.see_loaded(lanes, piece, scores, (&self.keys, &self.values));
                    }
                }
            }
        }
    }

    /// What query `number` has seen: the weighted sum of the values, to `out`, the largest score, and the sum of the
    /// exponentials.
    pub(super) fn seen(&self, number: usize, out: &mut [f32]) -> (f32, f32) {
        let tile = &self.tiles[number / Self::QUERIES];
        let lane = number % Self::QUERIES;
        let dims = tile.sum_of_values.len() / Self::QUERIES;
        out.copy_from_slice(&tile.sum_of_values[lane * dims..][..out.len()]);
        (tile.largest.of(lane), tile.sum.of(lane))
    }
}

/// Up to [`PIECE`] keys and the values that belong to them.
#[derive(Clone, Copy)]
struct Piece<'a> {
    /// Number of the first key.
    first: usize,
    len: usize,
    keys: CacheSlice<'a>,
    values: CacheSlice<'a>,
    head_dim: usize,
}

/// As many queries as there are lanes, and what is known about them.
struct QueryTile<const V: usize> {
    /// Scaled, `[head_dim]`, padded to whole strips.
    query: Vec<Queries<V>>,
    /// In the place of these with a cache of 16-bit codes.
    codes: QueryCodes<V>,
    /// The weighted sums of the values so far, `[V * LANES, head_dim]`, the dims padded to whole vectors.
    sum_of_values: Vec<f32>,
    /// Those of the first half of a piece, and those of the second.
    sums_of_halves: [Vec<f32>; 2],
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
            codes: QueryCodes::default(),
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
    #[cfg_attr(not(unoptimised), inline(always))]
    fn take<L: Lanes>(
        &mut self,
        lanes: L,
        call: &Call<'_>,
        batch: usize,
        queries: impl Iterator<Item = (usize, usize)>,
        rows: &mut [f32],
    ) {
        let head_dim = call.layout.head_dim;
        let sums = V * LANES * head_dim.next_multiple_of(LANES);
        let [front, back] = &mut self.sums_of_halves;
        for of_queries in [&mut self.sum_of_values, front, back] {
            of_queries.resize(sums, 0.0);
        }
        self.ends = [[0; LANES]; V];
        let ends = self.ends.as_flattened_mut();
        let mut count = 0;
        for (lane, (index, head)) in queries.enumerate() {
            count += 1;
            rows[lane * head_dim..][..head_dim].copy_from_slice(call.query(batch, index, head));
            ends[lane] = call.visible(batch, index).end;
        }
        self.end = ends.iter().copied().max().unwrap_or(0);
        let scale = call.scale();
        if let CacheSlice::Int16 { .. } = call.keys {
            let rows = &rows[..count * head_dim];
            // Their sums have no second half.
            self.sums_of_halves[1].fill(0.0);
            return self.codes.take(lanes, rows, head_dim, scale);
        }
        let padded_dim = head_dim.next_multiple_of(STRIP);
        self.query.clear();
        self.query.resize(padded_dim, Queries::ZEROS);
        for (dim, query) in self.query[..head_dim].iter_mut().enumerate() {
            for (lane, query) in query.0.as_flattened_mut().iter_mut().enumerate() {
                *query = rows[lane * head_dim + dim] * scale;
            }
        }
    }

    /// Forgets what the queries have seen.
    fn start(&mut self) {
        self.sum_of_values.fill(0.0);
        self.largest = Queries::NO_SCORES;
        self.sum = Queries::ZEROS;
    }

    /// Takes in a piece, of which there are copies in strips.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn see_loaded<L: Lanes>(
        &mut self,
        lanes: L,
        piece: Piece<'_>,
        scores: &mut [Queries<V>],
        (keys, values): (&[Strip], &[Strip]),
    ) {
        let len = self.end.saturating_sub(piece.first).min(piece.len);
        if len == 0 {
            return;
        }
        let scores = &mut scores[..len];
        if L::MANY_REGISTERS && V > 1 {
            scores_of_strips::<L, V, 2, { KEYS / 2 }>(lanes, keys, &self.query, scores);
        } else {
            scores_of_strips::<L, V, 1, KEYS>(lanes, keys, &self.query, scores);
        }
        let of_piece = self.weights(lanes, piece, scores);
        for (half, block) in self.blocks(len) {
            let values = Values::of_strips(values, block.start, piece.head_dim);
            let mut ahead = Ahead::NOTHING;
            self.add_weighted(lanes, half, values, &scores[block], &mut ahead);
        }
        self.join(lanes, of_piece);
    }

    /// Takes in a piece as it lies in the cache. While one thing is multiplied, the next is asked for little by little:
    /// all at once would keep the core waiting.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn see_cached<L: Lanes>(
        &mut self,
        lanes: L,
        piece: Piece<'_>,
        scores: &mut [Queries<V>],
        (next_keys, strips): (&mut [Vec<Strip>; 2], &mut Vec<Strip>),
    ) {
        let len = self.end.saturating_sub(piece.first).min(piece.len);
        if len == 0 {
            return;
        }
        let head_dim = piece.head_dim;
        let scores = &mut scores[..len];
        // Values are asked for with the last keys.
        let last = len.saturating_sub(BLOCK);
        let ahead = piece.values.ahead(0..BLOCK, head_dim, BLOCK);
        for (keys, mut ahead) in [(0..last, Ahead::NOTHING), (last..len, ahead)] {
            let rows = keys.start * head_dim..keys.end * head_dim;
            with_elements!(piece.keys, |all| {
                let (keys, scores) = (&all[rows], &mut scores[keys]);
                scores_of_rows::<L, _, V, KEYS>(
                    lanes,
                    keys,
                    head_dim,
                    next_keys,
                    &self.query,
                    scores,
                    &mut ahead,
                );
            });
        }
        let of_piece = self.weights(lanes, piece, scores);
        for (half, block) in self.blocks(len) {
            // Behind the last values, the keys of the next piece.
            let (next, row) = match block.end < len {
                true => (piece.values, block.end),
                false => (piece.keys, len),
            };
            let weights = &scores[block.clone()];
            let times = value_steps::<MANY_QUERIES>(BLOCK, head_dim, V * LANES);
            let ahead = &mut next.ahead(row..row + BLOCK, head_dim, times);
            if L::MANY_REGISTERS {
                with_elements!(piece.values, |all| {
                    let values = Values::of_cache(all, block, head_dim);
                    self.add_weighted(lanes, half, values, weights, ahead);
                });
            } else {
                // So few queries share what is loaded that it is better widened once.
                make_room(strips, PIECE, head_dim);
                load(lanes, piece.values.rows(block, head_dim), head_dim, strips);
                let values = Values::of_strips(strips, 0, head_dim);
                self.add_weighted(lanes, half, values, weights, ahead);
            }
        }
        self.join(lanes, of_piece);
    }

    /// Makes weights of the scores of a piece; returns its largest scores, and the sums of
    /// the exponentials.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn weights<L: Lanes>(
        &self,
        lanes: L,
        piece: Piece<'_>,
        scores: &mut [Queries<V>],
    ) -> [Queries<V>; 2] {
        let ends = self.ends_within(piece, scores.len());
        multiply(lanes, scores, piece.keys);
        let of_piece = exponentials(lanes, scores, ends);
        multiply(lanes, scores, piece.values);
        of_piece
    }

    /// How many of the first `len` keys of a piece each query sees.
    fn ends_within(&self, piece: Piece<'_>, len: usize) -> [[usize; LANES]; V] {
        let within = |end: usize| end.saturating_sub(piece.first).min(len);
        self.ends.map(|ends| ends.map(within))
    }

    /// The blocks of both halves of a piece with `len` keys. Clears the sums.
    fn blocks(&mut self, len: usize) -> impl Iterator<Item = (usize, Range<usize>)> + use<V> {
        for sums in &mut self.sums_of_halves {
            sums.fill(0.0);
        }
        let blocks = (0..len).step_by(BLOCK);
        blocks.map(move |first| (first / HALF, first..len.min(first + BLOCK)))
    }

    /// Adds the values of some keys to the sums of a half of the piece.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn add_weighted<L: Lanes, E: Element>(
        &mut self,
        lanes: L,
        half: usize,
        values: Values<'_, E>,
        weights: &[Queries<V>],
        ahead: &mut Ahead,
    ) {
        let sums = &mut self.sums_of_halves[half];
        if !L::MANY_REGISTERS {
            value_tiles::<L, E, V, SOME_QUERIES>(lanes, values, weights, sums, ahead);
        } else if values.dims == 128 {
            // A loop of a known length for the heads of the published models.
            let values = values.known_to_have_128_dims();
            value_tiles::<L, E, V, MANY_QUERIES>(lanes, values, weights, sums, ahead);
        } else {
            value_tiles::<L, E, V, MANY_QUERIES>(lanes, values, weights, sums, ahead);
        }
    }

    /// Puts what a piece gives together with what the pieces before it gave: its halves, the largest of its scores, and
    /// the sum of their exponentials.
    #[cfg_attr(not(unoptimised), inline(always))]
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
            let mut factors_of_lanes = [[0.0; LANES]; 2];
            lanes.store(factors.before, &mut factors_of_lanes[0]);
            lanes.store(factors.piece, &mut factors_of_lanes[1]);
            let dims = self.sum_of_values.len() / (V * LANES);
            for lane in 0..LANES {
                let factors = Factors {
                    before: lanes.splat(factors_of_lanes[0][lane]),
                    piece: lanes.splat(factors_of_lanes[1][lane]),
                };
                let of_query = (vector * LANES + lane) * dims..(vector * LANES + lane + 1) * dims;
                let [front, back] = &self.sums_of_halves;
                let halves = front[of_query.clone()]
                    .as_chunks::<LANES>()
                    .0
                    .iter()
                    .zip(back[of_query.clone()].as_chunks::<LANES>().0);
                let totals = self.sum_of_values[of_query].as_chunks_mut::<LANES>().0;
                for (total, (front, back)) in totals.iter_mut().zip(halves) {
                    let of_piece = lanes.add(lanes.load(front), lanes.load(back));
                    let before = lanes.load(total);
                    lanes.store(factors.add(lanes, before, of_piece), total);
                }
            }
        }
    }
}

/// Multiplies the scores of each key by its scale, if there are scales.
#[cfg_attr(not(unoptimised), inline(always))]
fn multiply<L: Lanes, const V: usize>(lanes: L, scores: &mut [Queries<V>], cache: CacheSlice<'_>) {
    for (row, scores) in scores.iter_mut().enumerate() {
        let Some(scale) = cache.scale(row) else {
            return;
        };
        let scale = lanes.splat(scale);
        for scores in &mut scores.0 {
            lanes.store(lanes.mul(lanes.load(scores), scale), scores);
        }
    }
}

/// `scores ← e^(scores - largest)` for the keys before the end of each query, 0 for the others; returns the largest, and
/// the sum.
#[cfg_attr(not(unoptimised), inline(always))]
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
                let weight = exp_up_to_one(lanes, shifted);
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
