//! SwiGLU, the gated activation of ChatGLM2's feed-forward layers ([paper](https://arxiv.org/abs/2002.05202)).

use super::{
    chunks::for_each_chunk,
    exp::exp,
    lanes::{Kernel, LANES, Lanes, run_at},
    level::CpuLevel,
};

/// Rows that one thread takes at a time, as long as there are several.
const ROWS: usize = 4;

/// `silu(a) · b` for every row `[a, b]`, with `silu(a) = a / (1 + e^-a)`, to 2e-6 of the result.
///
/// The silu of minus infinity is -0, the limit.
///
/// # Shapes
/// - `x`: `[rows, 2 · width]`
/// - `out`: `[rows, width]`
///
/// # Panics
/// If the lengths do not fit these shapes.
pub fn swiglu(x: &[f32], width: usize, out: &mut [f32]) {
    swiglu_at(CpuLevel::active(), x, width, out);
}

/// [`swiglu`] with the instructions of a given level.
///
/// # Panics
/// If the lengths do not fit, or this CPU does not have the level.
pub fn swiglu_at(level: CpuLevel, x: &[f32], width: usize, out: &mut [f32]) {
    assert_eq!(x.len(), 2 * out.len(), "a gate for each value");
    if out.is_empty() {
        return;
    }
    assert!(
        width > 0 && out.len().is_multiple_of(width),
        "{} values are not rows of {width}",
        out.len()
    );
    for_each_chunk(out, ROWS * width, |chunk, out| {
        let x = &x[2 * chunk * ROWS * width..][..2 * out.len()];
        run_at(level, SwigluRows { x, width, out });
    });
}

struct SwigluRows<'a> {
    x: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl Kernel for SwigluRows<'_> {
    type Output = ();

    #[cfg_attr(not(unoptimised), inline(always))]
    fn run<L: Lanes>(self, lanes: L) {
        let rows = self.x.chunks_exact(2 * self.width);
        for (x, out) in rows.zip(self.out.chunks_exact_mut(self.width)) {
            let (gate, value) = x.split_at(self.width);
            let parts = gate.chunks(LANES).zip(value.chunks(LANES));
            for ((gate, value), out) in parts.zip(out.chunks_mut(LANES)) {
                let gate = silu(lanes, lanes.load_part(gate, 0.0));
                lanes.store_part(lanes.mul(gate, lanes.load_part(value, 0.0)), out);
            }
        }
    }
}

#[cfg_attr(not(unoptimised), inline(always))]
fn silu<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
    // So that minus infinity is not divided by infinity.
    let x = lanes.max(lanes.splat(f32::MIN), x);
    let exponential = exp(lanes, lanes.sub(lanes.splat(0.0), x));
    lanes.div(x, lanes.add(lanes.splat(1.0), exponential))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cases() -> impl Strategy<Value = (Vec<f32>, usize)> {
        (1_usize..11, 1_usize..100).prop_flat_map(|(rows, width)| {
            (
                prop::collection::vec(-30.0_f32..30.0, 2 * rows * width),
                Just(width),
            )
        })
    }

    proptest! {
        #[test]
        fn equals_the_formula_with_the_same_bits_on_every_level((x, width) in cases()) {
            let run = |level| {
                let mut out = vec![f32::NAN; x.len() / 2];
                swiglu_at(level, &x, width, &mut out);
                out
            };
            let scalar = run(CpuLevel::Scalar);
            for (row, found) in x.chunks(2 * width).zip(scalar.chunks(width)) {
                for (j, found) in found.iter().enumerate() {
                    let (gate, value) = (f64::from(row[j]), f64::from(row[width + j]));
                    let exact = gate / (1.0 + (-gate).exp()) * value;
                    let error = (f64::from(*found) - exact).abs();
                    prop_assert!(error <= 2e-6 * exact.abs(), "{} {}", found, exact);
                }
            }
            for level in CpuLevel::available() {
                prop_assert_eq!(&run(level), &scalar, "{}", level);
            }
        }
    }

    #[test]
    fn extremes_stay_sane() {
        for level in CpuLevel::available() {
            let gates = [
                1e30,
                -1e30,
                f32::NEG_INFINITY,
                f32::MIN,
                f32::INFINITY,
                f32::NAN,
            ];
            let x = [gates, [1.0; 6]].concat();
            let mut out = [0.0; 6];
            swiglu_at(level, &x, 6, &mut out);
            assert_eq!(out[..5], [1e30, 0.0, 0.0, 0.0, f32::INFINITY], "{level}");
            assert!(out[5].is_nan());
        }
    }

    #[test]
    #[should_panic(expected = "not rows of 3")]
    fn rows_of_another_width_are_refused() {
        swiglu(&[1.0; 8], 3, &mut [0.0; 4]);
    }
}
