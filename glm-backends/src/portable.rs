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

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, Distribution, TensorData};

    use super::*;

    fn largest_difference(a: Tensor<2>, b: Tensor<2>) -> f32 {
        (a - b).abs().max().into_scalar::<f32>()
    }

    /// The other side is checked against the oracle in `tests/kernels_agree.rs`.
    #[test]
    fn equals_the_kernels_of_the_cpu() {
        let device = Device::flex();
        let x = Tensor::<2>::random([3, 64], Distribution::Uniform(-1.0, 1.0), &device);
        let weight = Tensor::<2>::random([7, 64], Distribution::Uniform(-1.0, 1.0), &device);
        for dtype in [FloatDType::F16, FloatDType::BF16] {
            let weight = weight.clone().cast(dtype);
            let own = crate::linear(x.clone(), weight.clone());
            assert!(largest_difference(own, half_linear(x.clone(), weight)) < 1e-5);
        }

        let scales = Tensor::<1>::random([7], Distribution::Uniform(0.01, 0.1), &device)
            .cast(FloatDType::F16);
        // Every byte value: every code, and every pair of nibbles.
        let bytes: Vec<u8> = (0..7 * 64).map(|i| (i % 256) as u8).collect();
        let codes = TensorData::new(
            bytes.iter().map(|&b| b.cast_signed()).collect::<Vec<i8>>(),
            [7, 64],
        );
        let codes = Tensor::<2, Int>::from_data(codes, (&device, DType::I8));
        let own = crate::int8_linear(x.clone(), codes.clone(), scales.clone());
        assert!(largest_difference(own, int8_linear(x.clone(), codes, scales.clone())) < 1e-3);

        let packed = TensorData::new(bytes[..7 * 32].to_vec(), [7, 32]);
        let packed = Tensor::<2, Int>::from_data(packed, (&device, DType::U8));
        let own = crate::int4_linear(x.clone(), packed.clone(), scales.clone());
        assert!(largest_difference(own, int4_linear(x, packed, scales)) < 1e-4);
    }
}
