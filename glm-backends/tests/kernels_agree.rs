//! Every product against the oracle of `glm-quant`, at all tail lengths.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use glm_quant::{Int4Matrix, Int8Matrix, half::f16, reference};
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

fn ints(values: TensorData) -> Tensor<2, Int> {
    let dtype = values.dtype();
    Tensor::from_data(values, (&Device::flex(), dtype))
}

fn halves(values: &[f16]) -> Tensor<1> {
    let data = TensorData::new(values.to_vec(), [values.len()]);
    Tensor::from_data(data, (&Device::flex(), DType::F16))
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
    fn int8_weights(Case { m, n, k, x, weight } in cases()) {
        let matrix = Int8Matrix::quantize_f16(n, k, &weight).unwrap();
        let expected = reference::int8_linear(&x, &matrix, None).unwrap();
        let codes = ints(TensorData::new(matrix.codes().to_vec(), [n, k]));
        close(glm_backends::int8_linear(tensor(&x, [m, k]), codes, halves(matrix.scales())), &expected)?;
    }

    #[test]
    fn int4_weights(Case { m, n, k, x, weight } in cases()) {
        let matrix = Int4Matrix::quantize_f16(n, k, &weight).unwrap();
        let expected = reference::int4_linear(&x, &matrix, None).unwrap();
        let packed = ints(TensorData::new(matrix.packed().to_vec(), [n, k / 2]));
        close(glm_backends::int4_linear(tensor(&x, [m, k]), packed, halves(matrix.scales())), &expected)?;
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
