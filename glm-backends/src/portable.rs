//! The products on any burn backend: widen the whole weight to f32, then burn's matrix product. Correct everywhere,
//! fast nowhere.

use burn::tensor::{FloatDType, Int, IntDType, Tensor};

pub(crate) fn half_linear(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    x.matmul(weight.cast(FloatDType::F32).transpose())
}

pub(crate) fn int8_linear(x: Tensor<2>, codes: Tensor<2, Int>, scales: Tensor<1>) -> Tensor<2> {
    x.matmul(dequantize(codes, scales).transpose())
}

pub(crate) fn int4_linear(x: Tensor<2>, packed: Tensor<2, Int>, scales: Tensor<1>) -> Tensor<2> {
    x.matmul(dequantize(unpack_nibbles(packed), scales).transpose())
}

fn dequantize(codes: Tensor<2, Int>, scales: Tensor<1>) -> Tensor<2> {
    codes.float().cast(FloatDType::F32) * scales.cast(FloatDType::F32).unsqueeze_dim(1)
}

/// `[n, k / 2]` bytes → `[n, k]` codes from -8 to 7, high nibble first.
fn unpack_nibbles(packed: Tensor<2, Int>) -> Tensor<2, Int> {
    let [rows, bytes] = packed.dims();
    let packed = packed.cast(IntDType::I32);
    let high = packed.clone().bitwise_right_shift_scalar(4);
    let low = packed.bitwise_and_scalar(15);
    let nibbles = Tensor::stack::<3>(vec![high, low], 2).reshape([rows, bytes * 2]); // [n, k / 2, 2] -> [n, k]
    // Two's complement of four bits: 8..15 stand for -8..-1.
    let negative = nibbles.clone().greater_equal_scalar(8);
    nibbles.clone().mask_where(negative, nibbles - 16)
}
