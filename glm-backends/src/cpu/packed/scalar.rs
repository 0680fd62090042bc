//! Plain loops, on every CPU: what the other instruction sets are compared with.

use glm_quant::BLOCK_ROWS;

use super::{
    Activations,
    activation::TokenTile,
    tile::{Codes, Finish, Kernels, LONG_GROUP, Tile, unpack_nibbles},
};

pub(super) static KERNELS: Kernels = Kernels {
    int8_tokens: 8,
    float32_tokens: 8,
    token_step: 1,
    blocks: 1,
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

fn quantize(tile: &TokenTile<'_>, offset: i32, out: &mut [u32]) {
    tile.quantize(offset, out);
}

/// # Safety
/// As [`Finish::write`].
unsafe fn finish(finish: &Finish<'_>) {
    // SAFETY: the caller's promise.
    unsafe { finish.write() };
}

/// Sixteen rows side by side.
type Lanes<T> = [T; BLOCK_ROWS];

fn int8(tile: &mut Tile<'_>) {
    tile.check(Activations::Int8);
    start(tile);
    let group_columns = tile.group_columns();
    let columns_per_word = if tile.form == Codes::Nibbles { 8 } else { 4 };
    let (sums, _) = tile.sums.as_chunks_mut::<BLOCK_ROWS>();
    let (scales, _) = tile.scales.as_chunks::<BLOCK_ROWS>();
    let (codes, _) = tile.codes.as_chunks::<BLOCK_ROWS>();
    let mut activations = tile.activations;
    for first in (0..tile.columns).step_by(group_columns) {
        let columns = group_columns.min(tile.columns - first);
        let (group, rest) = activations.split_at((columns / 4 + 2) * tile.tokens);
        activations = rest;
        let (token_scales, group) = group.split_at(tile.tokens);
        let (corrections, words) = group.split_at(tile.tokens);
        let codes = &codes[first / columns_per_word..][..columns / columns_per_word];
        for (token, sums) in sums.iter_mut().take(tile.tokens).enumerate() {
            let mut dots = [corrections[token].cast_signed(); BLOCK_ROWS];
            let mut words = words.iter().skip(token).step_by(tile.tokens);
            for lanes in codes {
                if tile.form == Codes::Nibbles {
                    add_products(
                        &mut dots,
                        &lanes.map(|word| word & 0x0f0f_0f0f),
                        words.next(),
                    );
                    add_products(
                        &mut dots,
                        &lanes.map(|word| word >> 4 & 0x0f0f_0f0f),
                        words.next(),
                    );
                } else {
                    add_products(&mut dots, lanes, words.next());
                }
            }
            let scale = f32::from_bits(token_scales[token]);
            for lane in 0..BLOCK_ROWS {
                let scale = match tile.group {
                    glm_quant::GroupSize::Row => scale,
                    _ => scales[first / group_columns][lane].to_f32() * scale,
                };
                #[allow(clippy::cast_precision_loss)] // Below 2²⁴: exact.
                let dot = dots[lane] as f32;
                sums[lane] = dot.mul_add(scale, sums[lane]);
            }
        }
    }
}

fn start(tile: &mut Tile<'_>) {
    if tile.fresh {
        tile.sums[..tile.tokens * BLOCK_ROWS].fill(0.0);
    }
}

/// Adds the products of four columns.
#[inline(always)]
fn add_products(dots: &mut Lanes<i32>, codes: &Lanes<u32>, activations: Option<&u32>) {
    let [a, b, c, d] = activations
        .copied()
        .unwrap_or_default()
        .to_le_bytes()
        .map(|q| i32::from(q.cast_signed()));
    for (dot, code) in dots.iter_mut().zip(codes) {
        let byte = |shift: u32| (code >> shift & 255).cast_signed();
        *dot += byte(0) * a + byte(8) * b + byte(16) * c + byte(24) * d;
    }
}

fn float32(tile: &mut Tile<'_>) {
    tile.check(Activations::Float32);
    start(tile);
    let group_columns = tile.group_columns();
    let columns_per_word = if tile.form == Codes::Nibbles { 8 } else { 4 };
    let (sums, _) = tile.sums.as_chunks_mut::<BLOCK_ROWS>();
    let (scales, _) = tile.scales.as_chunks::<BLOCK_ROWS>();
    let (codes, _) = tile.codes.as_chunks::<BLOCK_ROWS>();
    for first in (0..tile.columns).step_by(group_columns) {
        let columns = group_columns.min(tile.columns - first);
        let activations = &tile.activations[first * tile.tokens..][..columns * tile.tokens];
        let codes = &codes[first / columns_per_word..][..columns / columns_per_word];
        for (token, sums) in sums.iter_mut().take(tile.tokens).enumerate() {
            let mut chains = [[0.0f32; BLOCK_ROWS]; 2];
            for (col, x) in activations
                .iter()
                .skip(token)
                .step_by(tile.tokens)
                .enumerate()
            {
                let words = &codes[col / columns_per_word];
                let x = f32::from_bits(*x);
                for (chain, word) in chains[col % 2].iter_mut().zip(words) {
                    *chain = code(*word, col, tile.form).mul_add(x, *chain);
                }
            }
            let [even, odd] = chains;
            for lane in 0..BLOCK_ROWS {
                let sum = even[lane] + odd[lane];
                sums[lane] = match tile.group {
                    glm_quant::GroupSize::Row => sums[lane] + sum,
                    _ => sum.mul_add(scales[first / group_columns][lane].to_f32(), sums[lane]),
                };
            }
        }
    }
}

/// The code of a column in its word.
#[inline(always)]
fn code(word: u32, col: usize, form: Codes) -> f32 {
    let byte = (word >> (8 * (col % 4)) & 255).cast_signed();
    #[allow(clippy::cast_precision_loss)] // 8 bits.
    match form {
        Codes::Nibbles => ((byte >> (4 * (col / 4 % 2)) & 15) - 8) as f32,
        Codes::Wide => (byte - 8) as f32,
        Codes::Bytes => (byte - 128) as f32,
    }
}
