//! Prefixes that several conversations share, within a budget of memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Prefix;
use crate::{model::Model, prefix_lm::TokenId};

/// What models have read, for every conversation that begins alike: system texts, documents, finished turns. When the
/// budget is spent, what was not used for the longest time goes first.
///
/// A hit is a copy of the tokens that can be reused, so an entry never changes, and conversations do not wait for each
/// other while they go on. One cache serves several models; none is given what another has read.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use glm_core::{chat::Conversation, prefix_cache::PrefixCache};
///
/// let model = glm_core::load("chatglm2-6b")?;
/// let tokenizer = glm_core::load_tokenizer("chatglm2-6b")?;
/// let cache = Arc::new(PrefixCache::new(1 << 30));
/// let document = std::fs::read_to_string("report.txt").unwrap_or_default();
/// for question in ["谁写的？", "说了什么？"] {
///     // The second conversation reads its question alone.
///     let conversation = Conversation::new(model.clone(), tokenizer.clone());
///     let mut conversation = conversation.with_prefix_cache(Arc::clone(&cache));
///     println!("{}", conversation.ask(&format!("{document}\n{question}"))?.run()?.response);
/// }
/// # Ok::<(), glm_core::Error>(())
/// ```
#[derive(Debug)]
pub struct PrefixCache {
    budget: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    /// What was used last stands last.
    entries: Vec<Arc<Prefix>>,
    statistics: PrefixCacheStatistics,
}

/// What a [`PrefixCache`] holds, and how well it has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrefixCacheStatistics {
    /// Prefixes that are kept.
    pub entries: usize,
    /// Bytes that they take.
    pub bytes: usize,
    /// How often a prefix was found.
    pub hits: usize,
    /// How often there was none, or none that is longer than what was known.
    pub misses: usize,
    /// Tokens that did not have to be read, beyond those that were known.
    pub tokens_saved: usize,
    /// Prefixes that had to make room for others.
    pub evictions: usize,
}

impl PrefixCache {
    /// A cache that takes up to `budget` bytes for keys, values and token ids; with 0 it keeps nothing.
    /// [`Model::cache_bytes_per_token`] says what a token takes.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        Self {
            budget,
            shelf: Mutex::default(),
        }
    }

    /// The longest beginning of `prompt` that can be reused, if it is longer than the `known` tokens that the caller has.
    #[must_use]
    pub fn find_longer(&self, model: &Model, prompt: &[TokenId], known: usize) -> Option<Prefix> {
        let (entry, len) = self.shelf().find_longer(model, prompt, known)?;
        // Copied while others may look: the entry does not change, and lives as long as it is needed.
        Some(entry.first_tokens(len))
    }

    /// Keeps a copy of `prefix`, and forgets those that it makes needless because it begins with them. One that is the
    /// beginning of another, or larger than the budget, is not kept.
    pub fn insert(&self, prefix: &Prefix) {
        if self.budget == 0 || self.shelf().use_longer(prefix) {
            return;
        }
        let entry = Arc::new(prefix.first_tokens(prefix.tokens().len()));
        if entry.bytes() <= self.budget {
            self.shelf().insert(entry, self.budget);
        }
    }

    /// Forgets everything that was kept; what was counted stays.
    pub fn clear(&self) {
        self.shelf().entries.clear();
    }

    /// What the cache holds, and how well it has done.
    #[must_use]
    pub fn statistics(&self) -> PrefixCacheStatistics {
        let shelf = self.shelf();
        PrefixCacheStatistics {
            entries: shelf.entries.len(),
            bytes: shelf.bytes(),
            ..shelf.statistics
        }
    }

    /// Every change of the shelf is whole before anything that could panic.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn find_longer(
        &mut self,
        model: &Model,
        prompt: &[TokenId],
        known: usize,
    ) -> Option<(Arc<Prefix>, usize)> {
        let lengths = self.entries.iter();
        let lengths = lengths.map(|entry| entry.reusable_len(model, prompt));
        let longest = lengths.enumerate().max_by_key(|(_, len)| *len);
        let Some((place, len)) = longest.filter(|(_, len)| *len > known) else {
            self.statistics.misses += 1;
            return None;
        };
        self.statistics.hits += 1;
        self.statistics.tokens_saved += len - known;
        Some((self.used(place), len))
    }

    /// Whether there is an entry that begins with `prefix`, which is then the one used last.
    fn use_longer(&mut self, prefix: &Prefix) -> bool {
        let mut entries = self.entries.iter();
        let place = entries.rposition(|entry| prefix.is_beginning_of(entry));
        place.map(|place| self.used(place)).is_some()
    }

    /// The entry at `place`, which is now the one used last.
    fn used(&mut self, place: usize) -> Arc<Prefix> {
        let entry = self.entries.remove(place);
        self.entries.push(Arc::clone(&entry));
        entry
    }

    fn insert(&mut self, new: Arc<Prefix>, budget: usize) {
        self.entries.retain(|entry| !entry.is_beginning_of(&new));
        self.entries.push(new);
        while self.bytes() > budget {
            self.entries.remove(0);
            self.statistics.evictions += 1;
        }
    }

    fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.bytes()).sum()
    }
}
