//! AVX-512 with VNNI: a row block is one register, and `vpdpbusd` multiplies four columns of all its rows.

use std::arch::x86_64::*;

use glm_quant::BLOCK_ROWS;

use super::{
    Activations,
    activation::TokenTile,
    tile::{Codes, Finish, Kernels, LONG_GROUP, Tile},
};
use crate::cpu::prefetch::prefetch;

pub(super) const KERNELS: Kernels = Kernels {
    int8_tokens: 12,
    float32_tokens: 6,
    token_step: 1,
    blocks: 2,
    chunk_columns: 4 * LONG_GROUP,
    byte_offset: 128,
    int8,
    float32,
    quantize,
    unpack_nibbles,
    unpack_bytes: None,
    leave: || (),
    finish,
};

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn quantize(tile: &TokenTile<'_>, offset: i32, out: &mut [u32]) {
    tile.quantize(offset, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn unpack_nibbles(packed: &[u32], wide: &mut [u32]) {
    let low = _mm512_set1_epi8(0x0f);
    let (packed, _) = packed.as_chunks::<BLOCK_ROWS>();
    let (wide, _) = wide.as_chunks_mut::<{ 2 * BLOCK_ROWS }>();
    for (packed, wide) in packed.iter().zip(wide) {
        let to = wide.as_mut_ptr();
        // SAFETY: 16 words are read and twice as many written, the lengths of the two chunks.
        unsafe {
            let words = _mm512_loadu_si512(packed.as_ptr().cast());
            let high = _mm512_srli_epi16::<4>(words);
            _mm512_storeu_si512(to.cast(), _mm512_and_si512(words, low));
            _mm512_storeu_si512(to.add(BLOCK_ROWS).cast(), _mm512_and_si512(high, low));
        }
    }
}

/// # Safety
/// As [`Finish::write`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn finish(finish: &Finish<'_>) {
    // SAFETY: the caller's promise.
    unsafe { finish.write() };
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn int8(tile: &mut Tile<'_>) {
    match (tile.form == Codes::Nibbles, tile.blocks) {
        (true, 1) => int8_tokens::<true, 1>(tile),
        (true, _) => int8_tokens::<true, 2>(tile),
        (false, 1) => int8_tokens::<false, 1>(tile),
        (false, _) => int8_tokens::<false, 2>(tile),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn int8_tokens<const NIBBLES: bool, const BLOCKS: usize>(tile: &mut Tile<'_>) {
    match tile.tokens {
        1 => int8_tile::<NIBBLES, BLOCKS, 1>(tile),
        2 => int8_tile::<NIBBLES, BLOCKS, 2>(tile),
        3 => int8_tile::<NIBBLES, BLOCKS, 3>(tile),
        4 => int8_tile::<NIBBLES, BLOCKS, 4>(tile),
        5 => int8_tile::<NIBBLES, BLOCKS, 5>(tile),
        6 => int8_tile::<NIBBLES, BLOCKS, 6>(tile),
        7 => int8_tile::<NIBBLES, BLOCKS, 7>(tile),
        8 => int8_tile::<NIBBLES, BLOCKS, 8>(tile),
        9 => int8_tile::<NIBBLES, BLOCKS, 9>(tile),
        10 => int8_tile::<NIBBLES, BLOCKS, 10>(tile),
        11 => int8_tile::<NIBBLES, BLOCKS, 11>(tile),
        _ => int8_tile::<NIBBLES, BLOCKS, 12>(tile),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn int8_tile<const NIBBLES: bool, const BLOCKS: usize, const TOKENS: usize>(tile: &mut Tile<'_>) {
    assert_eq!((tile.blocks, tile.tokens), (BLOCKS, TOKENS));
    tile.check(Activations::Int8);
    let columns_per_word = if NIBBLES { 8 } else { 4 };
    let steps = if NIBBLES { 1 } else { 2 };
    let (group_columns, is_grouped) = (tile.group_columns(), tile.is_grouped());
    let sum_stride = tile.sum_stride;
    let low = _mm512_set1_epi8(0x0f);
    // SAFETY: `Tile::check` has compared every length with the counts that the loops below run over: `codes` advances
    // by one word of 16 lanes for each `columns_per_word` columns, `scales` by 16 for each group, `activations` by two
    // words a token for each group and one for each four columns. `check` counts the sums too. Prefetching may name any
    // address.
    unsafe {
        let mut activations = tile.activations.as_ptr();
        let codes: [*const u32; BLOCKS] =
            std::array::from_fn(|block| tile.codes.as_ptr().wrapping_add(block * tile.code_stride));
        let mut word = 0;
        let mut sums = [[_mm512_setzero_ps(); BLOCKS]; TOKENS];
        if !tile.fresh {
            for (token, sums) in sums.iter_mut().enumerate() {
                for (block, sum) in sums.iter_mut().enumerate() {
                    let from = block * sum_stride + token * BLOCK_ROWS;
                    *sum = _mm512_loadu_ps(tile.sums.as_ptr().add(from));
                }
            }
        }
        for (group, first) in (0..tile.columns).step_by(group_columns).enumerate() {
            let columns = group_columns.min(tile.columns - first);
            let ahead = tile.words_ahead(word);
            let (token_scales, corrections) = (activations, activations.add(TOKENS));
            activations = activations.add(2 * TOKENS);
            // Two chains per sum where there are few sums, so that one product need not wait for the one before.
            let mut dots = [[[_mm512_setzero_si512(); 2]; BLOCKS]; TOKENS];
            let second = usize::from(BLOCKS * TOKENS <= 6);
            for (token, dots) in dots.iter_mut().enumerate() {
                let correction = _mm512_set1_epi32(corrections.add(token).read().cast_signed());
                for dot in dots {
                    dot[0] = correction;
                }
            }
            for _ in 0..columns / (columns_per_word * steps) {
                for step in 0..steps {
                    let mut words = [_mm512_setzero_si512(); BLOCKS];
                    for (words, codes) in words.iter_mut().zip(&codes) {
                        let at = codes.wrapping_add(word + step * BLOCK_ROWS);
                        if NIBBLES || TOKENS <= 4 {
                            prefetch(at.wrapping_add(ahead));
                        }
                        *words = _mm512_loadu_si512(at.cast());
                    }
                    for (token, dots) in dots.iter_mut().enumerate() {
                        if NIBBLES {
                            let x = activations.add(2 * step * TOKENS + token);
                            let first = _mm512_set1_epi32(x.read().cast_signed());
                            let next = _mm512_set1_epi32(x.add(TOKENS).read().cast_signed());
                            for (dot, words) in dots.iter_mut().zip(words) {
                                let codes = _mm512_and_si512(words, low);
                                dot[0] = _mm512_dpbusd_epi32(dot[0], codes, first);
                                let codes = _mm512_and_si512(_mm512_srli_epi16::<4>(words), low);
                                dot[second] = _mm512_dpbusd_epi32(dot[second], codes, next);
                            }
                        } else {
                            let x = activations.add(step * TOKENS + token);
                            let x = _mm512_set1_epi32(x.read().cast_signed());
                            for (dot, words) in dots.iter_mut().zip(words) {
                                let chain = if step == 0 { 0 } else { second };
                                dot[chain] = _mm512_dpbusd_epi32(dot[chain], words, x);
                            }
                        }
                    }
                }
                word += steps * BLOCK_ROWS;
                activations = activations.add(columns_per_word / 4 * steps * TOKENS);
            }
            let mut weight_scales = [_mm512_set1_ps(1.0); BLOCKS];
            if is_grouped {
                for (block, scales) in weight_scales.iter_mut().enumerate() {
                    let from = block * tile.scale_stride + group * BLOCK_ROWS;
                    let halves = _mm256_loadu_si256(tile.scales.as_ptr().add(from).cast());
                    *scales = _mm512_cvtph_ps(halves);
                }
            }
            for token in 0..TOKENS {
                let scale = _mm512_set1_ps(f32::from_bits(token_scales.add(token).read()));
                for block in 0..BLOCKS {
                    let scale = if is_grouped {
                        _mm512_mul_ps(weight_scales[block], scale)
                    } else {
                        scale
                    };
                    let [dot, other] = dots[token][block];
                    let dot = _mm512_cvtepi32_ps(_mm512_add_epi32(dot, other));
                    sums[token][block] = _mm512_fmadd_ps(dot, scale, sums[token][block]);
                }
            }
        }
        let to = tile.sums.as_mut_ptr();
        for (token, sums) in sums.iter().enumerate() {
            for (block, sum) in sums.iter().enumerate() {
                _mm512_storeu_ps(to.add(block * sum_stride + token * BLOCK_ROWS), *sum);
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn float32(tile: &mut Tile<'_>) {
    match (tile.form == Codes::Nibbles, tile.blocks) {
        (true, 1) => float32_tokens::<true, 1>(tile),
        (true, _) => float32_tokens::<true, 2>(tile),
        (false, 1) => float32_tokens::<false, 1>(tile),
        (false, _) => float32_tokens::<false, 2>(tile),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn float32_tokens<const NIBBLES: bool, const BLOCKS: usize>(tile: &mut Tile<'_>) {
    match tile.tokens {
        1 => float32_tile::<NIBBLES, BLOCKS, 1>(tile),
        2 => float32_tile::<NIBBLES, BLOCKS, 2>(tile),
        3 => float32_tile::<NIBBLES, BLOCKS, 3>(tile),
        4 => float32_tile::<NIBBLES, BLOCKS, 4>(tile),
        5 => float32_tile::<NIBBLES, BLOCKS, 5>(tile),
        _ => float32_tile::<NIBBLES, BLOCKS, 6>(tile),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn float32_tile<const NIBBLES: bool, const BLOCKS: usize, const TOKENS: usize>(
    tile: &mut Tile<'_>,
) {
    assert_eq!((tile.blocks, tile.tokens), (BLOCKS, TOKENS));
    tile.check(Activations::Float32);
    let columns_per_word = if NIBBLES { 8 } else { 4 };
    let (group_columns, is_grouped) = (tile.group_columns(), tile.is_grouped());
    if tile.fresh {
        for block in 0..BLOCKS {
            tile.sums[block * tile.sum_stride..][..TOKENS * BLOCK_ROWS].fill(0.0);
        }
    }
    // A permutation looks at four bits of an index: the values of the sixteen stored nibbles.
    let values = _mm512_setr_ps(
        -8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0,
    );
    let signs = _mm512_set1_epi32(0x8080_8080_u32.cast_signed());
    // SAFETY: `Tile::check` has compared every length with the counts that the loops below run over: `codes` advances
    // by one word of 16 lanes for each `columns_per_word` columns, `scales` by 16 for each group, `activations` by one
    // word a token for each column. `check` counts the sums too. Prefetching may name any address.
    unsafe {
        let mut activations = tile.activations.as_ptr().cast::<f32>();
        let codes: [*const u32; BLOCKS] =
            std::array::from_fn(|block| tile.codes.as_ptr().wrapping_add(block * tile.code_stride));
        let mut word = 0;
        for (group, first) in (0..tile.columns).step_by(group_columns).enumerate() {
            let columns = group_columns.min(tile.columns - first);
            let ahead = tile.words_ahead(word);
            let mut chains = [[[_mm512_setzero_ps(); 2]; BLOCKS]; TOKENS];
            for _ in 0..columns / columns_per_word {
                let mut words = [_mm512_setzero_si512(); BLOCKS];
                for (words, codes) in words.iter_mut().zip(&codes) {
                    let at = codes.wrapping_add(word);
                    *words = _mm512_loadu_si512(at.cast());
                    prefetch(at.wrapping_add(ahead));
                    if !NIBBLES {
                        *words = _mm512_xor_si512(*words, signs);
                    }
                }
                for even in (0..columns_per_word).step_by(2) {
                    for odd in 0..2 {
                        let column = even + odd;
                        let mut weights = [_mm512_setzero_ps(); BLOCKS];
                        for (weights, words) in weights.iter_mut().zip(words) {
                            *weights = if NIBBLES {
                                // Columns 0 to 3 are the low nibbles of the bytes, 4 to 7 the high ones.
                                let bit =
                                    _mm_cvtsi32_si128((column % 4 * 8 + column / 4 * 4) as i32);
                                _mm512_permutexvar_ps(_mm512_srl_epi32(words, bit), values)
                            } else {
                                let bit = _mm_cvtsi32_si128((24 - column * 8) as i32);
                                let left = _mm512_sll_epi32(words, bit);
                                _mm512_cvtepi32_ps(_mm512_srai_epi32::<24>(left))
                            };
                        }
                        for (token, chains) in chains.iter_mut().enumerate() {
                            let x = _mm512_set1_ps(activations.add(column * TOKENS + token).read());
                            for (chain, weights) in chains.iter_mut().zip(weights) {
                                let chain = &mut chain[odd];
                                *chain = _mm512_fmadd_ps(weights, x, *chain);
                            }
                        }
                    }
                }
                word += BLOCK_ROWS;
                activations = activations.add(columns_per_word * TOKENS);
            }
            for block in 0..BLOCKS {
                let mut scale = _mm512_setzero_ps();
                if is_grouped {
                    let from = block * tile.scale_stride + group * BLOCK_ROWS;
                    let halves = _mm256_loadu_si256(tile.scales.as_ptr().add(from).cast());
                    scale = _mm512_cvtph_ps(halves);
                }
                for (token, chains) in chains.iter().enumerate() {
                    let [even, odd] = chains[block];
                    let sum = _mm512_add_ps(even, odd);
                    let at = tile
                        .sums
                        .as_mut_ptr()
                        .add(block * tile.sum_stride + token * BLOCK_ROWS);
                    let before = _mm512_loadu_ps(at);
                    let after = if is_grouped {
                        _mm512_fmadd_ps(sum, scale, before)
                    } else {
                        _mm512_add_ps(before, sum)
                    };
                    _mm512_storeu_ps(at, after);
                }
            }
        }
    }
}
