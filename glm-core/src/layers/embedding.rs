//! Token ids to vectors, and back to logits when the head is tied.

use burn::{
    module::{Initializer, Module, Param, ParamId},
    tensor::{Device, FloatDType, Int, Tensor},
};

/// The token embedding, in its stored precision.
#[derive(Module, Debug)]
pub struct TokenEmbedding {
    /// `[vocab_size, hidden_size]`.
    pub weight: Param<Tensor<2>>,
}

impl TokenEmbedding {
    /// An embedding to be trained, from N(0, `std`²).
    pub fn random(vocab_size: usize, hidden_size: usize, std: f64, device: &Device) -> Self {
        let normal = Initializer::Normal { mean: 0.0, std };
        Self {
            weight: normal.init([vocab_size, hidden_size], device),
        }
    }

    /// An embedding around a weight `[vocab_size, hidden_size]`.
    pub fn new(weight: Tensor<2>) -> Self {
        Self {
            weight: Param::initialized(ParamId::new(), weight),
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
        let weight = self.weight.val();
        let [_, hidden_size] = weight.dims();
        weight
            .select(0, input_ids.reshape([batch * seq]))
            .cast(FloatDType::F32)
            .reshape([batch, seq, hidden_size])
    }

    /// The tied head: how much each token's vector looks like `hidden_states`.
    ///
    /// # Shapes
    /// - `hidden_states`: `[batch, seq, hidden_size]`
    /// - result: `[batch, seq, vocab_size]`, f32
    pub fn logits(&self, hidden_states: Tensor<3>) -> Tensor<3> {
        glm_backends::linear(hidden_states, self.weight.val())
    }
}
