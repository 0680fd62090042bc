//! A few queries over a long cache: every key and value is read once, where it lies.
//!
//! The keys of a row of the batch are cut at fixed places, counted from the first that is no padding. A task takes one
//! piece of one key head and leaves, for every query, the largest score, the sum of the exponentials and the weighted sum
//! of the values; what the pieces left is then put together in their order. So neither threads nor other queries nor
//! padding change a bit of the result.

use std::{cell::RefCell, ops::Range};

use half::f16;

use super::{Call, HALF, PIECE, Total, codes::Rows, divide, few_codes, tile, weighted_sum::weigh};
use crate::cpu::{
    cache_slice::{CacheSlice, Element, with_elements},
    chunks::{Parts, for_each_chunk},
    exp::exp_up_to_one,
    lanes::{Kernel, LANES, Lanes, run_at},
    level::CpuLevel,
    pool::Pool,
    prefetch::{Reading, Stream},
    shares::for_each_part,
};

thread_local! {
    /// What the pieces left, on the thread that puts it together.
    static PARTIALS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

pub(super) fn attention(level: CpuLevel, call: Call<'_>, out: &mut [f32]) {
    let heads = call.layout.heads;
    let pieces = call.step.total().div_ceil(PIECE);
    // Per key head and piece: the queries of its heads, head by head.
    let queries = heads / call.layout.kv_heads * call.step.seq;
    let task_len = queries * partial_len(&call);
    PARTIALS.with_borrow_mut(|partials| {
        let len = call.step.batch * call.layout.kv_heads * pieces * task_len;
        if partials.len() < len {
            partials.resize(len, 0.0);
        }
        let partials = &mut partials[..len];
        let tasks = len / task_len;
        let place = |task: usize| {
            let batch = task / pieces / call.layout.kv_heads;
            let start = call.spans[batch].first + task % pieces * PIECE;
            (batch, task / pieces % call.layout.kv_heads, start)
        };
        let parts = Parts::new(partials);
        let run = |task: usize, follows: bool| {
            let (batch, kv_head, start) = place((task + 1).min(tasks - 1));
            let next_row = call.row(batch, kv_head, start);
            let (batch, kv_head, start) = place(task);
            SCRATCH.with_borrow_mut(|scratch| {
                let piece = Piece {
                    call,
                    batch,
                    kv_head,
                    keys: start..start + PIECE,
                    next_row,
                    has_queries: follows && !task.is_multiple_of(pieces),
                    scratch,
                    // SAFETY: each task is taken once, and the parts of different tasks do not overlap.
                    partials: unsafe { parts.part(task * task_len..(task + 1) * task_len) },
                };
                run_at(level, piece);
            });
        };
        for_each_part(Pool::global(), tasks, 1, tasks, |tasks| {
            for (index, task) in tasks.enumerate() {
                run(task, index > 0);
            }
        });
        let partials = &*partials;
        for_each_chunk(out, heads * call.layout.head_dim, |token, out| {
            run_at(
                level,
                Join {
                    call,
                    token,
                    pieces,
                    partials,
                    out,
                },
            );
        });
    });
}

/// The weighted sum of the values, the largest score and the sum of the exponentials.
fn partial_len(call: &Call<'_>) -> usize {
    call.layout.head_dim + 2
}

/// Queries that share what is read, where registers allow it.
const QUERIES: usize = 4;

#[derive(Default)]
struct Scratch {
    /// Scaled queries, padded to whole vectors.
    queries: Vec<f32>,
    /// Weighted sums of the values of a piece's first half, then of its second.
    sums: Vec<f32>,
    tiles: tile::Scratch<1>,
    codes: few_codes::Scratch,
}

/// All queries of a key head over some of its keys.
struct Piece<'a> {
    call: Call<'a>,
    batch: usize,
    kv_head: usize,
    keys: Range<usize>,
    /// The row of the cache where the next piece begins.
    next_row: usize,
    /// True when the queries are those that the scratch memory has from the piece before.
    has_queries: bool,
    scratch: &'a mut Scratch,
    partials: &'a mut [f32],
}

impl Kernel for Piece<'_> {
    type Output = ();

    #[cfg_attr(not(unoptimised), inline(always))]
    fn run<L: Lanes>(self, lanes: L) {
        let Self {
            call,
            scratch,
            partials,
            ..
        } = self;
        let len = partial_len(&call);
        let (group, seq) = (call.group(), call.step.seq);
        // Tiles as long as there are queries for all lanes.
        let mut first = partials.len() / len / LANES * LANES;
        if first > 0 {
            let tiles = &mut scratch.tiles;
            if !self.has_queries {
                let query = |number| (number % seq, self.kv_head * group + number / seq);
                tiles.take(lanes, &call, self.batch, first, query);
            }
            let head = (self.batch, self.kv_head);
            tiles.attend(lanes, &call, head, self.keys.clone());
            for (number, partial) in partials.chunks_exact_mut(len).take(first).enumerate() {
                let (values, statistics) = partial.split_at_mut(call.layout.head_dim);
                let (largest, sum) = tiles.seen(number, values);
                statistics.copy_from_slice(&[largest, sum]);
            }
        }
        let some = SomeQueries {
            call,
            batch: self.batch,
            kv_head: self.kv_head,
            keys: self.keys,
            next_row: self.next_row,
        };
        if let CacheSlice::Int16 { .. } = call.keys {
            for partial in partials[first * len..].chunks_exact_mut(len) {
                some.attend_codes(lanes, first, &mut scratch.codes, partial);
                first += 1;
            }
            return;
        }
        if L::MANY_REGISTERS {
            for partials in partials[first * len..].chunks_exact_mut(QUERIES * len) {
                some.attend::<L, QUERIES>(lanes, first, scratch, partials);
                first += QUERIES;
            }
        }
        for partial in partials[first * len..].chunks_exact_mut(len) {
            some.attend::<L, 1>(lanes, first, scratch, partial);
            first += 1;
        }
    }
}

struct SomeQueries<'a> {
    call: Call<'a>,
    batch: usize,
    kv_head: usize,
    keys: Range<usize>,
    /// See [`Piece`].
    next_row: usize,
}

impl SomeQueries<'_> {
    /// A query, and how many of the keys it sees.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn query(&self, number: usize) -> (&[f32], usize) {
        let call = &self.call;
        let (head, index) = (number / call.step.seq, number % call.step.seq);
        let end = call.visible(self.batch, index).end.min(self.keys.end);
        let query = call.query(self.batch, index, self.kv_head * call.group() + head);
        (query, end.saturating_sub(self.keys.start))
    }

    /// Query number `number`, with a cache of 16-bit codes.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn attend_codes<L: Lanes>(
        &self,
        lanes: L,
        number: usize,
        scratch: &mut few_codes::Scratch,
        partial: &mut [f32],
    ) {
        let call = &self.call;
        let head_dim = call.layout.head_dim;
        let (query, len) = self.query(number);
        if len == 0 {
            return;
        }
        let row = call.row(self.batch, self.kv_head, self.keys.start);
        // Where a piece's scales begin, nobody has asked for them yet.
        call.values.prefetch_scale(row);
        call.keys.prefetch_scale(self.next_row);
        let rows = [call.keys, call.values]
            .map(|cache| Rows::of(cache.rows(row..row + len, head_dim), head_dim));
        let then = [
            call.values.address(row, head_dim),
            call.keys.address(self.next_row, head_dim),
        ];
        let (out, statistics) = partial.split_at_mut(head_dim);
        let query = (query, call.scale());
        let (largest, sum) = scratch.attend(lanes, query, rows, then, out);
        statistics.copy_from_slice(&[largest, sum]);
    }

    /// `Q` queries from number `first` on.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn attend<L: Lanes, const Q: usize>(
        &self,
        lanes: L,
        first: usize,
        scratch: &mut Scratch,
        partials: &mut [f32],
    ) {
        let call = &self.call;
        let head_dim = call.layout.head_dim;
        let padded_dim = head_dim.next_multiple_of(LANES);
        scratch.queries.clear();
        scratch.queries.resize(Q * padded_dim, 0.0);
        scratch.sums.clear();
        scratch.sums.resize(2 * Q * head_dim, 0.0);

        let start = self.keys.start;
        let mut lens = [0; Q];
        for (offset, padded) in scratch.queries.chunks_exact_mut(padded_dim).enumerate() {
            let (query, len) = self.query(first + offset);
            lens[offset] = len;
            for (padded, value) in padded.iter_mut().zip(query) {
                *padded = value * call.scale();
            }
        }
        let (mut shortest, mut longest) = (lens[0], lens[0]);
        for len in lens {
            (shortest, longest) = (shortest.min(len), longest.max(len));
        }
        if longest == 0 {
            return;
        }

        let row = call.row(self.batch, self.kv_head, start);
        let mut scores = [[0.0; PIECE]; Q];
        let queries = &scratch.queries;
        with_elements!(call.keys, |keys| {
            let keys = &keys[row * head_dim..][..longest * head_dim];
            let then = starts(call.values, row, head_dim);
            dots(
                lanes,
                queries,
                keys,
                head_dim,
                call.reading,
                then,
                &mut scores,
            );
        });
        let partial_len = partial_len(call);
        for (query, partial) in partials.chunks_exact_mut(partial_len).enumerate() {
            let scores = &mut scores[query][..lens[query]];
            if let CacheSlice::Int8 { scales, .. } = call.keys {
                multiply(lanes, scores, &scales[row..]);
            }
            let (largest, sum) = exponentials(lanes, scores);
            partial[head_dim..].copy_from_slice(&[largest, sum]);
            if let CacheSlice::Int8 { scales, .. } = call.values {
                multiply(lanes, scores, &scales[row..]);
            }
        }
        let sums = &mut scratch.sums[..];
        with_elements!(call.values, |values| {
            let values = &values[row * head_dim..][..longest * head_dim];
            let then = starts(call.keys, self.next_row, head_dim);
            let rows = (values, head_dim);
            weigh(
                lanes,
                &scores,
                lens,
                shortest,
                rows,
                call.reading,
                then,
                sums,
            );
        });
        let (front, back) = sums.split_at(Q * head_dim);
        let halves = front
            .chunks_exact(head_dim)
            .zip(back.chunks_exact(head_dim));
        for (partial, (front, back)) in partials.chunks_exact_mut(partial_len).zip(halves) {
            for ((total, front), back) in partial.iter_mut().zip(front).zip(back) {
                *total = front + back;
            }
        }
    }
}

/// Where the two halves of a piece begin, which are read in turn where that is faster.
fn starts(cache: CacheSlice<'_>, row: usize, head_dim: usize) -> [*const u8; 2] {
    [row, row + HALF].map(|row| cache.address(row, head_dim))
}

/// The dot products of `Q` queries with all rows. After them, what is at `then` is read.
#[cfg_attr(not(unoptimised), inline(always))]
fn dots<L: Lanes, E: Element, const Q: usize>(
    lanes: L,
    queries: &[f32],
    rows: &[E],
    head_dim: usize,
    reading: Reading,
    then: [*const u8; 2],
    scores: &mut [[f32; PIECE]; Q],
) {
    // Loops of a known length for the heads of the published models.
    match head_dim {
        128 => dots_of_width(lanes, queries, rows, 128, reading, then, scores),
        64 => dots_of_width(lanes, queries, rows, 64, reading, then, scores),
        _ => dots_of_width(lanes, queries, rows, head_dim, reading, then, scores),
    }
}

/// Keys whose dot products are added up together.
const TOGETHER: usize = 4;

#[cfg_attr(not(unoptimised), inline(always))]
fn dots_of_width<L: Lanes, E: Element, const Q: usize>(
    lanes: L,
    queries: &[f32],
    rows: &[E],
    head_dim: usize,
    reading: Reading,
    then: [*const u8; 2],
    scores: &mut [[f32; PIECE]; Q],
) {
    let group_len = TOGETHER * head_dim;
    let groups = rows.len() / group_len;
    let half = match reading {
        Reading::OnePlace => 0,
        Reading::TwoPlaces => groups / 2,
    };
    let (front, back) = rows.split_at(half * group_len);
    let streams = [Stream::new(front, then[0]), Stream::new(back, then[1])];
    for index in 0..half {
        let at = index * group_len..(index + 1) * group_len;
        let (front, back) = (&front[at.clone()], &back[at]);
        streams[0].prefetch(front);
        dots_of_group(lanes, queries, front, head_dim, index * TOGETHER, scores);
        streams[1].prefetch(back);
        let key = (half + index) * TOGETHER;
        dots_of_group(lanes, queries, back, head_dim, key, scores);
    }
    let stream = Stream::new(rows, then[0]);
    for index in 2 * half..groups {
        let group = &rows[index * group_len..][..group_len];
        stream.prefetch(group);
        dots_of_group(lanes, queries, group, head_dim, index * TOGETHER, scores);
    }
    let rest = rows[groups * group_len..].chunks_exact(head_dim);
    for (key, row) in (groups * TOGETHER..).zip(rest) {
        let sums = products::<L, E, Q, 1>(lanes, queries, row, head_dim);
        for query in 0..Q {
            scores[query][key] = lanes.sum(sums[query][0]);
        }
    }
}

/// The scores of [`TOGETHER`] keys, from number `key` on.
#[cfg_attr(not(unoptimised), inline(always))]
fn dots_of_group<L: Lanes, E: Element, const Q: usize>(
    lanes: L,
    queries: &[f32],
    group: &[E],
    head_dim: usize,
    key: usize,
    scores: &mut [[f32; PIECE]; Q],
) {
    let sums = products::<L, E, Q, TOGETHER>(lanes, queries, group, head_dim);
    for query in 0..Q {
        scores[query][key..key + TOGETHER].copy_from_slice(&lanes.sum_each(sums[query]));
    }
}

/// The products of `Q` queries with `R` rows, added up by lane.
#[cfg_attr(not(unoptimised), inline(always))]
fn products<L: Lanes, E: Element, const Q: usize, const R: usize>(
    lanes: L,
    queries: &[f32],
    rows: &[E],
    head_dim: usize,
) -> [[L::Vector; R]; Q] {
    let vectors = head_dim.div_ceil(LANES);
    let queries = &queries.as_chunks::<LANES>().0[..Q * vectors];
    let mut sums = [[lanes.splat(0.0); R]; Q];
    for vector in 0..head_dim / LANES {
        for row in 0..R {
            let values = rows[row * head_dim..][..head_dim].as_chunks().0;
            let values = E::load(lanes, &values[vector]);
            for query in 0..Q {
                let query_values = lanes.load(&queries[query * vectors + vector]);
                sums[query][row] = lanes.mul_add(query_values, values, sums[query][row]);
            }
        }
    }
    let tail = head_dim / LANES * LANES;
    if tail < head_dim {
        for row in 0..R {
            let values = E::load_tail(lanes, &rows[row * head_dim..][tail..head_dim]);
            for query in 0..Q {
                let query_values = lanes.load(&queries[query * vectors + vectors - 1]);
                sums[query][row] = lanes.mul_add(query_values, values, sums[query][row]);
            }
        }
    }
    sums
}

/// `values ← values · scales`
#[cfg_attr(not(unoptimised), inline(always))]
fn multiply<L: Lanes>(lanes: L, values: &mut [f32], scales: &[f16]) {
    let scales = &scales[..values.len()];
    for (values, scales) in values.chunks_mut(LANES).zip(scales.chunks(LANES)) {
        let scales = f16::load_part(lanes, scales);
        let product = lanes.mul(lanes.load_part(values, 0.0), scales);
        lanes.store_part(product, values);
    }
}

/// `scores ← e^(scores - largest)`; returns the largest and the sum.
#[cfg_attr(not(unoptimised), inline(always))]
pub(super) fn exponentials<L: Lanes>(lanes: L, scores: &mut [f32]) -> (f32, f32) {
    let mut largest = lanes.splat(f32::MIN);
    for scores in scores.chunks(LANES) {
        largest = lanes.max(lanes.load_part(scores, f32::MIN), largest);
    }
    let largest = lanes.largest(largest);
    let shift = lanes.splat(largest);
    let mut sum = lanes.splat(0.0);
    for scores in scores.chunks_mut(LANES) {
        let shifted = lanes.sub(lanes.load_part(scores, f32::NEG_INFINITY), shift);
        let exponential = exp_up_to_one(lanes, shifted);
        sum = lanes.add(sum, exponential);
        lanes.store_part(exponential, scores);
    }
    (largest, lanes.sum(sum))
}

/// One token: what the pieces left for each of its heads, weighted and added up.
struct Join<'a> {
    call: Call<'a>,
    token: usize,
    pieces: usize,
    partials: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Join<'_> {
    type Output = ();

    #[cfg_attr(not(unoptimised), inline(always))]
    fn run<L: Lanes>(self, lanes: L) {
        let call = &self.call;
        let (head_dim, seq) = (call.layout.head_dim, call.step.seq);
        let (batch, index) = (self.token / seq, self.token % seq);
        let group = call.group();
        let visible = call.visible(batch, index);
        let partial = |head: usize, piece: usize| {
            let task = (batch * call.layout.kv_heads + head / group) * self.pieces + piece;
            let query = head % group * seq + index;
            let at = (task * group * seq + query) * partial_len(call);
            self.partials[at..][..partial_len(call)].split_at(head_dim)
        };
        for (head, out) in self.out.chunks_exact_mut(head_dim).enumerate() {
            out.fill(0.0);
            let mut total = Total {
                largest: lanes.splat(f32::MIN),
                sum: lanes.splat(0.0),
            };
            for piece in 0..visible.len().div_ceil(PIECE) {
                let (values, statistics) = partial(head, piece);
                let [largest, sum] = [0, 1].map(|index| lanes.splat(statistics[index]));
                let (joined, factors) = total.join(lanes, Total { largest, sum });
                total = joined;
                for (values, out) in values.chunks(LANES).zip(out.chunks_mut(LANES)) {
                    let values = lanes.load_part(values, 0.0);
                    let before = lanes.load_part(out, 0.0);
                    lanes.store_part(factors.add(lanes, before, values), out);
                }
            }
            divide(lanes, out, total.sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rotary::{QkvLayout, Step};

    #[test]
    fn one_place_and_two_give_the_same_bits() {
        let head_dim = 128;
        // Pieces of every kind: full, of half and a bit, of a few keys; several queries, and those of a tile.
        for (total, seq) in [(3, 1), (300, 1), (515, 1), (1300, 1), (700, 6), (600, 16)] {
            let noise = |len: usize, seed: u32| -> Vec<f16> {
                let codes = (0..len as u32).map(move |i| (i + seed).wrapping_mul(0x9e37_79b9) >> 8);
                codes
                    .map(|code| f16::from_f32(code as f32 / (1 << 23) as f32 - 1.0))
                    .collect()
            };
            let (keys, values) = (
                noise(2 * total * head_dim, 1),
                noise(2 * total * head_dim, 7),
            );
            let query: Vec<f32> = (0..seq * 2 * head_dim)
                .map(|i| (i % 23) as f32 / 8.0 - 1.3)
                .collect();
            let attend = |level, reading| {
                let mut out = vec![f32::NAN; query.len()];
                let call = Call {
                    layout: QkvLayout::by_head(2, head_dim, 2),
                    step: Step {
                        batch: 1,
                        seq,
                        start: total - seq,
                        capacity: total,
                    },
                    query: &query,
                    keys: CacheSlice::F16(&keys),
                    values: CacheSlice::F16(&values),
                    spans: &[super::super::Span {
                        first: 0,
                        context: 0,
                    }],
                    reading,
                };
                attention(level, call, &mut out);
                out.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
            };
            let expected = attend(CpuLevel::Scalar, Reading::OnePlace);
            for level in CpuLevel::available() {
                for reading in [Reading::OnePlace, Reading::TwoPlaces] {
                    assert_eq!(attend(level, reading), expected, "{level} {reading:?}");
                }
            }
        }
    }
}
