//! AMX: one instruction multiplies 16 tokens, 64 columns and a row block.
//!
//! A step of 64 columns of a row block, a byte each, is a tile as it lies in memory; so are 64 columns of 16 tokens. Of
//! the eight tile registers four hold sums (two times 16 tokens, two row blocks), two activations and two weights. After
//! each group the integer sums go through memory to vector registers, which apply the scales while the next group is
//! multiplied.
//!
//! Rust has no stable names for these instructions, so they are written in assembly. No tile is alive between two
//! blocks of it, only the shapes of the tiles are.

use std::arch::{asm, x86_64::*};

use glm_quant::BLOCK_ROWS;

use super::{
    Activations,
    activation::TokenTile,
    avx512_vnni,
    tile::{Codes, Kernels, Tile},
};

/// Fewest tokens for which this is faster than [`avx512_vnni`].
pub(super) const MIN_TOKENS: usize = 16;

pub(super) static KERNELS: Kernels = Kernels {
    int8_tokens: TOKENS,
    token_step: TILE_ROWS,
    blocks: BLOCKS,
    int8,
    quantize,
    unpack_nibbles,
    unpack_bytes: Some(unpack_bytes),
    ..avx512_vnni::KERNELS
};

/// Rows of a tile register.
const TILE_ROWS: usize = 16;

/// Bytes of a row of a tile register.
const LINE: usize = 64;

/// Tokens of two tiles.
const TOKENS: usize = 2 * TILE_ROWS;

const BLOCKS: usize = 2;

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

/// Integer sums of a group: `[tokens, blocks, 16]`.
#[repr(align(64))]
struct Dots([[[i32; BLOCK_ROWS]; BLOCKS]; TOKENS]);

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
struct TileShapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl TileShapes {
    /// Tiles 0 to 3 are sums, 4 and 5 activations, 6 and 7 weights, `step` columns of each at a time.
    #[allow(clippy::cast_possible_truncation)] // At most 64.
    fn new(tokens: usize, step: usize) -> Self {
        let first = tokens.min(TILE_ROWS);
        // A tile must have a row, if only to be ignored.
        let second = (tokens - first).max(1);
        let mut shapes = Self {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        let rows = [first, first, second, second, first, second, step / 4, step / 4];
        let row_bytes = [LINE, LINE, LINE, LINE, step, step, LINE, LINE];
        for register in 0..8 {
            shapes.rows[register] = rows[register] as u8;
            shapes.row_bytes[register] = row_bytes[register] as u16;
        }
        shapes
    }

    /// # Safety
    /// The CPU has AMX, and the system lets this process use it.
    unsafe fn load(&self) {
        // SAFETY: 64 bytes are read, which `self` has. The caller's promise.
        unsafe {
            asm!(
                "ldtilecfg [{shapes}]",
                shapes = in(reg) self,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly, preserves_flags),
            );
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn int8(tile: &mut Tile<'_>) {
    assert!((1..=TOKENS).contains(&tile.tokens) && (1..=BLOCKS).contains(&tile.blocks));
    assert_eq!(tile.form, Codes::Wide);
    tile.check(Activations::Int8);
    if tile.fresh {
        for block in 0..tile.blocks {
            tile.sums[block * tile.sum_stride..][..tile.tokens * BLOCK_ROWS].fill(0.0);
        }
    }
    let group_columns = tile.group_columns();
    let mut dots = [const { Dots([[[0; BLOCK_ROWS]; BLOCKS]; TOKENS]) }; 2];
    let mut loaded_step = 0;
    let groups = tile.columns.div_ceil(group_columns);
    for group in 0..groups {
        let columns = group_columns.min(tile.columns - group * group_columns);
        let step = if columns.is_multiple_of(LINE) {
            LINE
        } else {
            LINE / 2
        };
        // SAFETY: `Kernels::of` has checked that the level is available. The shapes are those of this step.
        unsafe {
            if step != loaded_step {
                TileShapes::new(tile.tokens, step).load();
                loaded_step = step;
            }
            multiply(tile, group, columns, step, &mut dots[group % 2]);
        }
        // One group behind, so that these instructions do not wait for the tiles.
        if let Some(before) = group.checked_sub(1) {
            accumulate(tile, before, &dots[before % 2]);
        }
    }
    // SAFETY: as above.
    unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    if let Some(last) = groups.checked_sub(1) {
        accumulate(tile, last, &dots[last % 2]);
    }
}

/// The integer sums of a group.
///
/// # Safety
/// The tile has passed [`Tile::check`], it has a group of that number and of so many columns, a multiple of `step`, and
/// [`TileShapes`] of the tile's tokens and of `step` are loaded.
#[inline(always)]
unsafe fn multiply(tile: &Tile<'_>, group: usize, columns: usize, step: usize, dots: &mut Dots) {
    let words = (tile.group_columns() / 4 + 2) * tile.tokens;
    // With one tile of tokens, the other's row is the first once more.
    let second = if tile.tokens > TILE_ROWS {
        TILE_ROWS * columns
    } else {
        0
    };
    // SAFETY: `Tile::check` has compared the lengths of `activations` and `codes` with the number of tokens, groups and
    // columns: the group starts with two words a token, and then has `columns` bytes for each. The shapes have as many
    // rows of activations as there are tokens. Sums of all rows have their place in `dots`.
    unsafe {
        let activations = tile.activations.as_ptr().add(group * words + 2 * tile.tokens);
        let first = tile.codes.as_ptr().add(group * tile.group_columns() / 4 * BLOCK_ROWS);
        // With one row block, the other is the first once more.
        let next = first.add((tile.blocks - 1) * tile.code_stride);
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{x0} + {x_stride}]",
            "tileloadd tmm6, [{w0} + {line}]",
            "tileloadd tmm7, [{w1} + {line}]",
            "tdpbssd tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{x1} + {x_stride}]",
            "tdpbssd tmm1, tmm4, tmm7",
            "tdpbssd tmm2, tmm5, tmm6",
            "tdpbssd tmm3, tmm5, tmm7",
            "add {x0}, {step}",
            "add {x1}, {step}",
            "add {w0}, {w_step}",
            "add {w1}, {w_step}",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{dots} + {dot_stride}], tmm0",
            "tilestored [{dots} + {dot_stride} + 64], tmm1",
            "tilestored [{dots} + {dot_stride} + 2048], tmm2",
            "tilestored [{dots} + {dot_stride} + 2112], tmm3",
            x0 = inout(reg) activations => _,
            x1 = inout(reg) activations.byte_add(second) => _,
            x_stride = in(reg) columns,
            w0 = inout(reg) first => _,
            w1 = inout(reg) next => _,
            line = in(reg) LINE,
            step = in(reg) step,
            w_step = in(reg) step * BLOCK_ROWS,
            steps = inout(reg) columns / step => _,
            dots = in(reg) dots,
            dot_stride = in(reg) BLOCKS * LINE,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}

/// Adds a group's sums, times its scales. The tile has passed [`Tile::check`], and has a group of that number.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn accumulate(tile: &mut Tile<'_>, group: usize, dots: &Dots) {
    match (tile.is_grouped(), tile.blocks) {
        (true, 1) => accumulate_blocks::<true, 1>(tile, group, dots),
        (true, _) => accumulate_blocks::<true, 2>(tile, group, dots),
        (false, 1) => accumulate_blocks::<false, 1>(tile, group, dots),
        (false, _) => accumulate_blocks::<false, 2>(tile, group, dots),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn accumulate_blocks<const GROUPED: bool, const N: usize>(
    tile: &mut Tile<'_>,
    group: usize,
    dots: &Dots,
) {
    let words = (tile.group_columns() / 4 + 2) * tile.tokens;
    let token_scales = &tile.activations[group * words..][..tile.tokens];
    let mut weight_scales = [_mm512_set1_ps(1.0); N];
    if GROUPED {
        for (block, scales) in weight_scales.iter_mut().enumerate() {
            let from = &tile.scales[block * tile.scale_stride + group * BLOCK_ROWS..][..BLOCK_ROWS];
            // SAFETY: there are 16 halves.
            *scales = unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) };
        }
    }
    let sums = tile.sums.as_mut_ptr();
    for (token, (scale, dots)) in token_scales.iter().zip(&dots.0).enumerate() {
        let scale = _mm512_set1_ps(f32::from_bits(*scale));
        for block in 0..N {
            let scale = if GROUPED {
                _mm512_mul_ps(weight_scales[block], scale)
            } else {
                scale
            };
            // SAFETY: `Tile::check` has counted 16 sums for each token of each block.
            unsafe {
                let dot = _mm512_cvtepi32_ps(_mm512_load_si512(dots[block].as_ptr().cast()));
                let sum = sums.add(block * tile.sum_stride + token * BLOCK_ROWS);
                _mm512_storeu_ps(sum, _mm512_fmadd_ps(dot, scale, _mm512_loadu_ps(sum)));
            }
        }
    }
}
