//! Two AVX2 registers of 8 lanes each.

use std::arch::x86_64::*;

use half::f16;

use super::{Kernel, LANES, Lanes, Pair};

/// Exists only inside [`run`]: this CPU has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// Lanes `i + 4` onto `i`, then `i + 2`, then `i + 1`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sum(vector: __m256) -> f32 {
    let four = _mm_add_ps(
        _mm256_castps256_ps128(vector),
        _mm256_extractf128_ps::<1>(vector),
    );
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// The largest of 8 lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn largest(vector: __m256) -> f32 {
    let four = _mm_max_ps(
        _mm256_castps256_ps128(vector),
        _mm256_extractf128_ps::<1>(vector),
    );
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
}

impl Lanes for Avx2 {
    /// Lanes 0–7 and 8–15.
    type Vector = [__m256; 2];
    /// Lanes 0–7 and 8–15.
    type Pairs = [__m256i; 2];
    type Ints = [__m256i; 2];
    const MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        // SAFETY: `self` exists.
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> Self::Vector {
        let values = values.as_ptr();
        // SAFETY: `self` exists; twice 8 of the 16 values are read.
        unsafe { [_mm256_loadu_ps(values), _mm256_loadu_ps(values.add(8))] }
    }

    #[inline(always)]
    fn load_f16(self, values: &[f16; LANES]) -> Self::Vector {
        let values = values.as_ptr();
        // SAFETY: `self` exists; twice 8 of the 16 halves (128 bits) are read, and `f16` is a transparent u16.
        unsafe {
            [
                _mm256_cvtph_ps(_mm_loadu_si128(values.cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(values.add(8).cast())),
            ]
        }
    }

    #[inline(always)]
    fn load_i8(self, values: &[i8; LANES]) -> Self::Vector {
        let values = values.as_ptr();
        // SAFETY: `self` exists; twice 8 of the 16 bytes are read.
        unsafe {
            [
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(values.cast()))),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(values.add(8).cast()))),
            ]
        }
    }

    #[inline(always)]
    fn store(self, vector: Self::Vector, out: &mut [f32; LANES]) {
        let out = out.as_mut_ptr();
        // SAFETY: `self` exists; twice 8 of the 16 values are written.
        unsafe {
            _mm256_storeu_ps(out, vector[0]);
            _mm256_storeu_ps(out.add(8), vector[1]);
        }
    }

    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        // SAFETY: `self` exists.
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        // SAFETY: `self` exists.
        unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        // SAFETY: `self` exists.
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        // SAFETY: `self` exists.
        unsafe { [_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        // SAFETY: `self` exists.
        unsafe {
            [
                _mm256_fmadd_ps(a[0], b[0], c[0]),
                _mm256_fmadd_ps(a[1], b[1], c[1]),
            ]
        }
    }

    #[inline(always)]
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        // SAFETY: `self` exists.
        unsafe { [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        // SAFETY: `self` exists.
        unsafe { [_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn select_less(
        self,
        a: Self::Vector,
        b: Self::Vector,
        yes: Self::Vector,
        no: Self::Vector,
    ) -> Self::Vector {
        // SAFETY: `self` exists.
        unsafe {
            [
                _mm256_blendv_ps(no[0], yes[0], _mm256_cmp_ps::<_CMP_LT_OQ>(a[0], b[0])),
                _mm256_blendv_ps(no[1], yes[1], _mm256_cmp_ps::<_CMP_LT_OQ>(a[1], b[1])),
            ]
        }
    }

    #[inline(always)]
    fn add_to_exponent(self, value: Self::Vector, exponent: Self::Vector) -> Self::Vector {
        let mut out = value;
        for half in 0..2 {
            // SAFETY: `self` exists.
            out[half] = unsafe {
                let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(exponent[half]));
                _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(value[half]), exponent))
            };
        }
        out
    }

    #[inline(always)]
    fn sum(self, vector: Self::Vector) -> f32 {
        // SAFETY: `self` exists.
        unsafe { sum(_mm256_add_ps(vector[0], vector[1])) }
    }

    #[inline(always)]
    fn sum_each(self, vectors: [Self::Vector; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // SAFETY: `self` exists; 4 values are written.
        unsafe {
            let [a, b, c, d] = vectors.map(|[lower, upper]| _mm256_add_ps(lower, upper));
            // Four lanes of a and b, of c and d; then two of a, c, b and d.
            let ab = _mm256_add_ps(
                _mm256_permute2f128_ps::<0x20>(a, b),
                _mm256_permute2f128_ps::<0x31>(a, b),
            );
            let cd = _mm256_add_ps(
                _mm256_permute2f128_ps::<0x20>(c, d),
                _mm256_permute2f128_ps::<0x31>(c, d),
            );
            let (ab, cd) = (_mm256_castps_pd(ab), _mm256_castps_pd(cd));
            let two = _mm256_add_ps(
                _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)),
                _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)),
            );
            let one = _mm256_add_ps(two, _mm256_movehdup_ps(two));
            let (ac, bd) = (_mm256_castps256_ps128(one), _mm256_extractf128_ps::<1>(one));
            let abcd = _mm_movelh_ps(_mm_unpacklo_ps(ac, bd), _mm_unpackhi_ps(ac, bd));
            _mm_storeu_ps(sums.as_mut_ptr(), abcd);
        }
        sums
    }

    #[inline(always)]
    fn largest(self, vector: Self::Vector) -> f32 {
        // SAFETY: `self` exists.
        unsafe { largest(_mm256_max_ps(vector[0], vector[1])) }
    }

    #[inline(always)]
    fn splat_pair(self, pair: Pair) -> Self::Pairs {
        // SAFETY: `self` exists.
        unsafe { [_mm256_set1_epi32(bytemuck::cast(pair)); 2] }
    }

    #[inline(always)]
    fn load_pairs(self, pairs: &[Pair; LANES]) -> Self::Pairs {
        let pairs = pairs.as_ptr();
        // SAFETY: `self` exists; twice 8 of the 16 pairs are read.
        unsafe {
            [
                _mm256_loadu_si256(pairs.cast()),
                _mm256_loadu_si256(pairs.add(8).cast()),
            ]
        }
    }

    #[inline(always)]
    fn store_pairs(self, pairs: Self::Pairs, out: &mut [Pair; LANES]) {
        let out = out.as_mut_ptr();
        // SAFETY: `self` exists; twice 8 of the 16 pairs are written.
        unsafe {
            _mm256_storeu_si256(out.cast(), pairs[0]);
            _mm256_storeu_si256(out.add(8).cast(), pairs[1]);
        }
    }

    #[inline(always)]
    fn round_to_pairs(self, first: Self::Vector, second: Self::Vector) -> Self::Pairs {
        let half = |first, second| {
            // SAFETY: `self` exists.
            unsafe {
                let (first, second) = (_mm256_cvtps_epi32(first), _mm256_cvtps_epi32(second));
                _mm256_blend_epi16::<0b1010_1010>(first, _mm256_slli_epi32::<16>(second))
            }
        };
        [half(first[0], second[0]), half(first[1], second[1])]
    }

    #[inline(always)]
    fn pair_up(self, front: &[i16; LANES], back: &[i16; LANES]) -> Self::Pairs {
        // SAFETY: `self` exists; 16 codes are 256 bits.
        unsafe {
            let front = _mm256_loadu_si256(front.as_ptr().cast());
            let back = _mm256_loadu_si256(back.as_ptr().cast());
            let low = _mm256_unpacklo_epi16(front, back);
            let high = _mm256_unpackhi_epi16(front, back);
            [
                _mm256_permute2x128_si256::<0x20>(low, high),
                _mm256_permute2x128_si256::<0x31>(low, high),
            ]
        }
    }

    #[inline(always)]
    fn no_ints(self) -> Self::Ints {
        // SAFETY: `self` exists.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    fn add_products(self, a: Self::Pairs, b: Self::Pairs, sum: Self::Ints) -> Self::Ints {
        // SAFETY: `self` exists.
        unsafe {
            [
                _mm256_add_epi32(sum[0], _mm256_madd_epi16(a[0], b[0])),
                _mm256_add_epi32(sum[1], _mm256_madd_epi16(a[1], b[1])),
            ]
        }
    }

    #[inline(always)]
    fn to_floats(self, ints: Self::Ints) -> Self::Vector {
        // SAFETY: `self` exists.
        unsafe { [_mm256_cvtepi32_ps(ints[0]), _mm256_cvtepi32_ps(ints[1])] }
    }

    #[inline(always)]
    fn sum_ints(self, ints: [Self::Ints; 4]) -> [i32; 4] {
        let mut sums = [0; 4];
        // SAFETY: `self` exists; 4 values are written.
        unsafe {
            let [a, b, c, d] = ints.map(|ints| _mm256_add_epi32(ints[0], ints[1]));
            let two = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
            let one = _mm_add_epi32(
                _mm256_castsi256_si128(two),
                _mm256_extracti128_si256::<1>(two),
            );
            _mm_storeu_si128(sums.as_mut_ptr().cast(), one);
        }
        sums
    }
}
