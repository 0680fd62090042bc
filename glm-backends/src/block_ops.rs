//! What a transformer block does beside its matrix products, as functions on burn tensors: attention over a cache, norms,
//! activations, the weighted residual. On the CPU they run the kernels of [`crate::cpu`]; where those are missing, or gradients are
//! tracked, the ones that need no cache fall back to operations of burn.

use burn::{
    backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension, tensor::FloatTensor},
    tensor::{Tensor, activation, module},
};
use burn_flex::FlexTensor;

use crate::{
    cpu::{self, KvBuffers, QkvLayout, Span, Step},
    flex::{contiguous, float_tensor},
    linear_ops::has_own_kernels,
    spare_buffers,
};

/// The operations on backend primitives; see the functions below.
#[backend_extension(Flex)]
pub(crate) trait BlockOps: Backend {
    #[allow(clippy::too_many_arguments)]
    fn attention(
        qkv: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        layout: QkvLayout,
        cache: &mut KvBuffers,
        start: usize,
        spans: &[Span],
    ) -> FloatTensor<Self>;

    fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f32)
    -> FloatTensor<Self>;

    fn swiglu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    fn scaled_add(alpha: f32, a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Rotary positions, cache and softmax in one: writes the keys and values of new tokens into `cache` behind its first
/// `start` tokens, and lets their queries attend to all of them.
///
/// # Shapes
/// - `qkv`: `[batch, seq, ...]`, f32, as `layout` says
/// - `cos`, `sin`: `[batch, seq, pairs]`, f32
/// - `spans`: what the queries of each row of the batch see
/// - result: `[batch, seq, heads * head_dim]`, f32
///
/// # Panics
/// If the device is not the CPU ([`has_own_kernels`](crate::has_own_kernels)), the shapes do not fit together, or the
/// cache has no room for the new tokens.
pub fn attention(
    qkv: Tensor<3>,
    cos: Tensor<3>,
    sin: Tensor<3>,
    layout: QkvLayout,
    cache: &mut KvBuffers,
    start: usize,
    spans: &[Span],
) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::attention(
        qkv.into_dispatch(),
        cos.into_dispatch(),
        sin.into_dispatch(),
        layout,
        cache,
        start,
        spans,
    ))
}

/// The tanh GELU, `0.5 x (1 + tanh u)` with `u = √(2/π) (x + 0.044715 x³)`.
///
/// Written as `x · sigmoid(2u)`, which is the same function and needs one exponential.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    const TWO_ROOT_TWO_OVER_PI: f32 = 1.595_769;
    if has_own_kernels(&x.device()) {
        return Tensor::from_dispatch(Dispatch::gelu(x.into_dispatch()));
    }
    let cube = x.clone() * x.clone() * x.clone();
    let two_u = (x.clone() + cube * 0.044_715) * TWO_ROOT_TWO_OVER_PI;
    x * activation::sigmoid(two_u)
}

/// `(x - mean) / √(variance + epsilon) · weight + bias` over the last axis, the variance biased.
///
/// # Shapes
/// - `x` and result: `[..., hidden_size]`, f32
/// - `weight`, `bias`: `[hidden_size]`, f32
///
/// # Panics
/// If the shapes do not fit together.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    if has_own_kernels(&x.device()) {
        return Tensor::from_dispatch(<Dispatch as BlockOps>::layer_norm(
            x.into_dispatch(),
            weight.into_dispatch(),
            bias.into_dispatch(),
            epsilon as f32,
        ));
    }
    module::layer_norm(x, weight, Some(bias), epsilon)
}

/// `x / √(mean(x²) + epsilon) · weight` over the last axis.
///
/// # Shapes
/// - `x` and result: `[..., hidden_size]`, f32
/// - `weight`: `[hidden_size]`, f32
///
/// # Panics
/// If the shapes do not fit together.
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, epsilon: f64) -> Tensor<D> {
    if has_own_kernels(&x.device()) {
        return Tensor::from_dispatch(<Dispatch as BlockOps>::rms_norm(
            x.into_dispatch(),
            weight.into_dispatch(),
            epsilon as f32,
        ));
    }
    let mean_square = (x.clone() * x.clone()).mean_dim(D - 1);
    x / (mean_square + epsilon).sqrt() * weight.unsqueeze()
}

/// `silu(a) · b` for the two halves `[a, b]` of the last axis, with `silu(a) = a · sigmoid(a)`.
///
/// # Shapes
/// - `x`: `[..., 2 * width]`, f32
/// - result: `[..., width]`, f32
///
/// # Panics
/// If the last axis has an odd length.
pub fn swiglu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let columns = x.dims()[D - 1];
    assert!(columns.is_multiple_of(2), "a gate for each value");
    if has_own_kernels(&x.device()) {
        return Tensor::from_dispatch(Dispatch::swiglu(x.into_dispatch()));
    }
    let width = columns / 2;
    activation::silu(x.clone().narrow(D - 1, 0, width)) * x.narrow(D - 1, width, width)
}

/// `alpha · a + b`: the residual connection of a GLM.
///
/// # Panics
/// If the shapes differ.
pub fn scaled_add<const D: usize>(alpha: f32, a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    assert_eq!(a.dims(), b.dims(), "both terms have the same shape");
    if has_own_kernels(&a.device()) {
        return Tensor::from_dispatch(Dispatch::scaled_add(
            alpha,
            a.into_dispatch(),
            b.into_dispatch(),
        ));
    }
    a * alpha + b
}

impl BlockOps for Flex {
    fn attention(
        qkv: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        layout: QkvLayout,
        cache: &mut KvBuffers,
        start: usize,
        spans: &[Span],
    ) -> FloatTensor<Self> {
        let [qkv, cos, sin] = [qkv, cos, sin].map(contiguous);
        let [batch, seq, _] = qkv.shape().dims();
        let step = Step {
            batch,
            seq,
            start,
            capacity: cache.capacity(),
        };
        let width = layout.heads * layout.head_dim;
        let mut query = spare_buffers::take(batch * seq * width);
        let [keys, values] = cache.slices_mut();
        cpu::rotary_append(
            layout,
            step,
            qkv.storage(),
            cos.storage(),
            sin.storage(),
            &mut query,
            keys,
            values,
        );
        spare_buffers::give_back(qkv);
        let [keys, values] = cache.slices();
        let mut out = spare_buffers::take(query.len());
        cpu::attention(layout, step, &query, keys, values, spans, &mut out);
        spare_buffers::keep(query);
        float_tensor(out, [batch, seq, width])
    }

    fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        in_place(x, cpu::gelu)
    }

    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let [x, weight, bias] = [x, weight, bias].map(contiguous);
        let shape = x.layout().shape().clone();
        let mut out = spare_buffers::take(shape.num_elements());
        cpu::layer_norm(
            x.storage(),
            weight.storage(),
            bias.storage(),
            epsilon,
            &mut out,
        );
        spare_buffers::give_back(x);
        float_tensor(out, shape)
    }

    fn rms_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let [x, weight] = [x, weight].map(contiguous);
        let shape = x.layout().shape().clone();
        let mut out = spare_buffers::take(shape.num_elements());
        cpu::rms_norm(x.storage(), weight.storage(), epsilon, &mut out);
        spare_buffers::give_back(x);
        float_tensor(out, shape)
    }

    fn swiglu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let x = contiguous(x);
        let mut shape = x.layout().shape().clone();
        let last = shape.num_dims() - 1;
        shape[last] /= 2;
        let mut out = spare_buffers::take(shape.num_elements());
        cpu::swiglu(x.storage(), shape[last], &mut out);
        spare_buffers::give_back(x);
        float_tensor(out, shape)
    }

    fn scaled_add(alpha: f32, a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let a = contiguous(a);
        let sum = in_place(b, |b| cpu::scaled_add(alpha, a.storage(), b));
        spare_buffers::give_back(a);
        sum
    }
}

/// Changes the values of a tensor, in its own memory when nobody else has it.
fn in_place(x: FlexTensor, change: impl FnOnce(&mut [f32])) -> FlexTensor {
    let mut x = contiguous(x);
    change(x.storage_mut());
    x
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    #[test]
    fn gelu_equals_the_official_formula() {
        let values: Vec<f32> = (-2000..=2000).map(|i| i as f32 * 0.005).collect();
        let x = Tensor::<1>::from_floats(values.as_slice(), &Device::flex());
        let kept = x.clone();
        let result = gelu(x).into_data().try_to_vec::<f32>().unwrap();
        for (x, found) in values.iter().zip(result) {
            let x = f64::from(*x);
            let u = 0.797_884_560_802_865_4 * x * (1.0 + 0.044_715 * x * x);
            let expected = 0.5 * x * (1.0 + u.tanh());
            assert!(
                (f64::from(found) - expected).abs() < 2e-6,
                "gelu({x}) = {found}, not {expected}"
            );
        }
        // The argument was shared, so it must not have changed.
        assert_eq!(kept.into_data().try_to_vec::<f32>().unwrap(), values);
    }

    #[test]
    fn layer_norm_equals_that_of_burn() {
        let device = Device::flex();
        let x = Tensor::<3>::random([2, 3, 70], Distribution::Uniform(-4.0, 9.0), &device);
        let weight = Tensor::<1>::random([70], Distribution::Uniform(0.5, 2.0), &device);
        let bias = Tensor::<1>::random([70], Distribution::Uniform(-1.0, 1.0), &device);
        let expected = module::layer_norm(x.clone(), weight.clone(), Some(bias.clone()), 1e-5);
        let found = layer_norm(x, weight, bias, 1e-5);
        assert_eq!(found.dims(), [2, 3, 70]);
        assert!((found - expected).abs().max().into_scalar::<f32>() < 1e-5);
    }

    #[test]
    fn rms_norm_and_swiglu_equal_their_formulas_in_burn() {
        let device = Device::flex();
        let x = Tensor::<3>::random([2, 3, 70], Distribution::Uniform(-4.0, 9.0), &device);
        let weight = Tensor::<1>::random([70], Distribution::Uniform(0.5, 2.0), &device);
        let root = ((x.clone() * x.clone()).mean_dim(2) + 1e-5).sqrt();
        let expected = x.clone() / root * weight.clone().unsqueeze();
        let found = rms_norm(x.clone(), weight, 1e-5);
        assert_eq!(found.dims(), [2, 3, 70]);
        assert!((found - expected).abs().max().into_scalar::<f32>() < 1e-5);

        let [gate, value] = [0, 35].map(|start| x.clone().narrow(2, start, 35));
        let expected = activation::silu(gate) * value;
        let found = swiglu(x);
        assert_eq!(found.dims(), [2, 3, 35]);
        assert!((found - expected).abs().max().into_scalar::<f32>() < 1e-4);
    }

    #[test]
    fn the_residual_is_weighted() {
        let a = Tensor::<2>::from_floats([[1.0, -2.0]], &Device::flex());
        let b = Tensor::<2>::from_floats([[0.5, 0.25]], &Device::flex());
        let sum = scaled_add(4.0, a, b).into_data();
        assert_eq!(sum.try_to_vec::<f32>().unwrap(), [4.5, -7.75]);
    }
}
