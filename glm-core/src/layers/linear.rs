//! `y = x · Wᵀ + b` with a weight stored in whatever way the checkpoint has it.

use std::{fmt, sync::Arc};

use burn::{
    module::{Initializer, Module, Param, ParamId},
    tensor::{Device, Tensor},
};
use glm_backends::{Activations, PackedWeight};

/// A linear layer of a GLM. The model files call [`GlmLinear::forward`] and do not know which it is.
#[derive(Module, Debug)]
pub enum GlmLinear {
    /// f32, f16 or bf16.
    Float(FloatLinear),
    /// INT8 or INT4.
    Packed(PackedLinear),
}

/// A float weight in its stored precision.
#[derive(Module, Debug)]
pub struct FloatLinear {
    /// `[out, in]`, as PyTorch's `nn.Linear`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`, f32.
    pub bias: Option<Param<Tensor<1>>>,
    /// Is shown every input of the layer.
    #[module(skip)]
    pub(crate) observer: Option<InputObserver>,
}

/// Is shown what a layer is multiplied with, row by row.
#[derive(Clone)]
pub(crate) struct InputObserver(Arc<dyn Fn(Tensor<2>) + Send + Sync>);

impl InputObserver {
    /// `see` gets the inputs as `[rows, in]`, f32.
    pub(crate) fn new(see: impl Fn(Tensor<2>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(see))
    }
}

impl fmt::Debug for InputObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InputObserver")
    }
}

/// A quantised weight.
#[derive(Module, Debug)]
pub struct PackedLinear {
    /// `[out, in]`.
    pub weight: PackedWeight,
    /// `[out]`, f32.
    pub bias: Option<Param<Tensor<1>>>,
    /// How the kernels take the input.
    #[module(skip)]
    pub activations: Activations,
}

impl GlmLinear {
    /// A layer to be trained: weights from N(0, `std`²), and a bias of zeros or none.
    pub fn random(input: usize, output: usize, bias: bool, std: f64, device: &Device) -> Self {
        let normal = Initializer::Normal { mean: 0.0, std };
        Self::Float(FloatLinear {
            weight: normal.init([output, input], device),
            bias: bias.then(|| Initializer::Zeros.init([output], device)),
            observer: None,
        })
    }

    /// A layer around a float weight `[out, in]` and a bias `[out]` in f32.
    pub fn float(weight: Tensor<2>, bias: Option<Tensor<1>>) -> Self {
        Self::Float(FloatLinear {
            weight: Param::initialized(ParamId::new(), weight),
            bias: bias.map(|bias| Param::initialized(ParamId::new(), bias)),
            observer: None,
        })
    }

    /// A layer around a quantised weight `[out, in]` and a bias `[out]` in f32. The kernels round its input to int8;
    /// [`GlmLinear::set_activations`] changes that.
    pub fn packed(weight: PackedWeight, bias: Option<Tensor<1>>) -> Self {
        Self::Packed(PackedLinear {
            weight,
            bias: bias.map(|bias| Param::initialized(ParamId::new(), bias)),
            activations: Activations::Int8,
        })
    }

    /// How the kernels take the input of a quantised weight; float weights always take it as it is.
    pub fn set_activations(&mut self, activations: Activations) {
        if let Self::Packed(layer) = self {
            layer.activations = activations;
        }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// - `x`: `[..., in]`, f32
    /// - result: `[..., out]`, f32
    ///
    /// # Panics
    /// If the last axis of `x` is not `in`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Float(layer) => {
                if let Some(InputObserver(see)) = &layer.observer {
                    let [_, input] = layer.weight.dims();
                    see(x.clone().reshape([-1, input as i32]));
                }
                let y = glm_backends::linear(x, layer.weight.val());
                match &layer.bias {
                    Some(bias) => y + bias.val().unsqueeze(),
                    None => y,
                }
            }
            Self::Packed(layer) => {
                let bias = layer.bias.as_ref().map(Param::val);
                layer.weight.linear(x, bias, layer.activations)
            }
        }
    }
}
