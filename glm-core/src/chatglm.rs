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

use std::{convert::Infallible, ops::ControlFlow};

use burn::{
    module::Module,
    tensor::{Device, Int, Tensor, assert_shape},
};
use glm_backends::{cpu::QkvLayout, gelu, scaled_add};

use crate::{
    attention_mask::AttentionMask,
    config::ChatGlmConfig,
    kv_cache::KvCache,
    layers::{
        INIT_STD, Stage, attention::AttentionContext, embedding::TokenEmbedding,
        layer_norm::LayerNorm, linear::GlmLinear, rotary::RotaryTable,
    },
};

/// `√(2 · 28)`. The official code never passes the number of layers to its blocks, so this is the residual's weight
/// whatever `num_layers` is.
const ALPHA: f32 = 7.483_315;

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

impl ChatGlm {
    /// A model to be trained: weights from N(0, 0.02²), biases zero, norms one, the head tied.
    pub fn random(config: &ChatGlmConfig, device: &Device) -> Self {
        let ChatGlmConfig {
            vocab_size,
            hidden_size,
            inner_hidden_size,
            ..
        } = *config;
        let linear = |input, output| GlmLinear::random(input, output, true, INIT_STD, device);
        let layer_norm = || LayerNorm::ones(hidden_size, config.layernorm_epsilon, device);
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
    /// - `attention_mask`: one span for each row
    /// - result: `[batch, seq, vocab_size]`, f32
    ///
    /// # Panics
    /// If shapes do not fit together or an id is not below `vocab_size`.
    pub fn forward(
        &self,
        input_ids: Tensor<2, Int>,
        position_ids: Tensor<3, Int>,
        attention_mask: &AttentionMask,
        cache: &mut KvCache,
    ) -> Tensor<3> {
        let observe = |_, _: &_| ControlFlow::<Infallible>::Continue(());
        let ControlFlow::Continue(hidden_states) =
            self.hidden_states(input_ids, position_ids, attention_mask, cache, observe);
        self.logits(hidden_states)
    }

    /// As [`ChatGlm::forward`] up to the final norm: `[batch, seq, hidden_size]`. `observe` sees the output of every
    /// stage on the way, and may break the pass off; the cache is then as it was.
    pub fn hidden_states<B>(
        &self,
        input_ids: Tensor<2, Int>,
        position_ids: Tensor<3, Int>,
        attention_mask: &AttentionMask,
        cache: &mut KvCache,
        mut observe: impl FnMut(Stage, &Tensor<3>) -> ControlFlow<B>,
    ) -> ControlFlow<B, Tensor<3>> {
        let [batch, seq] = input_ids.dims();
        assert_shape!(position_ids, [batch, _, seq]);
        let rotary = self.rotary(position_ids);
        let attention = AttentionContext::new(rotary, attention_mask, cache.len(), seq);

        let mut x = self.word_embeddings.forward(input_ids); // [batch, seq, hidden_size]
        observe(Stage::Embedding, &x)?;
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, &attention, cache);
            observe(Stage::Layer(index), &x)?;
        }

        let x = self.final_layernorm.forward(x);
        observe(Stage::FinalLayerNorm, &x)?;
        cache.advance(seq);
        ControlFlow::Continue(x)
    }

    /// The cosines and sines of one pass, for `position_ids` as [`ChatGlm::forward`] takes them.
    pub(crate) fn rotary(&self, position_ids: Tensor<3, Int>) -> RotaryTable {
        RotaryTable::new(position_ids, self.head_dim)
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
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        attention: &AttentionContext<'_>,
        cache: &mut KvCache,
    ) -> Tensor<3> {
        let a = self.input_layernorm.forward(x);
        let x = scaled_add(
            ALPHA,
            a.clone(),
            self.attention.forward(a, attention, cache),
        );
        let b = self.post_attention_layernorm.forward(x);
        scaled_add(ALPHA, b.clone(), self.mlp.forward(b))
    }

    /// The four matrices, by their names.
    pub(crate) fn linears_mut(&mut self) -> [(&'static str, &mut GlmLinear); 4] {
        let (attention, mlp) = (&mut self.attention, &mut self.mlp);
        [
            ("attention.query_key_value", &mut attention.query_key_value),
            ("attention.dense", &mut attention.dense),
            ("mlp.dense_h_to_4h", &mut mlp.dense_h_to_4h),
            ("mlp.dense_4h_to_h", &mut mlp.dense_4h_to_h),
        ]
    }
}

/// Attention of all heads, with its two projections.
///
/// The official code divides the scores by the layer's number and multiplies them by it again before the softmax, which
/// keeps them in the range of fp16. In f32 that cancels, and is left out.
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
        attention: &AttentionContext<'_>,
        cache: &mut KvCache,
    ) -> Tensor<3> {
        let qkv = self.query_key_value.forward(x); // [batch, seq, heads * 3 * head_dim]
        let [_, _, width] = qkv.dims();
        let heads = self.num_attention_heads;
        let layout = QkvLayout::by_head(heads, width / (3 * heads), attention.rotary_parts());
        let context = attention.attend(self.layer, qkv, layout, cache);
        self.dense.forward(context)
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
