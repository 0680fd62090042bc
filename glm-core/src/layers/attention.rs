//! From the projected queries, keys and values to what each head has gathered: rotary positions, the cache, softmax.
//! Everything of attention that has no weights.

use burn::tensor::{Bool, Tensor, activation, s};
use glm_backends::cpu::{HeadOffsets, QkvLayout};

use crate::{attention_mask::AttentionMask, kv_cache::KvCache, layers::rotary::RotaryTable};

/// What a masked score is set to. Finite, so that a row of padding with nothing to attend to is uniform instead of NaN.
const MASKED_SCORE: f32 = -1e30;

/// Queries that attend at a time on devices without own kernels: bounds the scores of a long prompt to
/// `heads × 256 × seq`.
const QUERY_BLOCK: usize = 256;

/// Where and what the tokens of one forward pass are: the same for all layers.
#[derive(Debug)]
pub(crate) struct AttentionContext<'a> {
    rotary: RotaryTable,
    mask: &'a AttentionMask,
    /// `mask` as a tensor, for devices without own kernels.
    masked: Option<Tensor<4, Bool>>,
    own_kernels: bool,
}

impl<'a> AttentionContext<'a> {
    /// For `seq` new tokens behind the `cached` ones.
    pub(crate) fn new(
        rotary: RotaryTable,
        mask: &'a AttentionMask,
        cached: usize,
        seq: usize,
    ) -> Self {
        let device = rotary.device();
        let own_kernels = glm_backends::has_own_kernels(&device);
        Self {
            rotary,
            mask,
            masked: if own_kernels {
                None
            } else {
                mask.to_tensor(cached, seq, &device)
            },
            own_kernels,
        }
    }

    /// Equal parts that positions turn a head in.
    pub(crate) fn rotary_parts(&self) -> usize {
        self.rotary.parts()
    }

    /// `softmax(q·kᵀ / √head_dim)·v` for the new tokens of layer `layer`, whose keys and values go to the cache.
    ///
    /// # Shapes
    /// - `qkv`: `[batch, seq, layout.width()]`
    /// - result: `[batch, seq, heads * head_dim]`
    pub(crate) fn attend(
        &self,
        layer: usize,
        qkv: Tensor<3>,
        layout: QkvLayout,
        cache: &mut KvCache,
    ) -> Tensor<3> {
        let [batch, seq, _] = qkv.dims();
        let QkvLayout {
            heads,
            kv_heads,
            head_dim,
            ..
        } = layout;
        if self.own_kernels {
            let start = cache.len();
            return cache.with_buffers(layer, [batch, kv_heads, seq, head_dim], |buffers| {
                let (cos, sin) = self.rotary.by_pair();
                glm_backends::attention(qkv, cos, sin, layout, buffers, start, self.mask.spans())
            });
        }
        let part = |offsets: HeadOffsets, heads: usize| {
            // Heads lie `stride` apart, and each begins at the same place between two multiples of it.
            let (inside, stride) = (offsets.first % offsets.stride, offsets.stride);
            qkv.clone()
                .narrow(2, offsets.first - inside, heads * stride)
                .reshape([batch, seq, heads, stride])
                .narrow(3, inside, head_dim)
                .swap_dims(1, 2) // [batch, heads, seq, head_dim]
        };
        let query = self.rotary.rotate(part(layout.query, heads));
        let key = self.rotary.rotate(part(layout.key, kv_heads));
        let (key, value) = cache.append(layer, key, part(layout.value, kv_heads)); // [batch, kv_heads, total, head_dim]
        let for_each_query = |shared: Tensor<4>| {
            let [_, _, total, _] = shared.dims();
            shared
                .unsqueeze_dim::<5>(2)
                .repeat_dim(2, heads / kv_heads)
                .reshape([batch, heads, total, head_dim])
        };
        self.gather(query, for_each_query(key), for_each_query(value)) // [batch, heads, seq, head_dim]
            .swap_dims(1, 2)
            .reshape([batch, seq, heads * head_dim])
    }

    /// Attention in operations of burn, a block of queries at a time.
    fn gather(&self, query: Tensor<4>, key: Tensor<4>, value: Tensor<4>) -> Tensor<4> {
        let [_, _, seq, head_dim] = query.dims();
        let query = query / (head_dim as f64).sqrt();
        let key = key.transpose(); // [batch, heads, head_dim, total]
        let block = |start: usize| {
            let rows = start..(start + QUERY_BLOCK).min(seq);
            let query = query.clone().slice(s![.., .., rows.clone(), ..]);
            let mut scores = query.matmul(key.clone()); // [batch, heads, rows, total]
            if let Some(masked) = &self.masked {
                let masked = masked
                    .clone()
                    .slice(s![.., .., rows, ..])
                    .expand(scores.dims());
                scores = scores.mask_fill(masked, MASKED_SCORE);
            }
            activation::softmax(scores, 3).matmul(value.clone())
        };
        if seq <= QUERY_BLOCK {
            return block(0); // [batch, heads, seq, head_dim]
        }
        Tensor::cat((0..seq).step_by(QUERY_BLOCK).map(block).collect(), 2)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Int, TensorData};
    use glm_backends::{
        CachePrecision,
        cpu::{RotaryPairs, Span},
    };

    use super::*;

    /// The operations of burn against the kernels, over a cache of two passes.
    #[test]
    fn devices_without_kernels_compute_the_same() {
        let device = Device::flex();
        let by_head = |pairs| QkvLayout {
            pairs,
            ..QkvLayout::by_head(4, 16, 2)
        };
        for layout in [
            QkvLayout::by_part(4, 2, 16),
            by_head(RotaryPairs::Neighbours),
            by_head(RotaryPairs::Halves { parts: 2 }),
        ] {
            let mask = AttentionMask::new(vec![
                Span {
                    first: 0,
                    context: 3,
                },
                Span {
                    first: 2,
                    context: 2,
                },
            ]);
            let mut caches = [(); 2].map(|()| KvCache::new(1, CachePrecision::F32, 0));
            for seq in [5, 1, 3] {
                let shape = [2, seq, layout.width()];
                let qkv = Tensor::<3>::random(shape, Distribution::Uniform(-2.0, 2.0), &device);
                let [own, portable] = [true, false].map(|own_kernels| {
                    let cache = &mut caches[usize::from(own_kernels)];
                    let start = cache.len();
                    let rotary = rotary(layout.pairs, start, seq, &device);
                    let context = AttentionContext {
                        own_kernels,
                        masked: mask.to_tensor(start, seq, &device),
                        ..AttentionContext::new(rotary, &mask, start, seq)
                    };
                    let result = context.attend(0, qkv.clone(), layout, cache);
                    cache.advance(seq);
                    result
                });
                // The padding of the second row sees nothing: zeros by one, a mean by the other.
                let real = |x: Tensor<3>, row: usize, from: usize| x.slice(s![row, from.., ..]);
                let padding = if seq == 5 { 2 } else { 0 };
                for (row, from) in [(0, 0), (1, padding)] {
                    let difference =
                        real(own.clone(), row, from) - real(portable.clone(), row, from);
                    let largest = difference.abs().max().into_scalar::<f32>();
                    assert!(largest < 1e-5, "{layout:?}: {largest}");
                }
            }
        }
    }

    fn rotary(pairs: RotaryPairs, start: usize, seq: usize, device: &Device) -> RotaryTable {
        let positions: Vec<i64> = (start..start + seq)
            .map(|position| position as i64)
            .collect();
        let rows = |copies: usize, parts: usize| {
            let data = TensorData::new(positions.repeat(copies * parts), [copies, parts, seq]);
            Tensor::<3, Int>::from_data(data, device)
        };
        match pairs {
            RotaryPairs::Halves { parts } => RotaryTable::new(rows(2, parts), 16),
            RotaryPairs::Neighbours => RotaryTable::neighbours(rows(2, 1), 8, 1.0),
        }
    }
}
