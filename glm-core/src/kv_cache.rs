//! The keys and values of the tokens seen so far.

use burn::tensor::{Tensor, s};

/// Tokens by which a full cache grows at least.
const GROWTH: usize = 256;

/// What attention remembers of a conversation: per layer the keys and values `[batch, heads, seq, head_dim]`, in
/// buffers with room to grow, so that a new token is written in place.
///
/// The model is shared, the cache is not: one per conversation.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<Option<LayerCache>>,
    len: usize,
    keeps: bool,
}

#[derive(Debug, Clone)]
struct LayerCache {
    keys: Tensor<4>,   // [batch, heads, capacity, head_dim]
    values: Tensor<4>, // [batch, heads, capacity, head_dim]
}

impl KvCache {
    /// An empty cache for a model of `num_layers` layers.
    pub fn new(num_layers: usize) -> Self {
        Self {
            layers: vec![None; num_layers],
            len: 0,
            keeps: true,
        }
    }

    /// A cache that keeps nothing, for training and for whole-text evaluation.
    pub fn disabled(num_layers: usize) -> Self {
        Self {
            keeps: false,
            ..Self::new(num_layers)
        }
    }

    /// Number of tokens in the cache.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True before the first forward pass.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all but the first `len` tokens; does nothing when there are fewer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Writes the keys and values of new tokens behind those of layer `layer`, and returns all of them.
    /// [`KvCache::advance`] makes the new tokens part of the cache once every layer has them.
    ///
    /// # Shapes
    /// - `keys`, `values`: `[batch, heads, new, head_dim]`
    /// - results: `[batch, heads, len + new, head_dim]`
    ///
    /// # Panics
    /// If there is no such layer, or the shapes differ from those of the first call.
    pub(crate) fn append(
        &mut self,
        layer: usize,
        keys: Tensor<4>,
        values: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        if !self.keeps {
            return (keys, values);
        }
        let [_, _, new, _] = keys.dims();
        let end = self.len + new;
        // Taken out, so that the buffers have one owner and are written in place.
        let cache = match self.layers[layer].take() {
            Some(cache) => cache.with_room_for(end),
            None => LayerCache::with_capacity(&keys, end.next_multiple_of(GROWTH)),
        };
        let range = s![.., .., self.len..end, ..];
        let cache = self.layers[layer].insert(LayerCache {
            keys: cache.keys.slice_assign(range, keys),
            values: cache.values.slice_assign(range, values),
        });
        let seen = s![.., .., 0..end, ..];
        (
            cache.keys.clone().slice(seen),
            cache.values.clone().slice(seen),
        )
    }

    /// Counts `new` tokens that every layer has appended.
    pub(crate) fn advance(&mut self, new: usize) {
        if self.keeps {
            self.len += new;
        }
    }
}

impl LayerCache {
    fn with_capacity(like: &Tensor<4>, capacity: usize) -> Self {
        let [batch, heads, _, head_dim] = like.dims();
        let buffer = || Tensor::zeros([batch, heads, capacity, head_dim], &like.device());
        Self {
            keys: buffer(),
            values: buffer(),
        }
    }

    fn with_room_for(self, len: usize) -> Self {
        let [_, _, capacity, _] = self.keys.dims();
        if len <= capacity {
            return self;
        }
        let larger =
            Self::with_capacity(&self.keys, len.max(capacity * 2).next_multiple_of(GROWTH));
        let filled = s![.., .., 0..capacity, ..];
        Self {
            keys: larger.keys.slice_assign(filled, self.keys),
            values: larger.values.slice_assign(filled, self.values),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    fn random(new: usize) -> Tensor<4> {
        Tensor::random([2, 3, new, 4], Distribution::Default, &Device::default())
    }

    #[test]
    fn equals_concatenation_while_it_grows() {
        let mut cache = KvCache::new(2);
        let mut all: Option<(Tensor<4>, Tensor<4>)> = None;
        for new in [3, 1, 1, 300, 1, 700] {
            let (keys, values) = (random(new), random(new));
            let expected = match all.take() {
                None => (keys.clone(), values.clone()),
                Some((k, v)) => (
                    Tensor::cat(vec![k, keys.clone()], 2),
                    Tensor::cat(vec![v, values.clone()], 2),
                ),
            };
            for layer in 0..2 {
                let (k, v) = cache.append(layer, keys.clone(), values.clone());
                assert_eq!(k.into_data(), expected.0.clone().into_data());
                assert_eq!(v.into_data(), expected.1.clone().into_data());
            }
            cache.advance(new);
            all = Some(expected);
        }
        assert_eq!(cache.len(), 1006);
    }

    #[test]
    fn truncated_tokens_are_overwritten() {
        let mut cache = KvCache::new(1);
        let (first, second) = (random(5), random(2));
        cache.append(0, first.clone(), first.clone());
        cache.advance(5);
        cache.truncate(3);
        let (keys, _) = cache.append(0, second.clone(), second.clone());
        let expected = Tensor::cat(vec![first.slice(s![.., .., 0..3, ..]), second], 2);
        assert_eq!(keys.into_data(), expected.into_data());
    }

    #[test]
    fn a_disabled_cache_stays_empty() {
        let mut cache = KvCache::disabled(1);
        cache.append(0, random(4), random(4));
        cache.advance(4);
        assert!(cache.is_empty());
    }
}
