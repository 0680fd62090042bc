//! Token ids to vectors, and back to logits when the head is tied.

use burn::{
    module::{Initializer, Module, Param, ParamId},
    tensor::{Device, FloatDType, Int, Tensor},
};
use glm_backends::{Activations, PackedWeight};

/// The token embedding, in its stored precision or quantised.
#[derive(Module, Debug)]
pub enum TokenEmbedding {
    /// f32, f16 or bf16: `[vocab_size, hidden_size]`.
    Float(Param<Tensor<2>>),
    /// INT8 or INT4.
    Packed(PackedEmbedding),
}

/// A quantised embedding.
#[derive(Module, Debug)]
pub struct PackedEmbedding {
    /// `[vocab_size, hidden_size]`.
    pub weight: PackedWeight,
    /// How the kernels take the input of the tied head.
    #[module(skip)]
    pub activations: Activations,
}

impl TokenEmbedding {
    /// An embedding to be trained, from N(0, `std`²).
    pub fn random(vocab_size: usize, hidden_size: usize, std: f64, device: &Device) -> Self {
        let normal = Initializer::Normal { mean: 0.0, std };
        Self::Float(normal.init([vocab_size, hidden_size], device))
    }

    /// An embedding around a float weight `[vocab_size, hidden_size]`.
    pub fn new(weight: Tensor<2>) -> Self {
        Self::Float(Param::initialized(ParamId::new(), weight))
    }

    /// An embedding around a quantised weight `[vocab_size, hidden_size]`.
    pub fn packed(weight: PackedWeight) -> Self {
        Self::Packed(PackedEmbedding {
            weight,
            activations: Activations::Int8,
        })
    }

    /// As [`GlmLinear::set_activations`](super::linear::GlmLinear::set_activations), for the tied head.
    pub fn set_activations(&mut self, activations: Activations) {
        if let Self::Packed(embedding) = self {
            embedding.activations = activations;
        }
    }

    /// Looks the ids up.
    ///
    /// # Shapes
    /// - `input_ids`: `[batch, seq]`
    /// - result: `[batch, seq, hidden_size]`, f32
    ///
    /// # Panics
    /// If an id is not below `vocab_size`.
    pub fn forward(&self, input_ids: Tensor<2, Int>) -> Tensor<3> {
        let [batch, seq] = input_ids.dims();
        let ids = input_ids.reshape([batch * seq]);
        let rows = match self {
            Self::Float(weight) => weight.val().select(0, ids).cast(FloatDType::F32),
            Self::Packed(embedding) => embedding.weight.select_rows(ids),
        };
        let [_, hidden_size] = rows.dims();
        rows.reshape([batch, seq, hidden_size])
    }

    /// The tied head: how much each token's vector looks like `hidden_states`.
    ///
    /// # Shapes
    /// - `hidden_states`: `[batch, seq, hidden_size]`
    /// - result: `[batch, seq, vocab_size]`, f32
    pub fn logits(&self, hidden_states: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Float(weight) => glm_backends::linear(hidden_states, weight.val()),
            Self::Packed(embedding) => {
                embedding
                    .weight
                    .linear(hidden_states, None, embedding.activations)
            }
        }
    }
}
