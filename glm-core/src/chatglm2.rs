//! ChatGLM2-6B and CodeGeeX2-6B: a causal language model with shared keys and values
//! ([multi-query attention](https://arxiv.org/abs/1911.02150)), after the official `modeling_chatglm.py`.
//!
//! ```text
//! h = x + Attention(RMS(x))    x = h + MLP(RMS(h))
//! logits = RMS(x) · Wᵀ
//! ```

use std::ops::ControlFlow;

use burn::{
    module::Module,
    tensor::{Device, Int, Tensor, assert_shape},
};
use glm_backends::{
    cpu::{QkvLayout, RotaryPairs},
    scaled_add, swiglu,
};

use crate::{
    attention_mask::AttentionMask,
    config::ChatGlm2Config,
    kv_cache::KvCache,
    layers::{
        INIT_STD, Stage, attention::AttentionContext, embedding::TokenEmbedding, linear::GlmLinear,
        rms_norm::RmsNorm, rotary::RotaryTable,
    },
};

/// ChatGLM2-6B without tokenizer, sampler or files.
#[derive(Module, Debug)]
pub struct ChatGlm2 {
    pub(crate) word_embeddings: TokenEmbedding,
    pub(crate) layers: Vec<Glm2Block>,
    pub(crate) final_layernorm: RmsNorm,
    /// `None` when the head is the embedding, as it happens to be in no published model.
    pub(crate) output_layer: Option<GlmLinear>,
    /// The values of a head that are turned by their position: the first half.
    pub(crate) rotary_dim: usize,
    /// What positions are divided by before.
    pub(crate) rope_ratio: f64,
}

impl ChatGlm2 {
    /// A model to be trained: weights from N(0, 0.02²), biases zero, norms one, the head its own.
    pub fn random(config: &ChatGlm2Config, device: &Device) -> Self {
        let ChatGlm2Config {
            padded_vocab_size,
            hidden_size,
            ffn_hidden_size,
            num_attention_heads,
            kv_channels,
            ..
        } = *config;
        let linear = |input, output, bias| GlmLinear::random(input, output, bias, INIT_STD, device);
        let rms_norm = || RmsNorm::ones(hidden_size, config.layernorm_epsilon, device);
        let block = |layer| Glm2Block {
            input_layernorm: rms_norm(),
            self_attention: SharedKeyAttention {
                query_key_value: linear(hidden_size, config.qkv_size(), true),
                dense: linear(num_attention_heads * kv_channels, hidden_size, false),
                num_attention_heads,
                multi_query_groups: config.multi_query_groups(),
                head_dim: kv_channels,
                layer,
            },
            post_attention_layernorm: rms_norm(),
            mlp: SwigluMlp {
                dense_h_to_4h: linear(hidden_size, 2 * ffn_hidden_size, false),
                dense_4h_to_h: linear(ffn_hidden_size, hidden_size, false),
            },
            residual_post_layernorm: config.apply_residual_connection_post_layernorm,
        };
        Self {
            word_embeddings: TokenEmbedding::random(
                padded_vocab_size,
                hidden_size,
                INIT_STD,
                device,
            ),
            layers: (0..config.num_layers).map(block).collect(),
            final_layernorm: rms_norm(),
            output_layer: Some(linear(hidden_size, padded_vocab_size, false)),
            rotary_dim: kv_channels / 2,
            rope_ratio: config.rope_ratio,
        }
    }

    /// All tokens up to the final norm: `[batch, seq, hidden_size]`. `observe` sees the output of every stage on the way,
    /// and may break the pass off; the cache is then as it was.
    ///
    /// # Shapes
    /// - `input_ids`: `[batch, seq]`; the tokens behind those in `cache`
    /// - `position_ids`: `[batch, 1, seq]`
    /// - `attention_mask`: one span for each row
    ///
    /// # Panics
    /// If shapes do not fit together or an id is not below `padded_vocab_size`.
    pub fn hidden_states<B>(
        &self,
        input_ids: Tensor<2, Int>,
        position_ids: Tensor<3, Int>,
        attention_mask: &AttentionMask,
        cache: &mut KvCache,
        mut observe: impl FnMut(Stage, &Tensor<3>) -> ControlFlow<B>,
    ) -> ControlFlow<B, Tensor<3>> {
        let [batch, seq] = input_ids.dims();
        assert_shape!(position_ids, [batch, 1, seq]);
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

    /// The cosines and sines of one pass, for `position_ids` as [`ChatGlm2::hidden_states`] takes them.
    pub(crate) fn rotary(&self, position_ids: Tensor<3, Int>) -> RotaryTable {
        RotaryTable::neighbours(position_ids, self.rotary_dim, self.rope_ratio)
    }

    /// The head: `[batch, seq, hidden_size]` → `[batch, seq, padded_vocab_size]`.
    pub fn logits(&self, hidden_states: Tensor<3>) -> Tensor<3> {
        match &self.output_layer {
            Some(output_layer) => output_layer.forward(hidden_states),
            None => self.word_embeddings.logits(hidden_states),
        }
    }
}

/// One transformer block.
#[derive(Module, Debug)]
pub(crate) struct Glm2Block {
    pub(crate) input_layernorm: RmsNorm,
    pub(crate) self_attention: SharedKeyAttention,
    pub(crate) post_attention_layernorm: RmsNorm,
    pub(crate) mlp: SwigluMlp,
    /// The residual goes on with what a norm gives, not with what it takes: no published model does.
    pub(crate) residual_post_layernorm: bool,
}

impl Glm2Block {
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        attention: &AttentionContext<'_>,
        cache: &mut KvCache,
    ) -> Tensor<3> {
        let residual = |x: Tensor<3>, norm: &Tensor<3>| match self.residual_post_layernorm {
            true => norm.clone(),
            false => x,
        };
        let a = self.input_layernorm.forward(x.clone());
        let x = residual(x, &a);
        let h = scaled_add(1.0, x, self.self_attention.forward(a, attention, cache));
        let b = self.post_attention_layernorm.forward(h.clone());
        let h = residual(h, &b);
        scaled_add(1.0, h, self.mlp.forward(b))
    }

    /// The four matrices, by their names.
    pub(crate) fn linears_mut(&mut self) -> [(&'static str, &mut GlmLinear); 4] {
        let (attention, mlp) = (&mut self.self_attention, &mut self.mlp);
        [
            (
                "self_attention.query_key_value",
                &mut attention.query_key_value,
            ),
            ("self_attention.dense", &mut attention.dense),
            ("mlp.dense_h_to_4h", &mut mlp.dense_h_to_4h),
            ("mlp.dense_4h_to_h", &mut mlp.dense_4h_to_h),
        ]
    }
}

/// Attention of all heads, with its two projections; a group of heads shares keys and values.
///
/// The official code divides the scores by the layer's number and multiplies them by it again before the softmax, which
/// keeps them in the range of fp16. In f32 that cancels, and is left out.
#[derive(Module, Debug)]
pub(crate) struct SharedKeyAttention {
    /// Output rows by part, `[queries | keys | values][heads or groups][head_dim]`; without groups by head,
    /// `[heads][q | k | v][head_dim]`.
    pub(crate) query_key_value: GlmLinear,
    pub(crate) dense: GlmLinear,
    pub(crate) num_attention_heads: usize,
    /// Groups that share keys and values; `None` when each head has its own.
    pub(crate) multi_query_groups: Option<usize>,
    pub(crate) head_dim: usize,
    pub(crate) layer: usize,
}

impl SharedKeyAttention {
    fn forward(
        &self,
        x: Tensor<3>,
        attention: &AttentionContext<'_>,
        cache: &mut KvCache,
    ) -> Tensor<3> {
        let qkv = self.query_key_value.forward(x); // [batch, seq, (heads + 2 * groups) * head_dim]
        let context = attention.attend(self.layer, qkv, self.layout(), cache);
        self.dense.forward(context)
    }

    fn layout(&self) -> QkvLayout {
        let (heads, head_dim) = (self.num_attention_heads, self.head_dim);
        match self.multi_query_groups {
            Some(groups) => QkvLayout::by_part(heads, groups, head_dim),
            None => QkvLayout {
                pairs: RotaryPairs::Neighbours,
                ..QkvLayout::by_head(heads, head_dim, 1)
            },
        }
    }
}

/// Two layers with a SwiGLU between them.
#[derive(Module, Debug)]
pub(crate) struct SwigluMlp {
    /// Gates, then values.
    pub(crate) dense_h_to_4h: GlmLinear,
    pub(crate) dense_4h_to_h: GlmLinear,
}

impl SwigluMlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = self.dense_h_to_4h.forward(x); // [batch, seq, 2 * ffn_hidden_size]
        self.dense_4h_to_h.forward(swiglu(x))
    }
}
