//! AVX2: a row block is two registers. `vpmaddubsw` adds the products of two neighbouring columns in 16 bits, and
//! saturates; the operands are chosen so that it never does.

use std::arch::x86_64::*;

use glm_quant::BLOCK_ROWS;

use super::{
    Activations,
    activation::TokenTile,
    tile::{self, Codes, Finish, Kernels, LONG_GROUP, Tile},
};
use crate::cpu::prefetch::prefetch;

pub(super) static KERNELS: Kernels = Kernels {
    int8_tokens: 4,
    float32_tokens: 3,
    token_step: 1,
    blocks: 1,
    chunk_columns: 4 * LONG_GROUP,
    byte_offset: 0,
    int8,
    float32,
    quantize,
    unpack_nibbles,
    unpack_bytes: None,
    leave: || (),
    finish,
};

/// Rows in a register, of which a block has two.
const LANES: usize = 8;

#[target_feature(enable = "avx2,fma,f16c")]
fn quantize(tile: &TokenTile<'_>, offset: i32, out: &mut [u32]) {
    tile.quantize(offset, out);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn unpack_nibbles(packed: &[u32], wide: &mut [u32]) {
    tile::unpack_nibbles(packed, wide);
}

/// # Safety
/// As [`Finish::write`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn finish(finish: &Finish<'_>) {
    // SAFETY: the caller's promise.
    unsafe { finish.write() };
}

#[target_feature(enable = "avx2,fma,f16c")]
fn int8(tile: &mut Tile<'_>) {
    match tile.tokens {
        1 => int8_tokens::<1>(tile),
        2 => int8_tokens::<2>(tile),
        3 => int8_tokens::<3>(tile),
        _ => int8_tokens::<4>(tile),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn int8_tokens<const TOKENS: usize>(tile: &mut Tile<'_>) {
    match tile.form {
        Codes::Nibbles => int8_tile::<TOKENS>(tile, add_nibbles),
        Codes::Wide => int8_tile::<TOKENS>(tile, add_wide_nibbles),
        Codes::Bytes => int8_tile::<TOKENS>(tile, add_bytes),
    }
}

/// The sums of a tile's dot products in one group: eight rows a register.
type Dots<const TOKENS: usize> = [[__m256i; 2]; TOKENS];

/// One of the three functions that add 32 columns: codes, words from them to those to ask memory for, activations, sums.
type AddColumns<const TOKENS: usize> = unsafe fn(*const u32, usize, *const u32, &mut Dots<TOKENS>);

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn int8_tile<const TOKENS: usize>(tile: &mut Tile<'_>, add_32_columns: AddColumns<TOKENS>) {
    assert_eq!((tile.blocks, tile.tokens), (1, TOKENS));
    tile.check(Activations::Int8);
    let words_per_32 = if tile.form == Codes::Nibbles { 4 } else { 8 } * BLOCK_ROWS;
    let (group_columns, is_grouped) = (tile.group_columns(), tile.is_grouped());
    // SAFETY: `Tile::check` has compared every length with the counts that the loops below run over: `codes` advances
    // by the words of 32 columns, `activations` by two words a token for each group and one for each four columns;
    // scales are read 16 for each group, sums 16 for each token.
    unsafe {
        let mut codes = tile.codes.as_ptr();
        let mut activations = tile.activations.as_ptr();
        let mut sums = [[_mm256_setzero_ps(); 2]; TOKENS];
        if !tile.fresh {
            for (token, sums) in sums.iter_mut().enumerate() {
                let from = tile.sums.as_ptr().add(token * BLOCK_ROWS);
                *sums = [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(LANES))];
            }
        }
        for (group, first) in (0..tile.columns).step_by(group_columns).enumerate() {
            let columns = group_columns.min(tile.columns - first);
            let ahead = tile.words_ahead(0);
            let (token_scales, corrections) = (activations, activations.add(TOKENS));
            activations = activations.add(2 * TOKENS);
            let mut dots = [[_mm256_setzero_si256(); 2]; TOKENS];
            for (token, dots) in dots.iter_mut().enumerate() {
                *dots = [_mm256_set1_epi32(corrections.add(token).read().cast_signed()); 2];
            }
            for _ in 0..columns / 32 {
                add_32_columns(codes, ahead, activations, &mut dots);
                codes = codes.add(words_per_32);
                activations = activations.add(8 * TOKENS);
            }
            for half in 0..2 {
                let mut weight_scales = _mm256_setzero_ps();
                if is_grouped {
                    let from = tile.scales.as_ptr().add(group * BLOCK_ROWS + half * LANES);
                    weight_scales = _mm256_cvtph_ps(_mm_loadu_si128(from.cast()));
                }
                for token in 0..TOKENS {
                    let mut scale = _mm256_set1_ps(f32::from_bits(token_scales.add(token).read()));
                    if is_grouped {
                        scale = _mm256_mul_ps(weight_scales, scale);
                    }
                    let dot = _mm256_cvtepi32_ps(dots[token][half]);
                    sums[token][half] = _mm256_fmadd_ps(dot, scale, sums[token][half]);
                }
            }
        }
        for (token, sums) in sums.iter().enumerate() {
            let to = tile.sums.as_mut_ptr().add(token * BLOCK_ROWS);
            _mm256_storeu_ps(to, sums[0]);
            _mm256_storeu_ps(to.add(LANES), sums[1]);
        }
    }
}

/// Eight products of at most 15 · 127 are below 2¹⁵: 32 columns, four of them in a lane of 32 bits at a time, are summed
/// in 16 bits before they are widened.
///
/// # Safety
/// The pointers must be good for the codes of 32 columns, `[4, 16]` words, and their activations, `[8, TOKENS]`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn add_nibbles<const TOKENS: usize>(
    codes: *const u32,
    ahead: usize,
    activations: *const u32,
    dots: &mut Dots<TOKENS>,
) {
    let low = _mm256_set1_epi8(0x0f);
    for half in 0..2 {
        let mut short = [_mm256_setzero_si256(); TOKENS];
        for step in 0..4 {
            // SAFETY: the caller's promise; prefetching may name any address.
            let words = unsafe {
                let at = codes.add(step * BLOCK_ROWS + half * LANES);
                prefetch(at.wrapping_add(ahead));
                _mm256_loadu_si256(at.cast())
            };
            let first = _mm256_and_si256(words, low);
            let second = _mm256_and_si256(_mm256_srli_epi16::<4>(words), low);
            for (token, short) in short.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let (x, y) = unsafe {
                    let x = activations.add(2 * step * TOKENS + token);
                    (broadcast(x), broadcast(x.add(TOKENS)))
                };
                *short = _mm256_add_epi16(*short, _mm256_maddubs_epi16(first, x));
                *short = _mm256_add_epi16(*short, _mm256_maddubs_epi16(second, y));
            }
        }
        widen(dots, half, short);
    }
}

/// As [`add_nibbles`], a byte each.
///
/// # Safety
/// The pointers must be good for the codes of 32 columns, `[8, 16]` words, and their activations, `[8, TOKENS]`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn add_wide_nibbles<const TOKENS: usize>(
    codes: *const u32,
    _: usize,
    activations: *const u32,
    dots: &mut Dots<TOKENS>,
) {
    for half in 0..2 {
        let mut short = [_mm256_setzero_si256(); TOKENS];
        for step in 0..8 {
            // SAFETY: the caller's promise.
            let words =
                unsafe { _mm256_loadu_si256(codes.add(step * BLOCK_ROWS + half * LANES).cast()) };
            for (token, short) in short.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let x = unsafe { broadcast(activations.add(step * TOKENS + token)) };
                *short = _mm256_add_epi16(*short, _mm256_maddubs_epi16(words, x));
            }
        }
        widen(dots, half, short);
    }
}

/// INT8: the magnitude of the code (at most 128, unsigned) times the activation with the code's sign. Two products of at
/// most 128 · 127 are below 2¹⁵.
///
/// # Safety
/// As [`add_wide_nibbles`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn add_bytes<const TOKENS: usize>(
    codes: *const u32,
    ahead: usize,
    activations: *const u32,
    dots: &mut Dots<TOKENS>,
) {
    let offset = _mm256_set1_epi8(-128);
    let ones = _mm256_set1_epi16(1);
    for half in 0..2 {
        for step in 0..8 {
            // SAFETY: the caller's promise; prefetching may name any address.
            let words = unsafe {
                let at = codes.add(step * BLOCK_ROWS + half * LANES);
                prefetch(at.wrapping_add(ahead));
                _mm256_loadu_si256(at.cast())
            };
            let words = _mm256_xor_si256(words, offset);
            let magnitudes = _mm256_abs_epi8(words);
            for (token, dots) in dots.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let x = unsafe { broadcast(activations.add(step * TOKENS + token)) };
                let short = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(x, words));
                dots[half] = _mm256_add_epi32(dots[half], _mm256_madd_epi16(short, ones));
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen<const TOKENS: usize>(dots: &mut Dots<TOKENS>, half: usize, short: [__m256i; TOKENS]) {
    let ones = _mm256_set1_epi16(1);
    for (dots, short) in dots.iter_mut().zip(short) {
        dots[half] = _mm256_add_epi32(dots[half], _mm256_madd_epi16(short, ones));
    }
}

/// # Safety
/// The pointer must be good for a read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn broadcast(word: *const u32) -> __m256i {
    // SAFETY: the caller's promise.
    _mm256_set1_epi32(unsafe { word.read() }.cast_signed())
}

#[target_feature(enable = "avx2,fma,f16c")]
fn float32(tile: &mut Tile<'_>) {
    let is_nibbles = tile.form == Codes::Nibbles;
    match (is_nibbles, tile.tokens) {
        (true, 1) => float32_tile::<true, 1>(tile),
        (true, 2) => float32_tile::<true, 2>(tile),
        (true, _) => float32_tile::<true, 3>(tile),
        (false, 1) => float32_tile::<false, 1>(tile),
        (false, 2) => float32_tile::<false, 2>(tile),
        (false, _) => float32_tile::<false, 3>(tile),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn float32_tile<const NIBBLES: bool, const TOKENS: usize>(tile: &mut Tile<'_>) {
    assert_eq!((tile.blocks, tile.tokens), (1, TOKENS));
    tile.check(Activations::Float32);
    let columns_per_word = if NIBBLES { 8 } else { 4 };
    let (group_columns, is_grouped) = (tile.group_columns(), tile.is_grouped());
    if tile.fresh {
        tile.sums[..TOKENS * BLOCK_ROWS].fill(0.0);
    }
    let low = _mm256_set1_epi32(0x0f);
    let eight = _mm256_set1_epi32(8);
    let signs = _mm256_set1_epi32(0x8080_8080_u32.cast_signed());
    // SAFETY: `Tile::check` has compared every length with the counts that the loops below run over: `codes` advances
    // by one word of 16 lanes for each `columns_per_word` columns, `activations` by one word a token for each column;
    // scales are read 16 for each group, sums 16 for each token.
    unsafe {
        let mut codes = tile.codes.as_ptr();
        let mut activations = tile.activations.as_ptr().cast::<f32>();
        for (group, first) in (0..tile.columns).step_by(group_columns).enumerate() {
            let columns = group_columns.min(tile.columns - first);
            // [token][half][even, odd]
            let mut chains = [[[_mm256_setzero_ps(); 2]; 2]; TOKENS];
            for _ in 0..columns / columns_per_word {
                for half in 0..2 {
                    let mut words = _mm256_loadu_si256(codes.add(half * LANES).cast());
                    if !NIBBLES {
                        words = _mm256_xor_si256(words, signs);
                    }
                    for even in (0..columns_per_word).step_by(2) {
                        for odd in 0..2 {
                            let column = even + odd;
                            let weights = _mm256_cvtepi32_ps(if NIBBLES {
                                // Columns 0 to 3 are the low nibbles of the bytes, 4 to 7 the high ones.
                                let bit =
                                    _mm_cvtsi32_si128((column % 4 * 8 + column / 4 * 4) as i32);
                                let stored = _mm256_and_si256(_mm256_srl_epi32(words, bit), low);
                                _mm256_sub_epi32(stored, eight)
                            } else {
                                let bit = _mm_cvtsi32_si128((24 - column * 8) as i32);
                                _mm256_srai_epi32::<24>(_mm256_sll_epi32(words, bit))
                            });
                            for (token, chains) in chains.iter_mut().enumerate() {
                                let x =
                                    _mm256_set1_ps(activations.add(column * TOKENS + token).read());
                                let chain = &mut chains[half][odd];
                                *chain = _mm256_fmadd_ps(weights, x, *chain);
                            }
                        }
                    }
                }
                codes = codes.add(BLOCK_ROWS);
                activations = activations.add(columns_per_word * TOKENS);
            }
            for half in 0..2 {
                let mut scale = _mm256_setzero_ps();
                if is_grouped {
                    let from = tile.scales.as_ptr().add(group * BLOCK_ROWS + half * LANES);
                    scale = _mm256_cvtph_ps(_mm_loadu_si128(from.cast()));
                }
                for (token, chains) in chains.iter().enumerate() {
                    let [even, odd] = chains[half];
                    let sum = _mm256_add_ps(even, odd);
                    let at = tile
                        .sums
                        .as_mut_ptr()
                        .add(token * BLOCK_ROWS + half * LANES);
                    let before = _mm256_loadu_ps(at);
                    let after = if is_grouped {
                        _mm256_fmadd_ps(sum, scale, before)
                    } else {
                        _mm256_add_ps(before, sum)
                    };
                    _mm256_storeu_ps(at, after);
                }
            }
        }
    }
}
