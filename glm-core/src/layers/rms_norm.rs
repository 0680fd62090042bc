//! Root mean square normalisation ([Zhang and Sennrich 2019](https://arxiv.org/abs/1910.07467)) with the kernels of
//! `glm-backends`.

use burn::{
    module::{Initializer, Module, Param, ParamId},
    tensor::{Device, Tensor},
};

/// `x / √(mean(x²) + epsilon) · weight` over the last axis.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[hidden_size]`, f32.
    pub weight: Param<Tensor<1>>,
    epsilon: f64,
}

impl RmsNorm {
    /// A norm to be trained: weight one.
    pub fn ones(hidden_size: usize, epsilon: f64, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([hidden_size], device),
            epsilon,
        }
    }

    /// A norm of this weight, `[hidden_size]` in f32.
    pub fn new(weight: Tensor<1>, epsilon: f64) -> Self {
        Self {
            weight: Param::initialized(ParamId::new(), weight),
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
        glm_backends::rms_norm(x, self.weight.val(), self.epsilon)
    }
}
