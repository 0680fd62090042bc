//! The matrix products `y = x · Wᵀ` of the models with float weights, and the extension of burn that they and those of
//! [`crate::PackedWeight`] go through.
//!
//! On the CPU they go to the kernels of [`crate::cpu`] through burn's extension mechanism: the trait below is
//! implemented for [`Flex`] in `flex.rs`. Every other device, and a tensor that tracks gradients, takes the portable
//! form in `portable.rs`.

use burn::{
    backend::{
        Backend, Dispatch, DispatchDevice, backend_extension,
        tensor::{FloatTensor, IntTensor},
    },
    tensor::{DType, Device, Tensor},
};
use glm_quant::PackedLayout;

use crate::{cpu::Activations, portable};

/// The products whose weights are not f32, on backend primitives.
#[backend_extension(Flex)]
pub(crate) trait LinearOps: Backend {
    /// `x [m, k]` f32, `weight [n, k]` f16 or bf16 → `[m, n]` f32.
    fn half_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x [m, k]` f32, a packed weight `[n, k]`, `bias [n]` or `[0]` f32 → `[m, n]` f32.
    fn packed_linear(
        x: FloatTensor<Self>,
        codes: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        layout: PackedLayout,
        activations: Activations,
    ) -> FloatTensor<Self>;

    /// Rows `ids [m]` of a packed weight `[n, k]` → `[m, k]` f32.
    fn packed_rows(
        codes: IntTensor<Self>,
        scales: FloatTensor<Self>,
        ids: IntTensor<Self>,
        layout: PackedLayout,
    ) -> FloatTensor<Self>;

    /// A packed weight `[n, k]` → `[n, k]` f32.
    fn packed_dequantize(
        codes: IntTensor<Self>,
        scales: FloatTensor<Self>,
        layout: PackedLayout,
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
        } else if has_own_kernels(&x.device()) {
            Tensor::from_dispatch(Dispatch::half_linear(
                x.into_dispatch(),
                weight.into_dispatch(),
            ))
        } else {
            portable::half_linear(x, weight)
        }
    })
}

/// Flattens the leading axes to rows, multiplies, and puts them back.
pub(crate) fn by_rows<const D: usize>(
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

/// True for the CPU without gradient tracking: there the kernels of [`crate::cpu`] are used.
pub fn has_own_kernels(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}
