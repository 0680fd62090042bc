//! The dot product of two f32 slices, compiled once per instruction set and chosen at run time.

use super::CpuLevel;

/// Independent partial sums: enough to keep the adders busy, and the same on every instruction set, so that every
/// machine adds in the same order.
const LANES: usize = 64;

/// `Σ a[i] · b[i]` over the shorter of the two, with the instructions of [`CpuLevel::active`].
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    dot_at(CpuLevel::active(), a, b)
}

/// The level must be available.
fn dot_at(level: CpuLevel, a: &[f32], b: &[f32]) -> f32 {
    debug_assert!(level.is_available());
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is available.
        CpuLevel::Amx | CpuLevel::Avx512Vnni => unsafe { dot_avx512(a, b) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level is available.
        CpuLevel::Avx2 => unsafe { dot_avx2(a, b) },
        // NEON is part of every AArch64 CPU, so the plain loop has it.
        _ => dot_lanes(a, b),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn dot_avx512(a: &[f32], b: &[f32]) -> f32 {
    dot_lanes(a, b)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn dot_avx2(a: &[f32], b: &[f32]) -> f32 {
    dot_lanes(a, b)
}

#[inline(always)]
fn dot_lanes(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a, b) = (&a[..a.len().min(b.len())], &b[..a.len().min(b.len())]);
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_blocks
        .remainder()
        .iter()
        .zip(b_blocks.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_blocks.zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    // Halves onto halves: a fixed order, and less rounding than one long chain.
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
    }
    sums[0] + tail
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Every length, so every tail; the f64 sum is the reference and the bound is that of f32 summation.
        #[test]
        fn equals_the_f64_sum(values in prop::collection::vec((-2.0f32..2.0, -2.0f32..2.0), 0..400)) {
            let (a, b): (Vec<f32>, Vec<f32>) = values.into_iter().unzip();
            let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let size: f64 = a.iter().zip(&b).map(|(a, b)| f64::from((a * b).abs())).sum();
            prop_assert!((f64::from(dot(&a, &b)) - exact).abs() <= 1e-6 * size + 1e-9);
        }

        #[test]
        fn every_level_gives_the_same_bits(values in prop::collection::vec((-2.0f32..2.0, -2.0f32..2.0), 0..400)) {
            let (a, b): (Vec<f32>, Vec<f32>) = values.into_iter().unzip();
            for level in CpuLevel::available() {
                prop_assert_eq!(dot_at(level, &a, &b).to_bits(), dot_lanes(&a, &b).to_bits());
            }
        }
    }
}
