//! The two products of a tile, in registers.

use super::{
    super::PIECE,
    Queries,
    strips::{STRIP, Strip, Values, make_room, widen},
};
use crate::cpu::{
    cache_slice::Element,
    lanes::{LANES, Lanes},
    prefetch::{Ahead, Stream},
};

/// The classes of dims, as their sums are added up: each to the one before it, each sum of two to that of the two before
/// it, and so on, as [`Lanes::sum`] folds lanes onto lanes.
const FOLDED: [usize; LANES] = [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15];

/// Sums for `R` keys and `W` vectors of queries.
type Sums<L, const W: usize, const R: usize> = [[<L as Lanes>::Vector; W]; R];

/// Something to do while scores are computed, a little before each quarter of the work.
trait Meanwhile<L: Lanes> {
    fn step(&mut self, lanes: L, quarter: usize);
}

struct Nothing;

impl<L: Lanes> Meanwhile<L> for Nothing {
    #[cfg_attr(not(unoptimised), inline(always))]
    fn step(&mut self, _: L, _: usize) {}
}

/// Widens the next keys, one at a step: the stores take as long as an eighth of the multiplications, which do not wait for
/// them.
struct Widen<'a, E, const R: usize> {
    rows: &'a [E],
    stream: Stream,
    head_dim: usize,
    strips: &'a mut [Strip],
    ahead: &'a mut Ahead,
}

impl<L: Lanes, E: Element, const R: usize> Meanwhile<L> for Widen<'_, E, R> {
    #[cfg_attr(not(unoptimised), inline(always))]
    fn step(&mut self, lanes: L, quarter: usize) {
        self.ahead.ask();
        let row = quarter * self.head_dim..(quarter + 1) * self.head_dim;
        if let Some(row) = self.rows.get(row)
            && quarter < R
        {
            self.stream.prefetch(row);
            widen::<L, E, R>(lanes, row, quarter, self.strips);
        }
    }
}

/// `R` keys in strips with room for `ROOM` of them, and `W` vectors of queries.
struct ScoreTile<'a, const V: usize, const W: usize, const R: usize, const ROOM: usize> {
    keys: &'a [Strip],
    /// Which keys: numbers `R · part` to `R · (part + 1)`.
    part: usize,
    query: &'a [Queries<V>],
    /// Number of the first vector of queries.
    first: usize,
}

impl<const V: usize, const W: usize, const R: usize, const ROOM: usize>
    ScoreTile<'_, V, W, R, ROOM>
{
    /// `keys · query`. As where lanes are dims, a sum is kept for each of 16 classes of dims, and these are then added up
    /// halves onto halves. That is written out, so that all of them stay in registers.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn multiply<L: Lanes>(
        &self,
        lanes: L,
        meanwhile: &mut impl Meanwhile<L>,
        scores: &mut [Queries<V>],
    ) {
        meanwhile.step(lanes, 0);
        let first = self.quarter(lanes, 0);
        meanwhile.step(lanes, 1);
        let first_half = add(lanes, first, &self.quarter(lanes, 1));
        meanwhile.step(lanes, 2);
        let third = self.quarter(lanes, 2);
        meanwhile.step(lanes, 3);
        let second_half = add(lanes, third, &self.quarter(lanes, 3));
        let sums = add(lanes, first_half, &second_half);
        for (sums, scores) in sums.iter().zip(scores) {
            for vector in 0..W {
                lanes.store(sums[vector], &mut scores.0[self.first + vector]);
            }
        }
    }

    /// The sum of a quarter of the classes, as many at a time as registers allow.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn quarter<L: Lanes>(&self, lanes: L, quarter: usize) -> Sums<L, W, R> {
        let first = quarter * LANES / 4;
        let [a, b, c, d] = if L::MANY_REGISTERS {
            self.classes(lanes, first)
        } else {
            let [[a], [b], [c], [d]] = [
                self.classes(lanes, first),
                self.classes(lanes, first + 1),
                self.classes(lanes, first + 2),
                self.classes(lanes, first + 3),
            ];
            [a, b, c, d]
        };
        add(lanes, add(lanes, a, &b), &add(lanes, c, &d))
    }

    /// The sums of `C` classes, from number `first` of [`FOLDED`] on.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn classes<L: Lanes, const C: usize>(&self, lanes: L, first: usize) -> [Sums<L, W, R>; C] {
        let mut sums = [[[lanes.splat(0.0); W]; R]; C];
        let strips = self.keys.chunks_exact(ROOM);
        for (keys, query) in strips.zip(self.query.as_chunks::<STRIP>().0) {
            let keys = &keys.as_chunks::<R>().0[self.part];
            for part in 0..STRIP / LANES {
                for (class, sums) in sums.iter_mut().enumerate() {
                    let dim = part * LANES + FOLDED[first + class];
                    let mut queries = [lanes.splat(0.0); W];
                    for vector in 0..W {
                        queries[vector] = lanes.load(&query[dim].0[self.first + vector]);
                    }
                    for row in 0..R {
                        let key = lanes.splat(keys[row][dim]);
                        for vector in 0..W {
                            sums[row][vector] =
                                lanes.mul_add(key, queries[vector], sums[row][vector]);
                        }
                    }
                }
            }
        }
        sums
    }
}

#[cfg_attr(not(unoptimised), inline(always))]
fn add<L: Lanes, const W: usize, const R: usize>(
    lanes: L,
    mut a: Sums<L, W, R>,
    b: &Sums<L, W, R>,
) -> Sums<L, W, R> {
    for row in 0..R {
        for vector in 0..W {
            a[row][vector] = lanes.add(a[row][vector], b[row][vector]);
        }
    }
    a
}

/// `keys · query` for the keys in strips with room for a piece, `R` keys and `W` vectors of queries at a time.
#[cfg_attr(not(unoptimised), inline(always))]
pub(super) fn scores_of_strips<L: Lanes, const V: usize, const W: usize, const R: usize>(
    lanes: L,
    keys: &[Strip],
    query: &[Queries<V>],
    scores: &mut [Queries<V>],
) {
    for (part, scores) in scores.chunks_mut(R).enumerate() {
        for first in (0..V).step_by(W) {
            let tile = ScoreTile::<V, W, R, PIECE> {
                keys,
                part,
                query,
                first,
            };
            tile.multiply(lanes, &mut Nothing, scores);
        }
    }
}

/// `keys · query` for keys as they lie in the cache, `R` keys and all queries at a time. `strips` is memory to work in.
#[cfg_attr(not(unoptimised), inline(always))]
pub(super) fn scores_of_rows<L: Lanes, E: Element, const V: usize, const R: usize>(
    lanes: L,
    keys: &[E],
    head_dim: usize,
    strips: &mut [Vec<Strip>; 2],
    query: &[Queries<V>],
    scores: &mut [Queries<V>],
    ahead: &mut Ahead,
) {
    let [current, next] = strips;
    let (mut current, mut next) = (current, next);
    for strips in [&mut *current, &mut *next] {
        make_room(strips, R, head_dim);
    }
    let stream = Stream::on(keys);
    for (place, row) in keys.chunks_exact(head_dim).take(R).enumerate() {
        stream.prefetch(row);
        widen::<L, E, R>(lanes, row, place, current);
    }
    for (part, scores) in scores.chunks_mut(R).enumerate() {
        let tile = ScoreTile::<V, V, R, R> {
            keys: current,
            part: 0,
            query,
            first: 0,
        };
        let mut widen = Widen::<E, R> {
            rows: keys.get((part + 1) * R * head_dim..).unwrap_or_default(),
            stream,
            head_dim,
            strips: next,
            ahead,
        };
        tile.multiply(lanes, &mut widen, scores);
        std::mem::swap(&mut current, &mut next);
    }
}

/// Values that are weighted from one look ahead to the next.
const VALUE_STEP: usize = 4;

/// How often [`value_tiles`] looks ahead for `keys` values of `dims` dims and `Q` of `queries` queries at a time.
pub(super) const fn value_steps<const Q: usize>(keys: usize, dims: usize, queries: usize) -> usize {
    keys.div_ceil(VALUE_STEP) * dims.div_ceil(LANES) * queries / Q
}

/// `sums ← sums + weightᵀ · values`, `Q` queries at a time. `sums` is `[V * LANES, dims]`, the dims padded to whole vectors.
#[cfg_attr(not(unoptimised), inline(always))]
pub(super) fn value_tiles<L: Lanes, E: Element, const V: usize, const Q: usize>(
    lanes: L,
    values: Values<'_, E>,
    weights: &[Queries<V>],
    sums: &mut [f32],
    ahead: &mut Ahead,
) {
    let padded_dims = values.dims.next_multiple_of(LANES);
    for dim in (0..values.dims).step_by(LANES) {
        for (queries, sums) in sums.chunks_exact_mut(Q * padded_dims).enumerate() {
            let mut totals = [lanes.splat(0.0); Q];
            for query in 0..Q {
                totals[query] = lanes.load_part(&sums[query * padded_dims + dim..], 0.0);
            }
            let values = values.columns(lanes, dim);
            for (index, (value, weights)) in values.zip(weights).enumerate() {
                if index % VALUE_STEP == 0 {
                    ahead.ask();
                }
                let weights = &weights.0.as_flattened().as_chunks::<Q>().0[queries];
                for query in 0..Q {
                    let weight = lanes.splat(weights[query]);
                    totals[query] = lanes.mul_add(weight, value, totals[query]);
                }
            }
            for query in 0..Q {
                lanes.store_part(totals[query], &mut sums[query * padded_dims + dim..]);
            }
        }
    }
}
