//! `y = x · Wᵀ + b` with a weight stored in whatever way the checkpoint has it.

use burn::{
    module::{Initializer, Module, Param, ParamId},
    tensor::{Device, Int, Tensor},
};

/// A linear layer of a GLM. The model files call [`GlmLinear::forward`] and do not know which it is.
#[derive(Module, Debug)]
pub enum GlmLinear {
    /// f32, f16 or bf16.
    Float(FloatLinear),
    /// One signed byte per value, one scale per output row.
    Int8(Int8Linear),
    /// Half a byte per value, one scale per output row.
    Int4(Int4Linear),
}

/// A float weight in its stored precision.
#[derive(Module, Debug)]
pub struct FloatLinear {
    /// `[out, in]`, as PyTorch's `nn.Linear`.
    pub weight: Param<Tensor<2>>,
    /// `[out]`, f32.
    pub bias: Option<Param<Tensor<1>>>,
}

/// An INT8 weight of the official quantiser.
#[derive(Module, Debug)]
pub struct Int8Linear {
    /// `[out, in]`, i8.
    pub codes: Param<Tensor<2, Int>>,
    /// `[out]`, f16.
    pub scales: Param<Tensor<1>>,
    /// `[out]`, f32.
    pub bias: Option<Param<Tensor<1>>>,
}

/// An INT4 weight of the official quantiser.
#[derive(Module, Debug)]
pub struct Int4Linear {
    /// `[out, in / 2]`, u8: the even column in the high nibble.
    pub packed: Param<Tensor<2, Int>>,
    /// `[out]`, f16.
    pub scales: Param<Tensor<1>>,
    /// `[out]`, f32.
    pub bias: Option<Param<Tensor<1>>>,
}

impl GlmLinear {
    /// A layer to be trained: weights from N(0, `std`²), bias zero.
    pub fn random(input: usize, output: usize, std: f64, device: &Device) -> Self {
        let normal = Initializer::Normal { mean: 0.0, std };
        Self::Float(FloatLinear {
            weight: normal.init([output, input], device),
            bias: Some(Initializer::Zeros.init([output], device)),
        })
    }

    /// A layer around a float weight `[out, in]` and a bias `[out]` in f32.
    pub fn float(weight: Tensor<2>, bias: Option<Tensor<1>>) -> Self {
        Self::Float(FloatLinear {
            weight: Param::initialized(ParamId::new(), weight),
            bias: bias.map(|bias| Param::initialized(ParamId::new(), bias)),
        })
    }

    /// A layer around INT8 codes `[out, in]`, scales `[out]` in f16 and a bias `[out]` in f32.
    pub fn int8(codes: Tensor<2, Int>, scales: Tensor<1>, bias: Option<Tensor<1>>) -> Self {
        Self::Int8(Int8Linear {
            codes: Param::initialized(ParamId::new(), codes),
            scales: Param::initialized(ParamId::new(), scales),
            bias: bias.map(|bias| Param::initialized(ParamId::new(), bias)),
        })
    }

    /// A layer around packed INT4 codes `[out, in / 2]`, scales `[out]` in f16 and a bias `[out]` in f32.
    pub fn int4(packed: Tensor<2, Int>, scales: Tensor<1>, bias: Option<Tensor<1>>) -> Self {
        Self::Int4(Int4Linear {
            packed: Param::initialized(ParamId::new(), packed),
            scales: Param::initialized(ParamId::new(), scales),
            bias: bias.map(|bias| Param::initialized(ParamId::new(), bias)),
        })
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
        let (y, bias) = match self {
            Self::Float(layer) => (glm_backends::linear(x, layer.weight.val()), &layer.bias),
            Self::Int8(layer) => (
                glm_backends::int8_linear(x, layer.codes.val(), layer.scales.val()),
                &layer.bias,
            ),
            Self::Int4(layer) => (
                glm_backends::int4_linear(x, layer.packed.val(), layer.scales.val()),
                &layer.bias,
            ),
        };
        match bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }
}
