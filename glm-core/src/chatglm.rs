//! ChatGLM-6B: a 2-D rotary prefix language model ([GLM](https://arxiv.org/abs/2103.10360),
//! [GLM-130B](https://arxiv.org/abs/2210.02414)), after the official `modeling_chatglm.py`.
//!
//! ```text
//! a = LN(x)    x = α·a + Attention(a)
//! b = LN(x)    x = α·b + MLP(b)              α = √(2·28)
//! logits = LN(x) · Eᵀ
//! ```
//!
//! The residual is the *normalised* input times α, not `x` (DeepNorm, GLM-130B section 2.2).

use burn::{
    module::{Initializer, Module},
    nn::{LayerNorm, LayerNormConfig},
    tensor::{Bool, Device, Int, Tensor, activation, assert_shape, s},
};

use crate::{
    config::ChatGlmConfig,
    kv_cache::KvCache,
    layers::{embedding::TokenEmbedding, linear::GlmLinear, rotary::RotaryTable},
};

/// `√(2 · 28)`. The official code never passes the number of layers to its blocks, so this is the residual's weight
/// whatever `num_layers` is.
const ALPHA: f64 = 7.483_314_773_547_883;

/// What a masked score is set to before it is scaled by the layer's number. Finite, so that a row of padding with
/// nothing to attend to is uniform instead of NaN.
const MASKED_SCORE: f32 = -10_000.0;

/// Standard deviation of the weights of a model to be trained.
const INIT_STD: f64 = 0.02;

/// Queries that attend at a time: bounds the scores of a long prompt to `heads × 256 × seq`.
const QUERY_BLOCK: usize = 256;

/// ChatGLM-6B without tokenizer, sampler or files.
#[derive(Module, Debug)]
pub struct ChatGlm {
    pub(crate) word_embeddings: TokenEmbedding,
    pub(crate) layers: Vec<GlmBlock>,
    pub(crate) final_layernorm: LayerNorm,
    /// `None` when the head is the embedding.
    pub(crate) lm_head: Option<GlmLinear>,
    pub(crate) head_dim: usize,
}

/// A place in the network whose output [`ChatGlm::hidden_states`] shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The token embeddings.
    Embedding,
    /// The n-th block, from 0, before the final norm.
    Layer(usize),
    /// The final layer norm, which the head reads.
    FinalLayerNorm,
}

impl ChatGlm {
    /// A model to be trained: weights from N(0, 0.02²), biases zero, norms one, the head tied.
    pub fn random(config: &ChatGlmConfig, device: &Device) -> Self {
        let ChatGlmConfig {
            vocab_size,
            hidden_size,
            inner_hidden_size,
            ..
        } = *config;
        let linear = |input, output| GlmLinear::random(input, output, INIT_STD, device);
        let layer_norm = || layer_norm(config, device);
        let block = |layer| GlmBlock {
            input_layernorm: layer_norm(),
            attention: SelfAttention {
                query_key_value: linear(hidden_size, 3 * hidden_size),
                dense: linear(hidden_size, hidden_size),
                num_attention_heads: config.num_attention_heads,
                layer,
            },
            post_attention_layernorm: layer_norm(),
            mlp: Mlp {
                dense_h_to_4h: linear(hidden_size, inner_hidden_size),
                dense_4h_to_h: linear(inner_hidden_size, hidden_size),
            },
        };
        Self {
            word_embeddings: TokenEmbedding::random(vocab_size, hidden_size, INIT_STD, device),
            layers: (0..config.num_layers).map(block).collect(),
            final_layernorm: layer_norm(),
            lm_head: None,
            head_dim: hidden_size / config.num_attention_heads,
        }
    }

    /// Logits of every position, for the tokens that follow it.
    ///
    /// # Shapes
    /// - `input_ids`: `[batch, seq]`; the tokens behind those in `cache`
    /// - `position_ids`: `[batch, 2, seq]` (position and block position), or `[batch, 1, seq]` for a model without
    ///   2-D positions; see [`crate::prefix_lm::PrefixLm`]
    /// - `attention_mask`: `[batch, 1, seq, cached + seq]`, true where a query must not look; none hides nothing
    /// - result: `[batch, seq, vocab_size]`, f32
    ///
    /// # Panics
    /// If shapes do not fit together or an id is not below `vocab_size`.
    pub fn forward(
        &self,
        input_ids: Tensor<2, Int>,
        position_ids: Tensor<3, Int>,
        attention_mask: Option<Tensor<4, Bool>>,
        cache: &mut KvCache,
    ) -> Tensor<3> {
        let hidden_states =
            self.hidden_states(input_ids, position_ids, attention_mask, cache, |_, _| {});
        self.logits(hidden_states)
    }

    /// As [`ChatGlm::forward`] up to the final norm: `[batch, seq, hidden_size]`. `observe` sees the output of every
    /// stage on the way.
    pub fn hidden_states(
        &self,
        input_ids: Tensor<2, Int>,
        position_ids: Tensor<3, Int>,
        attention_mask: Option<Tensor<4, Bool>>,
        cache: &mut KvCache,
        mut observe: impl FnMut(Stage, &Tensor<3>),
    ) -> Tensor<3> {
        let [batch, seq] = input_ids.dims();
        assert_shape!(position_ids, [batch, _, seq]);
        let rotary = RotaryTable::new(position_ids, self.head_dim);

        let mut x = self.word_embeddings.forward(input_ids); // [batch, seq, hidden_size]
        observe(Stage::Embedding, &x);
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, &rotary, attention_mask.as_ref(), cache);
            observe(Stage::Layer(index), &x);
        }
        cache.advance(seq);

        let x = self.final_layernorm.forward(x);
        observe(Stage::FinalLayerNorm, &x);
        x
    }

    /// The head: `[batch, seq, hidden_size]` → `[batch, seq, vocab_size]`.
    pub fn logits(&self, hidden_states: Tensor<3>) -> Tensor<3> {
        match &self.lm_head {
            Some(lm_head) => lm_head.forward(hidden_states),
            None => self.word_embeddings.logits(hidden_states),
        }
    }
}

/// One transformer block.
#[derive(Module, Debug)]
pub(crate) struct GlmBlock {
    pub(crate) input_layernorm: LayerNorm,
    pub(crate) attention: SelfAttention,
    pub(crate) post_attention_layernorm: LayerNorm,
    pub(crate) mlp: Mlp,
}

impl GlmBlock {
    fn forward(
        &self,
        x: Tensor<3>,
        rotary: &RotaryTable,
        mask: Option<&Tensor<4, Bool>>,
        cache: &mut KvCache,
    ) -> Tensor<3> {
        let a = self.input_layernorm.forward(x);
        let x = a.clone() * ALPHA + self.attention.forward(a, rotary, mask, cache);
        let b = self.post_attention_layernorm.forward(x);
        b.clone() * ALPHA + self.mlp.forward(b)
    }
}

/// Attention whose scores are kept small by the layer's number until the softmax.
#[derive(Module, Debug)]
pub(crate) struct SelfAttention {
    /// Output rows by head: `[heads][q | k | v][head_dim]`.
    pub(crate) query_key_value: GlmLinear,
    pub(crate) dense: GlmLinear,
    pub(crate) num_attention_heads: usize,
    pub(crate) layer: usize,
}

impl SelfAttention {
    fn forward(
        &self,
        x: Tensor<3>,
        rotary: &RotaryTable,
        mask: Option<&Tensor<4, Bool>>,
        cache: &mut KvCache,
    ) -> Tensor<3> {
        let [batch, seq, hidden_size] = x.dims();
        let heads = self.num_attention_heads;
        let head_dim = hidden_size / heads;

        let qkv = self
            .query_key_value
            .forward(x)
            .reshape([batch, seq, heads, 3 * head_dim])
            .swap_dims(1, 2); // [batch, heads, seq, 3 * head_dim]
        let part = |index: usize| qkv.clone().narrow(3, index * head_dim, head_dim);
        let query = rotary.rotate(part(0)); // [batch, heads, seq, head_dim]
        let (key, value) = cache.append(self.layer, rotary.rotate(part(1)), part(2)); // [batch, heads, total, head_dim]

        let context = self.attend(query, key, value, mask);
        let context = context.swap_dims(1, 2).reshape([batch, seq, hidden_size]);
        self.dense.forward(context)
    }

    /// `softmax(q·kᵀ / √head_dim)·v`, a block of queries at a time.
    fn attend(
        &self,
        query: Tensor<4>,
        key: Tensor<4>,
        value: Tensor<4>,
        mask: Option<&Tensor<4, Bool>>,
    ) -> Tensor<4> {
        let [_, _, seq, head_dim] = query.dims();
        // Official: divide by the layer's number here, multiply by it before the softmax, so that f16 scores of deep
        // layers do not overflow. Masked scores are thus -10000 times the layer's number.
        let layer_scale = (self.layer + 1) as f64;
        let query = query / ((head_dim as f64).sqrt() * layer_scale);
        let key = key.transpose(); // [batch, heads, head_dim, total]

        let block = |start: usize| {
            let rows = start..(start + QUERY_BLOCK).min(seq);
            let query = query.clone().slice(s![.., .., rows.clone(), ..]);
            let mut scores = query.matmul(key.clone()); // [batch, heads, rows, total]
            if let Some(mask) = mask {
                let mask = mask
                    .clone()
                    .slice(s![.., .., rows, ..])
                    .expand(scores.dims());
                scores = scores.mask_fill(mask, MASKED_SCORE);
            }
            activation::softmax(scores * layer_scale, 3).matmul(value.clone())
        };
        if seq <= QUERY_BLOCK {
            return block(0); // [batch, heads, seq, head_dim]
        }
        Tensor::cat((0..seq).step_by(QUERY_BLOCK).map(block).collect(), 2)
    }
}

/// Two layers with a tanh GELU between them. The official class is called GLU and has no gate.
#[derive(Module, Debug)]
pub(crate) struct Mlp {
    pub(crate) dense_h_to_4h: GlmLinear,
    pub(crate) dense_4h_to_h: GlmLinear,
}

impl Mlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = self.dense_h_to_4h.forward(x); // [batch, seq, inner_hidden_size]
        self.dense_4h_to_h.forward(gelu(x))
    }
}

/// The tanh GELU, `0.5 x (1 + tanh u)` with `u = √(2/π) (x + 0.044715 x³)`.
///
/// Written as `x · sigmoid(2u)`, which is the same function: burn computes a tanh five times slower than an
/// exponential, and a cube as a power.
fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    const TWO_ROOT_TWO_OVER_PI: f32 = 1.595_769;
    let cube = x.clone() * x.clone() * x.clone();
    let two_u = (x.clone() + cube * 0.044_715) * TWO_ROOT_TWO_OVER_PI;
    x * activation::sigmoid(two_u)
}

/// A layer norm over `hidden_size`, weight one and bias zero.
pub(crate) fn layer_norm(config: &ChatGlmConfig, device: &Device) -> LayerNorm {
    let mut norm = LayerNormConfig::new(config.hidden_size)
        .with_epsilon(config.layernorm_epsilon)
        .init(device);
    norm.beta = Some(Initializer::Zeros.init([config.hidden_size], device));
    norm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_equals_the_official_formula() {
        let values: Vec<f32> = (-2000..=2000).map(|i| i as f32 * 0.005).collect();
        let result = gelu(Tensor::<1>::from_floats(
            values.as_slice(),
            &Device::default(),
        ));
        for (x, found) in values
            .iter()
            .zip(result.into_data().try_to_vec::<f32>().unwrap())
        {
            let x = f64::from(*x);
            let u = 0.797_884_560_802_865_4 * x * (1.0 + 0.044_715 * x * x);
            let expected = 0.5 * x * (1.0 + u.tanh());
            assert!(
                (f64::from(found) - expected).abs() < 2e-6,
                "gelu({x}) = {found}, not {expected}"
            );
        }
    }
}
