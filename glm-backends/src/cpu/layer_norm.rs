//! The norms: [LayerNorm](https://arxiv.org/abs/1607.06450) in ChatGLM-6B and
//! [RMSNorm](https://arxiv.org/abs/1910.07467) in ChatGLM2-6B.

use super::{
    chunks::for_each_chunk,
    lanes::{Kernel, LANES, Lanes, run_at},
    level::CpuLevel,
};

/// Rows that one thread takes at a time, as long as there are several.
const ROWS: usize = 4;

/// `(x - mean) / √(variance + eps) · weight + bias` for every row, with the biased variance.
///
/// # Shapes
/// - `x`, `out`: `[rows, hidden]`
/// - `weight`, `bias`: `[hidden]`
///
/// # Panics
/// If the lengths do not fit these shapes.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
    layer_norm_at(CpuLevel::active(), x, weight, bias, eps, out);
}

/// [`layer_norm`] with the instructions of a given level.
///
/// # Panics
/// If the lengths do not fit, or this CPU does not have the level.
pub fn layer_norm_at(
    level: CpuLevel,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    eps: f32,
    out: &mut [f32],
) {
    assert_eq!(
        weight.len(),
        bias.len(),
        "a norm has as many weights as biases"
    );
    norm_rows(
        level,
        Norm {
            weight,
            bias: Some(bias),
            eps,
        },
        x,
        out,
    );
}

/// `x / √(mean(x²) + eps) · weight` for every row.
///
/// # Shapes
/// - `x`, `out`: `[rows, hidden]`
/// - `weight`: `[hidden]`
///
/// # Panics
/// If the lengths do not fit these shapes.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    rms_norm_at(CpuLevel::active(), x, weight, eps, out);
}

/// [`rms_norm`] with the instructions of a given level.
///
/// # Panics
/// If the lengths do not fit, or this CPU does not have the level.
pub fn rms_norm_at(level: CpuLevel, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    norm_rows(
        level,
        Norm {
            weight,
            bias: None,
            eps,
        },
        x,
        out,
    );
}

/// What makes a norm; without a bias it is RMSNorm.
#[derive(Clone, Copy)]
struct Norm<'a> {
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    eps: f32,
}

fn norm_rows(level: CpuLevel, norm: Norm<'_>, x: &[f32], out: &mut [f32]) {
    let hidden = norm.weight.len();
    assert_eq!(x.len(), out.len(), "a norm keeps the shape");
    if x.is_empty() {
        return;
    }
    assert!(
        hidden > 0 && x.len().is_multiple_of(hidden),
        "{} values are not rows of {hidden}",
        x.len()
    );
    for_each_chunk(out, ROWS * hidden, |chunk, out| {
        let x = &x[chunk * ROWS * hidden..][..out.len()];
        run_at(level, NormRows { norm, x, out });
    });
}

struct NormRows<'a> {
    norm: Norm<'a>,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for NormRows<'_> {
    type Output = ();

    #[cfg_attr(not(unoptimised), inline(always))]
    fn run<L: Lanes>(self, lanes: L) {
        let Norm { weight, bias, eps } = self.norm;
        let hidden = weight.len();
        for (x, out) in self
            .x
            .chunks_exact(hidden)
            .zip(self.out.chunks_exact_mut(hidden))
        {
            let mean = match bias {
                Some(_) => sum(lanes, x) / hidden as f32,
                None => 0.0,
            };
            let variance = sum_of_squares(lanes, x, mean) / hidden as f32;
            let (mean, scale) = (
                lanes.splat(mean),
                lanes.splat(1.0 / (variance + eps).sqrt()),
            );
            for (index, (x, out)) in x.chunks(LANES).zip(out.chunks_mut(LANES)).enumerate() {
                let here = index * LANES..index * LANES + x.len();
                let centred = lanes.sub(lanes.load_part(x, 0.0), mean);
                let normal = lanes.mul(centred, scale);
                let weight = lanes.load_part(&weight[here.clone()], 0.0);
                let result = match bias {
                    Some(bias) => lanes.mul_add(normal, weight, lanes.load_part(&bias[here], 0.0)),
                    None => lanes.mul(normal, weight),
                };
                lanes.store_part(result, out);
            }
        }
    }
}

/// Vectors that are added up side by side: enough to keep the adders busy.
const SUMS: usize = 4;

#[cfg_attr(not(unoptimised), inline(always))]
fn sum<L: Lanes>(lanes: L, row: &[f32]) -> f32 {
    let mut sums = [lanes.splat(0.0); SUMS];
    for block in row.chunks(SUMS * LANES) {
        for (sum, x) in sums.iter_mut().zip(block.chunks(LANES)) {
            *sum = lanes.add(*sum, lanes.load_part(x, 0.0));
        }
    }
    fold(lanes, sums)
}

/// `Σ (x - mean)²`
#[cfg_attr(not(unoptimised), inline(always))]
fn sum_of_squares<L: Lanes>(lanes: L, row: &[f32], mean: f32) -> f32 {
    let mut sums = [lanes.splat(0.0); SUMS];
    for block in row.chunks(SUMS * LANES) {
        for (sum, x) in sums.iter_mut().zip(block.chunks(LANES)) {
            let centred = lanes.sub(lanes.load_part(x, mean), lanes.splat(mean));
            *sum = lanes.mul_add(centred, centred, *sum);
        }
    }
    fold(lanes, sums)
}

#[cfg_attr(not(unoptimised), inline(always))]
fn fold<L: Lanes>(lanes: L, [a, b, c, d]: [L::Vector; SUMS]) -> f32 {
    lanes.sum(lanes.add(lanes.add(a, c), lanes.add(b, d)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Both norms in f64, each value with the error that f32 may make in it: the mean is off by a few units in the
    /// last place of the largest value, and a row that hardly varies makes as much of that as of the values.
    fn naive(x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32) -> Vec<(f64, f64)> {
        let hidden = weight.len();
        let mut out = Vec::new();
        for row in x.chunks(hidden) {
            let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
            let mean = match bias {
                Some(_) => row.iter().sum::<f64>() / hidden as f64,
                None => 0.0,
            };
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / hidden as f64;
            let deviation = (variance + f64::from(eps)).sqrt();
            let largest = row.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
            let allowed = 1e-5 + 4.0 * f64::from(f32::EPSILON) * largest / deviation;
            for (i, x) in row.iter().enumerate() {
                let bias = bias.map_or(0.0, |bias| f64::from(bias[i]));
                out.push((
                    (x - mean) / deviation * f64::from(weight[i]) + bias,
                    allowed,
                ));
            }
        }
        out
    }

    fn cases() -> impl Strategy<Value = (Vec<f32>, Vec<f32>, Vec<f32>)> {
        (1_usize..11, 1_usize..200, -3.0_f32..3.0).prop_flat_map(|(rows, hidden, offset)| {
            let values = |count| prop::collection::vec(-1.0_f32..1.0, count);
            let x = values(rows * hidden)
                .prop_map(move |x| x.into_iter().map(|x| x + offset).collect());
            (x, values(hidden), values(hidden))
        })
    }

    proptest! {
        #[test]
        fn norms_equal_the_formula_with_the_same_bits_on_every_level((x, weight, bias) in cases()) {
            let run = |level| {
                let (mut layer, mut rms) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                layer_norm_at(level, &x, &weight, &bias, 1e-5, &mut layer);
                rms_norm_at(level, &x, &weight, 1e-5, &mut rms);
                (layer, rms)
            };
            let scalar = run(CpuLevel::Scalar);
            let layer = naive(&x, &weight, Some(&bias), 1e-5);
            let rms = naive(&x, &weight, None, 1e-5);
            let expected = layer.into_iter().chain(rms);
            for (found, (expected, allowed)) in scalar.0.iter().chain(&scalar.1).zip(expected) {
                prop_assert!((f64::from(*found) - expected).abs() < allowed, "{} {}", found, expected);
            }
            for level in CpuLevel::available() {
                prop_assert_eq!(&run(level), &scalar, "{}", level);
            }
        }
    }

    #[test]
    fn a_row_of_equal_values_gives_the_bias() {
        let mut out = [f32::NAN; 40];
        layer_norm(&[1e4; 40], &[3.0; 40], &[0.25; 40], 1e-5, &mut out);
        assert_eq!(out, [0.25; 40]);
    }

    #[test]
    #[should_panic(expected = "not rows of 3")]
    fn rows_of_another_width_are_refused() {
        rms_norm(&[1.0; 4], &[1.0; 3], 1e-5, &mut [0.0; 4]);
    }
}
