//! The keys and values of the tokens seen so far.

mod layer_bytes;

use burn::tensor::{Int, Tensor, s};
use glm_backends::{CachePrecision, cpu::KvBuffers};

/// Tokens by which a full cache grows at least.
const GROWTH: usize = 256;

/// What attention remembers of a conversation: per layer the keys and values `[batch, heads, seq, head_dim]`, in
/// buffers with room for the tokens to come, so that a new one is written in place.
///
/// The model is shared, the cache is not: one per conversation.
#[derive(Debug, Clone)]
pub struct KvCache {
    layers: Vec<Option<LayerCache>>,
    len: usize,
    precision: CachePrecision,
    /// Tokens that the buffers have room for from the start.
    capacity: usize,
    keeps: bool,
}

/// One layer's keys and values.
#[derive(Debug, Clone)]
pub(crate) enum LayerCache {
    /// In the precision of the cache, for the kernels of the CPU.
    Kernels(KvBuffers),
    /// Keys and values as f32 tensors `[batch, heads, capacity, head_dim]`, on every other device.
    Tensors(Box<[Tensor<4>; 2]>),
}

impl KvCache {
    /// An empty cache for a model of `num_layers` layers, with room for `capacity` tokens of each row. Memory is taken
    /// when the first tokens come; on most systems only as far as it is filled.
    pub fn new(num_layers: usize, precision: CachePrecision, capacity: usize) -> Self {
        Self {
            layers: vec![None; num_layers],
            len: 0,
            precision,
            capacity,
            keeps: true,
        }
    }

    /// A cache that keeps nothing, for training and for whole-text evaluation.
    pub fn disabled(num_layers: usize) -> Self {
        Self {
            keeps: false,
            ..Self::new(num_layers, CachePrecision::F32, 0)
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

    /// A copy of the first `len` tokens, or of all when there are fewer, without room for more. It costs as much as those
    /// tokens have bytes.
    #[must_use]
    pub fn first_tokens(&self, len: usize) -> Self {
        let len = self.len.min(len);
        self.repeated(len, len)
    }

    /// The tokens again and again, `len` in all, with room for `capacity`: a long cache in little time.
    ///
    /// # Panics
    /// If there are none to make `len` of, or `capacity` is less.
    pub(crate) fn repeated(&self, len: usize, capacity: usize) -> Self {
        let used = self.len.min(len);
        let copies = |layer: &LayerCache| match layer {
            LayerCache::Kernels(buffers) => {
                LayerCache::Kernels(buffers.repeated(used, len, capacity))
            }
            LayerCache::Tensors(tensors) => {
                let copies = |tensor: Tensor<4>| {
                    let tokens = tensor.slice(s![.., .., 0..used, ..]);
                    let times = len.div_ceil(used.max(1)).max(1);
                    right_aligned(tokens.repeat_dim(2, times), len, len, capacity)
                };
                LayerCache::Tensors(Box::new((**tensors).clone().map(copies)))
            }
        };
        let layers = self.layers.iter();
        Self {
            layers: layers.map(|layer| layer.as_ref().map(copies)).collect(),
            len,
            capacity,
            ..*self
        }
    }

    /// Goes on with these rows of the batch, in this order; a row may occur several times or not at all.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn select_rows(&mut self, rows: &[usize]) {
        for layer in self.layers.iter_mut().flatten() {
            match layer {
                LayerCache::Kernels(buffers) => buffers.select_rows(self.len, rows),
                LayerCache::Tensors(tensors) => {
                    let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
                    for tensor in &mut **tensors {
                        let indices = Tensor::<1, Int>::from_data(&indices[..], &tensor.device());
                        *tensor = tensor.clone().select(0, indices);
                    }
                }
            }
        }
    }

    /// The rows of several caches of one model side by side, with room for `capacity` tokens of each. Their last tokens
    /// stand at the same place, with zeros before those of shorter caches.
    ///
    /// # Panics
    /// If there is no cache, or they are of different models or precisions.
    pub fn side_by_side(mut caches: Vec<Self>, capacity: usize) -> Self {
        let longest = caches.iter().map(Self::len).max().unwrap_or(0);
        let capacity = capacity.max(longest);
        let layers = 0..caches[0].layers.len();
        let layers = layers.map(|layer| {
            // Taken out one after the other, so that no more than one layer is there twice.
            let mut buffers = Vec::new();
            let mut tensors = [Vec::new(), Vec::new()];
            for cache in &mut caches {
                let len = cache.len;
                match cache.layers[layer].take() {
                    Some(LayerCache::Kernels(kernels)) => buffers.push((kernels, len)),
                    Some(LayerCache::Tensors(pair)) => {
                        for (all, tensor) in tensors.iter_mut().zip(*pair) {
                            all.push(right_aligned(tensor, len, longest, capacity));
                        }
                    }
                    None => {}
                }
            }
            let [keys, values] = tensors;
            if !buffers.is_empty() {
                Some(LayerCache::Kernels(KvBuffers::side_by_side(
                    &buffers, capacity,
                )))
            } else if !keys.is_empty() {
                let pair = [keys, values].map(|tensors| Tensor::cat(tensors, 0));
                Some(LayerCache::Tensors(Box::new(pair)))
            } else {
                None
            }
        });
        let layers = layers.collect();
        let first = caches.swap_remove(0);
        Self {
            layers,
            len: longest,
            capacity,
            ..first
        }
    }

    /// Bytes reserved for keys and values.
    pub fn reserved_bytes(&self) -> usize {
        let bytes = |layer: &LayerCache| match layer {
            LayerCache::Kernels(buffers) => buffers.byte_len(),
            LayerCache::Tensors(tensors) => {
                let [keys, _] = &**tensors;
                2 * size_of::<f32>() * keys.shape().num_elements()
            }
        };
        self.layers.iter().flatten().map(bytes).sum()
    }

    /// Counts `new` tokens that every layer has appended.
    pub(crate) fn advance(&mut self, new: usize) {
        if self.keeps {
            self.len += new;
        }
    }

    /// Lets `use_buffers` read and write the buffers of layer `layer`, which have room for `new` more tokens. New tokens
    /// go behind the first [`KvCache::len`]; [`KvCache::advance`] makes them part of the cache once every layer has them.
    ///
    /// # Panics
    /// If there is no such layer, or the batch or the heads differ from those of the first call.
    pub(crate) fn with_buffers<R>(
        &mut self,
        layer: usize,
        [batch, heads, new, head_dim]: [usize; 4],
        use_buffers: impl FnOnce(&mut KvBuffers) -> R,
    ) -> R {
        let end = self.len + new;
        let room = if self.keeps {
            self.capacity.max(end)
        } else {
            end
        };
        let fresh = || KvBuffers::new(self.precision, [batch, heads, room, head_dim]);
        let mut buffers = match self.layers[layer].take() {
            Some(LayerCache::Kernels(buffers)) => buffers,
            _ => fresh(),
        };
        assert_eq!(
            (buffers.batch(), buffers.heads(), buffers.head_dim()),
            (batch, heads, head_dim),
            "the cache belongs to rows of another shape"
        );
        if end > buffers.capacity() {
            buffers.grow(self.len, grown_capacity(buffers.capacity(), end));
        }
        let result = use_buffers(&mut buffers);
        if self.keeps {
            self.layers[layer] = Some(LayerCache::Kernels(buffers));
        }
        result
    }

    /// Writes the keys and values of new tokens behind those of layer `layer`, and returns all of them: for devices
    /// without kernels of their own. [`KvCache::advance`] makes the new tokens part of the cache once every layer has
    /// them.
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
        let [batch, heads, new, head_dim] = keys.dims();
        let end = self.len + new;
        let zeros = |capacity: usize| {
            Tensor::<4>::zeros([batch, heads, capacity, head_dim], &keys.device())
        };
        // Taken out, so that the buffers have one owner and are written in place.
        let (all_keys, all_values) = match self.layers[layer].take() {
            Some(LayerCache::Tensors(tensors)) => (*tensors).into(),
            _ => {
                let capacity = self.capacity.max(end);
                (zeros(capacity), zeros(capacity))
            }
        };
        let [_, _, capacity, _] = all_keys.dims();
        let grow = |buffer: Tensor<4>| {
            if end <= capacity {
                return buffer;
            }
            zeros(grown_capacity(capacity, end)).slice_assign(s![.., .., 0..capacity, ..], buffer)
        };
        let range = s![.., .., self.len..end, ..];
        let all_keys = grow(all_keys).slice_assign(range, keys.clone());
        let all_values = grow(all_values).slice_assign(range, values);
        let seen = s![.., .., 0..end, ..];
        let result = (all_keys.clone().slice(seen), all_values.clone().slice(seen));
        self.layers[layer] = Some(LayerCache::Tensors(Box::new([all_keys, all_values])));
        result
    }
}

/// The first `len` tokens of `buffer`, moved to end at `longest`, in a buffer for `capacity` tokens.
fn right_aligned(buffer: Tensor<4>, len: usize, longest: usize, capacity: usize) -> Tensor<4> {
    let [batch, heads, _, head_dim] = buffer.dims();
    let zeros = Tensor::zeros([batch, heads, capacity, head_dim], &buffer.device());
    let tokens = buffer.slice(s![.., .., 0..len, ..]);
    zeros.slice_assign(s![.., .., longest - len..longest, ..], tokens)
}

/// Room for at least `len` tokens where there was room for `capacity`.
fn grown_capacity(capacity: usize, len: usize) -> usize {
    len.max(capacity * 2).next_multiple_of(GROWTH)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    fn cache(num_layers: usize) -> KvCache {
        KvCache::new(num_layers, CachePrecision::F32, 0)
    }

    fn random(new: usize) -> Tensor<4> {
        Tensor::random([2, 3, new, 4], Distribution::Default, &Device::default())
    }

    #[test]
    fn equals_concatenation_while_it_grows() {
        let mut cache = cache(2);
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
        let mut cache = cache(1);
        let (first, second) = (random(5), random(2));
        cache.append(0, first.clone(), first.clone());
        cache.advance(5);
        cache.truncate(3);
        let (keys, _) = cache.append(0, second.clone(), second.clone());
        let expected = Tensor::cat(vec![first.slice(s![.., .., 0..3, ..]), second], 2);
        assert_eq!(keys.into_data(), expected.into_data());
    }

    #[test]
    fn a_copy_of_the_first_tokens_goes_on_alone() {
        let mut cache = cache(1);
        let (first, second) = (random(5), random(2));
        cache.append(0, first.clone(), first.clone());
        cache.advance(5);
        let mut copy = cache.first_tokens(3);
        assert_eq!(
            (copy.len(), copy.reserved_bytes()),
            (3, 2 * 4 * 2 * 3 * 3 * 4)
        );
        let (keys, _) = copy.append(0, second.clone(), second.clone());
        let expected = Tensor::cat(vec![first.clone().slice(s![.., .., 0..3, ..]), second], 2);
        assert_eq!(keys.into_data(), expected.into_data());
        let (keys, _) = cache.append(0, first.clone(), first.clone());
        let expected = Tensor::cat(vec![first.clone(), first], 2);
        assert_eq!(keys.into_data(), expected.into_data());
    }

    #[test]
    fn tokens_are_repeated_to_any_length() {
        let mut cache = cache(1);
        let (tokens, next) = (random(5), random(1));
        cache.append(0, tokens.clone(), tokens.clone());
        cache.advance(5);
        for len in [0, 3, 5, 12] {
            let mut copies = cache.repeated(len, 15);
            assert_eq!(copies.len(), len);
            assert_eq!(copies.reserved_bytes(), 2 * 4 * 2 * 3 * 15 * 4);
            let (keys, _) = copies.append(0, next.clone(), next.clone());
            let expected = Tensor::cat(vec![tokens.clone(); 3], 2);
            let expected = Tensor::cat(
                vec![expected.slice(s![.., .., 0..len, ..]), next.clone()],
                2,
            );
            assert_eq!(keys.into_data(), expected.into_data());
        }
    }

    #[test]
    fn caches_side_by_side_end_together_and_grow_on() {
        let filled = |new| {
            let (mut cache, tensor) = (cache(1), random(new));
            cache.append(0, tensor.clone(), tensor.clone());
            cache.advance(new);
            (cache, tensor)
        };
        let ((long, long_tokens), (short, short_tokens)) = (filled(4), filled(1));
        let mut both = KvCache::side_by_side(vec![long, short], 5);
        assert_eq!(both.len(), 4);
        let next = Tensor::cat(vec![random(2), random(2)], 0);
        let (keys, _) = both.append(0, next.clone(), next.clone());
        let padded = Tensor::cat(
            vec![
                Tensor::zeros([2, 3, 3, 4], &Device::default()),
                short_tokens,
            ],
            2,
        );
        let rows = Tensor::cat(vec![long_tokens, padded], 0);
        assert_eq!(
            keys.into_data(),
            Tensor::cat(vec![rows, next], 2).into_data()
        );
    }

    #[test]
    fn a_disabled_cache_stays_empty() {
        let mut cache = KvCache::disabled(1);
        cache.append(0, random(4), random(4));
        cache.advance(4);
        assert!(cache.is_empty());
        assert_eq!(cache.reserved_bytes(), 0);
    }
}
