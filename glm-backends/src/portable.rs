//! The products on any burn backend: widen the whole weight to f32, then burn's matrix product. Correct everywhere,
//! fast nowhere.

use burn::tensor::{FloatDType, Int, IntDType, Tensor};
use glm_quant::{Bits, PackedLayout};

pub(crate) fn half_linear(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    x.matmul(weight.cast(FloatDType::F32).transpose())
}

/// The weight `[rows, cols]` of packed `codes [row_blocks, steps, 16]` and `scales [row_blocks, groups, 16]`.
pub(crate) fn packed_dequantize(
    codes: Tensor<3, Int>,
    scales: Tensor<3>,
    layout: &PackedLayout,
) -> Tensor<2> {
    let [blocks, _, lanes] = codes.dims();
    // The bits at which the codes of a word start, in the order of their columns.
    let starts: &[u32] = match layout.bits {
        Bits::Four => &[0, 8, 16, 24, 4, 12, 20, 28],
        Bits::Eight => &[0, 8, 16, 24],
    };
    let mask = 2 * layout.bits.offset() - 1;
    let words = codes.cast(IntDType::I32);
    let columns = starts
        .iter()
        .map(|&start| {
            let stored = words
                .clone()
                .bitwise_right_shift_scalar(start)
                .bitwise_and_scalar(mask);
            stored - layout.bits.offset()
        })
        .collect();
    let codes = Tensor::stack::<4>(columns, 3) // [blocks, steps, 16, per_word]
        .swap_dims(1, 2) // [blocks, 16, steps, per_word]
        .reshape([blocks * lanes, layout.padded_cols()])
        .float()
        .cast(FloatDType::F32);
    let groups = layout.groups();
    let scales = scales
        .cast(FloatDType::F32)
        .swap_dims(1, 2) // [blocks, 16, groups]
        .reshape([blocks * lanes, groups, 1])
        .expand([
            blocks * lanes,
            groups,
            layout.group.columns(layout.padded_cols()),
        ])
        .reshape([
            blocks * lanes,
            groups * layout.group.columns(layout.padded_cols()),
        ]); // the last group may reach beyond the columns
    (codes * scales.narrow(1, 0, layout.padded_cols()))
        .narrow(0, 0, layout.rows)
        .narrow(1, 0, layout.cols)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};
    use glm_quant::{GroupSize, PackedMatrix, half::f16};

    use super::*;
    use crate::PackedWeight;

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
    }

    #[test]
    fn packed_weights_are_unpacked_as_the_oracle_does() {
        for bits in [Bits::Four, Bits::Eight] {
            for (group, cols) in [
                (GroupSize::Row, 70),
                (GroupSize::G32, 70),
                (GroupSize::G128, 300),
            ] {
                let layout = PackedLayout {
                    rows: 21,
                    cols,
                    bits,
                    group,
                };
                // Every byte, so every code and every pair of nibbles.
                let codes = (0..layout.words() as u32)
                    .map(|i| i.wrapping_mul(0x0123_4567))
                    .collect();
                let scales = (0..layout.scales())
                    .map(|i| f16::from_f32(0.01 + i as f32 / 1024.0))
                    .collect();
                let matrix = PackedMatrix::new(layout, codes, scales).unwrap();
                let mut expected = vec![0.0; layout.rows * cols];
                for (row, out) in expected.chunks_exact_mut(cols).enumerate() {
                    matrix.dequantize_row(row, out).unwrap();
                }
                let device = Device::flex();
                let weight = PackedWeight::from_matrix(matrix, &device);
                let found = packed_dequantize(weight.codes(), weight.scales(), &layout);
                assert_eq!(found.into_data().try_to_vec::<f32>().unwrap(), expected);
                let own = weight.dequantize();
                assert_eq!(own.into_data().try_to_vec::<f32>().unwrap(), expected);
            }
        }
    }
}
