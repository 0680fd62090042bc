//! The network of either family behind one type, block by block.

use std::{convert::Infallible, ops::ControlFlow};

use burn::{
    module::Module,
    tensor::{Device, Int, Tensor},
};
use glm_backends::Activations;

use crate::{
    attention_mask::AttentionMask,
    chatglm::ChatGlm,
    chatglm2::ChatGlm2,
    config::ModelConfig,
    kv_cache::KvCache,
    layers::{
        Stage, attention::AttentionContext, embedding::TokenEmbedding, linear::GlmLinear,
        rotary::RotaryTable,
    },
};

/// A network without tokenizer, sampler or files.
#[derive(Module, Debug)]
pub enum Network {
    /// ChatGLM-6B.
    ChatGlm(ChatGlm),
    /// ChatGLM2-6B or CodeGeeX2-6B.
    ChatGlm2(ChatGlm2),
}

impl From<ChatGlm> for Network {
    fn from(network: ChatGlm) -> Self {
        Self::ChatGlm(network)
    }
}

impl From<ChatGlm2> for Network {
    fn from(network: ChatGlm2) -> Self {
        Self::ChatGlm2(network)
    }
}

impl Network {
    /// A network to be trained, with random weights.
    pub fn random(config: &ModelConfig, device: &Device) -> Self {
        match config {
            ModelConfig::ChatGlm(config) => ChatGlm::random(config, device).into(),
            ModelConfig::ChatGlm2(config) => ChatGlm2::random(config, device).into(),
        }
    }

    /// All tokens up to the final norm: `[batch, seq, hidden_size]`. `observe` sees the output of every stage on the way.
    ///
    /// # Shapes
    /// - `input_ids`: `[batch, seq]`; the tokens behind those in `cache`
    /// - `position_ids`: `[batch, kinds, seq]`; see [`Model::input`](crate::Model::input)
    /// - `attention_mask`: one span for each row
    ///
    /// # Panics
    /// If shapes do not fit together or an id is not below the vocabulary size.
    pub fn hidden_states(
        &self,
        input_ids: Tensor<2, Int>,
        position_ids: Tensor<3, Int>,
        attention_mask: &AttentionMask,
        cache: &mut KvCache,
        mut observe: impl FnMut(Stage, &Tensor<3>),
    ) -> Tensor<3> {
        let observe = |stage, x: &_| {
            observe(stage, x);
            ControlFlow::<Infallible>::Continue(())
        };
        let ControlFlow::Continue(hidden_states) =
            self.try_hidden_states(input_ids, position_ids, attention_mask, cache, observe);
        hidden_states
    }

    /// As [`Network::hidden_states`], for an `observe` that may break the pass off; the cache is then as it was.
    pub fn try_hidden_states<B>(
        &self,
        input_ids: Tensor<2, Int>,
        position_ids: Tensor<3, Int>,
        attention_mask: &AttentionMask,
        cache: &mut KvCache,
        observe: impl FnMut(Stage, &Tensor<3>) -> ControlFlow<B>,
    ) -> ControlFlow<B, Tensor<3>> {
        match self {
            Self::ChatGlm(network) => {
                network.hidden_states(input_ids, position_ids, attention_mask, cache, observe)
            }
            Self::ChatGlm2(network) => {
                network.hidden_states(input_ids, position_ids, attention_mask, cache, observe)
            }
        }
    }

    /// The head: `[batch, seq, hidden_size]` → `[batch, seq, vocab_size]`.
    pub fn logits(&self, hidden_states: Tensor<3>) -> Tensor<3> {
        match self {
            Self::ChatGlm(network) => network.logits(hidden_states),
            Self::ChatGlm2(network) => network.logits(hidden_states),
        }
    }

    /// How the kernels take the input of quantised weights, for every layer.
    pub fn set_activations(&mut self, activations: Activations) {
        self.word_embeddings_mut().set_activations(activations);
        if let Some(head) = self.head_mut() {
            head.set_activations(activations);
        }
        for layer in 0..self.num_layers() {
            for (_, linear) in self.linears_mut(layer) {
                linear.set_activations(activations);
            }
        }
    }

    /// Number of blocks.
    pub fn num_layers(&self) -> usize {
        match self {
            Self::ChatGlm(network) => network.layers.len(),
            Self::ChatGlm2(network) => network.layers.len(),
        }
    }

    pub(crate) fn word_embeddings(&self) -> &TokenEmbedding {
        match self {
            Self::ChatGlm(network) => &network.word_embeddings,
            Self::ChatGlm2(network) => &network.word_embeddings,
        }
    }

    pub(crate) fn word_embeddings_mut(&mut self) -> &mut TokenEmbedding {
        match self {
            Self::ChatGlm(network) => &mut network.word_embeddings,
            Self::ChatGlm2(network) => &mut network.word_embeddings,
        }
    }

    /// `None` when the head is the embedding.
    pub(crate) fn head_mut(&mut self) -> Option<&mut GlmLinear> {
        match self {
            Self::ChatGlm(network) => network.lm_head.as_mut(),
            Self::ChatGlm2(network) => network.output_layer.as_mut(),
        }
    }

    /// The four matrices of a block, by their names in it.
    pub(crate) fn linears_mut(&mut self, layer: usize) -> [(&'static str, &mut GlmLinear); 4] {
        match self {
            Self::ChatGlm(network) => network.layers[layer].linears_mut(),
            Self::ChatGlm2(network) => network.layers[layer].linears_mut(),
        }
    }

    /// The cosines and sines of one pass.
    pub(crate) fn rotary(&self, position_ids: Tensor<3, Int>) -> RotaryTable {
        match self {
            Self::ChatGlm(network) => network.rotary(position_ids),
            Self::ChatGlm2(network) => network.rotary(position_ids),
        }
    }

    /// One block alone.
    pub(crate) fn forward_block(
        &self,
        layer: usize,
        x: Tensor<3>,
        attention: &AttentionContext<'_>,
        cache: &mut KvCache,
    ) -> Tensor<3> {
        match self {
            Self::ChatGlm(network) => network.layers[layer].forward(x, attention, cache),
            Self::ChatGlm2(network) => network.layers[layer].forward(x, attention, cache),
        }
    }
}
