//! GPTQ against its textbook form, and against rounding to nearest.

#![allow(clippy::unwrap_used)] // Also in the helper functions.

mod samples;

use glm_quant::gptq::{self, Hessian, Options};
use glm_quant::{Bits, Error, GroupSize, PackedLayout, PackedMatrix};
use samples::Samples;

const FORMATS: [(Bits, GroupSize); 6] = [
    (Bits::Four, GroupSize::Row),
    (Bits::Four, GroupSize::G128),
    (Bits::Four, GroupSize::G32),
    (Bits::Eight, GroupSize::Row),
    (Bits::Eight, GroupSize::G128),
    (Bits::Eight, GroupSize::G32),
];

fn layout(rows: usize, cols: usize, (bits, group): (Bits, GroupSize)) -> PackedLayout {
    PackedLayout {
        rows,
        cols,
        bits,
        group,
    }
}

/// Inputs `[tokens, cols]` that a few directions explain for the most part, of different sizes from column to column.
fn correlated(samples: &mut Samples, tokens: usize, cols: usize) -> Vec<f32> {
    let directions = (cols / 4).max(1);
    let mixing: Vec<f64> = (0..directions * cols).map(|_| samples.normal()).collect();
    let sizes: Vec<f64> = (0..cols).map(|_| 0.2 + samples.normal().abs()).collect();
    let mut activations = Vec::with_capacity(tokens * cols);
    for _ in 0..tokens {
        let strengths: Vec<f64> = (0..directions).map(|_| samples.normal()).collect();
        for column in 0..cols {
            let parts = strengths.iter().enumerate();
            let mixed: f64 = parts.map(|(d, s)| s * mixing[d * cols + column]).sum();
            activations.push((sizes[column] * (mixed + 0.5 * samples.normal())) as f32);
        }
    }
    activations
}

fn dequantized(matrix: &PackedMatrix) -> Vec<f32> {
    let PackedLayout { rows, cols, .. } = *matrix.layout();
    let mut weights = vec![0.0; rows * cols];
    for (row, weights) in weights.chunks_mut(cols).enumerate() {
        matrix.dequantize_row(row, weights).unwrap();
    }
    weights
}

/// `‖X·(W - Ŵ)ᵀ‖²`.
fn output_error(activations: &[f32], weights: &[f32], matrix: &PackedMatrix) -> f64 {
    let cols = matrix.layout().cols;
    let restored = dequantized(matrix);
    let mut sum = 0.0;
    for (w, r) in weights.chunks(cols).zip(restored.chunks(cols)) {
        for x in activations.chunks(cols) {
            let parts = x.iter().zip(w.iter().zip(r));
            let difference: f64 = parts
                .map(|(x, (w, r))| f64::from(*x) * f64::from(w - r))
                .sum();
            sum += difference * difference;
        }
    }
    sum
}

fn collect(activations: &[f32], cols: usize) -> Hessian {
    let mut hessian = Hessian::new(cols).unwrap();
    hessian.add(activations).unwrap();
    hessian
}

/// The textbook: after each column, every remaining weight moves by the whole inverse Hessian, from which the column is
/// then eliminated. All in float64. Scales are those of `quantize_f32` for the weights of the group as they then are.
///
/// Where a quotient is a tie but for the precision of float32, the code in `found` is taken if it is one of the two.
fn textbook(
    layout: PackedLayout,
    weights: &[f32],
    activations: &[f32],
    options: &Options,
    found: &[i8],
) -> Vec<i8> {
    let PackedLayout { rows, cols, .. } = layout;
    let mut hessian = vec![vec![0.0_f64; cols]; cols];
    for x in activations.chunks(cols) {
        for (i, row) in hessian.iter_mut().enumerate() {
            for (j, sum) in row.iter_mut().enumerate() {
                *sum += 2.0 * f64::from(x[i]) * f64::from(x[j]);
            }
        }
    }
    let mean = (0..cols).map(|i| hessian[i][i]).sum::<f64>() / cols as f64;
    let mut order: Vec<usize> = (0..cols).collect();
    if options.activation_order {
        order.sort_by(|a, b| hessian[*b][*b].total_cmp(&hessian[*a][*a]));
    }
    for (i, row) in hessian.iter_mut().enumerate() {
        row[i] += f64::from(options.damping) * mean;
    }
    let width = layout.group.columns(cols);
    let lowest = match (layout.bits, layout.group) {
        (Bits::Four, GroupSize::Row) => -7.0,
        (Bits::Four, _) => -8.0,
        (Bits::Eight, _) => -127.0,
    };
    let mut codes = vec![0; rows * cols];
    for (row, weights) in weights.chunks(cols).enumerate() {
        let mut inverse = inverse(&hessian);
        let mut weights: Vec<f64> = weights.iter().map(|w| f64::from(*w)).collect();
        let scale = |weights: &[f64]| {
            let weights: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
            let group = PackedLayout {
                rows: 1,
                cols: weights.len(),
                ..layout
            };
            f64::from(
                PackedMatrix::quantize_f32(group, &weights)
                    .unwrap()
                    .scales()[0],
            )
        };
        let mut scales: Vec<f64> = weights.chunks(width).map(scale).collect();
        for column in order.iter().copied() {
            if !options.activation_order && column % width == 0 {
                scales[column / width] = scale(&weights[column..cols.min(column + width)]);
            }
            let step = scales[column / width];
            let quotient =
                (weights[column] / step).clamp(lowest, f64::from(layout.bits.max_code()));
            let found = f64::from(found[row * cols + column]);
            let code = match (quotient - found).abs() {
                ..=0.5001 => found,
                _ => quotient.round_ties_even(),
            };
            codes[row * cols + column] = code as i8;
            let error = (weights[column] - step * code) / inverse[column][column];
            let pivot_row = inverse[column].clone();
            for (weight, factor) in weights.iter_mut().zip(&pivot_row) {
                *weight -= error * factor;
            }
            let pivot = pivot_row[column];
            for other in &mut inverse {
                let factor = other[column] / pivot;
                for (value, eliminated) in other.iter_mut().zip(&pivot_row) {
                    *value -= factor * eliminated;
                }
            }
        }
    }
    codes
}

/// Gauss and Jordan.
fn inverse(matrix: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = matrix.len();
    let mut rows: Vec<Vec<f64>> = matrix.to_vec();
    for (i, row) in rows.iter_mut().enumerate() {
        row.extend((0..n).map(|j| f64::from(u8::from(i == j))));
    }
    for pivot in 0..n {
        let scale = rows[pivot][pivot];
        rows[pivot].iter_mut().for_each(|value| *value /= scale);
        let pivot_row = rows[pivot].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != pivot) {
            let factor = row[pivot];
            for (value, other) in row.iter_mut().zip(&pivot_row) {
                *value -= factor * other;
            }
        }
    }
    rows.into_iter().map(|row| row[n..].to_vec()).collect()
}

fn codes(matrix: &PackedMatrix) -> Vec<i8> {
    let PackedLayout { rows, cols, .. } = *matrix.layout();
    let places = (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col)));
    places
        .map(|(row, col)| matrix.code(row, col).unwrap())
        .collect()
}

#[test]
fn equals_the_textbook() {
    for (index, format) in FORMATS.into_iter().enumerate() {
        // One batch of columns and less; several batches, the last of them short; more than one block of rows.
        for (rows, cols) in [(3, 8), (17, 50), (4, 160), (2, 300)] {
            for activation_order in [false, true] {
                let mut samples = Samples::new((index * 1000 + cols) as u64);
                let options = Options {
                    activation_order,
                    ..Options::default()
                };
                let activations = correlated(&mut samples, 2 * cols, cols);
                let weights = samples.weights(rows * cols);
                let layout = layout(rows, cols, format);
                let matrix =
                    gptq::quantize(layout, &weights, &collect(&activations, cols), &options)
                        .unwrap();
                let found = codes(&matrix);
                let expected = textbook(layout, &weights, &activations, &options, &found);
                let first = found.iter().zip(&expected).position(|(a, b)| a != b);
                assert_eq!(
                    first, None,
                    "{layout:?}, activation order {activation_order}"
                );
            }
        }
    }
}

#[test]
fn output_error_is_far_below_rounding_to_nearest() {
    let (rows, cols, tokens) = (24, 256, 512);
    for format in FORMATS {
        let layout = layout(rows, cols, format);
        for seed in 0..4 {
            let mut samples = Samples::new(seed);
            // The error is measured on other tokens than those that were collected.
            let activations = correlated(&mut samples, 2 * tokens, cols);
            let (collected, activations) = activations.split_at(tokens * cols);
            let weights = samples.weights(rows * cols);
            let hessian = collect(collected, cols);
            let nearest = PackedMatrix::quantize_f32(layout, &weights).unwrap();
            let nearest = output_error(activations, &weights, &nearest);
            for activation_order in [false, true] {
                let options = Options {
                    activation_order,
                    ..Options::default()
                };
                let matrix = gptq::quantize(layout, &weights, &hessian, &options).unwrap();
                let error = output_error(activations, &weights, &matrix);
                println!(
                    "{format:?} order {activation_order}: {:.3}",
                    error / nearest
                );
                let bound = if activation_order { 0.05 } else { 0.25 };
                assert!(error < bound * nearest, "{format:?}: {error} of {nearest}");
            }
        }
    }
}

#[test]
fn columns_that_do_not_correlate_are_rounded_to_nearest() {
    let cols = 130;
    let mut activations = vec![0.0; cols * cols];
    for column in 0..cols {
        activations[column * cols + column] = 1.5;
    }
    let hessian = collect(&activations, cols);
    for format in FORMATS {
        let layout = layout(19, cols, format);
        let weights = Samples::new(5).weights(19 * cols);
        let nearest = PackedMatrix::quantize_f32(layout, &weights).unwrap();
        for activation_order in [false, true] {
            let options = Options {
                activation_order,
                ..Options::default()
            };
            let matrix = gptq::quantize(layout, &weights, &hessian, &options).unwrap();
            assert_eq!(matrix, nearest, "{format:?}");
        }
    }
}

#[test]
fn batches_of_tokens_add_up() {
    let (tokens, cols) = (700, 40);
    // Whole numbers, so that every order of adding gives the same.
    let activations: Vec<f32> = correlated(&mut Samples::new(9), tokens, cols)
        .into_iter()
        .map(f32::round)
        .collect();
    let weights = Samples::new(10).weights(16 * cols);
    let layout = layout(16, cols, (Bits::Four, GroupSize::G32));
    let mut pieces = Hessian::new(cols).unwrap();
    for piece in activations.chunks(cols * 37) {
        pieces.add(piece).unwrap();
    }
    let options = Options::default();
    let whole = gptq::quantize(layout, &weights, &collect(&activations, cols), &options).unwrap();
    assert_eq!(
        gptq::quantize(layout, &weights, &pieces, &options).unwrap(),
        whole
    );
}

#[test]
fn dead_columns_get_weights_of_zero() {
    let (tokens, cols) = (50, 24);
    let mut activations = correlated(&mut Samples::new(1), tokens, cols);
    for x in activations.chunks_mut(cols) {
        x[0] = 0.0;
        x[17] = 0.0;
    }
    let weights = Samples::new(2).weights(3 * cols);
    let hessian = collect(&activations, cols);
    for format in FORMATS {
        for activation_order in [false, true] {
            let options = Options {
                activation_order,
                ..Options::default()
            };
            let matrix =
                gptq::quantize(layout(3, cols, format), &weights, &hessian, &options).unwrap();
            for row in 0..3 {
                assert_eq!(
                    (matrix.code(row, 0), matrix.code(row, 17)),
                    (Some(0), Some(0))
                );
                assert!((0..cols).any(|column| matrix.code(row, column) != Some(0)));
            }
        }
    }
}

/// One token says nothing about most directions: without damping the Hessian has no inverse.
#[test]
fn damping_is_raised_when_it_has_to_be() {
    let cols = 64;
    let hessian = collect(&correlated(&mut Samples::new(3), 1, cols), cols);
    let options = Options {
        damping: 0.0,
        ..Options::default()
    };
    let weights = Samples::new(4).weights(cols);
    let layout = layout(1, cols, (Bits::Eight, GroupSize::Row));
    gptq::quantize(layout, &weights, &hessian, &options).unwrap();
}

#[test]
fn no_activations_at_all_make_all_columns_dead() {
    let layout = layout(2, 20, (Bits::Four, GroupSize::Row));
    let hessian = Hessian::new(20).unwrap();
    let matrix = gptq::quantize(layout, &[1.0; 40], &hessian, &Options::default()).unwrap();
    assert_eq!(codes(&matrix), [0; 40]);
}

#[test]
fn what_cannot_be_quantised_is_refused() {
    let layout = layout(2, 3, (Bits::Four, GroupSize::Row));
    let options = Options::default();
    let quantize =
        |weights: &[f32], hessian: &Hessian| gptq::quantize(layout, weights, hessian, &options);
    let hessian = collect(&[1.0, 2.0, 3.0, 0.5, 0.0, 1.0], 3);
    assert!(quantize(&[1.0; 6], &hessian).is_ok());
    let (what, expected) = ("the weights", 6);
    assert_eq!(
        quantize(&[1.0; 5], &hessian),
        Err(Error::Length {
            what,
            expected,
            found: 5
        })
    );
    assert_eq!(
        quantize(&[1.0, 1.0, 1.0, 1.0, f32::NAN, 1.0], &hessian),
        Err(Error::NonFiniteWeight { row: 1, column: 1 })
    );
    assert_eq!(
        quantize(&[1.0, 1.0, 1.0, 1e9, 1.0, 1.0], &hessian),
        Err(Error::ScaleOverflow { row: 1 })
    );
    assert_eq!(
        quantize(&[1.0; 6], &Hessian::new(4).unwrap()),
        Err(Error::Columns {
            expected: 4,
            found: 3
        })
    );
    // Squares beyond float32.
    assert_eq!(
        quantize(&[1.0; 6], &collect(&[1e30; 3], 3)),
        Err(Error::NotPositiveDefinite)
    );

    let mut hessian = Hessian::new(3).unwrap();
    assert!(matches!(
        hessian.add(&[1.0; 4]),
        Err(Error::Length {
            expected: 3,
            found: 1,
            ..
        })
    ));
    assert_eq!(
        hessian.add(&[1.0, 1.0, 1.0, 1.0, 1.0, f32::INFINITY]),
        Err(Error::NonFiniteActivation {
            token: 1,
            column: 2
        })
    );
    // Nothing was added.
    assert_eq!(codes(&quantize(&[1.0; 6], &hessian).unwrap()), [0; 6]);
    assert!(matches!(
        Hessian::new(usize::MAX),
        Err(Error::TooLarge { .. })
    ));
}
