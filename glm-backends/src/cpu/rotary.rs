//! From the joint product of a layer to queries and a longer cache: rotary positions
//! ([RoFormer](https://arxiv.org/abs/2104.09864)), and the new keys and values behind the old ones.

use std::ops::Range;

use super::{
    cache_slice::{CacheRows, CacheSliceMut},
    chunks::Parts,
    lanes::{Kernel, Lanes, run_at},
    level::CpuLevel,
    pool::{self, Pool},
    shares::for_each_part,
};

/// Where the parts of a head lie in a row of the joint product, and which of their values are turned together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QkvLayout {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads: as many, or a divisor of `heads` whose keys serve several query heads.
    pub kv_heads: usize,
    /// Values in a head.
    pub head_dim: usize,
    /// Where the queries are.
    pub query: HeadOffsets,
    /// Where the keys are.
    pub key: HeadOffsets,
    /// Where the values are.
    pub value: HeadOffsets,
    /// What is turned together.
    pub pairs: RotaryPairs,
}

/// Head `h` starts at `first + h · stride`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadOffsets {
    /// Start of head 0.
    pub first: usize,
    /// From one head to the next.
    pub stride: usize,
}

/// The values of a head that one angle turns: `(a, b)` becomes `(a cos - b sin, b cos + a sin)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotaryPairs {
    /// The turned values are cut into equal parts of a width `d`, and `j` goes with `j + d / 2` inside each.
    Halves {
        /// How many parts: ChatGLM-6B has two, for position and block position.
        parts: usize,
    },
    /// `2 j` goes with `2 j + 1`.
    Neighbours,
}

impl QkvLayout {
    /// ChatGLM-6B: `[head][query | key | value][head_dim]`, the head in `parts` rotary parts.
    #[must_use]
    pub const fn by_head(heads: usize, head_dim: usize, parts: usize) -> Self {
        let stride = 3 * head_dim;
        Self {
            heads,
            kv_heads: heads,
            head_dim,
            query: HeadOffsets { first: 0, stride },
            key: HeadOffsets {
                first: head_dim,
                stride,
            },
            value: HeadOffsets {
                first: 2 * head_dim,
                stride,
            },
            pairs: RotaryPairs::Halves { parts },
        }
    }

    /// ChatGLM2-6B: all queries, then all keys, then all values.
    #[must_use]
    pub const fn by_part(heads: usize, kv_heads: usize, head_dim: usize) -> Self {
        let stride = head_dim;
        Self {
            heads,
            kv_heads,
            head_dim,
            query: HeadOffsets { first: 0, stride },
            key: HeadOffsets {
                first: heads * head_dim,
                stride,
            },
            value: HeadOffsets {
                first: (heads + kv_heads) * head_dim,
                stride,
            },
            pairs: RotaryPairs::Neighbours,
        }
    }

    /// Values of a token in the joint product.
    #[must_use]
    pub const fn width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    pub(super) fn check(&self) {
        assert!(self.head_dim > 0 && self.kv_heads > 0, "a head has values");
        assert!(
            self.heads.is_multiple_of(self.kv_heads),
            "{} query heads do not share {} key heads",
            self.heads,
            self.kv_heads
        );
    }
}

/// The tokens of one call, and where they stand in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Rows of the batch.
    pub batch: usize,
    /// New tokens of each row.
    pub seq: usize,
    /// Tokens in the cache before them.
    pub start: usize,
    /// Tokens that the cache has room for.
    pub capacity: usize,
}

impl Step {
    /// Tokens in the cache after the call.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.start + self.seq
    }

    pub(super) fn check(&self) {
        assert!(
            self.total() <= self.capacity,
            "the cache has room for {} tokens, not for {}",
            self.capacity,
            self.total()
        );
    }
}

/// Turns queries and keys by their positions; writes the keys and values of the new tokens into the cache, at
/// `step.start` and behind.
///
/// # Shapes
/// - `qkv`: `[batch, seq, layout.width()]`
/// - `cos`, `sin`: `[batch, seq, pairs]`, one angle for each pair of values; what is left of a head behind `2 · pairs`
///   values is not turned. With [`RotaryPairs::Halves`] the pairs of the first part come first.
/// - `query`: `[batch, seq, heads, head_dim]`, all of it is written
/// - `keys`, `values`: `[batch, kv_heads, capacity, head_dim]`
///
/// # Panics
/// If a length does not fit, the cache has no room for the new tokens, or the pairs do not fit into the head.
#[allow(clippy::too_many_arguments)]
pub fn rotary_append(
    layout: QkvLayout,
    step: Step,
    qkv: &[f32],
    cos: &[f32],
    sin: &[f32],
    query: &mut [f32],
    keys: CacheSliceMut<'_>,
    values: CacheSliceMut<'_>,
) {
    rotary_append_at(
        CpuLevel::active(),
        layout,
        step,
        qkv,
        cos,
        sin,
        query,
        keys,
        values,
    );
}

/// Tokens that one thread takes at a time.
const TOKENS: usize = 4;

/// Values of a single token that are worth waking other threads for.
const PARALLEL_WIDTH: usize = 1 << 13;

/// [`rotary_append`] with the instructions of a given level.
///
/// # Panics
/// As [`rotary_append`], or if this CPU does not have the level.
#[allow(clippy::too_many_arguments)]
pub fn rotary_append_at(
    level: CpuLevel,
    layout: QkvLayout,
    step: Step,
    qkv: &[f32],
    cos: &[f32],
    sin: &[f32],
    query: &mut [f32],
    keys: CacheSliceMut<'_>,
    values: CacheSliceMut<'_>,
) {
    layout.check();
    step.check();
    let QkvLayout {
        heads,
        kv_heads,
        head_dim,
        ..
    } = layout;
    let tokens = step.batch * step.seq;
    let rows = step.batch * kv_heads * step.capacity;
    assert_eq!(
        qkv.len(),
        tokens * layout.width(),
        "the joint product has {tokens} tokens"
    );
    assert_eq!(
        query.len(),
        tokens * heads * head_dim,
        "the queries have {tokens} tokens"
    );
    assert_eq!(cos.len(), sin.len(), "as many cosines as sines");
    let (keys, values) = (keys.rows(rows, head_dim), values.rows(rows, head_dim));
    if tokens == 0 {
        return;
    }
    let pairs = cos.len() / tokens;
    assert_eq!(cos.len(), tokens * pairs, "the angles have {tokens} tokens");
    let parts = match layout.pairs {
        RotaryPairs::Halves { parts } => parts,
        RotaryPairs::Neighbours => 1,
    };
    assert!(
        2 * pairs <= head_dim && parts > 0 && pairs.is_multiple_of(parts),
        "{pairs} rotary pairs in {parts} parts do not fit a head of {head_dim}"
    );
    let query = Parts::new(query);
    let group = heads / kv_heads;
    let append = |token: usize, kv: Range<usize>| {
        let first_query = (token * heads + kv.start * group) * head_dim;
        let queries = kv.len() * group * head_dim;
        // SAFETY: every head of every token is in one task.
        let query = unsafe { query.part(first_query..first_query + queries) };
        run_at(
            level,
            AppendToken {
                layout,
                qkv: &qkv[token * layout.width()..][..layout.width()],
                cos: &cos[token * pairs..][..pairs],
                sin: &sin[token * pairs..][..pairs],
                query,
                keys: &keys,
                values: &values,
                kv_heads: kv,
                first_row: token / step.seq * kv_heads * step.capacity
                    + step.start
                    + token % step.seq,
                capacity: step.capacity,
            },
        );
    };
    if tokens == 1 && layout.width() >= PARALLEL_WIDTH {
        let pool = Pool::global();
        let share = kv_heads.div_ceil(pool.threads());
        for_each_part(pool, kv_heads, share, share, |kv| append(0, kv));
        return;
    }
    let task = |task: usize| {
        for token in task * TOKENS..tokens.min((task + 1) * TOKENS) {
            append(token, 0..kv_heads);
        }
    };
    match tokens.div_ceil(TOKENS) {
        1 => task(0),
        tasks => pool::for_each(tasks, task),
    }
}

/// Some heads of a token; the only task that has these rows of the cache.
struct AppendToken<'a> {
    layout: QkvLayout,
    qkv: &'a [f32],
    cos: &'a [f32],
    sin: &'a [f32],
    /// Those of the heads that share the keys of `kv_heads`.
    query: &'a mut [f32],
    keys: &'a CacheRows<'a>,
    values: &'a CacheRows<'a>,
    kv_heads: Range<usize>,
    /// The token's row in head 0.
    first_row: usize,
    capacity: usize,
}

/// Longest head that needs no memory of its own.
const STACK_HEAD: usize = 256;

impl Kernel for AppendToken<'_> {
    type Output = ();

    #[cfg_attr(not(unoptimised), inline(always))]
    fn run<L: Lanes>(self, _: L) {
        let QkvLayout {
            heads,
            kv_heads,
            head_dim,
            pairs,
            ..
        } = self.layout;
        let head = |place: HeadOffsets, head: usize| {
            &self.qkv[place.first + head * place.stride..][..head_dim]
        };
        let row = |kv_head| self.first_row + kv_head * self.capacity;
        let mut asked_for = self.kv_heads.clone();
        let first_query = self.kv_heads.start * (heads / kv_heads);
        for (index, out) in self.query.chunks_exact_mut(head_dim).enumerate() {
            // Each row to be written is in a page of its own, which takes longer to find than its values to turn.
            if let Some(kv_head) = asked_for.next() {
                self.keys.ask_for(row(kv_head), head_dim);
                self.values.ask_for(row(kv_head), head_dim);
            }
            let query = head(self.layout.query, first_query + index);
            rotate(pairs, query, self.cos, self.sin, out);
        }
        let (mut short, mut long) = ([0.0; STACK_HEAD], Vec::new());
        let key = if head_dim <= STACK_HEAD {
            &mut short[..head_dim]
        } else {
            long.resize(head_dim, 0.0);
            &mut long[..]
        };
        for kv_head in self.kv_heads {
            rotate(
                pairs,
                head(self.layout.key, kv_head),
                self.cos,
                self.sin,
                key,
            );
            // SAFETY: different tasks have different tokens or heads, and so different rows, and a task has one token at a
            // time.
            unsafe {
                self.keys.write(row(kv_head), key);
                self.values
                    .write(row(kv_head), head(self.layout.value, kv_head));
            }
        }
    }
}

/// Plain loops that compilers make vectors of.
#[cfg_attr(not(unoptimised), inline(always))]
fn rotate(pairs: RotaryPairs, x: &[f32], cos: &[f32], sin: &[f32], out: &mut [f32]) {
    let turned = 2 * cos.len();
    match pairs {
        RotaryPairs::Halves { parts } => {
            let half = cos.len() / parts;
            for part in 0..parts {
                let (cos, sin) = (&cos[part * half..][..half], &sin[part * half..][..half]);
                let (a, b) = x[2 * part * half..][..2 * half].split_at(half);
                let (out_a, out_b) = out[2 * part * half..][..2 * half].split_at_mut(half);
                for j in 0..half {
                    out_a[j] = a[j].mul_add(cos[j], -(b[j] * sin[j]));
                    out_b[j] = b[j].mul_add(cos[j], a[j] * sin[j]);
                }
            }
        }
        RotaryPairs::Neighbours => {
            let (pairs, out) = (
                x[..turned].as_chunks::<2>().0,
                out[..turned].as_chunks_mut::<2>().0,
            );
            for ((([a, b], out), cos), sin) in pairs.iter().zip(out).zip(cos).zip(sin) {
                *out = [a.mul_add(*cos, -(b * sin)), b.mul_add(*cos, a * sin)];
            }
        }
    }
    out[turned..].copy_from_slice(&x[turned..]);
}
