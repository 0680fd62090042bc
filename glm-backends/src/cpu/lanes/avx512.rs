//! One AVX-512 register of 16 lanes.

use std::arch::x86_64::*;

use half::f16;

use super::{Kernel, LANES, Lanes, Pair};

/// Exists only inside [`run`]: this CPU has AVX-512 F, BW, VL and VNNI, AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

impl Lanes for Avx512 {
    type Vector = __m512;
    type Pairs = __m512i;
    type Ints = __m512i;
    const MANY_REGISTERS: bool = true;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: `self` exists.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, values: &[f32; LANES]) -> __m512 {
        // SAFETY: `self` exists; 16 values are read.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn load_f16(self, values: &[f16; LANES]) -> __m512 {
        // SAFETY: `self` exists; 16 halves are 256 bits, and `f16` is a transparent u16.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(values.as_ptr().cast())) }
    }

    #[inline(always)]
    fn load_i8(self, values: &[i8; LANES]) -> __m512 {
        // SAFETY: `self` exists; 16 bytes are 128 bits.
        unsafe {
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(
                values.as_ptr().cast(),
            )))
        }
    }

    #[inline(always)]
    fn store(self, vector: __m512, out: &mut [f32; LANES]) {
        // SAFETY: `self` exists; 16 values are written.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` exists.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn select_less(self, a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
        // SAFETY: `self` exists.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes) }
    }

    #[inline(always)]
    fn add_to_exponent(self, value: __m512, exponent: __m512) -> __m512 {
        // SAFETY: `self` exists.
        unsafe {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(exponent));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(value), exponent))
        }
    }

    #[inline(always)]
    fn sum(self, vector: __m512) -> f32 {
        // SAFETY: `self` exists.
        unsafe {
            let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(vector)));
            super::avx2::sum(_mm256_add_ps(_mm512_castps512_ps256(vector), upper))
        }
    }

    #[inline(always)]
    fn sum_each(self, [a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // SAFETY: `self` exists; 4 values are written.
        unsafe {
            // Eight lanes of two vectors in each, then four of all.
            let ab = _mm512_add_ps(
                _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b),
                _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b),
            );
            let cd = _mm512_add_ps(
                _mm512_shuffle_f32x4::<0b01_00_01_00>(c, d),
                _mm512_shuffle_f32x4::<0b11_10_11_10>(c, d),
            );
            let four = _mm512_add_ps(
                _mm512_shuffle_f32x4::<0b10_00_10_00>(ab, cd),
                _mm512_shuffle_f32x4::<0b11_01_11_01>(ab, cd),
            );
            let two = _mm512_add_ps(four, _mm512_permute_ps::<0b11_10_11_10>(four));
            let one = _mm512_add_ps(two, _mm512_movehdup_ps(two));
            let firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            let firsts = _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, one));
            _mm_storeu_ps(sums.as_mut_ptr(), firsts);
        }
        sums
    }

    #[inline(always)]
    fn largest(self, vector: __m512) -> f32 {
        // SAFETY: `self` exists.
        unsafe {
            let upper = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(vector)));
            super::avx2::largest(_mm256_max_ps(_mm512_castps512_ps256(vector), upper))
        }
    }

    #[inline(always)]
    fn splat_pair(self, pair: Pair) -> __m512i {
        // SAFETY: `self` exists.
        unsafe { _mm512_set1_epi32(bytemuck::cast(pair)) }
    }

    #[inline(always)]
    fn load_pairs(self, pairs: &[Pair; LANES]) -> __m512i {
        // SAFETY: `self` exists; 16 pairs are 512 bits.
        unsafe { _mm512_loadu_si512(pairs.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_pairs(self, pairs: __m512i, out: &mut [Pair; LANES]) {
        // SAFETY: `self` exists; 16 pairs are 512 bits.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), pairs) }
    }

    #[inline(always)]
    fn round_to_pairs(self, first: __m512, second: __m512) -> __m512i {
        // SAFETY: `self` exists.
        unsafe {
            let (first, second) = (_mm512_cvtps_epi32(first), _mm512_cvtps_epi32(second));
            _mm512_mask_blend_epi16(0xaaaa_aaaa, first, _mm512_slli_epi32::<16>(second))
        }
    }

    #[inline(always)]
    fn pair_up(self, front: &[i16; LANES], back: &[i16; LANES]) -> __m512i {
        // SAFETY: `self` exists; 16 codes are 256 bits.
        unsafe {
            let front = _mm512_cvtepu16_epi32(_mm256_loadu_si256(front.as_ptr().cast()));
            let back = _mm512_cvtepu16_epi32(_mm256_loadu_si256(back.as_ptr().cast()));
            _mm512_or_si512(front, _mm512_slli_epi32::<16>(back))
        }
    }

    #[inline(always)]
    fn no_ints(self) -> __m512i {
        // SAFETY: `self` exists.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn add_products(self, a: __m512i, b: __m512i, sum: __m512i) -> __m512i {
        // SAFETY: `self` exists.
        unsafe { _mm512_dpwssd_epi32(sum, a, b) }
    }

    #[inline(always)]
    fn to_floats(self, ints: __m512i) -> __m512 {
        // SAFETY: `self` exists.
        unsafe { _mm512_cvtepi32_ps(ints) }
    }

    #[inline(always)]
    fn sum_ints(self, [a, b, c, d]: [__m512i; 4]) -> [i32; 4] {
        let mut sums = [0; 4];
        // SAFETY: `self` exists; 4 values are written.
        unsafe {
            // The sums of all pairs of lanes of two, then of fours of all four.
            let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            let four =
                _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
            let two = _mm256_add_epi32(
                _mm512_castsi512_si256(four),
                _mm512_extracti64x4_epi64::<1>(four),
            );
            let one = _mm_add_epi32(
                _mm256_castsi256_si128(two),
                _mm256_extracti128_si256::<1>(two),
            );
            _mm_storeu_si128(sums.as_mut_ptr().cast(), one);
        }
        sums
    }
}
