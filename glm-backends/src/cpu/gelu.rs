//! GELU, the activation of GLM's feed-forward layers ([paper](https://arxiv.org/abs/1606.08415)).

use super::{
    chunks::for_each_chunk,
    exp::exp,
    lanes::{Kernel, LANES, Lanes, run_at},
    level::CpuLevel,
};

/// Elements that one thread takes at a time.
const CHUNK: usize = 8192;

/// `√(8 / π)`: twice the factor inside the tanh of the official code, 0.7978845608028654.
const TWICE_SQRT_2_BY_PI: f32 = (2.0 * 0.797_884_560_802_865_4_f64) as f32;
/// That times 0.044715.
const CUBIC: f32 = (2.0 * 0.797_884_560_802_865_4_f64 * 0.044_715) as f32;

/// `x ← 0.5 x (1 + tanh(0.7978845608028654 x (1 + 0.044715 x²)))`, to 2e-6 of the larger of 1 and the result.
///
/// Minus infinity gives -0, the limit.
pub fn gelu(x: &mut [f32]) {
    gelu_at(CpuLevel::active(), x);
}

/// [`gelu`] with the instructions of a given level.
///
/// # Panics
/// If this CPU does not have the level.
pub fn gelu_at(level: CpuLevel, x: &mut [f32]) {
    for_each_chunk(x, CHUNK, |_, x| run_at(level, Gelu(x)));
}

struct Gelu<'a>(&'a mut [f32]);

impl Kernel for Gelu<'_> {
    type Output = ();

    #[cfg_attr(not(unoptimised), inline(always))]
    fn run<L: Lanes>(self, lanes: L) {
        let (blocks, tail) = self.0.as_chunks_mut::<LANES>();
        for block in blocks {
            lanes.store(gelu_lanes(lanes, lanes.load(block)), block);
        }
        let result = gelu_lanes(lanes, lanes.load_part(tail, 0.0));
        lanes.store_part(result, tail);
    }
}

/// `0.5 (1 + tanh(u)) = 1 / (1 + e^(-2u))`.
#[cfg_attr(not(unoptimised), inline(always))]
fn gelu_lanes<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
    // So that minus infinity is not divided by infinity.
    let x = lanes.max(lanes.splat(f32::MIN), x);
    let factor = lanes.mul_add(
        lanes.mul(x, x),
        lanes.splat(-CUBIC),
        lanes.splat(-TWICE_SQRT_2_BY_PI),
    );
    let exponential = exp(lanes, lanes.mul(x, factor));
    lanes.div(x, lanes.add(lanes.splat(1.0), exponential))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formula(x: f64) -> f64 {
        0.5 * x * (1.0 + (0.797_884_560_802_865_4 * x * (1.0 + 0.044_715 * x * x)).tanh())
    }

    #[test]
    fn equals_the_formula_on_every_level_and_at_every_tail() {
        let x: Vec<f32> = (0..40_017)
            .map(|i| (i as f32 - 20_000.0) / 1500.0)
            .collect();
        let mut scalar = x.clone();
        gelu_at(CpuLevel::Scalar, &mut scalar);
        for (x, found) in x.iter().zip(&scalar) {
            let exact = formula(f64::from(*x));
            let error = (f64::from(*found) - exact).abs();
            assert!(
                error <= 2e-6 * exact.abs().max(0.1),
                "gelu({x}) = {found}, expected {exact}"
            );
        }
        for level in CpuLevel::available() {
            for len in (0..40).chain([8191, 8193, 40_017]) {
                let mut found = x[..len].to_vec();
                gelu_at(level, &mut found);
                assert_eq!(found, scalar[..len], "{level}, {len} elements");
            }
        }
    }

    #[test]
    fn extremes_stay_sane() {
        for level in CpuLevel::available() {
            let mut x = [
                1e30,
                -1e30,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::NAN,
                0.0,
                -0.0,
                f32::MAX,
                f32::MIN,
            ];
            gelu_at(level, &mut x);
            assert_eq!(x[..4], [1e30, 0.0, f32::INFINITY, 0.0], "{level}");
            assert!(x[4].is_nan());
            assert_eq!(x[5..], [0.0, 0.0, f32::MAX, 0.0], "{level}");
        }
    }
}
