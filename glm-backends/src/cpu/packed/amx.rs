//! AMX: one instruction multiplies 16 tokens, 64 columns and a row block.
//!
//! A step of 64 columns of a row block, a byte each, is a tile as it lies in memory; so are 64 columns of 16 tokens. Of
//! the eight tile registers four hold sums (two times 16 tokens, two row blocks), two activations and two weights. After
//! each group the integer sums go through memory to vector registers. The scales take about as long as the products, so
//! those of one group are applied between the products of the next: both units then work at once, where a plain
//! sequence of the two was a third slower.

mod registers;

use std::{arch::x86_64::*, mem::MaybeUninit, ops::Range};

use glm_quant::BLOCK_ROWS;

use super::{
    Activations,
    activation::TokenTile,
    avx512_vnni,
    tile::{Codes, Kernels, LONG_GROUP, Tile},
};
use registers::{
    BLOCKS, Dots, LINE, TILE_ROWS, TOKENS, multiply_first, multiply_second, store_first,
    store_second, zero_first, zero_second,
};

pub(super) static KERNELS: Kernels = Kernels {
    int8_tokens: 2 * TOKENS,
    token_step: TOKENS,
    blocks: BLOCKS,
    chunk_columns: 2 * LONG_GROUP,
    int8,
    quantize,
    unpack_nibbles,
    unpack_bytes: Some(unpack_bytes),
    leave: registers::release,
    ..avx512_vnni::KERNELS
};

/// Lays out rows of bytes; the codes come without an offset, so there is nothing to correct.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn quantize(tile: &TokenTile<'_>, _offset: i32, out: &mut [u32]) {
    tile.quantize_rows(out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn unpack_nibbles(packed: &[u32], wide: &mut [u32]) {
    let (low, offset) = (_mm512_set1_epi8(0x0f), _mm512_set1_epi8(8));
    let (packed, _) = packed.as_chunks::<BLOCK_ROWS>();
    let (wide, _) = wide.as_chunks_mut::<{ 2 * BLOCK_ROWS }>();
    for (packed, wide) in packed.iter().zip(wide) {
        let to = wide.as_mut_ptr();
        // SAFETY: 16 words are read and twice as many written, the lengths of the two chunks.
        unsafe {
            let words = _mm512_loadu_si512(packed.as_ptr().cast());
            let first = _mm512_and_si512(words, low);
            let next = _mm512_and_si512(_mm512_srli_epi16::<4>(words), low);
            _mm512_storeu_si512(to.cast(), _mm512_sub_epi8(first, offset));
            _mm512_storeu_si512(to.add(BLOCK_ROWS).cast(), _mm512_sub_epi8(next, offset));
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn unpack_bytes(packed: &[u32], wide: &mut [u32]) {
    for (packed, wide) in packed.iter().zip(wide) {
        *wide = packed ^ 0x8080_8080;
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn int8(tile: &mut Tile<'_>) {
    match (tile.is_grouped(), tile.blocks) {
        (true, 1) => int8_tile::<true, 1>(tile),
        (true, _) => int8_tile::<true, 2>(tile),
        (false, 1) => int8_tile::<false, 1>(tile),
        (false, _) => int8_tile::<false, 2>(tile),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn int8_tile<const GROUPED: bool, const N: usize>(tile: &mut Tile<'_>) {
    assert!(tile.blocks == N && (1..=BLOCKS).contains(&N));
    assert_eq!(tile.form, Codes::Wide);
    tile.check(Activations::Int8);
    if tile.fresh {
        for block in 0..N {
            tile.sums[block * tile.sum_stride..][..tile.tokens * BLOCK_ROWS].fill(0.0);
        }
    }
    let group_columns = tile.group_columns();
    let group_words = (group_columns / 4 + 2) * tile.tokens;
    let second_block = (N - 1) * tile.code_stride; // The first once more, if it is the only one.
    let mut dots = MaybeUninit::<Dots>::uninit();
    let dots = dots.as_mut_ptr();
    let mut before: Option<Unscaled<N>> = None;
    // SAFETY: `Kernels::of` has checked that the level is available. `Tile::check` has compared the lengths of
    // `activations`, `codes`, `scales` and `sums` with the number of tokens, groups and columns: a group starts with two
    // words a token, and then has `columns` bytes for each; there are 16 sums for each token of each block. The shapes
    // have as many rows of activations as `tokens` says.
    unsafe {
        for first_token in (0..tile.tokens).step_by(TOKENS) {
            let tokens = TOKENS.min(tile.tokens - first_token);
            // The first token once more, if there is no second tile.
            let second_tokens = if tokens > TILE_ROWS { TILE_ROWS } else { 0 };
            for (group, first) in (0..tile.columns).step_by(group_columns).enumerate() {
                let columns = group_columns.min(tile.columns - first);
                let step = if columns.is_multiple_of(LINE) {
                    LINE
                } else {
                    LINE / 2
                };
                if !registers::are_shaped(tokens, step) {
                    // New shapes clear the tiles: what they hold is stored first.
                    if let Some(before) = before.take() {
                        store_second(dots);
                        before.scale::<GROUPED>(dots, 0..before.tokens);
                    }
                    registers::shape(tokens, step);
                }
                let activations = tile.activations.as_ptr().add(group * group_words);
                let codes = activations.add(2 * tile.tokens).cast::<u8>();
                let x = codes.add(first_token * columns);
                let w = tile.codes.as_ptr().add(first / 4 * BLOCK_ROWS);
                let steps = columns / step;
                for index in 0..steps {
                    let x = x.add(index * step);
                    let w = w.add(index * step / 4 * BLOCK_ROWS);
                    if index == 0 {
                        zero_first();
                    }
                    multiply_first(x, columns, w, w.add(second_block));
                    if index == 0 {
                        if before.is_some() {
                            store_second(dots);
                        }
                        zero_second();
                    }
                    // The sums before are scaled little by little, so that both units have work: those of the first tile
                    // in the first half of the steps, since it is stored anew in the last.
                    if let Some(before) = &before {
                        before.scale::<GROUPED>(dots, before.part(2 * index, 2 * steps));
                    }
                    multiply_second(x.add(second_tokens * columns), columns);
                    if index + 1 == steps {
                        store_first(dots);
                    }
                    if let Some(before) = &before {
                        before.scale::<GROUPED>(dots, before.part(2 * index + 1, 2 * steps));
                    }
                }
                let mut weight_scales = [_mm512_setzero_ps(); N];
                if GROUPED {
                    for (block, scales) in weight_scales.iter_mut().enumerate() {
                        let from = block * tile.scale_stride + group * BLOCK_ROWS;
                        let halves = _mm256_loadu_si256(tile.scales.as_ptr().add(from).cast());
                        *scales = _mm512_cvtph_ps(halves);
                    }
                }
                before = Some(Unscaled {
                    weight_scales,
                    token_scales: activations.add(first_token).cast(),
                    tokens,
                    sums: tile.sums.as_mut_ptr().add(first_token * BLOCK_ROWS),
                    sum_stride: tile.sum_stride,
                });
            }
        }
        if let Some(before) = &before {
            store_second(dots);
            before.scale::<GROUPED>(dots, 0..before.tokens);
        }
    }
}

/// A group of some tokens that has been multiplied: what is left to do.
struct Unscaled<const N: usize> {
    /// Of the rows; unused if a row has one scale.
    weight_scales: [__m512; N],
    token_scales: *const f32,
    tokens: usize,
    /// `[tokens, 16]` for each row block.
    sums: *mut f32,
    sum_stride: usize,
}

impl<const N: usize> Unscaled<N> {
    /// Tokens of one of several parts. The first half of the parts is the first tile.
    #[inline(always)]
    fn part(&self, index: usize, parts: usize) -> Range<usize> {
        let start = |index: usize| (index * TOKENS / parts).min(self.tokens);
        start(index)..start(index + 1)
    }

    /// Adds the integer sums of some tokens, times their scales.
    ///
    /// # Safety
    /// The pointers are good for all tokens, and the integer sums of these have been stored.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn scale<const GROUPED: bool>(&self, dots: *const Dots, tokens: Range<usize>) {
        for token in tokens {
            // SAFETY: the caller's promise.
            unsafe {
                let token_scale = _mm512_set1_ps(self.token_scales.add(token).read());
                let dots = &raw const (*dots).0[token];
                for block in 0..N {
                    let scale = if GROUPED {
                        _mm512_mul_ps(self.weight_scales[block], token_scale)
                    } else {
                        token_scale
                    };
                    let dot =
                        _mm512_cvtepi32_ps(_mm512_load_si512((&raw const (*dots)[block]).cast()));
                    let sum = self.sums.add(block * self.sum_stride + token * BLOCK_ROWS);
                    _mm512_storeu_ps(sum, _mm512_fmadd_ps(dot, scale, _mm512_loadu_ps(sum)));
                }
            }
        }
    }
}
