//! Softmax attention over a cache, without ever building the matrix of scores.
//!
//! Few queries ([`decode`]) read the cache once, as it is stored, at the speed of memory. Many ([`prefill`]) are a
//! matrix product in tiles ([`tile`]), with the softmax corrected from piece to piece of the keys
//! ([FlashAttention](https://arxiv.org/abs/2205.14135)).

use std::{mem::discriminant, ops::Range};

use super::{
    cache_slice::CacheSlice,
    exp::exp,
    lanes::{LANES, Lanes},
    level::CpuLevel,
    prefetch::Reading,
    rotary::{QkvLayout, Step},
};

mod codes;
// Their inner loops run over registers by index.
#[allow(clippy::needless_range_loop)]
mod decode;
#[allow(clippy::needless_range_loop)]
mod few_codes;
mod prefill;
#[allow(clippy::needless_range_loop)]
mod tile;
mod weighted_sum;

/// The keys that the queries of one row of the batch see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first key: what is before it is left padding.
    pub first: usize,
    /// The keys before this one are seen by all queries; those from it on by the queries at and behind them.
    pub context: usize,
}

impl Span {
    /// What the query at `position` sees of `total` keys.
    fn visible(self, position: usize, total: usize) -> Range<usize> {
        let end = total.min(self.context.max(position + 1));
        self.first.min(end)..end
    }
}

/// Most queries of a row that count as few.
const FEW_QUERIES: usize = 16;

/// Keys in a piece. Pieces are counted from the first key that is no padding; what is added up over one of them does not
/// depend on what else there is.
const PIECE: usize = 512;

/// Keys of a piece whose values are added up on their own.
const HALF: usize = PIECE / 2;

/// `softmax(query · keysᵀ / √head_dim) · values` for every query of a step, each over the keys it sees. A query that
/// sees none gives zeros.
///
/// The result for a query has the same bits however many threads there are, however many queries are in the step, and
/// however much padding is before the keys.
///
/// # Shapes
/// - `query`: `[batch, seq, heads, head_dim]`
/// - `keys`, `values`: `[batch, kv_heads, capacity, head_dim]`, of which the first `step.total()` tokens are read
/// - `spans`: `[batch]`
/// - `out`: `[batch, seq, heads, head_dim]`, all of it is written
///
/// # Panics
/// If a length does not fit, or keys and values differ in precision.
pub fn attention(
    layout: QkvLayout,
    step: Step,
    query: &[f32],
    keys: CacheSlice<'_>,
    values: CacheSlice<'_>,
    spans: &[Span],
    out: &mut [f32],
) {
    attention_at(
        CpuLevel::active(),
        layout,
        step,
        query,
        keys,
        values,
        spans,
        out,
    );
}

/// [`attention`] with the instructions of a given level.
///
/// # Panics
/// As [`attention`], or if this CPU does not have the level.
#[allow(clippy::too_many_arguments)]
pub fn attention_at(
    level: CpuLevel,
    layout: QkvLayout,
    step: Step,
    query: &[f32],
    keys: CacheSlice<'_>,
    values: CacheSlice<'_>,
    spans: &[Span],
    out: &mut [f32],
) {
    layout.check();
    step.check();
    let queries = step.batch * step.seq * layout.heads;
    assert_eq!(
        query.len(),
        queries * layout.head_dim,
        "there are {queries} queries"
    );
    assert_eq!(
        out.len(),
        query.len(),
        "the result has the shape of the queries"
    );
    assert_eq!(spans.len(), step.batch, "a span for each row of the batch");
    let rows = step.batch * layout.kv_heads * step.capacity;
    keys.check(rows, layout.head_dim);
    values.check(rows, layout.head_dim);
    assert_eq!(
        discriminant(&keys),
        discriminant(&values),
        "keys and values have the same precision"
    );
    if out.is_empty() {
        return;
    }
    let call = Call {
        layout,
        step,
        query,
        keys,
        values,
        spans,
        reading: Reading::of_this_cpu(),
    };
    if step.seq <= FEW_QUERIES {
        decode::attention(level, call, out);
    } else {
        prefill::attention(level, call, out);
    }
}

/// Checked arguments.
#[derive(Clone, Copy)]
struct Call<'a> {
    layout: QkvLayout,
    step: Step,
    query: &'a [f32],
    keys: CacheSlice<'a>,
    values: CacheSlice<'a>,
    spans: &'a [Span],
    /// How keys and values are best read.
    reading: Reading,
}

impl Call<'_> {
    /// What the query with this index in the step sees.
    fn visible(&self, batch: usize, index: usize) -> Range<usize> {
        self.spans[batch].visible(self.step.start + index, self.step.total())
    }

    /// Heads that share keys and values.
    fn group(&self) -> usize {
        self.layout.heads / self.layout.kv_heads
    }

    /// One query.
    fn query(&self, batch: usize, index: usize, head: usize) -> &[f32] {
        &self.query[self.query_place(batch, index, head)]
    }

    /// Where a query is, and its result.
    fn query_place(&self, batch: usize, index: usize, head: usize) -> Range<usize> {
        let QkvLayout {
            heads, head_dim, ..
        } = self.layout;
        let start = ((batch * self.step.seq + index) * heads + head) * head_dim;
        start..start + head_dim
    }

    /// The row of the cache with key `key` of a head.
    fn row(&self, batch: usize, kv_head: usize, key: usize) -> usize {
        (batch * self.layout.kv_heads + kv_head) * self.step.capacity + key
    }

    /// `1 / √head_dim`
    fn scale(&self) -> f32 {
        1.0 / (self.layout.head_dim as f32).sqrt()
    }
}

/// Turns a weighted sum of values into their mean; zeros where no key was seen.
#[cfg_attr(not(unoptimised), inline(always))]
fn divide<L: Lanes>(lanes: L, values: &mut [f32], sum: L::Vector) {
    // The key with the largest score adds 1 to the sum.
    let (zero, least) = (lanes.splat(0.0), lanes.splat(0.5));
    for values in values.chunks_mut(LANES) {
        let mean = lanes.div(lanes.load_part(values, 0.0), sum);
        lanes.store_part(lanes.select_less(sum, least, zero, mean), values);
    }
}

/// The softmax over some pieces, for one query or a query in each lane.
#[derive(Clone, Copy)]
struct Total<V> {
    /// The largest score.
    largest: V,
    /// The sum of the exponentials, relative to it.
    sum: V,
}

/// What the weighted sums of the values are multiplied with when pieces are joined.
#[derive(Clone, Copy)]
struct Factors<V> {
    before: V,
    piece: V,
}

impl<V: Copy> Total<V> {
    /// Takes in another piece. One in which nothing is seen changes nothing.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn join<L: Lanes<Vector = V>>(self, lanes: L, piece: Self) -> (Self, Factors<V>) {
        let largest = lanes.max(self.largest, piece.largest);
        let factors = Factors {
            before: exp(lanes, lanes.sub(self.largest, largest)),
            piece: exp(lanes, lanes.sub(piece.largest, largest)),
        };
        let sum = factors.add(lanes, self.sum, piece.sum);
        (Self { largest, sum }, factors)
    }
}

impl<V: Copy> Factors<V> {
    #[cfg_attr(not(unoptimised), inline(always))]
    fn add<L: Lanes<Vector = V>>(self, lanes: L, before: V, piece: V) -> V {
        lanes.mul_add(piece, self.piece, lanes.mul(before, self.before))
    }
}
