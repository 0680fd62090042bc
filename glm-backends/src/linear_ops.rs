//! The matrix products `y = x · Wᵀ` of the models, one function per way a weight is stored.
//!
//! On the CPU they go to the kernels of [`crate::cpu`] through burn's extension mechanism: the trait below is
//! implemented for [`Flex`] in `flex.rs`. Every other device, and a tensor that tracks gradients, takes the portable
//! form in `portable.rs`.

use burn::{
    backend::{
        Backend, Dispatch, DispatchDevice, backend_extension,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{DType, Device, Int, Tensor},
};

use crate::portable;

/// The products whose weights are not f32, on backend primitives.
#[backend_extension(Flex)]
pub(crate) trait LinearOps: Backend {
    /// `x [m, k]` f32, `weight [n, k]` f16 or bf16 → `[m, n]` f32.
    fn half_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x [m, k]` f32, `codes [n, k]` i8, `scales [n]` f16 → `[m, n]` f32.
    fn int8_linear(
        x: FloatTensor<Self>,
        codes: IntTensor<Self>,
        scales: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// `x [m, k]` f32, `packed [n, k / 2]` u8, `scales [n]` f16 → `[m, n]` f32.
    fn int4_linear(
        x: FloatTensor<Self>,
        packed: IntTensor<Self>,
        scales: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// `x · weightᵀ` with a float weight of any precision.
///
/// # Shapes
/// - `x`: `[..., in]`, f32
/// - `weight`: `[out, in]`, f32, f16 or bf16, rows as in PyTorch's `nn.Linear`
/// - result: `[..., out]`, f32; products are summed in f32 whatever the weight's precision
///
/// # Panics
/// If the last axis of `x` is not `in`.
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>) -> Tensor<D> {
    let [out, _] = weight.dims();
    by_rows(x, out, |x| {
        if weight.dtype() == DType::F32 {
            x.matmul(weight.transpose())
        } else if runs_own_kernels(&x.device()) {
            Tensor::from_dispatch(Dispatch::half_linear(
                x.into_dispatch(),
                weight.into_dispatch(),
            ))
        } else {
            portable::half_linear(x, weight)
        }
    })
}

/// `x · (scales ⊙ codes)ᵀ`: an INT8 weight with one scale per output row, the official layout
/// (`quantization.py` of the ChatGLM-6B repository; see [`glm_quant::Int8Matrix`]).
///
/// # Shapes
/// - `x`: `[..., in]`, f32
/// - `codes`: `[out, in]`, i8; `scales`: `[out]`, f16
/// - result: `[..., out]`, f32
///
/// # Panics
/// If the shapes do not fit together.
pub fn int8_linear<const D: usize>(
    x: Tensor<D>,
    codes: Tensor<2, Int>,
    scales: Tensor<1>,
) -> Tensor<D> {
    let [out, _] = codes.dims();
    by_rows(x, out, |x| {
        if runs_own_kernels(&x.device()) {
            Tensor::from_dispatch(Dispatch::int8_linear(
                x.into_dispatch(),
                codes.into_dispatch(),
                scales.into_dispatch(),
            ))
        } else {
            portable::int8_linear(x, codes, scales)
        }
    })
}

/// As [`int8_linear`] for INT4: two codes a byte, the even column in the high nibble (see
/// [`glm_quant::Int4Matrix`]).
///
/// # Shapes
/// - `x`: `[..., in]`, f32
/// - `packed`: `[out, in / 2]`, u8; `scales`: `[out]`, f16
/// - result: `[..., out]`, f32
///
/// # Panics
/// If the shapes do not fit together.
pub fn int4_linear<const D: usize>(
    x: Tensor<D>,
    packed: Tensor<2, Int>,
    scales: Tensor<1>,
) -> Tensor<D> {
    let [out, _] = packed.dims();
    by_rows(x, out, |x| {
        if runs_own_kernels(&x.device()) {
            Tensor::from_dispatch(Dispatch::int4_linear(
                x.into_dispatch(),
                packed.into_dispatch(),
                scales.into_dispatch(),
            ))
        } else {
            portable::int4_linear(x, packed, scales)
        }
    })
}

/// Flattens the leading axes to rows, multiplies, and puts them back.
fn by_rows<const D: usize>(
    x: Tensor<D>,
    out: usize,
    multiply: impl FnOnce(Tensor<2>) -> Tensor<2>,
) -> Tensor<D> {
    let mut shape = x.dims();
    let columns = shape[D - 1];
    let rows = shape[..D - 1].iter().product::<usize>();
    shape[D - 1] = out;
    multiply(x.reshape([rows, columns])).reshape(shape)
}

fn runs_own_kernels(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}
