//! The two products of a tile, in registers.

use super::{PIECE, Queries, STRIP, Strip, VALUE_STEP};
use crate::cpu::{
    lanes::{LANES, Lanes},
    prefetch::Ahead,
};

/// How often 16 lanes are folded to become one.
const FOLDS: usize = LANES.ilog2() as usize;

/// The lanes in the order in which [`Lanes::sum`] needs them: each is added to the one before it, each sum of two to that
/// of the two before it, and so on.
const FOLDED: [usize; LANES] = [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15];

/// `keys · query` for the keys from `place` on, `R` keys and `W` vectors of queries at a time. As where lanes are dims, a sum is kept for each of 16 classes of dims, `C` of them at a time, and these are then
/// added up halves onto halves.
#[inline(always)]
pub(super) fn score_tiles<
    L: Lanes,
    const V: usize,
    const W: usize,
    const R: usize,
    const C: usize,
>(
    lanes: L,
    keys: &[Strip],
    place: usize,
    query: &[Queries<V>],
    scores: &mut [Queries<V>],
    ahead: &mut Ahead,
) {
    for (part, scores) in scores.chunks_mut(R).enumerate() {
        let tile = place / R + part;
        for first in (0..V).step_by(W) {
            // Sums of several classes that wait for those of as many others.
            let mut waiting = [[[lanes.splat(0.0); W]; R]; FOLDS];
            let mut sum = waiting[0];
            for (index, classes) in FOLDED.as_chunks::<C>().0.iter().enumerate() {
                ahead.ask();
                let mut sums = [[[lanes.splat(0.0); W]; R]; C];
                for (keys, query) in keys.chunks_exact(PIECE).zip(query.as_chunks::<STRIP>().0) {
                    let keys = &keys.as_chunks::<R>().0[tile];
                    for part in 0..STRIP / LANES {
                        for class in 0..C {
                            // The remainder tells the compiler that it is below the length of a strip.
                            let dim = part * LANES + classes[class] % LANES;
                            let mut queries = [lanes.splat(0.0); W];
                            for vector in 0..W {
                                queries[vector] = lanes.load(&query[dim].0[first + vector]);
                            }
                            for row in 0..R {
                                let key = lanes.splat(keys[row][dim]);
                                let sums = &mut sums[class][row];
                                for vector in 0..W {
                                    sums[vector] =
                                        lanes.mul_add(key, queries[vector], sums[vector]);
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
            for (sum, scores) in sum.iter().zip(&mut *scores) {
                for vector in 0..W {
                    lanes.store(sum[vector], &mut scores.0[first + vector]);
                }
            }
        }
    }
}

#[inline(always)]
fn add_tiles<L: Lanes, const W: usize, const R: usize>(
    lanes: L,
    mut a: [[L::Vector; W]; R],
    b: &[[L::Vector; W]; R],
) -> [[L::Vector; W]; R] {
    for row in 0..R {
        for vector in 0..W {
            a[row][vector] = lanes.add(a[row][vector], b[row][vector]);
        }
    }
    a
}

/// `sums ← sums + values · weights` for the `R` dims from `first_dim` on and the `W` vectors of queries from
/// `first_vector` on.
#[inline(always)]
pub(super) fn value_tile<L: Lanes, const V: usize, const W: usize, const R: usize>(
    lanes: L,
    values: &[Strip],
    first_dim: usize,
    weights: &[Queries<V>],
    first_vector: usize,
    out: &mut [Queries<V>],
    ahead: &mut Ahead,
) {
    let mut sums = [[lanes.splat(0.0); W]; R];
    for row in 0..R {
        for vector in 0..W {
            sums[row][vector] = lanes.load(&out[row].0[first_vector + vector]);
        }
    }
    for (index, (values, weights)) in values.iter().zip(weights).enumerate() {
        if index % VALUE_STEP == 0 {
            ahead.ask();
        }
        let values = &values.as_chunks::<R>().0[first_dim / R];
        let mut queries = [lanes.splat(0.0); W];
        for vector in 0..W {
            queries[vector] = lanes.load(&weights.0[first_vector + vector]);
        }
        for row in 0..R {
            let value = lanes.splat(values[row]);
            for vector in 0..W {
                sums[row][vector] = lanes.mul_add(value, queries[vector], sums[row][vector]);
            }
        }
    }
    for row in 0..R {
        for vector in 0..W {
            lanes.store(sums[row][vector], &mut out[row].0[first_vector + vector]);
        }
    }
}
