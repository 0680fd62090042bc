//! The exponential function on lanes.

use super::lanes::{Lanes, ROUND};

/// `1 / n!`, from `n = 7` down to 2: the series of `exp` on `|x| <= ln 2 / 2`, where what is left out is below 6e-9.
const SERIES: [f32; 6] = [
    1.0 / 5040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
];

/// ln 2 in two parts; the products of the first with whole numbers up to 2^8 are exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = (std::f64::consts::LN_2 - 355.0 / 512.0) as f32;

/// Below it the result is not a normal number: taken as 0.
const LOWEST: f32 = -87.336_54;

/// Above it the result is above every f32.
const HIGHEST: f32 = 88.722_83;

/// `e^x` by lane, to 1.5 units in the last place. Results below the smallest normal number are 0, as for minus
/// infinity; infinity and NaN give themselves.
#[cfg_attr(not(unoptimised), inline(always))]
pub(super) fn exp<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
    let power = power(lanes, lanes.min(lanes.splat(HIGHEST), x));
    let power = lanes.select_less(x, lanes.splat(LOWEST), lanes.splat(0.0), power);
    // Infinity and NaN are not below the bound.
    let beyond = lanes.splat(f32::from_bits(HIGHEST.to_bits() + 1));
    lanes.select_less(x, beyond, power, lanes.mul(x, lanes.splat(f32::MAX)))
}

/// [`exp`] where no lane is above zero: the same bits from fewer operations.
#[cfg_attr(not(unoptimised), inline(always))]
pub(super) fn exp_up_to_one<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
    let zero = lanes.splat(0.0);
    let power = power(lanes, x);
    // NaN is not below the bound.
    let or_nan = lanes.mul_add(lanes.max(lanes.splat(LOWEST), x), zero, power);
    lanes.select_less(x, lanes.splat(LOWEST), zero, or_nan)
}

/// `e^x` of numbers up to [`HIGHEST`], and of [`LOWEST`] below it.
#[cfg_attr(not(unoptimised), inline(always))]
fn power<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
    let clamped = lanes.max(lanes.splat(LOWEST), x);
    // x = n ln 2 + rest
    let round = lanes.splat(ROUND);
    let shifted = lanes.mul_add(clamped, lanes.splat(std::f32::consts::LOG2_E), round);
    let n = lanes.sub(shifted, round);
    let rest = lanes.mul_add(n, lanes.splat(-LN_2_HIGH), clamped);
    let rest = lanes.mul_add(n, lanes.splat(-LN_2_LOW), rest);
    let mut series = lanes.splat(SERIES[0]);
    for coefficient in &SERIES[1..] {
        series = lanes.mul_add(series, rest, lanes.splat(*coefficient));
    }
    let square = lanes.mul(rest, rest);
    let one = lanes.splat(1.0);
    let power = lanes.mul_add(series, square, lanes.add(rest, one));
    lanes.add_to_exponent(power, shifted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{
        CpuLevel,
        lanes::{Kernel, LANES, run_at},
    };

    struct Exp([f32; LANES]);

    impl Kernel for Exp {
        type Output = [f32; LANES];

        #[cfg_attr(not(unoptimised), inline(always))]
        fn run<L: Lanes>(self, lanes: L) -> [f32; LANES] {
            let mut out = [0.0; LANES];
            lanes.store(exp(lanes, lanes.load(&self.0)), &mut out);
            out
        }
    }

    #[test]
    fn is_within_two_units_in_the_last_place_on_every_level() {
        let mut worst = 0.0_f64;
        for block in 0..40_000 {
            // -87.33 to 88.72 in 640,000 steps.
            let x: [f32; LANES] = std::array::from_fn(|i| {
                let step = (block * LANES + i) as f64 / 640_000.0;
                (-87.33 + step * (88.72 + 87.33)) as f32
            });
            let scalar = run_at(CpuLevel::Scalar, Exp(x));
            for level in CpuLevel::available() {
                assert_eq!(
                    run_at(level, Exp(x)).map(f32::to_bits),
                    scalar.map(f32::to_bits),
                    "{level}"
                );
            }
            for (x, found) in x.iter().zip(scalar) {
                let exact = f64::from(*x).exp();
                let unit = f64::from(f32::from_bits((exact as f32).to_bits() + 1) - exact as f32);
                worst = worst.max((f64::from(found) - exact).abs() / unit);
            }
        }
        assert!(worst < 1.5, "{worst} units");
    }

    #[test]
    fn ends_of_the_range() {
        let mut x = [0.0; LANES];
        let cases = [
            (0.0, 1.0),
            (f32::NEG_INFINITY, 0.0),
            (f32::MIN, 0.0),
            (-87.4, 0.0),
            (1e-30, 1.0),
            (88.8, f32::INFINITY),
            (f32::MAX, f32::INFINITY),
            (f32::INFINITY, f32::INFINITY),
        ];
        for (x, (input, _)) in x.iter_mut().zip(cases) {
            *x = input;
        }
        x[15] = f32::NAN;
        x[14] = HIGHEST;
        x[13] = LOWEST;
        for level in CpuLevel::available() {
            let found = run_at(level, Exp(x));
            for (found, (input, expected)) in found.iter().zip(cases) {
                assert_eq!(*found, expected, "exp({input}) on {level}");
            }
            assert!(found[15].is_nan());
            assert!(found[14] > 3.4e38 && found[14].is_finite(), "{}", found[14]);
            assert!(
                found[13] >= f32::MIN_POSITIVE && found[13] < 1.2e-38,
                "{}",
                found[13]
            );
        }
    }
}
