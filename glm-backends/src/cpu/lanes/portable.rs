//! Plain loops over arrays: the meaning of the operations, and what AArch64 runs.

use half::f16;

use super::{LANES, Lanes, Pair, round_to_i16};

/// Needs no instructions beyond those that every CPU of the target has.
#[derive(Clone, Copy)]
pub(super) struct Portable;

/// One operation by lane.
#[inline(always)]
fn by_lane(a: [f32; LANES], b: [f32; LANES], operation: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = operation(a[lane], b[lane]);
    }
    out
}

/// Folds the upper half of the lanes onto the lower one until one is left.
#[inline(always)]
fn fold(mut values: [f32; LANES], operation: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            values[lane] = operation(values[lane], values[lane + width]);
        }
        width /= 2;
    }
    values[0]
}

/// f16 to f32 without the instruction for it, in operations that compilers make vectors of.
#[inline(always)]
fn widen(half: f16) -> f32 {
    let bits = u32::from(half.to_bits());
    let (sign, magnitude) = ((bits & 0x8000) << 16, (bits & 0x7fff) << 13);
    // The exponents differ by 112; the product also gives subnormal halves their value.
    let number = f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23);
    let infinite_or_nan = f32::from_bits(magnitude | 0x7f80_0000);
    let value = if magnitude >= 0x7c00 << 13 {
        infinite_or_nan
    } else {
        number
    };
    f32::from_bits(value.to_bits() | sign)
}

impl Lanes for Portable {
    type Vector = [f32; LANES];
    type Pairs = [Pair; LANES];
    type Ints = [i32; LANES];
    const MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> Self::Vector {
        *values
    }

    #[inline(always)]
    fn load_f16(self, values: &[f16; LANES]) -> Self::Vector {
        let mut out = [0.0; LANES];
        for lane in 0..LANES {
            out[lane] = widen(values[lane]);
        }
        out
    }

    #[inline(always)]
    fn load_i8(self, values: &[i8; LANES]) -> Self::Vector {
        let mut out = [0.0; LANES];
        for lane in 0..LANES {
            out[lane] = f32::from(values[lane]);
        }
        out
    }

    #[inline(always)]
    fn store(self, vector: Self::Vector, out: &mut [f32; LANES]) {
        *out = vector;
    }

    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        by_lane(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        by_lane(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        by_lane(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        by_lane(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        let mut out = [0.0; LANES];
        for lane in 0..LANES {
            out[lane] = a[lane].mul_add(b[lane], c[lane]);
        }
        out
    }

    #[inline(always)]
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        by_lane(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        by_lane(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn select_less(
        self,
        a: Self::Vector,
        b: Self::Vector,
        yes: Self::Vector,
        no: Self::Vector,
    ) -> Self::Vector {
        let mut out = [0.0; LANES];
        for lane in 0..LANES {
            out[lane] = if a[lane] < b[lane] {
                yes[lane]
            } else {
                no[lane]
            };
        }
        out
    }

    #[inline(always)]
    fn add_to_exponent(self, value: Self::Vector, exponent: Self::Vector) -> Self::Vector {
        by_lane(value, exponent, |value, exponent| {
            f32::from_bits(value.to_bits().wrapping_add(exponent.to_bits() << 23))
        })
    }

    #[inline(always)]
    fn sum(self, vector: Self::Vector) -> f32 {
        fold(vector, |a, b| a + b)
    }

    #[inline(always)]
    fn largest(self, vector: Self::Vector) -> f32 {
        fold(vector, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn splat_pair(self, pair: Pair) -> Self::Pairs {
        [pair; LANES]
    }

    #[inline(always)]
    fn load_pairs(self, pairs: &[Pair; LANES]) -> Self::Pairs {
        *pairs
    }

    #[inline(always)]
    fn store_pairs(self, pairs: Self::Pairs, out: &mut [Pair; LANES]) {
        *out = pairs;
    }

    #[inline(always)]
    fn round_to_pairs(self, first: Self::Vector, second: Self::Vector) -> Self::Pairs {
        let mut pairs = [[0; 2]; LANES];
        for lane in 0..LANES {
            pairs[lane] = [round_to_i16(first[lane]), round_to_i16(second[lane])];
        }
        pairs
    }

    #[inline(always)]
    fn pair_up(self, front: &[i16; LANES], back: &[i16; LANES]) -> Self::Pairs {
        let mut pairs = [[0; 2]; LANES];
        for lane in 0..LANES {
            pairs[lane] = [front[lane], back[lane]];
        }
        pairs
    }

    #[inline(always)]
    fn no_ints(self) -> Self::Ints {
        [0; LANES]
    }

    #[inline(always)]
    fn add_products(self, a: Self::Pairs, b: Self::Pairs, mut sum: Self::Ints) -> Self::Ints {
        for lane in 0..LANES {
            for (a, b) in a[lane].iter().zip(b[lane]) {
                sum[lane] = sum[lane].wrapping_add(i32::from(*a) * i32::from(b));
            }
        }
        sum
    }

    #[inline(always)]
    fn to_floats(self, ints: Self::Ints) -> Self::Vector {
        let mut floats = [0.0; LANES];
        for lane in 0..LANES {
            floats[lane] = ints[lane] as f32;
        }
        floats
    }

    #[inline(always)]
    fn sum_ints(self, ints: [Self::Ints; 4]) -> [i32; 4] {
        ints.map(|ints| ints.iter().fold(0_i32, |sum, int| sum.wrapping_add(*int)))
    }
}
