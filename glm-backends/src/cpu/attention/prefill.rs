//! Many queries: two matrix products in tiles that stay in the cache of a core.
//!
//! A task takes one head and up to [`QUERIES`] queries and walks over the keys in blocks. Lanes are queries: the queries
//! are transposed once, scores and results are kept as `[key, query]` and `[dim, query]`, and so the largest score, the
//! sum and the correction of what is already added up are plain vectors, and neither keys nor values are transposed.
//!
//! The blocks of keys lie at fixed places, so the result does not depend on how queries are put into tasks.

use std::{cell::RefCell, ops::Range};

use half::f16;

use super::Call;
use crate::cpu::{
    cache_slice::{CacheSlice, Element},
    chunks::Parts,
    exp::exp,
    lanes::{Kernel, LANES, Lanes, run_at},
    level::CpuLevel,
    pool,
};

/// Keys in a block.
const KEYS: usize = 64;

/// Queries of a task: keys are widened once for all of them.
const QUERIES: usize = 256;

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
    /// A block of keys, `[strips, KEYS]`.
    keys: Vec<Strip>,
    /// A block of values, `[strips, KEYS]`.
    values: Vec<Strip>,
    /// `[KEYS]`
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
    /// The largest score so far.
    largest: Queries,
    /// The sum of the exponentials so far, relative to it.
    sum: Queries,
    /// The keys that some query sees.
    visible: Range<usize>,
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
        // Zeros where heads are padded, whatever the last call left.
        for strips_of in [&mut *keys, &mut *values] {
            strips_of.clear();
            strips_of.resize(KEYS * strips, [0.0; STRIP]);
        }
        scores.resize(KEYS, Queries::default());
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
        let start = tiles
            .iter()
            .map(|tile| tile.visible.start)
            .min()
            .unwrap_or(0);
        let end = tiles.iter().map(|tile| tile.visible.end).max().unwrap_or(0);
        for block in start / KEYS..end.div_ceil(KEYS) {
            let first = block * KEYS;
            let len = KEYS.min(call.step.total() - first);
            let cache_row = call.row(self.batch, self.head / group, first);
            load_block(lanes, call.keys, cache_row, len, head_dim, keys);
            load_block(lanes, call.values, cache_row, len, head_dim, values);
            for tile in &mut *tiles {
                tile.add_block(lanes, first, len, keys, values, scores);
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

/// Copies a block of keys or values in f32 into strips.
#[inline(always)]
fn load_block<L: Lanes>(
    lanes: L,
    cache: CacheSlice<'_>,
    cache_row: usize,
    len: usize,
    head_dim: usize,
    out: &mut [Strip],
) {
    let values = cache_row * head_dim..(cache_row + len) * head_dim;
    match cache {
        CacheSlice::F32(rows) => load_rows(lanes, &rows[values], None, head_dim, out),
        CacheSlice::F16(rows) => load_rows(lanes, &rows[values], None, head_dim, out),
        CacheSlice::Int8 { codes, scales } => {
            load_rows(
                lanes,
                &codes[values],
                Some(&scales[cache_row..]),
                head_dim,
                out,
            );
        }
    }
}

#[inline(always)]
fn load_rows<L: Lanes, E: Element>(
    lanes: L,
    rows: &[E],
    scales: Option<&[f16]>,
    head_dim: usize,
    out: &mut [Strip],
) {
    for (key, row) in rows.chunks_exact(head_dim).enumerate() {
        let scale = lanes.splat(scales.map_or(1.0, |scales| scales[key].to_f32()));
        for (index, row) in row.chunks(STRIP).enumerate() {
            let (out, _) = out[index * KEYS + key].as_chunks_mut::<LANES>();
            for (row, out) in row.chunks(LANES).zip(out) {
                let values = match row.first_chunk() {
                    Some(row) => E::load(lanes, row),
                    None => E::load_tail(lanes, row),
                };
                lanes.store(lanes.mul(values, scale), out);
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
        self.sum_of_values.clear();
        self.sum_of_values
            .resize(head_dim.next_multiple_of(ROWS), Queries::default());
        self.largest = Queries([[f32::MIN; LANES]; VECTORS]);
        self.sum = Queries::default();
        self.ends = [0; TILE];
        let mut first = usize::MAX;
        let mut end = 0;
        for (lane, index) in queries.enumerate() {
            rows[lane * head_dim..][..head_dim].copy_from_slice(call.query(batch, index, head));
            let visible = call.visible(batch, index);
            if !visible.is_empty() {
                // The same for all queries that see a key.
                first = visible.start;
                end = end.max(visible.end);
                self.ends[lane] = visible.end;
            }
        }
        let scale = call.scale();
        for (dim, query) in self.query[..head_dim].iter_mut().enumerate() {
            for (lane, query) in query.0.as_flattened_mut().iter_mut().enumerate() {
                *query = rows[lane * head_dim + dim] * scale;
            }
        }
        self.visible = first.min(end)..end;
    }

    /// Lets the queries see the `len` keys from `first` on.
    #[inline(always)]
    fn add_block<L: Lanes>(
        &mut self,
        lanes: L,
        first: usize,
        len: usize,
        keys: &[Strip],
        values: &[Strip],
        scores: &mut [Queries],
    ) {
        // Relative to the block.
        let start = self.visible.start.saturating_sub(first);
        let end = self.visible.end.saturating_sub(first).min(len);
        if start >= end {
            return;
        }
        // In registers: all vectors of eight rows, or one vector of four rows. Every element is one chain of
        // additions either way.
        if L::MANY_REGISTERS {
            score_tiles::<L, ROWS, VECTORS>(lanes, keys, &self.query, start..end, scores);
        } else {
            score_tiles::<L, 4, 1>(lanes, keys, &self.query, start..end, scores);
        }
        let ends = self.ends.map(|end| end.saturating_sub(first).min(len));
        let factor = self.softmax(lanes, &mut scores[..end], start, ends);
        let scores = &scores[start..end];
        for (index, out) in self.sum_of_values.chunks_exact_mut(ROWS).enumerate() {
            let (strip, first) = (index * ROWS / STRIP, index * ROWS % STRIP);
            let values = &values[strip * KEYS..][start..end];
            if L::MANY_REGISTERS {
                value_tile::<L, ROWS, VECTORS>(lanes, values, first, scores, &factor, 0, out);
            } else {
                for (half, out) in out.chunks_exact_mut(4).enumerate() {
                    for vector in 0..VECTORS {
                        value_tile::<L, 4, 1>(
                            lanes,
                            values,
                            first + 4 * half,
                            scores,
                            &factor,
                            vector,
                            out,
                        );
                    }
                }
            }
        }
    }

    /// Turns the scores from `start` on into weights, each query's relative to its largest score so far, and returns
    /// what earlier sums are to be multiplied with.
    #[inline(always)]
    fn softmax<L: Lanes>(
        &mut self,
        lanes: L,
        scores: &mut [Queries],
        start: usize,
        ends: [usize; TILE],
    ) -> Queries {
        let seen_by_all = ends.iter().fold(scores.len(), |least, end| least.min(*end));
        let mut factors = Queries::default();
        for vector in 0..VECTORS {
            let mut ends_here = [0.0; LANES];
            for lane in 0..LANES {
                ends_here[lane] = ends[vector * LANES + lane] as f32;
            }
            let ends_here = lanes.load(&ends_here);
            let hidden = lanes.splat(f32::NEG_INFINITY);
            for (key, scores) in scores.iter_mut().enumerate().skip(start.max(seen_by_all)) {
                let key = lanes.splat(key as f32);
                let score = lanes.load(&scores.0[vector]);
                lanes.store(
                    lanes.select_less(key, ends_here, score, hidden),
                    &mut scores.0[vector],
                );
            }
            let before = lanes.load(&self.largest.0[vector]);
            let mut largest = before;
            for scores in &scores[start..] {
                largest = lanes.max(lanes.load(&scores.0[vector]), largest);
            }
            let factor = exp(lanes, lanes.sub(before, largest));
            let mut sum = lanes.mul(lanes.load(&self.sum.0[vector]), factor);
            for scores in &mut scores[start..] {
                let weight = exp(lanes, lanes.sub(lanes.load(&scores.0[vector]), largest));
                sum = lanes.add(sum, weight);
                lanes.store(weight, &mut scores.0[vector]);
            }
            lanes.store(largest, &mut self.largest.0[vector]);
            lanes.store(sum, &mut self.sum.0[vector]);
            lanes.store(factor, &mut factors.0[vector]);
        }
        factors
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

/// `keys · query` for the keys of `range` and those that share a tile with them.
#[inline(always)]
fn score_tiles<L: Lanes, const R: usize, const V: usize>(
    lanes: L,
    keys: &[Strip],
    query: &[Queries],
    range: Range<usize>,
    scores: &mut [Queries],
) {
    for tile in range.start / R..range.end.div_ceil(R) {
        for first in (0..VECTORS).step_by(V) {
            let mut sums = [[lanes.splat(0.0); V]; R];
            for (keys, query) in keys.chunks_exact(KEYS).zip(query.as_chunks::<STRIP>().0) {
                let keys = &keys.as_chunks::<R>().0[tile];
                for dim in 0..STRIP {
                    let mut queries = [lanes.splat(0.0); V];
                    for vector in 0..V {
                        queries[vector] = lanes.load(&query[dim].0[first + vector]);
                    }
                    for row in 0..R {
                        let key = lanes.splat(keys[row][dim]);
                        for vector in 0..V {
                            sums[row][vector] =
                                lanes.mul_add(key, queries[vector], sums[row][vector]);
                        }
                    }
                }
            }
            let scores = &mut scores.as_chunks_mut::<R>().0[tile];
            for row in 0..R {
                for vector in 0..V {
                    lanes.store(sums[row][vector], &mut scores[row].0[first + vector]);
                }
            }
        }
    }
}

/// `out ← out · factor + values · weights` for the `R` dims from `first_dim` on and the `V` vectors of queries from
/// `first_vector` on.
#[inline(always)]
fn value_tile<L: Lanes, const R: usize, const V: usize>(
    lanes: L,
    values: &[Strip],
    first_dim: usize,
    weights: &[Queries],
    factor: &Queries,
    first_vector: usize,
    out: &mut [Queries],
) {
    let mut sums = [[lanes.splat(0.0); V]; R];
    for row in 0..R {
        for vector in 0..V {
            let before = lanes.load(&out[row].0[first_vector + vector]);
            let factor = lanes.load(&factor.0[first_vector + vector]);
            sums[row][vector] = lanes.mul(before, factor);
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
