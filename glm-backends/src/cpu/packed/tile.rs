//! What a kernel is given, and the kernels of an instruction set.
//!
//! A *tile* is a few rows of activations ("tokens") times one or two blocks of 16 weight rows, over a range of columns:
//! as much as the registers can sum at once.

use glm_quant::{BLOCK_ROWS, Bits, GroupSize};
use half::f16;

use super::{Activations, activation::TokenTile, scalar};
#[cfg(target_arch = "x86_64")]
use crate::cpu::prefetch::Reading;
use crate::cpu::{CpuLevel, chunks::Parts, prefetch::prefetch};

/// Columns that share an activation scale when weight groups are not smaller, and columns whose products are summed
/// before they are added to the total.
pub(super) const LONG_GROUP: usize = 128;

/// Fewest tokens for which AMX is faster than AVX-512.
const AMX_TOKENS: usize = 16;

/// Tokens whose outputs are asked for ahead of those that are written: each begins on a page of its own, where the
/// processor does not look ahead by itself.
const TOKENS_AHEAD: usize = 4;

/// How the codes of a tile are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codes {
    /// INT4 words as packed.
    Nibbles,
    /// A byte each, as the kernels' own function has spread them: [`Kernels::unpack_nibbles`] or
    /// [`Kernels::unpack_bytes`].
    Wide,
    /// INT8 words as packed.
    Bytes,
}

/// The operands of one kernel call. All slices start at the first column of the range.
pub(super) struct Tile<'a> {
    pub(super) codes: &'a [u32],
    /// Words from one row block to the next.
    pub(super) code_stride: usize,
    pub(super) form: Codes,
    pub(super) scales: &'a [f16],
    /// Scales from one row block to the next.
    pub(super) scale_stride: usize,
    pub(super) group: GroupSize,
    /// As `activation.rs` lays them out.
    pub(super) activations: &'a [u32],
    /// A multiple of 32; of 128 unless the range ends with the matrix.
    pub(super) columns: usize,
    pub(super) blocks: usize,
    pub(super) tokens: usize,
    /// `acc` of every output, `[tokens, 16]` for each block: added to, or overwritten when `fresh`.
    pub(super) sums: &'a mut [f32],
    /// Sums from one row block to the next.
    pub(super) sum_stride: usize,
    /// True for the first columns: the sums start from zero.
    pub(super) fresh: bool,
}

impl Tile<'_> {
    /// Columns that are summed before a scale is applied.
    pub(super) fn group_columns(&self) -> usize {
        group_columns(self.group)
    }

    /// True when each group has its own weight scale.
    pub(super) fn is_grouped(&self) -> bool {
        self.group != GroupSize::Row
    }

    /// Words from the one at `word` of a row block to the one to ask memory for meanwhile: at the end of the blocks of this
    /// tile, one of the blocks behind them.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn words_ahead(&self, word: usize) -> usize {
        let distance = Reading::of_this_cpu().distance() / size_of::<u32>();
        if word + distance < self.code_stride {
            distance
        } else {
            distance + (self.blocks - 1) * self.code_stride
        }
    }

    /// The check that the pointers of the kernels rely on: every slice is as long as the counts say.
    #[inline]
    pub(super) fn check(&self, activations: Activations) {
        let per_word = if self.form == Codes::Nibbles { 8 } else { 4 };
        let groups = self.columns.div_ceil(self.group_columns());
        let activation_words = match activations {
            Activations::Float32 => self.columns,
            Activations::Int8 => self.columns / 4 + 2 * groups,
        };
        assert!(self.columns.is_multiple_of(32));
        assert!(self.activations.len() >= self.tokens * activation_words);
        if let Some(before) = self.blocks.checked_sub(1) {
            let sums = self.tokens * BLOCK_ROWS;
            assert!(self.sums.len() >= before * self.sum_stride + sums);
            let words = self.columns / per_word * BLOCK_ROWS;
            assert!(self.codes.len() >= before * self.code_stride + words);
            let scales = groups * BLOCK_ROWS;
            assert!(!self.is_grouped() || self.scales.len() >= before * self.scale_stride + scales);
        }
    }
}

/// Columns that share an activation scale.
pub(super) fn group_columns(group: GroupSize) -> usize {
    match group {
        GroupSize::G32 => 32,
        GroupSize::Row | GroupSize::G128 => LONG_GROUP,
    }
}

/// What turns sums into outputs: `y = acc · scale + bias`, rounded twice.
pub(super) struct Finish<'a> {
    /// `[blocks, tokens, 16]`.
    pub(super) sums: &'a [f32],
    /// `[blocks, 16]`: of the rows, or ones.
    pub(super) scales: &'a [f32],
    /// `[blocks, 16]`: of the rows, or -0, which changes no number.
    pub(super) bias: &'a [f32],
    /// The whole output.
    pub(super) out: &'a Parts<'a, f32>,
    /// The first token's output for the first row.
    pub(super) first: usize,
    /// From one token's outputs to the next's.
    pub(super) stride: usize,
    /// Rows to write; the last block may be cut.
    pub(super) rows: usize,
    pub(super) tokens: usize,
}

/// Makes words of four codes from words as packed.
type Unpack = unsafe fn(packed: &[u32], wide: &mut [u32]);

/// The kernels of an instruction set. All give the same bits.
///
/// The functions are unsafe for the instructions: the CPU must have them. [`Kernels::of`] checks that.
pub(super) struct Kernels {
    /// Most tokens in a tile with [`Activations::Int8`].
    pub(super) int8_tokens: usize,
    /// Most tokens in a tile with [`Activations::Float32`].
    pub(super) float32_tokens: usize,
    /// Tiles hold a multiple of so many tokens, but for the last.
    pub(super) token_step: usize,
    /// Most row blocks in a tile.
    pub(super) blocks: usize,
    /// Columns that many tiles of tokens are multiplied with before the next: their codes, a byte each for
    /// [`Self::blocks`] row blocks, stay in the nearest cache. A multiple of [`LONG_GROUP`].
    pub(super) chunk_columns: usize,
    /// What [`Self::int8`] takes INT8 codes to be stored with: 128, or 0 if it removes the offset itself.
    pub(super) byte_offset: i32,
    /// Adds a tile's products to its sums, [`Activations::Int8`].
    pub(super) int8: unsafe fn(&mut Tile<'_>),
    /// Adds a tile's products to its sums, [`Activations::Float32`].
    pub(super) float32: unsafe fn(&mut Tile<'_>),
    /// Lays out the activations of a tile, rounded: [`TokenTile::quantize`].
    pub(super) quantize: unsafe fn(&TokenTile<'_>, offset: i32, out: &mut [u32]),
    /// Makes [`Codes::Wide`] of INT4 words: [`unpack_nibbles`], or one that also takes the offset away.
    pub(super) unpack_nibbles: Unpack,
    /// Makes them of INT8 words, for an [`Self::int8`] that takes nothing but [`Codes::Wide`].
    pub(super) unpack_bytes: Option<Unpack>,
    /// Frees what [`Self::int8`] keeps from one tile to the next: called by the thread after its last.
    pub(super) leave: fn(),
    /// [`Finish::write`], on its terms.
    pub(super) finish: unsafe fn(&Finish<'_>),
}

impl Kernels {
    /// The kernels of a level for a product of `m` tokens.
    ///
    /// # Panics
    /// If this CPU lacks the level.
    pub(super) fn of(level: CpuLevel, activations: Activations, m: usize) -> &'static Self {
        assert!(level.is_available(), "this CPU lacks the level {level}");
        let level = match level {
            CpuLevel::Amx if activations == Activations::Float32 || m < AMX_TOKENS => {
                CpuLevel::Avx512Vnni
            }
            level => level,
        };
        match level {
            #[cfg(target_arch = "x86_64")]
            CpuLevel::Avx2 => &super::avx2::KERNELS,
            #[cfg(target_arch = "x86_64")]
            CpuLevel::Amx => &super::amx::KERNELS,
            #[cfg(target_arch = "x86_64")]
            CpuLevel::Avx512Vnni => &super::avx512_vnni::KERNELS,
            #[cfg(target_arch = "aarch64")]
            CpuLevel::Neon => &super::neon::KERNELS,
            _ => &scalar::KERNELS,
        }
    }

    pub(super) fn tokens(&self, activations: Activations) -> usize {
        match activations {
            Activations::Float32 => self.float32_tokens,
            Activations::Int8 => self.int8_tokens,
        }
    }

    /// What the codes are stored with, as [`Self::int8`] sees them.
    pub(super) fn offset(&self, bits: Bits) -> i32 {
        match bits {
            Bits::Four => bits.offset(),
            Bits::Eight => self.byte_offset,
        }
    }
}

/// Spreads `[steps, 16]` words of eight codes to `[2 · steps, 16]` words of four.
pub(super) fn unpack_nibbles(packed: &[u32], wide: &mut [u32]) {
    let (packed, _) = packed.as_chunks::<BLOCK_ROWS>();
    let (wide, _) = wide.as_chunks_mut::<{ 2 * BLOCK_ROWS }>();
    for (packed, wide) in packed.iter().zip(wide) {
        for (lane, word) in packed.iter().enumerate() {
            wide[lane] = word & 0x0f0f_0f0f;
            wide[lane + BLOCK_ROWS] = word >> 4 & 0x0f0f_0f0f;
        }
    }
}

impl Finish<'_> {
    /// Writes all outputs. Inlined into each instruction set's own copy, as [`TokenTile::quantize`] is: plain loops that
    /// the compiler turns into vectors.
    ///
    /// # Safety
    /// Nobody else uses these rows of these tokens' outputs.
    #[inline(always)]
    pub(super) unsafe fn write(&self) {
        let (scales, _) = self.scales.as_chunks::<BLOCK_ROWS>();
        let (bias, _) = self.bias.as_chunks::<BLOCK_ROWS>();
        let (sums, _) = self.sums.as_chunks::<BLOCK_ROWS>();
        for token in 0..self.tokens {
            let first = self.first + token * self.stride;
            // SAFETY: the caller's promise.
            let out = unsafe { self.out.part(first..first + self.rows) };
            let ahead = out.as_ptr().wrapping_add(TOKENS_AHEAD * self.stride);
            for (block, out) in out.chunks_mut(BLOCK_ROWS).enumerate() {
                prefetch(ahead.wrapping_add(block * BLOCK_ROWS));
                let sums = &sums[block * self.tokens + token];
                let (scales, bias) = (&scales[block], &bias[block]);
                match out.as_mut_array::<BLOCK_ROWS>() {
                    Some(out) => write_lanes(out, sums, scales, bias),
                    None => write_lanes(out, sums, scales, bias),
                }
            }
        }
    }
}

#[inline(always)]
fn write_lanes(
    out: &mut [f32],
    sums: &[f32; BLOCK_ROWS],
    scales: &[f32; BLOCK_ROWS],
    bias: &[f32; BLOCK_ROWS],
) {
    for (lane, out) in out.iter_mut().enumerate().take(BLOCK_ROWS) {
        *out = sums[lane] * scales[lane] + bias[lane];
    }
}
