//! Many queries: two matrix products in tiles that stay in the cache of a core.
//!
//! A task takes one head and up to [`QUERIES`] queries and walks over the keys in pieces. Lanes are queries: the queries
//! are transposed once, scores and results are kept as `[key, query]` and `[dim, query]`, and so the largest score, the
//! sum and the correction of what is already added up are plain vectors, and neither keys nor values are transposed.
//!
//! Every sum is added up in the order of [`super::decode`], where lanes are dims or keys, so both give the same bits.

use std::{cell::RefCell, ops::Range};

use half::f16;

use super::{Call, HALF, PIECE, Total};
use crate::cpu::{
    cache_slice::{CacheSlice, Element},
    chunks::Parts,
    exp::exp,
    lanes::{Kernel, LANES, Lanes, run_at},
    level::CpuLevel,
    pool,
};

/// Queries of a task: keys are widened once for all of them.
const QUERIES: usize = 256;

/// Keys whose values are taken from the fastest cache for all dims.
const KEYS: usize = 64;

/// Vectors of queries in a tile.
const VECTORS: usize = 2;

/// Queries of a tile.
const TILE: usize = VECTORS * LANES;

/// Rows of a tile of a product, at most: keys or dims.
const ROWS: usize = 8;

/// A value for each query of a tile, in whole lines of the cache.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Queries([[f32; LANES]; VECTORS]);

/// Some dims of a key or a value. Heads are cut into strips and the last one is padded with zeros: so the products read
/// rows at distances that are known when they are compiled.
type Strip = [f32; STRIP];

/// Dims of a strip.
const STRIP: usize = 64;

#[derive(Default)]
struct Scratch {
    /// A piece of the keys, `[strips, PIECE]`, in f32 but without the scales of INT8.
    keys: Vec<Strip>,
    /// The values that belong to them.
    values: Vec<Strip>,
    /// `[PIECE]`
    scores: Vec<Queries>,
    /// The queries or the results of a tile, `[TILE, head_dim]`: they come from and go to places far apart, which is
    /// faster row by row.
    rows: Vec<f32>,
    tiles: Vec<QueryTile>,
}

/// 32 queries and what is known about them.
#[derive(Default)]
struct QueryTile {
    /// Scaled, `[head_dim]`, padded to whole strips.
    query: Vec<Queries>,
    /// The weighted sum of the values so far, `[head_dim]`, padded to a multiple of eight.
    sum_of_values: Vec<Queries>,
    /// That of the first half of a piece, and that of the second.
    sums_of_halves: [Vec<Queries>; 2],
    /// The largest score so far.
    largest: Queries,
    /// The sum of the exponentials so far, relative to it.
    sum: Queries,
    /// The first key that no query sees any more.
    end: usize,
    /// The first key that a query no longer sees.
    ends: [usize; TILE],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

pub(super) fn attention(level: CpuLevel, call: Call<'_>, out: &mut [f32]) {
    let tasks_of_head = call.step.seq.div_ceil(QUERIES);
    let out = Parts::new(out);
    pool::for_each(
        call.step.batch * call.layout.heads * tasks_of_head,
        |task| {
            // The last queries see the most keys: first, so that threads finish together.
            let part = tasks_of_head - 1 - task % tasks_of_head;
            let head = task / tasks_of_head;
            SCRATCH.with_borrow_mut(|scratch| {
                let queries = QueriesOfHead {
                    call,
                    batch: head / call.layout.heads,
                    head: head % call.layout.heads,
                    queries: part * QUERIES..call.step.seq.min((part + 1) * QUERIES),
                    scratch,
                    out: &out,
                };
                run_at(level, queries);
            });
        },
    );
}

/// Some queries of a head; the only one that writes their results.
struct QueriesOfHead<'a> {
    call: Call<'a>,
    batch: usize,
    head: usize,
    queries: Range<usize>,
    scratch: &'a mut Scratch,
    out: &'a Parts<'a, f32>,
}

impl Kernel for QueriesOfHead<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let call = &self.call;
        let head_dim = call.layout.head_dim;
        let group = call.layout.heads / call.layout.kv_heads;
        let Scratch {
            keys,
            values,
            scores,
            rows,
            tiles,
        } = self.scratch;
        let strips = head_dim.div_ceil(STRIP);
        for strips_of in [&mut *keys, &mut *values] {
            if !head_dim.is_multiple_of(STRIP) {
                strips_of.clear(); // Zeros where heads are padded, whatever the last call left.
            }
            strips_of.resize(PIECE * strips, [0.0; STRIP]);
        }
        scores.resize(PIECE, Queries::default());
        rows.resize(TILE * head_dim, 0.0);
        let count = self.queries.len().div_ceil(TILE);
        if tiles.len() < count {
            tiles.resize_with(count, QueryTile::default);
        }
        let tiles = &mut tiles[..count];
        for (index, tile) in tiles.iter_mut().enumerate() {
            let first = self.queries.start + index * TILE;
            tile.start(
                call,
                self.batch,
                self.head,
                first..self.queries.end.min(first + TILE),
                rows,
            );
        }
        let end = tiles.iter().map(|tile| tile.end).max().unwrap_or(0);
        let kv_row = |key| call.row(self.batch, self.head / group, key);
        for first in (call.spans[self.batch].first..end).step_by(PIECE) {
            let cache_rows = kv_row(first)..kv_row(end.min(first + PIECE));
            load_piece(lanes, call.keys, cache_rows.clone(), head_dim, keys);
            load_piece(lanes, call.values, cache_rows.clone(), head_dim, values);
            let piece = Piece {
                first,
                keys,
                values,
                key_scales: call.keys.scales(cache_rows.clone()),
                value_scales: call.values.scales(cache_rows),
            };
            for tile in &mut *tiles {
                tile.add_piece(lanes, &piece, scores);
            }
        }
        for (index, tile) in tiles.iter_mut().enumerate() {
            tile.finish(lanes, head_dim);
            let first = self.queries.start + index * TILE;
            for (lane, row) in rows.chunks_exact_mut(head_dim).enumerate() {
                for (value, sum) in row.iter_mut().zip(&tile.sum_of_values) {
                    *value = sum.0[lane / LANES][lane % LANES];
                }
            }
            let queries = first..self.queries.end.min(first + TILE);
            for (query, row) in queries.zip(rows.chunks_exact(head_dim)) {
                let at = ((self.batch * call.step.seq + query) * call.layout.heads + self.head)
                    * head_dim;
                // SAFETY: a query of a head is in one task, and the last part has gone out of use.
                unsafe { self.out.part(at..at + head_dim) }.copy_from_slice(row);
            }
        }
    }
}

/// Some keys and values of a head, for all queries that see them.
struct Piece<'a> {
    /// The index of the first key.
    first: usize,
    keys: &'a [Strip],
    values: &'a [Strip],
    /// One for each key, if they are INT8.
    key_scales: Option<&'a [f16]>,
    value_scales: Option<&'a [f16]>,
}

/// Copies a piece of the keys or the values in f32 into strips.
#[inline(always)]
fn load_piece<L: Lanes>(
    lanes: L,
    cache: CacheSlice<'_>,
    cache_rows: Range<usize>,
    head_dim: usize,
    out: &mut [Strip],
) {
    let values = cache_rows.start * head_dim..cache_rows.end * head_dim;
    match cache {
        CacheSlice::F32(rows) => load_rows(lanes, &rows[values], head_dim, out),
        CacheSlice::F16(rows) => load_rows(lanes, &rows[values], head_dim, out),
        CacheSlice::Int8 { codes, .. } => load_rows(lanes, &codes[values], head_dim, out),
    }
}

#[inline(always)]
fn load_rows<L: Lanes, E: Element>(lanes: L, rows: &[E], head_dim: usize, out: &mut [Strip]) {
    for (key, row) in rows.chunks_exact(head_dim).enumerate() {
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

impl QueryTile {
    /// Takes new queries.
    #[inline(always)]
    fn start(
        &mut self,
        call: &Call<'_>,
        batch: usize,
        head: usize,
        queries: Range<usize>,
        rows: &mut [f32],
    ) {
        let head_dim = call.layout.head_dim;
        self.query.clear();
        self.query
            .resize(head_dim.next_multiple_of(STRIP), Queries::default());
        let dims = head_dim.next_multiple_of(ROWS);
        self.sum_of_values.clear();
        self.sum_of_values.resize(dims, Queries::default());
        for sums in &mut self.sums_of_halves {
            sums.resize(dims, Queries::default());
        }
        self.largest = Queries([[f32::MIN; LANES]; VECTORS]);
        self.sum = Queries::default();
        self.ends = [0; TILE];
        for (lane, index) in queries.enumerate() {
            rows[lane * head_dim..][..head_dim].copy_from_slice(call.query(batch, index, head));
            self.ends[lane] = call.visible(batch, index).end;
        }
        let scale = call.scale();
        for (dim, query) in self.query[..head_dim].iter_mut().enumerate() {
            for (lane, query) in query.0.as_flattened_mut().iter_mut().enumerate() {
                *query = rows[lane * head_dim + dim] * scale;
            }
        }
        self.end = self.ends.into_iter().max().unwrap_or(0);
    }

    /// Lets the queries see the keys of a piece.
    #[inline(always)]
    fn add_piece<L: Lanes>(&mut self, lanes: L, piece: &Piece<'_>, scores: &mut [Queries]) {
        let len = self.end.saturating_sub(piece.first).min(PIECE);
        if len == 0 {
            return;
        }
        // In registers: all vectors of eight rows, or one vector of four rows.
        if L::MANY_REGISTERS {
            score_tiles::<L, 4, VECTORS, 2>(lanes, piece.keys, &self.query, len, scores);
        } else {
            score_tiles::<L, 4, 1, 1>(lanes, piece.keys, &self.query, len, scores);
        }
        let ends = self
            .ends
            .map(|end| end.saturating_sub(piece.first).min(len));
        let scores = &mut scores[..len];
        multiply(lanes, scores, piece.key_scales);
        let (largest, sum) = exponentials(lanes, scores, ends);
        multiply(lanes, scores, piece.value_scales);
        for (half, sums) in self.sums_of_halves.iter_mut().enumerate() {
            sums.fill(Queries::default());
            for first in (half * HALF..len.min((half + 1) * HALF)).step_by(KEYS) {
                let keys = first..len.min(first + KEYS);
                add_weighted(lanes, piece.values, &scores[keys.clone()], keys, sums);
            }
        }
        self.join(lanes, &largest, &sum);
    }

    /// Puts what a piece gives together with what the pieces before it gave: its halves, the largest of its scores, and
    /// the sum of their exponentials.
    #[inline(always)]
    fn join<L: Lanes>(&mut self, lanes: L, largest: &Queries, sum: &Queries) {
        for vector in 0..VECTORS {
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

    /// Divides by the sum of the exponentials; zeros where no key was seen.
    #[inline(always)]
    fn finish<L: Lanes>(&mut self, lanes: L, head_dim: usize) {
        // The key with the largest score adds 1 to it.
        let (zero, least) = (lanes.splat(0.0), lanes.splat(0.5));
        for vector in 0..VECTORS {
            let sum = lanes.load(&self.sum.0[vector]);
            for values in &mut self.sum_of_values[..head_dim] {
                let mean = lanes.div(lanes.load(&values.0[vector]), sum);
                lanes.store(
                    lanes.select_less(sum, least, zero, mean),
                    &mut values.0[vector],
                );
            }
        }
    }
}

/// `keys · query` for the first `len` keys and those that share a tile with them. As where lanes are dims, a sum is kept
/// for each of 16 classes of dims, `C` of them at a time, and these are then added up halves onto halves.
#[inline(always)]
fn score_tiles<L: Lanes, const R: usize, const V: usize, const C: usize>(
    lanes: L,
    keys: &[Strip],
    query: &[Queries],
    len: usize,
    scores: &mut [Queries],
) {
    for tile in 0..len.div_ceil(R) {
        for first in (0..VECTORS).step_by(V) {
            // Sums of several classes that wait for those of as many others.
            let mut waiting = [[[lanes.splat(0.0); V]; R]; FOLDS];
            let mut sum = waiting[0];
            for (index, classes) in FOLDED.as_chunks::<C>().0.iter().enumerate() {
                let mut sums = [[[lanes.splat(0.0); V]; R]; C];
                for (keys, query) in keys.chunks_exact(PIECE).zip(query.as_chunks::<STRIP>().0) {
                    let keys = &keys.as_chunks::<R>().0[tile];
                    for part in 0..STRIP / LANES {
                        for class in 0..C {
                            let dim = part * LANES + classes[class] % LANES;
                            let mut queries = [lanes.splat(0.0); V];
                            for vector in 0..V {
                                queries[vector] = lanes.load(&query[dim].0[first + vector]);
                            }
                            for row in 0..R {
                                let key = lanes.splat(keys[row][dim]);
                                for vector in 0..V {
                                    sums[class][row][vector] = lanes.mul_add(
                                        key,
                                        queries[vector],
                                        sums[class][row][vector],
                                    );
                                }
                            }
                        }
                    }
                }
                sum = sums[0];
                for other in &sums[1..] {
                    sum = add_tiles(lanes, sum, other);
                }
                let complete = index.trailing_ones() as usize;
                for waiting in &waiting[..complete.min(FOLDS)] {
                    sum = add_tiles(lanes, sum, waiting);
                }
                if complete < FOLDS {
                    waiting[complete] = sum;
                }
            }
            let scores = &mut scores.as_chunks_mut::<R>().0[tile];
            for row in 0..R {
                for vector in 0..V {
                    lanes.store(sum[row][vector], &mut scores[row].0[first + vector]);
                }
            }
        }
    }
}

#[inline(always)]
fn add_tiles<L: Lanes, const R: usize, const V: usize>(
    lanes: L,
    mut a: [[L::Vector; V]; R],
    b: &[[L::Vector; V]; R],
) -> [[L::Vector; V]; R] {
    for row in 0..R {
        for vector in 0..V {
            a[row][vector] = lanes.add(a[row][vector], b[row][vector]);
        }
    }
    a
}

/// How often 16 lanes are folded to become one.
const FOLDS: usize = LANES.ilog2() as usize;

/// The lanes in the order in which [`Lanes::sum`] needs them: each is added to the one before it, each sum of two to that
/// of the two before it, and so on.
const FOLDED: [usize; LANES] = [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15];

/// Multiplies the scores of each key by its scale, if there are scales.
#[inline(always)]
fn multiply<L: Lanes>(lanes: L, scores: &mut [Queries], scales: Option<&[f16]>) {
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
fn exponentials<L: Lanes>(
    lanes: L,
    scores: &mut [Queries],
    ends: [usize; TILE],
) -> (Queries, Queries) {
    let seen_by_all = ends.iter().fold(scores.len(), |least, end| least.min(*end));
    let (mut largest_scores, mut sums_of_queries) = (Queries::default(), Queries::default());
    for vector in 0..VECTORS {
        let mut ends_here = [0.0; LANES];
        for lane in 0..LANES {
            ends_here[lane] = ends[vector * LANES + lane] as f32;
        }
        let ends_here = lanes.load(&ends_here);
        let hidden = lanes.splat(f32::NEG_INFINITY);
        for (key, scores) in scores.iter_mut().enumerate().skip(seen_by_all) {
            let key = lanes.splat(key as f32);
            let score = lanes.load(&scores.0[vector]);
            let score = lanes.select_less(key, ends_here, score, hidden);
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
    (largest_scores, sums_of_queries)
}

/// `sums ← sums + values · weights` for some keys of a piece.
#[inline(always)]
fn add_weighted<L: Lanes>(
    lanes: L,
    values: &[Strip],
    weights: &[Queries],
    keys: Range<usize>,
    sums: &mut [Queries],
) {
    for (index, sums) in sums.chunks_exact_mut(ROWS).enumerate() {
        let (strip, first) = (index * ROWS / STRIP, index * ROWS % STRIP);
        let values = &values[strip * PIECE..][keys.clone()];
        if L::MANY_REGISTERS {
            value_tile::<L, ROWS, VECTORS>(lanes, values, first, weights, 0, sums);
        } else {
            for (half, sums) in sums.chunks_exact_mut(4).enumerate() {
                for vector in 0..VECTORS {
                    let first = first + 4 * half;
                    value_tile::<L, 4, 1>(lanes, values, first, weights, vector, sums);
                }
            }
        }
    }
}

/// `sums ← sums + values · weights` for the `R` dims from `first_dim` on and the `V` vectors of queries from
/// `first_vector` on.
#[inline(always)]
fn value_tile<L: Lanes, const R: usize, const V: usize>(
    lanes: L,
    values: &[Strip],
    first_dim: usize,
    weights: &[Queries],
    first_vector: usize,
    out: &mut [Queries],
) {
    let mut sums = [[lanes.splat(0.0); V]; R];
    for row in 0..R {
        for vector in 0..V {
            sums[row][vector] = lanes.load(&out[row].0[first_vector + vector]);
        }
    }
    for (values, weights) in values.iter().zip(weights) {
        let values = &values.as_chunks::<R>().0[first_dim / R];
        let mut queries = [lanes.splat(0.0); V];
        for vector in 0..V {
            queries[vector] = lanes.load(&weights.0[first_vector + vector]);
        }
        for row in 0..R {
            let value = lanes.splat(values[row]);
            for vector in 0..V {
                sums[row][vector] = lanes.mul_add(value, queries[vector], sums[row][vector]);
            }
        }
    }
    for row in 0..R {
        for vector in 0..V {
            lanes.store(sums[row][vector], &mut out[row].0[first_vector + vector]);
        }
    }
}
