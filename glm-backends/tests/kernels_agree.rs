//! Every product against the oracle of `glm-quant`, at all tail lengths.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};
use glm_backends::{Activations, PackedWeight};
use glm_quant::{Bits, Int4Matrix, Int8Matrix, PackedMatrix, half::f16, reference};
use proptest::prelude::*;

/// f32 sums of up to 200 products of values below 1 in magnitude.
const TOLERANCE: f32 = 1e-4;

fn close(found: Tensor<2>, expected: &[f32]) -> Result<(), TestCaseError> {
    let found = found.into_data().try_to_vec::<f32>().unwrap();
    prop_assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        prop_assert!(
            (found - expected).abs() <= TOLERANCE + TOLERANCE * expected.abs(),
            "element {index}: {found}, expected {expected}"
        );
    }
    Ok(())
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
}

/// `m` rows of `k` activations and `n` rows of `k` weights; `k` is even, for INT4.
#[derive(Debug, Clone)]
struct Case {
    m: usize,
    n: usize,
    k: usize,
    x: Vec<f32>,
    weight: Vec<f16>,
}

fn cases() -> impl Strategy<Value = Case> {
    (1_usize..6, 1_usize..70, 1_usize..100).prop_flat_map(|(m, n, half_k)| {
        let k = 2 * half_k;
        let values = |count| prop::collection::vec(-1.0_f32..1.0, count);
        (values(m * k), values(n * k)).prop_map(move |(x, weight)| Case {
            m,
            n,
            k,
            x,
            weight: weight.into_iter().map(f16::from_f32).collect(),
        })
    })
}

proptest! {
    #[test]
    fn half_weights(Case { m, n, k, x, weight } in cases()) {
        let wide: Vec<f32> = weight.iter().map(|value| value.to_f32()).collect();
        for dtype in [FloatDType::F32, FloatDType::F16, FloatDType::BF16] {
            let stored = tensor(&wide, [n, k]).cast(dtype);
            let values = stored.clone().cast(FloatDType::F32).into_data().try_to_vec::<f32>().unwrap();
            let expected: Vec<f32> = (0..m * n)
                .map(|i| {
                    let (x, row) = (&x[i / n * k..][..k], &values[i % n * k..][..k]);
                    x.iter().zip(row).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
                })
                .collect();
            close(glm_backends::linear(tensor(&x, [m, k]), stored), &expected)?;
        }
    }

    #[test]
    fn packed_weights(Case { m, n, k, x, weight } in cases(), bits in prop_oneof![Just(Bits::Four), Just(Bits::Eight)]) {
        let matrix = match bits {
            Bits::Eight => PackedMatrix::from_int8(&Int8Matrix::quantize_f16(n, k, &weight).unwrap()),
            Bits::Four => PackedMatrix::from_int4(&Int4Matrix::quantize_f16(n, k, &weight).unwrap()),
        }.unwrap();
        let bias: Vec<f32> = (0..n).map(|row| row as f32 * 0.125 - 1.0).collect();
        let expected = reference::packed_linear(&x, &matrix, Some(&bias)).unwrap();
        let rows: Vec<f32> = (0..n).rev().flat_map(|row| {
            let mut out = vec![0.0; k];
            matrix.dequantize_row(row, &mut out).unwrap();
            out
        }).collect();
        let weight = PackedWeight::from_matrix(matrix, &Device::flex());
        let y = weight.linear(tensor(&x, [m, k]), Some(tensor(&bias, [n])), Activations::Float32);
        close(y, &expected)?;
        let ids: Vec<i32> = (0..n as i32).rev().collect();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [n]), &Device::flex());
        let found = weight.select_rows(ids).into_data().try_to_vec::<f32>().unwrap();
        prop_assert_eq!(found, rows);
    }
}

#[test]
fn leading_axes_are_kept() {
    let x = tensor(&[1.0, 0.0, 0.0, 1.0, 2.0, 2.0], [3, 1, 2]);
    let weight = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [4, 2]).cast(FloatDType::F16);
    let y = glm_backends::linear(x, weight);
    assert_eq!(y.dims(), [3, 1, 4]);
    let values = y.into_data().try_to_vec::<f32>().unwrap();
    assert_eq!(
        values,
        [
            1.0, 3.0, 5.0, 7.0, 2.0, 4.0, 6.0, 8.0, 6.0, 14.0, 22.0, 30.0
        ]
    );
}

#[test]
#[should_panic(expected = "needs 3 columns")]
fn an_input_of_another_width_is_refused() {
    let x = tensor(&[1.0, 2.0, 3.0], [1, 3]);
    let _ = glm_backends::linear(x, tensor(&[1.0; 8], [4, 2]).cast(FloatDType::F16));
}
