//! The second product of decoding: the values of a piece of the cache, weighted and added up.

use std::ops::Range;

use super::{HALF, PIECE};
use crate::cpu::{
    cache_slice::Element,
    lanes::{LANES, Lanes},
    prefetch::{Reading, Stream},
};

/// `Σ weight · row` for each query over the rows it sees, `[2, Q, head_dim]`: over the first half of a piece, and over
/// the second. After them, what is at `then` is read.
#[cfg_attr(not(unoptimised), inline(always))]
#[allow(clippy::too_many_arguments)]
pub(super) fn weigh<L: Lanes, E: Element, const Q: usize>(
    lanes: L,
    weights: &[[f32; PIECE]; Q],
    lens: [usize; Q],
    shortest: usize,
    (rows, head_dim): (&[E], usize),
    reading: Reading,
    then: [*const u8; 2],
    sums: &mut [f32],
) {
    let (front, back) = sums.split_at_mut(Q * head_dim);
    // As with the keys, both halves at once where registers allow it.
    if Q == 1 && L::MANY_REGISTERS && head_dim == 128 && reading == Reading::TwoPlaces {
        let done = lens[0].saturating_sub(HALF);
        let (front_rows, back_rows) = rows.split_at(lens[0].min(HALF) * head_dim);
        let back_rows = &back_rows[..done * head_dim];
        add_two_places(lanes, &weights[0], front_rows, back_rows, then, front, back);
        let rest = done..lens[0].min(HALF);
        let rows = Rows {
            rows,
            head_dim,
            stream: Stream::new(rows, then[1]),
        };
        add_weighted(lanes, weights, rest, rows, front);
        return;
    }
    let rows = Rows {
        rows,
        head_dim,
        stream: Stream::new(rows, then[0]),
    };
    for (half, sums) in [(0..HALF, front), (HALF..PIECE, back)] {
        let within = |key: usize| key.clamp(half.start, half.end);
        let seen_by_all = half.start..within(shortest);
        add_weighted(lanes, weights, seen_by_all.clone(), rows, sums);
        // What only some see.
        for (query, sums) in sums.chunks_exact_mut(head_dim).enumerate() {
            let keys = seen_by_all.end..within(lens[query]);
            add_weighted(lanes, &[weights[query]], keys, rows, sums);
        }
    }
}

/// The values of a piece, read from the first to the last.
#[derive(Clone, Copy)]
struct Rows<'a, E> {
    rows: &'a [E],
    head_dim: usize,
    stream: Stream,
}

/// Adds `weight · row` for some keys to `sums`.
#[cfg_attr(not(unoptimised), inline(always))]
fn add_weighted<L: Lanes, E: Element, const Q: usize>(
    lanes: L,
    weights: &[[f32; PIECE]; Q],
    keys: Range<usize>,
    rows: Rows<'_, E>,
    sums: &mut [f32],
) {
    if keys.is_empty() {
        return;
    }
    let weights = weights.each_ref().map(|weights| &weights[keys.clone()]);
    let rows = Rows {
        rows: &rows.rows[keys.start * rows.head_dim..keys.end * rows.head_dim],
        ..rows
    };
    // Loops of a known length for the heads of the published models.
    let known = |head_dim| Rows { head_dim, ..rows };
    match rows.head_dim {
        128 if Q == 1 => add_columns::<L, E, Q, 8>(lanes, weights, known(128), 0, sums),
        128 => {
            add_columns::<L, E, Q, 4>(lanes, weights, known(128), 0, sums);
            add_columns::<L, E, Q, 4>(lanes, weights, known(128), 64, sums);
        }
        64 => add_columns::<L, E, Q, 4>(lanes, weights, known(64), 0, sums),
        head_dim => {
            let mut column = 0;
            while column + LANES <= head_dim {
                add_columns::<L, E, Q, 1>(lanes, weights, rows, column, sums);
                column += LANES;
            }
            if column < head_dim {
                add_tail(lanes, weights, rows, column, sums);
            }
        }
    }
}

/// Rows of 128 values in two places, as many as there are in both.
#[cfg_attr(not(unoptimised), inline(always))]
fn add_two_places<L: Lanes, E: Element>(
    lanes: L,
    weights: &[f32; PIECE],
    front_rows: &[E],
    back_rows: &[E],
    then: [*const u8; 2],
    front: &mut [f32],
    back: &mut [f32],
) {
    const VECTORS: usize = 128 / LANES;
    let mut front_sums = [lanes.splat(0.0); VECTORS];
    let mut back_sums = [lanes.splat(0.0); VECTORS];
    let (front_weights, back_weights) = weights.split_at(HALF);
    let weights = front_weights.iter().zip(back_weights);
    let streams = [
        Stream::new(front_rows, then[0]),
        Stream::new(back_rows, then[1]),
    ];
    let rows = front_rows
        .chunks_exact(128)
        .zip(back_rows.chunks_exact(128));
    for ((front_row, back_row), (front_weight, back_weight)) in rows.zip(weights) {
        let (front_weight, back_weight) = (lanes.splat(*front_weight), lanes.splat(*back_weight));
        streams[0].prefetch(front_row);
        streams[1].prefetch(back_row);
        let (front_row, back_row) = (front_row.as_chunks().0, back_row.as_chunks().0);
        for vector in 0..VECTORS {
            let values = E::load(lanes, &front_row[vector]);
            front_sums[vector] = lanes.mul_add(front_weight, values, front_sums[vector]);
            let values = E::load(lanes, &back_row[vector]);
            back_sums[vector] = lanes.mul_add(back_weight, values, back_sums[vector]);
        }
    }
    let (front, back) = (front.as_chunks_mut().0, back.as_chunks_mut().0);
    for vector in 0..VECTORS {
        lanes.store(front_sums[vector], &mut front[vector]);
        lanes.store(back_sums[vector], &mut back[vector]);
    }
}

/// `V` vectors of columns from `column` on.
#[cfg_attr(not(unoptimised), inline(always))]
fn add_columns<L: Lanes, E: Element, const Q: usize, const V: usize>(
    lanes: L,
    weights: [&[f32]; Q],
    rows: Rows<'_, E>,
    column: usize,
    out: &mut [f32],
) {
    let head_dim = rows.head_dim;
    let mut sums = [[lanes.splat(0.0); V]; Q];
    for query in 0..Q {
        let out = out[query * head_dim + column..][..V * LANES].as_chunks().0;
        for vector in 0..V {
            sums[query][vector] = lanes.load(&out[vector]);
        }
    }
    for (key, row) in rows.rows.chunks_exact(head_dim).enumerate() {
        rows.stream.prefetch(row);
        let values = row[column..][..V * LANES].as_chunks().0;
        for vector in 0..V {
            let values = E::load(lanes, &values[vector]);
            for query in 0..Q {
                let weight = lanes.splat(weights[query][key]);
                sums[query][vector] = lanes.mul_add(weight, values, sums[query][vector]);
            }
        }
    }
    for query in 0..Q {
        let out = out[query * head_dim + column..][..V * LANES]
            .as_chunks_mut()
            .0;
        for vector in 0..V {
            lanes.store(sums[query][vector], &mut out[vector]);
        }
    }
}

/// The columns from `column` to the end, fewer than 16.
#[cfg_attr(not(unoptimised), inline(always))]
fn add_tail<L: Lanes, E: Element, const Q: usize>(
    lanes: L,
    weights: [&[f32]; Q],
    rows: Rows<'_, E>,
    column: usize,
    out: &mut [f32],
) {
    let head_dim = rows.head_dim;
    for (weights, out) in weights.iter().zip(out.chunks_exact_mut(head_dim)) {
        let mut sum = lanes.load_part(&out[column..], 0.0);
        for (weight, row) in weights.iter().zip(rows.rows.chunks_exact(head_dim)) {
            let values = E::load_tail(lanes, &row[column..]);
            sum = lanes.mul_add(lanes.splat(*weight), values, sum);
        }
        lanes.store_part(sum, &mut out[column..]);
    }
}
