//! What holds for any weights, shapes and bytes.

use glm_quant::half::f16;
use glm_quant::{Error, Int4Matrix, Int8Matrix, reference};
use proptest::prelude::*;

/// Shapes with an even number of columns, and as many fp16 weights of ordinary size.
fn weights() -> impl Strategy<Value = (usize, usize, Vec<f16>)> {
    (0_usize..5, 0_usize..20).prop_flat_map(|(rows, half_cols)| {
        let weight = (-4.0_f32..4.0).prop_map(f16::from_f32);
        (
            Just(rows),
            Just(2 * half_cols),
            prop::collection::vec(weight, rows * 2 * half_cols),
        )
    })
}

/// The largest error over the row's scale.
fn worst_error(cols: usize, weights: &[f16], restored: &[f32], scales: &[f16]) -> f32 {
    let mut worst = 0.0_f32;
    for ((weights, restored), scale) in weights
        .chunks(cols.max(1))
        .zip(restored.chunks(cols.max(1)))
        .zip(scales)
    {
        for (weight, restored) in weights.iter().zip(restored) {
            // A scale below fp16's normal range has too few digits for the bound to mean anything.
            if scale.to_f32() >= f16::MIN_POSITIVE.to_f32() {
                worst = worst.max((weight.to_f32() - restored).abs() / scale.to_f32());
            }
        }
    }
    worst
}

proptest! {
    #[test]
    fn round_trip_is_within_half_a_step((rows, cols, weights) in weights()) {
        let floats: Vec<f32> = weights.iter().map(|w| w.to_f32()).collect();
        // The largest weight may lie up to 1/2048 of 127 (or 7) steps above the largest code, and an fp16
        // quotient between 64 and 128 has steps of 1/16.
        let int8 = Int8Matrix::quantize_f16(rows, cols, &weights).unwrap();
        prop_assert!(worst_error(cols, &weights, &int8.dequantize(), int8.scales()) <= 0.5 + 1.0 / 32.0);
        let int4 = Int4Matrix::quantize_f16(rows, cols, &weights).unwrap();
        prop_assert!(worst_error(cols, &weights, &int4.dequantize(), int4.scales()) <= 0.5 + 1.0 / 512.0);
        let int8 = Int8Matrix::quantize_f32(rows, cols, &floats).unwrap();
        prop_assert!(worst_error(cols, &weights, &int8.dequantize(), int8.scales()) <= 0.5 + 1e-5);
        let int4 = Int4Matrix::quantize_f32(rows, cols, &floats).unwrap();
        prop_assert!(worst_error(cols, &weights, &int4.dequantize(), int4.scales()) <= 0.5 + 1e-5);
    }

    #[test]
    fn codes_stay_in_range_for_any_finite_half(bits in prop::collection::vec(any::<u16>(), 2..40)) {
        let mut weights: Vec<f16> = bits.into_iter().map(f16::from_bits).filter(|w| w.is_finite()).collect();
        weights.truncate(weights.len() / 2 * 2);
        let int8 = Int8Matrix::quantize_f16(1, weights.len(), &weights).unwrap();
        prop_assert!(int8.codes().iter().all(|code| (-127..=127).contains(code)));
        let int4 = Int4Matrix::quantize_f16(1, weights.len(), &weights).unwrap();
        prop_assert!(int4.codes().iter().all(|code| (-7..=7).contains(code)));
        // Signs survive wherever the code is not 0.
        for (weight, code) in weights.iter().zip(int8.codes()) {
            prop_assert!(*code == 0 || (*code < 0) == (weight.to_f32() < 0.0));
        }
    }

    #[test]
    fn packing_is_the_inverse_of_unpacking(even in -8_i8..8, odd in -8_i8..8) {
        prop_assert_eq!(Int4Matrix::unpack(Int4Matrix::pack(even, odd)), (even, odd));
    }

    #[test]
    fn any_bytes_become_a_matrix_or_an_error(
        rows in 0_usize..6, cols in 0_usize..9, codes: Vec<u8>, scales: Vec<u8>
    ) {
        if let Ok(matrix) = Int8Matrix::from_checkpoint(rows, cols, codes.clone(), &scales) {
            prop_assert_eq!(matrix.dequantize().len(), rows * cols);
        }
        if let Ok(matrix) = Int4Matrix::from_checkpoint(rows, cols, codes, &scales) {
            prop_assert_eq!(matrix.dequantize().len(), rows * cols);
        }
    }

    #[test]
    fn one_row_equals_its_part_of_the_whole((rows, cols, weights) in weights()) {
        let int8 = Int8Matrix::quantize_f16(rows, cols, &weights).unwrap();
        let int4 = Int4Matrix::quantize_f16(rows, cols, &weights).unwrap();
        let mut row = vec![f32::NAN; cols];
        for index in 0..rows {
            int8.dequantize_row(index, &mut row).unwrap();
            prop_assert_eq!(&row[..], &int8.dequantize()[index * cols..(index + 1) * cols]);
            int4.dequantize_row(index, &mut row).unwrap();
            prop_assert_eq!(&row[..], &int4.dequantize()[index * cols..(index + 1) * cols]);
        }
        prop_assert!(int8.dequantize_row(rows, &mut row).is_err());
        prop_assert!(int4.dequantize_row(rows, &mut row).is_err());
    }
}

#[test]
fn wrong_parts_are_refused() {
    let one = f16::ONE;
    let length = |what, expected, found| Error::Length {
        what,
        expected,
        found,
    };
    assert_eq!(
        Int8Matrix::new(2, 3, vec![0; 5], vec![one; 2]),
        Err(length("the codes", 6, 5))
    );
    assert_eq!(
        Int8Matrix::new(2, 3, vec![0; 6], vec![one; 3]),
        Err(length("the scales", 2, 3))
    );
    assert_eq!(
        Int4Matrix::new(2, 3, vec![0; 3], vec![one; 2]),
        Err(Error::OddColumns { cols: 3 })
    );
    assert_eq!(
        Int4Matrix::new(2, 4, vec![0; 5], vec![one; 2]),
        Err(length("the packed codes", 4, 5))
    );
    assert_eq!(
        Int4Matrix::new(2, 2, vec![0; 2], vec![one, f16::NAN]),
        Err(Error::NonFiniteScale { row: 1 })
    );
    let (rows, cols) = (usize::MAX, 4);
    assert_eq!(
        Int8Matrix::new(rows, cols, vec![], vec![]),
        Err(Error::TooLarge { rows, cols })
    );
    assert_eq!(
        Int4Matrix::from_checkpoint(1, 2, vec![0], &[0; 3]),
        Err(length("the bytes of the scales", 2, 3))
    );
    assert_eq!(
        Int8Matrix::quantize_f16(2, 2, &[one, one, one, f16::INFINITY]),
        Err(Error::NonFiniteWeight { row: 1, column: 1 })
    );
    assert_eq!(
        Int4Matrix::quantize_f32(1, 2, &[1e9, 0.0]),
        Err(Error::ScaleOverflow { row: 0 })
    );
}

#[test]
fn reference_product_by_hand() {
    // Row 0: 0.5 * [2, -3]; row 1: 2 * [1, 7].
    let scales = [0.5, 2.0].map(f16::from_f32);
    let int8 = Int8Matrix::new(2, 2, vec![2, -3, 1, 7], scales.to_vec()).unwrap();
    let packed = vec![Int4Matrix::pack(2, -3), Int4Matrix::pack(1, 7)];
    let int4 = Int4Matrix::new(2, 2, packed, scales.to_vec()).unwrap();
    let activations = [1.0, 10.0, -2.0, 0.0, 0.0, 1.0]; // [3, 2]
    let plain = [-14.0, 142.0, -2.0, -4.0, -1.5, 14.0]; // [3, 2]
    assert_eq!(
        reference::int8_linear(&activations, &int8, None).unwrap(),
        plain
    );
    assert_eq!(
        reference::int4_linear(&activations, &int4, None).unwrap(),
        plain
    );
    let biased = reference::int4_linear(&activations, &int4, Some(&[1.0, -1.0])).unwrap();
    assert_eq!(biased, [-13.0, 141.0, -1.0, -5.0, -0.5, 13.0]);
    assert!(reference::int4_linear(&activations[..5], &int4, None).is_err());
    assert!(reference::int8_linear(&activations, &int8, Some(&[1.0])).is_err());
}
