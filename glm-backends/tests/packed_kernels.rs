//! The packed products against the oracle of `glm-quant`, and every level against plain loops, bit for bit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use glm_backends::cpu::{
    Activations, CpuLevel, PackedView, packed_dequantize, packed_linear, packed_linear_at,
    packed_row,
};
use glm_quant::{Bits, GroupSize, PackedLayout, PackedMatrix, half::f16, reference};
use proptest::prelude::*;

const MODES: [Activations; 2] = [Activations::Float32, Activations::Int8];

/// Numbers without a pattern that a kernel could meet by accident.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// -1 to 1.
    fn value(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }

    /// Any codes, in the padding too: kernels must not let it through.
    fn weight(&mut self, layout: PackedLayout) -> PackedMatrix {
        let codes = (0..layout.words()).map(|_| (self.bits() >> 32) as u32);
        let codes = codes.collect();
        let scales = (0..layout.scales()).map(|_| f16::from_f32(0.02 * self.value()));
        let scales = scales.collect();
        PackedMatrix::new(layout, codes, scales).unwrap()
    }
}

fn linear(
    level: CpuLevel,
    x: &[f32],
    weight: &PackedMatrix,
    bias: Option<&[f32]>,
    activations: Activations,
) -> Vec<f32> {
    let layout = weight.layout();
    let m = x.len() / layout.cols;
    let mut out = vec![f32::NAN; m * layout.rows]; // Overwritten, every one.
    packed_linear_at(level, x, m, weight.into(), bias, activations, &mut out);
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// `[m, rows]`: how far an output may be from the exact one.
///
/// Float32: 2e-6 of the sum of magnitudes, in which a group's terms are rounded along a chain of 64 and the groups'
/// along one of 128 at most. Int8: half a step of each activation on top, the step being 1/127 of its group's largest.
fn bounds(
    x: &[f32],
    weight: &PackedMatrix,
    bias: Option<&[f32]>,
    activations: Activations,
) -> Vec<f32> {
    let PackedLayout {
        rows, cols, group, ..
    } = *weight.layout();
    let group = if group == GroupSize::G32 { 32 } else { 128 };
    let mut weights = vec![0.0; cols];
    let mut bounds = vec![0.0; x.len() / cols * rows];
    for row in 0..rows {
        weight.dequantize_row(row, &mut weights).unwrap();
        for (token, x) in x.chunks_exact(cols).enumerate() {
            let mut bound = 1e-37 + bias.map_or(0.0, |bias| 1e-6 * f64::from(bias[row].abs()));
            for (x, w) in x.chunks(group).zip(weights.chunks(group)) {
                let largest = x.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
                for (x, w) in x.iter().zip(w) {
                    let (x, w) = (f64::from(x.abs()), f64::from(w.abs()));
                    bound += 2e-6 * x * w;
                    if activations == Activations::Int8 {
                        bound += (0.5001 / 127.0 * f64::from(largest) + 4e-37) * w;
                    }
                }
            }
            bounds[token * rows + row] = bound as f32;
        }
    }
    bounds
}

/// Near the oracle in plain loops, and the same bits at every level of this CPU.
fn check(
    x: &[f32],
    weight: &PackedMatrix,
    bias: Option<&[f32]>,
    activations: Activations,
) -> Vec<f32> {
    let plain = linear(CpuLevel::Scalar, x, weight, bias, activations);
    let expected = reference::packed_linear(x, weight, bias).unwrap();
    let bounds = bounds(x, weight, bias, activations);
    for (index, ((y, expected), bound)) in plain.iter().zip(&expected).zip(&bounds).enumerate() {
        assert!(
            (y - expected).abs() <= *bound,
            "output {index}: {y} for {expected} ± {bound}, {activations:?}, {:?}",
            weight.layout()
        );
    }
    for level in CpuLevel::available() {
        let y = linear(level, x, weight, bias, activations);
        assert_eq!(
            bits(&y),
            bits(&plain),
            "{level}, {activations:?}, {:?}",
            weight.layout()
        );
    }
    plain
}

fn formats() -> impl Iterator<Item = (Bits, GroupSize)> {
    [Bits::Four, Bits::Eight].into_iter().flat_map(|bits| {
        [GroupSize::Row, GroupSize::G32, GroupSize::G128].map(|group| (bits, group))
    })
}

proptest! {
    #[test]
    fn every_level_agrees(
        rows in 1_usize..100,
        cols in 1_usize..400,
        m in 1_usize..=70,
        with_bias in any::<bool>(),
        seed in 1_u64..,
    ) {
        let mut random = Random(seed);
        let x = random.values(m * cols);
        let bias = random.values(rows);
        let bias = with_bias.then_some(bias.as_slice());
        for (bits, group) in formats() {
            let weight = random.weight(PackedLayout { rows, cols, bits, group });
            for activations in MODES {
                check(&x, &weight, bias, activations);
            }
        }
    }

    #[test]
    fn a_row_of_a_batch_is_that_row_alone(
        rows in 1_usize..50,
        cols in 1_usize..600,
        m in 2_usize..30,
        seed in 1_u64..,
    ) {
        let mut random = Random(seed);
        let x = random.values(m * cols);
        for (format, group) in formats() {
            let weight = random.weight(PackedLayout { rows, cols, bits: format, group });
            for activations in MODES {
                for level in CpuLevel::available() {
                    let together = linear(level, &x, &weight, None, activations);
                    for (x, y) in x.chunks_exact(cols).zip(together.chunks_exact(rows)) {
                        let alone = linear(level, x, &weight, None, activations);
                        prop_assert_eq!(bits(&alone), bits(y), "{} {:?}", level, activations);
                    }
                }
            }
        }
    }

    #[test]
    fn dequantised_rows_are_the_weights(rows in 1_usize..70, cols in 1_usize..300, seed in 1_u64..) {
        let mut random = Random(seed);
        for (format, group) in formats() {
            let weight = random.weight(PackedLayout { rows, cols, bits: format, group });
            let mut all = vec![f32::NAN; rows * cols];
            packed_dequantize((&weight).into(), &mut all);
            let (mut expected, mut found) = (vec![0.0; cols], vec![f32::NAN; cols]);
            for (row, of_all) in all.chunks_exact(cols).enumerate() {
                weight.dequantize_row(row, &mut expected).unwrap();
                packed_row((&weight).into(), row, &mut found);
                prop_assert_eq!(bits(&found), bits(&expected));
                prop_assert_eq!(bits(of_all), bits(&expected));
            }
        }
    }
}

/// Column `c` of row `r` has code `c + r` modulo the number of codes, and `x` picks single columns.
#[test]
fn every_code_in_every_place() {
    for (bits, group) in formats() {
        let (rows, cols) = (37, 290);
        let layout = PackedLayout {
            rows,
            cols,
            bits,
            group,
        };
        let mut codes = PackedMatrix::zeros(layout).unwrap().into_parts().0;
        for row in 0..rows {
            for col in 0..cols {
                let (word, bit) = layout.locate(row, col);
                let mask = 2 * bits.offset() as u32 - 1;
                codes[word] &= !(mask << bit);
                codes[word] |= ((row + col) as u32 & mask) << bit;
            }
        }
        let scales = vec![f16::ONE; layout.scales()];
        let weight = PackedMatrix::new(layout, codes, scales).unwrap();
        let mut x = vec![0.0; cols * cols];
        x.iter_mut().step_by(cols + 1).for_each(|x| *x = 1.0); // The identity.
        for activations in MODES {
            let y = check(&x, &weight, None, activations);
            for (col, y) in y.chunks_exact(rows).enumerate() {
                for (row, y) in y.iter().enumerate() {
                    let code = f32::from(weight.code(row, col).unwrap());
                    assert!((y - code).abs() <= 2e-5, "{y} for code {code}");
                }
            }
        }
    }
}

/// The real width, and nothing but the codes and activations of largest magnitude.
#[test]
fn the_largest_sums_fit() {
    for (bits, group) in formats() {
        let (rows, cols) = (48, 4096);
        let layout = PackedLayout {
            rows,
            cols,
            bits,
            group,
        };
        let lowest = vec![0; layout.words()]; // -8 or -128.
        let highest = vec![u32::MAX; layout.words()]; // 7 or 127.
        for codes in [lowest, highest] {
            let scales = vec![f16::from_f32(0.01); layout.scales()];
            let weight = PackedMatrix::new(layout, codes, scales).unwrap();
            let mut x = vec![1.0; cols];
            x.extend(vec![-1.0; cols]);
            x.extend((0..cols).map(|col| if col % 2 == 0 { 1.0 } else { -1.0 }));
            for activations in MODES {
                check(&x, &weight, None, activations);
            }
        }
    }
}

#[test]
fn the_real_width() {
    let mut random = Random(7);
    let (rows, cols) = (20, 4096);
    for (bits, group) in formats() {
        let weight = random.weight(PackedLayout {
            rows,
            cols,
            bits,
            group,
        });
        for m in [1, 13, 70] {
            let x = random.values(m * cols);
            for activations in MODES {
                check(&x, &weight, None, activations);
            }
        }
    }
}

/// More tokens than a task carries at once.
#[test]
fn long_prompts() {
    let mut random = Random(11);
    for (bits, group) in formats() {
        let (rows, cols, m) = (17, 40, 1000);
        let weight = random.weight(PackedLayout {
            rows,
            cols,
            bits,
            group,
        });
        let x = random.values(m * cols);
        for activations in MODES {
            check(&x, &weight, None, activations);
        }
    }
}

#[test]
fn extreme_activations() {
    let mut random = Random(3);
    let (rows, cols) = (20, 200);
    let scaled = |random: &mut Random, by: f32| -> Vec<f32> {
        random.values(cols).iter().map(|x| x * by).collect()
    };
    let mut x = vec![0.0; cols];
    x.extend(vec![-0.0; cols]);
    for by in [1e30, 1e-30, 1e-36, 1e-37, 1e-44] {
        x.extend(scaled(&mut random, by));
    }
    // One large value, and the rest vanishes beside it.
    let mut lonely = scaled(&mut random, 1e-3);
    lonely[150] = -6e4;
    x.extend(lonely);
    // Exactly between two codes.
    x.extend((0..cols).map(|col| {
        if col % 64 == 0 {
            127.0
        } else {
            col as f32 - 99.5
        }
    }));
    for (bits, group) in formats() {
        let weight = random.weight(PackedLayout {
            rows,
            cols,
            bits,
            group,
        });
        for activations in MODES {
            check(&x, &weight, None, activations);
        }
    }
}

#[test]
fn what_is_not_finite_stays_in_its_row() {
    let mut random = Random(5);
    let (rows, cols) = (20, 200);
    for (format, group) in formats() {
        let weight = random.weight(PackedLayout {
            rows,
            cols,
            bits: format,
            group,
        });
        for broken in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let clean = random.values(3 * cols);
            let mut x = clean.clone();
            x[cols + 130] = broken;
            for activations in MODES {
                for level in CpuLevel::available() {
                    let y = linear(level, &x, &weight, None, activations);
                    let expected = linear(level, &clean, &weight, None, activations);
                    assert!(y[rows..2 * rows].iter().all(|y| !y.is_finite()));
                    if broken.is_nan() || activations == Activations::Int8 {
                        assert!(y[rows..2 * rows].iter().all(|y| y.is_nan()));
                    }
                    assert_eq!(bits(&y[..rows]), bits(&expected[..rows]));
                    assert_eq!(bits(&y[2 * rows..]), bits(&expected[2 * rows..]));
                }
            }
        }
    }
}

#[test]
fn nothing_times_something() {
    let layout = PackedLayout {
        rows: 3,
        cols: 0,
        bits: Bits::Four,
        group: GroupSize::G32,
    };
    let weight = PackedMatrix::zeros(layout).unwrap();
    for activations in MODES {
        for level in CpuLevel::available() {
            let mut out = [f32::NAN; 120];
            let bias = [1.0, 2.0, 3.0];
            packed_linear_at(
                level,
                &[],
                40,
                (&weight).into(),
                Some(&bias),
                activations,
                &mut out,
            );
            assert!(out.chunks_exact(3).all(|row| row == bias));
            packed_linear_at(level, &[], 0, (&weight).into(), None, activations, &mut []);
        }
    }
}

#[test]
#[should_panic(expected = "2 rows of activations times a weight [3, 40]")]
fn activations_of_another_width_are_refused() {
    let weight = Random(1).weight(PackedLayout {
        rows: 3,
        cols: 40,
        bits: Bits::Four,
        group: GroupSize::Row,
    });
    packed_linear(
        &[0.0; 78],
        2,
        (&weight).into(),
        None,
        Activations::Int8,
        &mut [0.0; 6],
    );
}

#[test]
#[should_panic(expected = "the packed codes do not fit")]
fn codes_of_another_length_are_refused() {
    let layout = PackedLayout {
        rows: 3,
        cols: 40,
        bits: Bits::Four,
        group: GroupSize::Row,
    };
    let _ = PackedView::new(layout, &[0; 5], &[f16::ONE; 16]);
}
