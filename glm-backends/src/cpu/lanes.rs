//! Sixteen f32 at a time: the arithmetic that attention, GELU and the norms are written in, once for all instruction
//! sets.
//!
//! Every operation rounds the same way on every implementation (multiplications and additions fused or not as written,
//! sums folded halves onto halves), so that a kernel gives the same bits on every machine.
//!
//! A value of a type with [`Lanes`] says that this CPU has the instructions behind it. [`run_at`] makes it, after the
//! check, inside a function that is compiled for these instructions; kernels pass it on to `#[inline(always)]`
//! functions only.

use half::f16;

use super::level::CpuLevel;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

/// Values in a vector.
pub(super) const LANES: usize = 16;

/// `1.5 · 2^23`. Between `2^23` and `2^24` the floats are the integers, so adding this to a number below `2^22` rounds it to
/// the nearest integer, to even, in every instruction set: the low bits of the sum are the integer, and so is the sum less
/// this.
pub(super) const ROUND: f32 = 12_582_912.0;

/// The nearest integer, to even, of a number below `2^15`.
#[inline(always)]
pub(super) fn round_to_i16(value: f32) -> i16 {
    (value + ROUND).to_bits() as i16
}

/// Two integers that are multiplied with two others and added up.
pub(super) type Pair = [i16; 2];

/// Arithmetic on 16 f32 at once.
pub(super) trait Lanes: Copy {
    /// 16 values.
    type Vector: Copy;
    /// 16 pairs of integers.
    type Pairs: Copy;
    /// 16 sums of products of pairs.
    type Ints: Copy;
    /// True when 20 vectors fit into registers, which decides the tiles of the matrix products in attention.
    const MANY_REGISTERS: bool;

    fn splat(self, value: f32) -> Self::Vector;
    fn load(self, values: &[f32; LANES]) -> Self::Vector;
    fn load_f16(self, values: &[f16; LANES]) -> Self::Vector;
    fn load_i8(self, values: &[i8; LANES]) -> Self::Vector;
    fn store(self, vector: Self::Vector, out: &mut [f32; LANES]);

    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a · b + c`, rounded once.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `a > b ? a : b` by lane: `b` where one of them is not a number.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a < b ? a : b` by lane: `b` where one of them is not a number.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a < b ? yes : no` by lane: `no` where one of them is not a number.
    fn select_less(
        self,
        a: Self::Vector,
        b: Self::Vector,
        yes: Self::Vector,
        no: Self::Vector,
    ) -> Self::Vector;
    /// Adds the lowest bits of `exponent`, as an integer, to the exponent field of `value`.
    fn add_to_exponent(self, value: Self::Vector, exponent: Self::Vector) -> Self::Vector;
    /// The sum of the lanes: lane `i + 8` onto lane `i`, then `i + 4`, `i + 2`, `i + 1`.
    fn sum(self, vector: Self::Vector) -> f32;
    /// [`Lanes::sum`] of four vectors, with the same bits.
    #[inline(always)]
    fn sum_each(self, [a, b, c, d]: [Self::Vector; 4]) -> [f32; 4] {
        [self.sum(a), self.sum(b), self.sum(c), self.sum(d)]
    }
    /// The largest lane, for lanes that are numbers.
    fn largest(self, vector: Self::Vector) -> f32;

    fn splat_pair(self, pair: Pair) -> Self::Pairs;
    fn load_pairs(self, pairs: &[Pair; LANES]) -> Self::Pairs;
    fn store_pairs(self, pairs: Self::Pairs, out: &mut [Pair; LANES]);
    /// Pairs of the numbers in two vectors, rounded to even. They are below 2^15.
    fn round_to_pairs(self, first: Self::Vector, second: Self::Vector) -> Self::Pairs;
    /// `[front[i], back[i]]` for each `i`.
    fn pair_up(self, front: &[i16; LANES], back: &[i16; LANES]) -> Self::Pairs;
    fn no_ints(self) -> Self::Ints;
    /// `a₀ · b₀ + a₁ · b₁ + sum` by lane, in 32 bits.
    fn add_products(self, a: Self::Pairs, b: Self::Pairs, sum: Self::Ints) -> Self::Ints;
    fn to_floats(self, ints: Self::Ints) -> Self::Vector;
    /// The sum of the lanes of each, in 32 bits.
    fn sum_ints(self, ints: [Self::Ints; 4]) -> [i32; 4];

    /// The first up to 16 values of a slice; `fill` in the lanes behind its end.
    #[inline(always)]
    fn load_part(self, values: &[f32], fill: f32) -> Self::Vector {
        match values.first_chunk() {
            Some(values) => self.load(values),
            None => {
                let mut padded = [fill; LANES];
                padded[..values.len()].copy_from_slice(values);
                self.load(&padded)
            }
        }
    }

    /// The first lanes, as many as `out` has place for.
    #[inline(always)]
    fn store_part(self, vector: Self::Vector, out: &mut [f32]) {
        match out.first_chunk_mut() {
            Some(out) => self.store(vector, out),
            None => {
                let mut padded = [0.0; LANES];
                self.store(vector, &mut padded);
                out.copy_from_slice(&padded[..out.len()]);
            }
        }
    }
}

/// Something to compute with any implementation of [`Lanes`].
///
/// `run` must be `#[inline(always)]`: it becomes part of the function that is compiled for the instructions.
pub(super) trait Kernel {
    /// What it gives.
    type Output;

    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Runs a kernel with the instructions of a level.
///
/// # Panics
/// If this CPU does not have them.
#[inline]
pub(super) fn run_at<K: Kernel>(level: CpuLevel, kernel: K) -> K::Output {
    assert!(
        level.is_available(),
        "this CPU does not have the instructions of level `{level}`"
    );
    #[allow(clippy::match_single_binding)] // There is one arm on other architectures.
    match level {
        // SAFETY: the level is available, as just asserted, and it stands for these instructions.
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Amx | CpuLevel::Avx512Vnni => unsafe { avx512::run(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Avx2 => unsafe { avx2::run(kernel) },
        // On AArch64 the compiler makes NEON instructions of the plain loops.
        _ => kernel.run(portable::Portable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation once on the given values.
    struct EveryOperation<'a> {
        a: &'a [f32; LANES],
        b: &'a [f32; LANES],
        halves: &'a [f16; LANES],
        codes: &'a [i8; LANES],
    }

    impl Kernel for EveryOperation<'_> {
        type Output = Vec<u32>;

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Vec<u32> {
            let (a, b) = (lanes.load(self.a), lanes.load(self.b));
            let c = lanes.splat(0.3);
            let results = [
                lanes.load_f16(self.halves),
                lanes.load_i8(self.codes),
                lanes.add(a, b),
                lanes.sub(a, b),
                lanes.mul(a, b),
                lanes.div(a, b),
                lanes.mul_add(a, b, c),
                lanes.max(a, b),
                lanes.min(a, b),
                lanes.select_less(a, b, c, a),
                lanes.add_to_exponent(a, lanes.splat(ROUND - 3.0)),
                lanes.load_part(&self.a[..5], 7.0),
            ];
            let mut out = Vec::new();
            for vector in results {
                let mut values = [0.0; LANES];
                lanes.store(vector, &mut values);
                // The sign and the payload of a NaN are free.
                out.extend(values.map(|value| {
                    if value.is_nan() {
                        u32::MAX
                    } else {
                        value.to_bits()
                    }
                }));
            }
            let mut part = [0.0; 3];
            lanes.store_part(a, &mut part);
            out.extend(part.map(f32::to_bits));
            let finite = lanes.load_i8(self.codes);
            let more = lanes.mul(finite, lanes.splat(0.37));
            let rounded = lanes.mul_add(finite, more, c);
            let four = [c, finite, more, rounded];
            out.extend(lanes.sum_each(four).map(f32::to_bits));
            out.extend(four.map(|vector| lanes.sum(vector).to_bits()));
            out.push(lanes.largest(finite).to_bits());
            out
        }
    }

    #[test]
    fn every_level_gives_the_same_bits_for_every_operation() {
        let special = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            1e-40,
            f32::MAX,
            1.5,
        ];
        // All f16 bit patterns pass through the lanes.
        for block in 0..4096_u16 {
            let seed = u32::from(block);
            let a: [f32; LANES] = std::array::from_fn(|i| match i {
                0..8 => special[(i + block as usize) % 8],
                _ => (seed as f32 + i as f32 * 0.77).sin() * 30.0,
            });
            let b = std::array::from_fn(|i| (seed as f32 * 0.3 + i as f32).cos() * 10.0);
            let halves = std::array::from_fn(|i| f16::from_bits(block * 16 + i as u16));
            let codes = std::array::from_fn(|i| (block * 16 + i as u16) as i8);
            let at = |level| {
                let (a, b, halves, codes) = (&a, &b, &halves, &codes);
                run_at(
                    level,
                    EveryOperation {
                        a,
                        b,
                        halves,
                        codes,
                    },
                )
            };
            let scalar = at(CpuLevel::Scalar);
            for (i, half) in halves.iter().enumerate() {
                let expected = half.to_f32();
                let found = f32::from_bits(scalar[i]);
                assert!(
                    found == expected || (found.is_nan() && expected.is_nan()),
                    "{half:?}"
                );
            }
            for level in CpuLevel::available() {
                assert_eq!(at(level), scalar, "{level}");
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    #[should_panic(expected = "does not have the instructions of level `neon`")]
    fn a_level_of_another_cpu_is_refused() {
        let values = [0.0; LANES];
        run_at(
            CpuLevel::Neon,
            EveryOperation {
                a: &values,
                b: &values,
                halves: &[f16::ZERO; LANES],
                codes: &[0; LANES],
            },
        );
    }
}
