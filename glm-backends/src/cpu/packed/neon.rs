//! NEON with the dot product extension: a row block is four registers, and `sdot` multiplies four columns of four rows.

use std::arch::{aarch64::*, asm};

use glm_quant::BLOCK_ROWS;

use super::{
    Activations,
    activation::TokenTile,
    tile::{self, Codes, Finish, Kernels, LONG_GROUP, Tile},
};

pub(super) static KERNELS: Kernels = Kernels {
    int8_tokens: 6,
    float32_tokens: 3,
    token_step: 1,
    blocks: 1,
    chunk_columns: 4 * LONG_GROUP,
    byte_offset: 0,
    int8,
    float32,
    quantize,
    unpack_nibbles: tile::unpack_nibbles,
    unpack_bytes: None,
    leave: || (),
    finish,
};

/// Rows in a register.
const LANES: usize = 4;

/// Registers in a row block.
const QUARTERS: usize = BLOCK_ROWS / LANES;

#[target_feature(enable = "neon,dotprod")]
fn quantize(tile: &TokenTile<'_>, offset: i32, out: &mut [u32]) {
    tile.quantize(offset, out);
}

/// # Safety
/// As [`Finish::write`].
#[target_feature(enable = "neon,dotprod")]
unsafe fn finish(finish: &Finish<'_>) {
    // SAFETY: the caller's promise.
    unsafe { finish.write() };
}

/// `dot + Σ codes · x`, four bytes for each of the four lanes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut dot: int32x4_t, codes: uint8x16_t, x: uint32x4_t) -> int32x4_t {
    // The intrinsic is not stable.
    // SAFETY: the instruction reads and writes these registers and nothing else; it is part of `dotprod`.
    unsafe {
        asm!(
            "sdot {dot:v}.4s, {codes:v}.16b, {x:v}.16b",
            dot = inout(vreg) dot,
            codes = in(vreg) codes,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    dot
}

/// Four halves to floats.
///
/// # Safety
/// The pointer must be good for reads of four halves.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn widen_halves(from: *const glm_quant::half::f16) -> float32x4_t {
    // SAFETY: the caller's promise; the instruction reads and writes these registers and nothing else.
    unsafe {
        let halves = vld1_u16(from.cast());
        let floats: float32x4_t;
        asm!(
            "fcvtl {floats:v}.4s, {halves:v}.4h",
            floats = lateout(vreg) floats,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags),
        );
        floats
    }
}

#[target_feature(enable = "neon,dotprod")]
fn int8(tile: &mut Tile<'_>) {
    match tile.form {
        Codes::Nibbles => int8_tokens::<8>(tile),
        Codes::Wide => int8_tokens::<0>(tile),
        Codes::Bytes => int8_tokens::<128>(tile),
    }
}

/// `FORM`: 8 for packed nibbles, 0 for bytes that are ready, 128 for bytes whose offset must go.
#[target_feature(enable = "neon,dotprod")]
fn int8_tokens<const FORM: u8>(tile: &mut Tile<'_>) {
    match tile.tokens {
        1 => int8_tile::<FORM, 1>(tile),
        2 => int8_tile::<FORM, 2>(tile),
        3 => int8_tile::<FORM, 3>(tile),
        4 => int8_tile::<FORM, 4>(tile),
        5 => int8_tile::<FORM, 5>(tile),
        _ => int8_tile::<FORM, 6>(tile),
    }
}

#[target_feature(enable = "neon,dotprod")]
fn int8_tile<const FORM: u8, const TOKENS: usize>(tile: &mut Tile<'_>) {
    assert_eq!((tile.blocks, tile.tokens), (1, TOKENS));
    tile.check(Activations::Int8);
    let columns_per_word = if FORM == 8 { 8 } else { 4 };
    let (group_columns, is_grouped) = (tile.group_columns(), tile.is_grouped());
    if tile.fresh {
        tile.sums[..TOKENS * BLOCK_ROWS].fill(0.0);
    }
    // SAFETY: `Tile::check` has compared every length with the counts that the loops below run over: `codes` advances
    // by one word of 16 lanes for each `columns_per_word` columns, `activations` by two words a token for each group
    // and one for each four columns; scales are read 16 for each group, sums 16 for each token.
    unsafe {
        let mut codes = tile.codes.as_ptr();
        let mut activations = tile.activations.as_ptr();
        for (group, first) in (0..tile.columns).step_by(group_columns).enumerate() {
            let columns = group_columns.min(tile.columns - first);
            let (token_scales, corrections) = (activations, activations.add(TOKENS));
            activations = activations.add(2 * TOKENS);
            let mut dots = [[vdupq_n_s32(0); QUARTERS]; TOKENS];
            for (token, dots) in dots.iter_mut().enumerate() {
                *dots = [vdupq_n_s32(corrections.add(token).read().cast_signed()); QUARTERS];
            }
            for _ in 0..columns / columns_per_word {
                let mut words = [vdupq_n_u8(0); QUARTERS];
                for (quarter, words) in words.iter_mut().enumerate() {
                    *words = vld1q_u8(codes.add(quarter * LANES).cast());
                }
                codes = codes.add(BLOCK_ROWS);
                let first = match FORM {
                    8 => words.map(|words| vandq_u8(words, vdupq_n_u8(0x0f))),
                    128 => words.map(|words| veorq_u8(words, vdupq_n_u8(0x80))),
                    _ => words,
                };
                add_products(&mut dots, first, activations);
                activations = activations.add(TOKENS);
                if FORM == 8 {
                    let second = words.map(|words| vshrq_n_u8::<4>(words));
                    add_products(&mut dots, second, activations);
                    activations = activations.add(TOKENS);
                }
            }
            for quarter in 0..QUARTERS {
                let mut weight_scales = vdupq_n_f32(1.0);
                if is_grouped {
                    let from = group * BLOCK_ROWS + quarter * LANES;
                    weight_scales = widen_halves(tile.scales.as_ptr().add(from));
                }
                for (token, dots) in dots.iter().enumerate() {
                    let scale = f32::from_bits(token_scales.add(token).read());
                    let scale = vmulq_n_f32(weight_scales, scale);
                    let at = tile
                        .sums
                        .as_mut_ptr()
                        .add(token * BLOCK_ROWS + quarter * LANES);
                    let dot = vcvtq_f32_s32(dots[quarter]);
                    vst1q_f32(at, vfmaq_f32(vld1q_f32(at), dot, scale));
                }
            }
        }
    }
}

/// Adds the products of four columns.
///
/// # Safety
/// The pointer must be good for a word of each token.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn add_products<const TOKENS: usize>(
    dots: &mut [[int32x4_t; QUARTERS]; TOKENS],
    codes: [uint8x16_t; QUARTERS],
    activations: *const u32,
) {
    for (token, dots) in dots.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let x = unsafe { vld1q_dup_u32(activations.add(token)) };
        for (dot, codes) in dots.iter_mut().zip(codes) {
            *dot = sdot(*dot, codes, x);
        }
    }
}

#[target_feature(enable = "neon,dotprod")]
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

#[target_feature(enable = "neon,dotprod")]
fn float32_tile<const NIBBLES: bool, const TOKENS: usize>(tile: &mut Tile<'_>) {
    assert_eq!((tile.blocks, tile.tokens), (1, TOKENS));
    tile.check(Activations::Float32);
    let columns_per_word = if NIBBLES { 8 } else { 4 };
    let (group_columns, is_grouped) = (tile.group_columns(), tile.is_grouped());
    if tile.fresh {
        tile.sums[..TOKENS * BLOCK_ROWS].fill(0.0);
    }
    // SAFETY: `Tile::check` has compared every length with the counts that the loops below run over: `codes` advances
    // by one word of 16 lanes for each `columns_per_word` columns, `activations` by one word a token for each column;
    // scales are read 16 for each group, sums 16 for each token.
    unsafe {
        let mut codes = tile.codes.as_ptr();
        let mut activations = tile.activations.as_ptr().cast::<f32>();
        for (group, first) in (0..tile.columns).step_by(group_columns).enumerate() {
            let columns = group_columns.min(tile.columns - first);
            // [token][quarter][even, odd]
            let mut chains = [[[vdupq_n_f32(0.0); 2]; QUARTERS]; TOKENS];
            for _ in 0..columns / columns_per_word {
                for quarter in 0..QUARTERS {
                    let mut words = vld1q_u32(codes.add(quarter * LANES));
                    if !NIBBLES {
                        words = veorq_u32(words, vdupq_n_u32(0x8080_8080));
                    }
                    for even in (0..columns_per_word).step_by(2) {
                        for odd in 0..2 {
                            let column = even + odd;
                            let weights = vcvtq_f32_s32(if NIBBLES {
                                // Columns 0 to 3 are the low nibbles of the bytes, 4 to 7 the high ones.
                                let bit = (column % 4 * 8 + column / 4 * 4) as i32;
                                let stored = vshlq_u32(words, vdupq_n_s32(-bit));
                                let stored = vandq_u32(stored, vdupq_n_u32(15));
                                vsubq_s32(vreinterpretq_s32_u32(stored), vdupq_n_s32(8))
                            } else {
                                let bit = vdupq_n_s32((24 - column * 8) as i32);
                                vshrq_n_s32::<24>(vreinterpretq_s32_u32(vshlq_u32(words, bit)))
                            });
                            for (token, chains) in chains.iter_mut().enumerate() {
                                let x = activations.add(column * TOKENS + token).read();
                                let chain = &mut chains[quarter][odd];
                                *chain = vfmaq_n_f32(*chain, weights, x);
                            }
                        }
                    }
                }
                codes = codes.add(BLOCK_ROWS);
                activations = activations.add(columns_per_word * TOKENS);
            }
            for quarter in 0..QUARTERS {
                let mut scale = vdupq_n_f32(0.0);
                if is_grouped {
                    let from = group * BLOCK_ROWS + quarter * LANES;
                    scale = widen_halves(tile.scales.as_ptr().add(from));
                }
                for (token, chains) in chains.iter().enumerate() {
                    let [even, odd] = chains[quarter];
                    let sum = vaddq_f32(even, odd);
                    let at = tile
                        .sums
                        .as_mut_ptr()
                        .add(token * BLOCK_ROWS + quarter * LANES);
                    let before = vld1q_f32(at);
                    let after = if is_grouped {
                        vfmaq_f32(before, sum, scale)
                    } else {
                        vaddq_f32(before, sum)
                    };
                    vst1q_f32(at, after);
                }
            }
        }
    }
}
