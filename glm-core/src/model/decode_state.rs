//! What a model has read of the rows that it goes on with.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Model;
use crate::{attention_mask::AttentionMask, kv_cache::KvCache, row_layout::RowLayout};

/// Rows that are being generated: the cache, and what the positions of the next token follow from.
#[derive(Debug, Clone)]
pub struct DecodeState {
    pub(super) rows: Vec<RowLayout>,
    pub(super) pad_lengths: Vec<usize>,
    /// Padded length of every row, generated tokens included.
    pub(super) len: usize,
    pub(super) cache: KvCache,
    /// Of the model that has read the rows.
    pub(super) model: Identity,
}

impl DecodeState {
    /// Tokens per row so far, padding included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when no token was seen: never after [`Model::prefill`].
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all but the first `len` tokens of every row, padding included; does nothing when there are fewer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.cache.truncate(len);
    }

    /// A copy of the first `len` tokens of every row, padding included, or of all when there are fewer. It costs as much
    /// as those tokens have bytes.
    #[must_use]
    pub fn first_tokens(&self, len: usize) -> Self {
        Self {
            rows: self.rows.clone(),
            pad_lengths: self.pad_lengths.clone(),
            len: self.len.min(len),
            cache: self.cache.first_tokens(len),
            model: self.model,
        }
    }

    /// Goes on with these rows, in this order; a row may occur several times or not at all.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn select_rows(&mut self, rows: &[usize]) {
        self.rows = rows.iter().map(|&row| self.rows[row]).collect();
        self.pad_lengths = rows.iter().map(|&row| self.pad_lengths[row]).collect();
        self.cache.select_rows(rows);
    }

    /// The rows of several states of one model side by side, with room for `capacity` tokens of each: shorter ones are
    /// padded on the left. So prompts can be read one by one, and rows can join others that are being generated.
    ///
    /// # Panics
    /// If there is no state, or they are of different models or numerics.
    pub fn side_by_side(states: Vec<Self>, capacity: usize) -> Self {
        let len = states.iter().map(Self::len).max().unwrap_or(0);
        let model = states[0].model;
        let (mut rows, mut pad_lengths, mut caches) = (Vec::new(), Vec::new(), Vec::new());
        for state in states {
            let pads = len - state.len;
            rows.extend(state.rows);
            pad_lengths.extend(state.pad_lengths.into_iter().map(|before| before + pads));
            caches.push(state.cache);
        }
        Self {
            rows,
            pad_lengths,
            len,
            cache: KvCache::side_by_side(caches, capacity),
            model,
        }
    }

    /// The keys and values kept so far.
    pub fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// A single row that `model` has read, laid out as `layout` says.
    pub(crate) fn of_row(model: &Model, layout: RowLayout, cache: KvCache) -> Self {
        Self {
            rows: vec![layout],
            pad_lengths: vec![0],
            len: cache.len(),
            cache,
            model: model.identity,
        }
    }

    /// Whether this is a single row that `model` has read and that is laid out as `layout` says.
    pub(crate) fn is_of(&self, model: &Model, layout: &RowLayout) -> bool {
        self.model == model.identity && self.rows == [*layout] && self.pad_lengths == [0]
    }

    /// Whether the same model has read both, each a single row of the same layout.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.model == other.model
            && self.rows == other.rows
            && self.pad_lengths == other.pad_lengths
    }

    pub(super) fn attention_mask(&self) -> AttentionMask {
        let rows = self.rows.iter().zip(&self.pad_lengths);
        AttentionMask::new(rows.map(|(row, &pads)| row.span(pads)).collect())
    }
}

/// Tells models apart that may compute something else; clones share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity(u64);

impl Identity {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
