//! Layer normalisation ([Ba et al. 2016](https://arxiv.org/abs/1607.06450)) with the kernels of `glm-backends`.

use burn::{
    module::{Initializer, Module, Param, ParamId},
    tensor::{Device, Tensor},
};

/// `(x - mean) / √(variance + epsilon) · weight + bias` over the last axis.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[hidden_size]`, f32.
    pub weight: Param<Tensor<1>>,
    /// `[hidden_size]`, f32.
    pub bias: Param<Tensor<1>>,
    epsilon: f64,
}

impl LayerNorm {
    /// A norm to be trained: weight one, bias zero.
    pub fn ones(hidden_size: usize, epsilon: f64, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([hidden_size], device),
            bias: Initializer::Zeros.init([hidden_size], device),
            epsilon,
        }
    }

    /// A norm of these two, `[hidden_size]` each in f32.
    pub fn new(weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Self {
        Self {
            weight: Param::initialized(ParamId::new(), weight),
            bias: Param::initialized(ParamId::new(), bias),
            epsilon,
        }
    }

    /// Applies the norm.
    ///
    /// # Shapes
    /// - `x` and result: `[..., hidden_size]`, f32
    ///
    /// # Panics
    /// If the last axis of `x` is not `hidden_size`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        glm_backends::layer_norm(x, self.weight.val(), self.bias.val(), self.epsilon)
    }
}
