//! The memory of one layer's keys and values.

use std::ops::Range;

use half::f16;

use super::cache_slice::{CacheSlice, CacheSliceMut};

/// How keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CachePrecision {
    /// As they are computed.
    F32,
    /// Rounded to half precision.
    F16,
    /// 14-bit codes with one scale for each head of each token ([`CacheSlice::Int16`]): as close as f16, and faster.
    Int16,
    /// 8-bit codes with one scale for each head of each token ([`CacheSlice::Int8`]).
    Int8,
}

impl CachePrecision {
    /// Bytes of one key or value of a head.
    #[must_use]
    pub fn bytes_per_head(self, head_dim: usize) -> usize {
        match self {
            Self::F32 => 4 * head_dim,
            Self::F16 => 2 * head_dim,
            Self::Int16 => 2 * head_dim + 4,
            Self::Int8 => head_dim + 2,
        }
    }
}

/// Keys and values `[batch, heads, capacity, head_dim]` of one layer, all zero until they are written.
#[derive(Debug, Clone)]
pub struct KvBuffers {
    keys: Buffer,
    values: Buffer,
    precision: CachePrecision,
    batch: usize,
    heads: usize,
    capacity: usize,
    head_dim: usize,
}

#[derive(Debug, Clone)]
enum Buffer {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Int16 { codes: Vec<i16>, scales: Vec<f32> },
    Int8 { codes: Vec<i8>, scales: Vec<f16> },
}

impl KvBuffers {
    /// Buffers for keys (or values) of the shape `[batch, heads, capacity, head_dim]`. Their pages are taken from the
    /// system as they are written.
    ///
    /// # Panics
    /// If the shape cannot be counted in a machine word.
    #[must_use]
    pub fn new(precision: CachePrecision, [batch, heads, capacity, head_dim]: [usize; 4]) -> Self {
        let buffer = || Buffer::zeros(precision, [batch, heads, capacity], head_dim);
        Self {
            keys: buffer(),
            values: buffer(),
            precision,
            batch,
            heads,
            capacity,
            head_dim,
        }
    }

    /// Makes room for `capacity` tokens and keeps the first `used`.
    ///
    /// # Panics
    /// If there are not that many, before or after.
    pub fn grow(&mut self, used: usize, capacity: usize) {
        *self = self.first_tokens(used, capacity);
    }

    /// A copy of the first `used` tokens, with room for `capacity`; no others are touched.
    ///
    /// # Panics
    /// If there are not that many, here or there.
    #[must_use]
    pub fn first_tokens(&self, used: usize, capacity: usize) -> Self {
        self.repeated(used, used, capacity)
    }

    /// The first `used` tokens again and again, `len` in all, with room for `capacity`.
    ///
    /// # Panics
    /// If there are not that many, here or there.
    #[must_use]
    pub fn repeated(&self, used: usize, len: usize, capacity: usize) -> Self {
        assert!(
            used <= self.capacity && len <= capacity && (used > 0 || len == 0),
            "{used} tokens are kept, and become {len}"
        );
        let shape = [self.batch, self.heads, capacity, self.head_dim];
        let mut copies = Self::new(self.precision, shape);
        for start in (0..len).step_by(used.max(1)) {
            for row in 0..self.batch {
                copies.copy_row([row, start], self, row, used.min(len - start));
            }
        }
        copies
    }

    /// The rows of several caches of one precision side by side, each with the number of its tokens that are kept. The
    /// tokens of all rows end at the same place: zeros come before shorter ones.
    ///
    /// # Panics
    /// If there is no cache, one of another shape or precision than the first, or one with fewer tokens than are kept.
    #[must_use]
    pub fn side_by_side(caches: &[(Self, usize)], capacity: usize) -> Self {
        let (first, _) = &caches[0];
        let longest = caches.iter().map(|(_, used)| *used).max().unwrap_or(0);
        let batch = caches.iter().map(|(cache, _)| cache.batch).sum();
        let shape = [batch, first.heads, capacity.max(longest), first.head_dim];
        let mut all = Self::new(first.precision, shape);
        let mut to = 0;
        for (cache, used) in caches {
            assert_eq!(
                (cache.heads, cache.head_dim, cache.precision),
                (first.heads, first.head_dim, first.precision),
                "caches of one model"
            );
            for row in 0..cache.batch {
                all.copy_row([to, longest - used], cache, row, *used);
                to += 1;
            }
        }
        all
    }

    /// Goes on with these rows of the batch, in this order, and the first `used` tokens of each; a row may occur several
    /// times or not at all. A row that stays in its place is not touched.
    ///
    /// # Panics
    /// If there is no such row, or not that many tokens.
    pub fn select_rows(&mut self, used: usize, rows: &[usize]) {
        let Self {
            precision,
            batch,
            heads,
            capacity,
            head_dim,
            ..
        } = *self;
        assert!(used <= capacity, "{used} tokens are kept");
        let is_same_size = rows.len() == batch;
        let moved: Vec<(usize, usize)> = (0..)
            .zip(rows.iter().copied())
            .filter(|(to, from)| !is_same_size || to != from)
            .collect();
        let mut sources = Self::new(precision, [moved.len(), heads, used, head_dim]);
        for (index, &(_, from)) in moved.iter().enumerate() {
            assert!(from < batch, "there is no row {from}");
            sources.copy_row([index, 0], self, from, used);
        }
        if !is_same_size {
            *self = Self::new(precision, [rows.len(), heads, capacity, head_dim]);
        }
        for (index, (to, _)) in moved.into_iter().enumerate() {
            self.copy_row([to, 0], &sources, index, used);
        }
    }

    /// The first `used` tokens of row `from` of another's batch become those of row `to`, from `start` on.
    fn copy_row(&mut self, [to, start]: [usize; 2], other: &Self, from: usize, used: usize) {
        for head in 0..self.heads {
            let to = (to * self.heads + head) * self.capacity + start;
            let from = (from * self.heads + head) * other.capacity;
            let from = from..from + used;
            self.keys.copy(to, &other.keys, from.clone(), self.head_dim);
            self.values.copy(to, &other.values, from, self.head_dim);
        }
    }

    /// Rows of the batch.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Key and value heads.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Tokens that there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Values in a head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Bytes of keys and values together.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        let rows = self.batch * self.heads * self.capacity;
        2 * rows * self.precision.bytes_per_head(self.head_dim)
    }

    /// Keys and values.
    #[must_use]
    pub fn slices(&self) -> [CacheSlice<'_>; 2] {
        [self.keys.slice(), self.values.slice()]
    }

    /// Keys and values, to be written.
    #[must_use]
    pub fn slices_mut(&mut self) -> [CacheSliceMut<'_>; 2] {
        [self.keys.slice_mut(), self.values.slice_mut()]
    }
}

impl Buffer {
    fn zeros(precision: CachePrecision, rows: [usize; 3], head_dim: usize) -> Self {
        let product = |factors: &[usize]| {
            let count = factors.iter().try_fold(1_usize, |a, &b| a.checked_mul(b));
            assert!(count.is_some(), "a cache of {rows:?} rows is too large");
            count.unwrap_or_default()
        };
        let (rows, len) = (product(&rows), product(&[&rows[..], &[head_dim]].concat()));
        // Zeroed memory comes from the system untouched.
        match precision {
            CachePrecision::F32 => Self::F32(bytemuck::zeroed_vec(len)),
            CachePrecision::F16 => Self::F16(bytemuck::zeroed_vec(len)),
            CachePrecision::Int16 => Self::Int16 {
                codes: bytemuck::zeroed_vec(len),
                scales: bytemuck::zeroed_vec(rows),
            },
            CachePrecision::Int8 => Self::Int8 {
                codes: bytemuck::zeroed_vec(len),
                scales: bytemuck::zeroed_vec(rows),
            },
        }
    }

    /// Copies rows of another buffer of the same precision to row `to` and behind.
    fn copy(&mut self, to: usize, other: &Self, from: Range<usize>, head_dim: usize) {
        let target = to * head_dim..(to + from.len()) * head_dim;
        let source = from.start * head_dim..from.end * head_dim;
        match (self, other) {
            (Self::F32(all), Self::F32(other)) => all[target].copy_from_slice(&other[source]),
            (Self::F16(all), Self::F16(other)) => all[target].copy_from_slice(&other[source]),
            (
                Self::Int16 { codes, scales },
                Self::Int16 {
                    codes: other,
                    scales: other_scales,
                },
            ) => {
                codes[target].copy_from_slice(&other[source]);
                scales[to..to + from.len()].copy_from_slice(&other_scales[from]);
            }
            (
                Self::Int8 { codes, scales },
                Self::Int8 {
                    codes: other,
                    scales: other_scales,
                },
            ) => {
                codes[target].copy_from_slice(&other[source]);
                scales[to..to + from.len()].copy_from_slice(&other_scales[from]);
            }
            _ => unreachable!("both buffers were made with the same precision"),
        }
    }

    fn slice(&self) -> CacheSlice<'_> {
        match self {
            Self::F32(values) => CacheSlice::F32(values),
            Self::F16(values) => CacheSlice::F16(values),
            Self::Int16 { codes, scales } => CacheSlice::Int16 { codes, scales },
            Self::Int8 { codes, scales } => CacheSlice::Int8 { codes, scales },
        }
    }

    fn slice_mut(&mut self) -> CacheSliceMut<'_> {
        match self {
            Self::F32(values) => CacheSliceMut::F32(values),
            Self::F16(values) => CacheSliceMut::F16(values),
            Self::Int16 { codes, scales } => CacheSliceMut::Int16 { codes, scales },
            Self::Int8 { codes, scales } => CacheSliceMut::Int8 { codes, scales },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of its own place in every key.
    fn fill(buffers: &mut KvBuffers) {
        let capacity = buffers.capacity();
        let place = |row: usize| (row / capacity * 10 + row % capacity) as i8;
        let [keys, _] = buffers.slices_mut();
        match keys {
            CacheSliceMut::F32(keys) => {
                for (row, key) in keys.chunks_exact_mut(4).enumerate() {
                    key.fill(f32::from(place(row)));
                }
            }
            CacheSliceMut::F16(keys) => {
                for (row, key) in keys.chunks_exact_mut(4).enumerate() {
                    key.fill(f16::from_f32(f32::from(place(row))));
                }
            }
            CacheSliceMut::Int16 { codes, scales } => {
                for (row, key) in codes.chunks_exact_mut(4).enumerate() {
                    key.fill(i16::from(place(row)));
                    scales[row] = 1.0;
                }
            }
            CacheSliceMut::Int8 { codes, scales } => {
                for (row, key) in codes.chunks_exact_mut(4).enumerate() {
                    key.fill(place(row));
                    scales[row] = f16::ONE;
                }
            }
        }
    }

    fn value(buffers: &KvBuffers, row: usize) -> f32 {
        let [keys, _] = buffers.slices();
        match keys {
            CacheSlice::F32(keys) => keys[row * 4 + 3],
            CacheSlice::F16(keys) => keys[row * 4 + 3].to_f32(),
            CacheSlice::Int16 { codes, scales } => f32::from(codes[row * 4 + 3]) * scales[row],
            CacheSlice::Int8 { codes, scales } => {
                f32::from(codes[row * 4 + 3]) * scales[row].to_f32()
            }
        }
    }

    #[test]
    fn tokens_are_repeated_to_any_length() {
        for precision in [
            CachePrecision::F32,
            CachePrecision::F16,
            CachePrecision::Int16,
            CachePrecision::Int8,
        ] {
            let mut buffers = KvBuffers::new(precision, [2, 2, 4, 4]);
            fill(&mut buffers);
            for len in [0, 2, 3, 7] {
                let copies = buffers.repeated(3, len, 8);
                assert_eq!((copies.batch(), copies.capacity()), (2, 8));
                for (row, token) in (0..4).flat_map(|row| (0..8).map(move |token| (row, token))) {
                    let expected = if token < len { row * 10 + token % 3 } else { 0 };
                    assert_eq!(
                        value(&copies, row * 8 + token),
                        expected as f32,
                        "{precision:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn rows_are_chosen_in_any_order_and_number() {
        for precision in [
            CachePrecision::F32,
            CachePrecision::F16,
            CachePrecision::Int16,
            CachePrecision::Int8,
        ] {
            for rows in [
                &[0, 1, 2][..],
                &[1, 2, 0],
                &[2, 2, 1],
                &[0],
                &[],
                &[1, 1, 0, 2, 0],
            ] {
                let mut buffers = KvBuffers::new(precision, [3, 2, 2, 4]);
                fill(&mut buffers);
                buffers.select_rows(1, rows);
                assert_eq!((buffers.batch(), buffers.capacity()), (rows.len(), 2));
                for (to, from) in rows.iter().enumerate() {
                    for head in 0..2 {
                        let expected = (from * 2 + head) * 10;
                        assert_eq!(value(&buffers, (to * 2 + head) * 2), expected as f32);
                    }
                }
            }
        }
    }

    #[test]
    fn rows_side_by_side_end_at_the_same_place() {
        for precision in [
            CachePrecision::F32,
            CachePrecision::F16,
            CachePrecision::Int16,
            CachePrecision::Int8,
        ] {
            let buffers = |batch, capacity| {
                let mut buffers = KvBuffers::new(precision, [batch, 2, capacity, 4]);
                fill(&mut buffers);
                buffers
            };
            let all = KvBuffers::side_by_side(&[(buffers(1, 5), 2), (buffers(2, 3), 3)], 4);
            assert_eq!((all.batch(), all.capacity()), (3, 4));
            for head in 0..2 {
                let found =
                    |row: usize| [0, 1, 2].map(|key| value(&all, (row * 2 + head) * 4 + key));
                let at = |head: usize| (head * 10) as f32;
                assert_eq!(found(0), [0.0, at(head), at(head) + 1.0]);
                for row in [1, 2] {
                    let first = at((row - 1) * 2 + head);
                    assert_eq!(found(row), [first, first + 1.0, first + 2.0]);
                }
            }
        }
    }

    #[test]
    fn growing_keeps_every_head_in_its_place() {
        for precision in [
            CachePrecision::F32,
            CachePrecision::F16,
            CachePrecision::Int16,
            CachePrecision::Int8,
        ] {
            let mut buffers = KvBuffers::new(precision, [2, 3, 5, 4]);
            fill(&mut buffers);
            buffers.grow(4, 9);
            assert_eq!(buffers.capacity(), 9);
            assert_eq!(buffers.byte_len(), 2 * 6 * 9 * precision.bytes_per_head(4));
            for head in 0..6 {
                for token in 0..9 {
                    let expected = if token < 4 { head * 10 + token } else { 0 };
                    assert_eq!(value(&buffers, head * 9 + token), expected as f32);
                }
            }
        }
    }
}
