//! How a product is cut into tasks and tiles.
//!
//! A task is a run of row blocks with all rows of `x` ("tokens"). As long as the tokens fit one tile, the kernel
//! streams the weights from memory once. More tokens are many tiles, which share the weights while those are in the
//! nearest cache: the columns are cut into chunks, and INT4 codes are spread to bytes once per chunk.

use std::{cell::Cell, ops::Range};

use glm_quant::{BLOCK_ROWS, Bits, GroupSize};
use half::slice::HalfFloatSliceExt;

use super::{
    Activations, PackedView,
    activation::TokenTile,
    tile::{Codes, Finish, Kernels, Tile, group_columns},
};
use crate::cpu::{
    chunks::Parts,
    pool::Pool,
    prefetch::{LINE, Reading, prefetch},
    shares::for_each_part,
};

/// Most tokens that a task carries through all of its row blocks: their sums and a chunk of their activations stay in
/// the second cache.
const TOKENS_AT_ONCE: usize = 512;

/// Tasks for each thread when weights are shared by tiles: so many that a thread which is held up is not waited for long.
const SHARED_TASKS: usize = 8;

/// Most row blocks in such a task: with more, the sums leave the cache and the last tasks end far apart.
const SHARED_BLOCKS: usize = 16;

/// Most row blocks in a task when weights are streamed: there are no sums to speak of.
const STREAMED_BLOCKS: usize = 64;

/// Activations that are worth waking other threads for.
const PARALLEL_ACTIVATIONS: usize = 1 << 15;

thread_local! {
    /// Kept between calls, since a decoded token makes some two hundred of them.
    static ACTIVATIONS: Cell<Vec<u32>> = const { Cell::new(Vec::new()) };
    static SCRATCH: Cell<Scratch> = const { Cell::new(Scratch::new()) };
}

struct Scratch {
    /// INT4 codes of a chunk, a byte each.
    codes: Vec<u32>,
    /// `[blocks, tokens, 16]`.
    sums: Vec<f32>,
    /// `[2, blocks, 16]`: see [`Finish`].
    rows: Vec<f32>,
}

impl Scratch {
    const fn new() -> Self {
        Self {
            codes: Vec::new(),
            sums: Vec::new(),
            rows: Vec::new(),
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls [`Kernels::leave`], also when a task panics.
struct Leave<'a>(&'a Kernels);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        (self.0.leave)();
    }
}

/// A product and how it is cut.
struct Product<'a> {
    kernels: &'a Kernels,
    weight: PackedView<'a>,
    bias: Option<&'a [f32]>,
    activations: Activations,
    /// How weights are best read.
    reading: Reading,
    tokens: usize,
    tile_tokens: usize,
    /// Words of laid-out activations for one token.
    token_words: usize,
    laid_out: &'a [u32],
    out: Parts<'a, f32>,
}

/// `out = x · weightᵀ + bias`; the caller has checked all lengths.
#[allow(clippy::too_many_arguments)] // The product's own, and who computes it.
pub(super) fn linear(
    pool: &Pool,
    kernels: &Kernels,
    x: &[f32],
    m: usize,
    weight: PackedView<'_>,
    bias: Option<&[f32]>,
    activations: Activations,
    reading: Reading,
    out: &mut [f32],
) {
    let layout = weight.layout;
    if out.is_empty() {
        return;
    }
    if layout.cols == 0 {
        for out in out.chunks_exact_mut(layout.rows) {
            match bias {
                Some(bias) => out.copy_from_slice(bias),
                None => out.fill(0.0),
            }
        }
        return;
    }
    // Tiles of about the same height: a last tile of one token would cost almost as much as a full one.
    let tiles = m.div_ceil(kernels.tokens(activations));
    let tile_tokens = m.div_ceil(tiles).next_multiple_of(kernels.token_step);
    let token_words = match activations {
        Activations::Float32 => layout.padded_cols(),
        Activations::Int8 => {
            TokenTile::quantized_words(layout.padded_cols(), group_columns(layout.group))
        }
    };
    let mut buffer = ACTIVATIONS.take();
    let laid_out = grown(&mut buffer, m * token_words);
    let product = Product {
        kernels,
        weight,
        bias,
        activations,
        reading,
        tokens: m,
        tile_tokens,
        token_words,
        laid_out: &[],
        out: Parts::new(out),
    };
    product.lay_out(pool, x, laid_out);
    let product = Product {
        laid_out,
        ..product
    };
    let blocks = layout.row_blocks();
    let (least, most) = if product.is_streamed() {
        (kernels.blocks, STREAMED_BLOCKS)
    } else {
        let of_task = (blocks / (pool.threads() * SHARED_TASKS))
            .clamp(1, SHARED_BLOCKS)
            .next_multiple_of(kernels.blocks);
        (of_task, of_task)
    };
    for_each_part(pool, blocks, least, most, |blocks| product.run(blocks));
    ACTIVATIONS.set(buffer);
}

impl Product<'_> {
    /// The activations, tile by tile, as kernels read them.
    fn lay_out(&self, pool: &Pool, x: &[f32], out: &mut [u32]) {
        let layout = self.weight.layout;
        let tile_words = self.tile_tokens * self.token_words;
        let lay_out = |tile: usize, out: &mut [u32]| {
            let first = tile * self.tile_tokens * layout.cols;
            let tile = TokenTile {
                x: &x[first..][..out.len() / self.token_words * layout.cols],
                cols: layout.cols,
                group: group_columns(layout.group),
            };
            match self.activations {
                Activations::Float32 => tile.interleave(out),
                // SAFETY: `Kernels::of` has checked that the CPU has the instructions.
                Activations::Int8 => unsafe {
                    (self.kernels.quantize)(&tile, self.kernels.offset(layout.bits), out);
                },
            }
        };
        if x.len() < PARALLEL_ACTIVATIONS {
            for (tile, out) in out.chunks_mut(tile_words).enumerate() {
                lay_out(tile, out);
            }
            return;
        }
        let len = out.len();
        let parts = Parts::new(out);
        pool.for_each(len.div_ceil(tile_words), |tile| {
            let words = tile * tile_words..len.min((tile + 1) * tile_words);
            // SAFETY: the pool runs each tile once, and tiles do not overlap.
            lay_out(tile, unsafe { parts.part(words) });
        });
    }

    /// All outputs of these row blocks.
    fn run(&self, blocks: Range<usize>) {
        let mut scratch = SCRATCH.take();
        let _leave = Leave(self.kernels);
        // Passes of about the same size: each spreads all of the weights anew.
        let passes = self.tokens.div_ceil(TOKENS_AT_ONCE);
        let tokens_at_once = self
            .tokens
            .div_ceil(passes)
            .next_multiple_of(self.tile_tokens);
        for first in (0..self.tokens).step_by(tokens_at_once) {
            let tokens = first..self.tokens.min(first + tokens_at_once);
            let sums = grown(&mut scratch.sums, blocks.len() * tokens.len() * BLOCK_ROWS);
            if self.is_streamed() {
                self.stream(&blocks, &tokens, sums);
            } else {
                self.share(&blocks, &tokens, &mut scratch.codes, sums);
            }
            self.finish(&blocks, &tokens, sums, &mut scratch.rows);
        }
        SCRATCH.set(scratch);
    }

    /// True when the tokens are one tile, so that each weight is used once: as it arrives from memory.
    fn is_streamed(&self) -> bool {
        self.tokens <= self.tile_tokens && !self.takes_wide()
    }

    /// True when the kernel takes no codes as packed.
    fn takes_wide(&self) -> bool {
        self.activations == Activations::Int8 && self.kernels.unpack_bytes.is_some()
    }

    /// One tile of tokens: each weight is used as it arrives.
    fn stream(&self, blocks: &Range<usize>, tokens: &Range<usize>, sums: &mut [f32]) {
        let columns = 0..self.weight.layout.padded_cols();
        for tile_blocks in runs(blocks, self.kernels.blocks.min(self.reading.places())) {
            let sums = &mut sums[(tile_blocks.start - blocks.start) * tokens.len() * BLOCK_ROWS..];
            let codes = self.codes(&tile_blocks, &columns);
            self.multiply(&tile_blocks, codes, tokens, &columns, sums, tokens.len());
        }
    }

    /// Many tiles of tokens: a chunk of weights is used by all of them before the next is read.
    fn share(
        &self,
        blocks: &Range<usize>,
        tokens: &Range<usize>,
        wide: &mut Vec<u32>,
        sums: &mut [f32],
    ) {
        let layout = self.weight.layout;
        let widen =
            self.takes_wide() || layout.bits == Bits::Four && self.activations == Activations::Int8;
        let tiles = tokens.len().div_ceil(self.tile_tokens);
        for columns in runs(&(0..layout.padded_cols()), self.kernels.chunk_columns) {
            for tile_blocks in runs(blocks, self.kernels.blocks) {
                let mut codes = self.codes(&tile_blocks, &columns);
                if widen {
                    codes = self.widen(codes, tile_blocks.len(), columns.len(), wide);
                }
                let next = if tile_blocks.end < blocks.end {
                    self.codes(&(tile_blocks.end..blocks.end), &columns)
                } else {
                    self.codes(blocks, &(columns.end..columns.end))
                };
                let lines = columns.len() / layout.bits.columns_per_word();
                for (index, tile_tokens) in runs(tokens, self.tile_tokens).enumerate() {
                    // What is multiplied next comes from memory while this is multiplied.
                    for block in 0..self.kernels.blocks {
                        for line in lines * index / tiles..lines * (index + 1) / tiles {
                            let at = block * next.stride + line * BLOCK_ROWS;
                            prefetch(next.words.as_ptr().wrapping_add(at));
                        }
                    }
                    let first = (tile_blocks.start - blocks.start) * tokens.len()
                        + (tile_tokens.start - tokens.start);
                    let sums = &mut sums[first * BLOCK_ROWS..];
                    self.multiply(
                        &tile_blocks,
                        codes,
                        &tile_tokens,
                        &columns,
                        sums,
                        tokens.len(),
                    );
                }
            }
        }
    }

    /// The words of these blocks, from the first column on.
    fn codes(&self, blocks: &Range<usize>, columns: &Range<usize>) -> TileCodes<'_> {
        let layout = self.weight.layout;
        let block_words = layout.steps() * BLOCK_ROWS;
        let before = columns.start / layout.bits.columns_per_word() * BLOCK_ROWS;
        TileCodes {
            words: &self.weight.codes[blocks.start * block_words + before..],
            stride: block_words,
            form: match layout.bits {
                Bits::Four => Codes::Nibbles,
                Bits::Eight => Codes::Bytes,
            },
        }
    }

    /// A byte for each code of the chunk.
    fn widen<'a>(
        &self,
        codes: TileCodes<'_>,
        blocks: usize,
        columns: usize,
        wide: &'a mut Vec<u32>,
    ) -> TileCodes<'a> {
        let bits = self.weight.layout.bits;
        let unpack = match (bits, self.kernels.unpack_bytes) {
            (Bits::Eight, Some(unpack_bytes)) => unpack_bytes,
            _ => self.kernels.unpack_nibbles,
        };
        let stride = columns / 4 * BLOCK_ROWS;
        let packed_words = columns / bits.columns_per_word() * BLOCK_ROWS;
        let wide = grown(wide, blocks * stride);
        for (block, wide) in wide.chunks_exact_mut(stride).enumerate() {
            let packed = &codes.words[block * codes.stride..][..packed_words];
            // SAFETY: `Kernels::of` has checked that the CPU has the instructions.
            unsafe { unpack(packed, wide) };
        }
        TileCodes {
            words: wide,
            stride,
            form: Codes::Wide,
        }
    }

    fn multiply(
        &self,
        blocks: &Range<usize>,
        codes: TileCodes<'_>,
        tokens: &Range<usize>,
        columns: &Range<usize>,
        sums: &mut [f32],
        tokens_of_sums: usize,
    ) {
        let layout = self.weight.layout;
        let groups = columns.start / group_columns(layout.group);
        let before = match self.activations {
            Activations::Float32 => columns.start,
            Activations::Int8 => columns.start / 4 + 2 * groups,
        };
        let first_scale = match layout.group {
            GroupSize::Row => blocks.start,
            _ => blocks.start * layout.groups() + groups,
        };
        let activations =
            &self.laid_out[tokens.start * self.token_words..tokens.end * self.token_words];
        let mut tile = Tile {
            codes: codes.words,
            code_stride: codes.stride,
            form: codes.form,
            scales: &self.weight.scales[first_scale * BLOCK_ROWS..],
            scale_stride: layout.groups() * BLOCK_ROWS,
            group: layout.group,
            activations: &activations[before * tokens.len()..],
            columns: columns.len(),
            blocks: blocks.len(),
            tokens: tokens.len(),
            sums,
            sum_stride: tokens_of_sums * BLOCK_ROWS,
            fresh: columns.start == 0,
        };
        // SAFETY: `Kernels::of` has checked that the CPU has the instructions.
        unsafe {
            match self.activations {
                Activations::Float32 => (self.kernels.float32)(&mut tile),
                Activations::Int8 => (self.kernels.int8)(&mut tile),
            }
        }
    }

    /// Scales of rows, bias, and out.
    fn finish(
        &self,
        blocks: &Range<usize>,
        tokens: &Range<usize>,
        sums: &[f32],
        buffer: &mut Vec<f32>,
    ) {
        let layout = self.weight.layout;
        let rows = blocks.start * BLOCK_ROWS..layout.rows.min(blocks.end * BLOCK_ROWS);
        let lanes = blocks.len() * BLOCK_ROWS;
        let (scales, bias) = grown(buffer, 2 * lanes).split_at_mut(lanes);
        if layout.group == GroupSize::Row {
            self.weight.scales[rows.start..][..lanes].convert_to_f32_slice(scales);
        } else {
            scales.fill(1.0);
        }
        match self.bias {
            Some(of_rows) => bias[..rows.len()].copy_from_slice(&of_rows[rows.clone()]),
            None => bias.fill(-0.0),
        }
        let first = tokens.start * layout.rows + rows.start;
        // SAFETY: no other task has these row blocks. `Kernels::of` has checked that the CPU has the instructions.
        unsafe {
            (self.kernels.finish)(&Finish {
                sums,
                scales,
                bias,
                out: &self.out,
                first,
                stride: layout.rows,
                rows: rows.len(),
                tokens: tokens.len(),
            });
        }
    }
}

/// The range in runs of `len`, the last perhaps shorter.
fn runs(range: &Range<usize>, len: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = range.end;
    let starts = range.clone().step_by(len);
    starts.map(move |start| start..end.min(start + len))
}

/// The codes of a tile: see [`Tile`].
#[derive(Clone, Copy)]
struct TileCodes<'a> {
    words: &'a [u32],
    stride: usize,
    form: Codes,
}

/// The first `len` elements, from a cache line's start on; what they hold is left from before.
fn grown<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    let slack = LINE / size_of::<T>();
    if buffer.len() < len + slack {
        buffer.resize(len + slack, T::default());
    }
    let start = buffer.as_ptr().align_offset(LINE).min(slack);
    &mut buffer[start..start + len]
}

#[cfg(test)]
mod tests {
    use glm_quant::{PackedLayout, PackedMatrix};
    use half::f16;

    use super::*;
    use crate::cpu::CpuLevel;

    #[test]
    fn every_number_of_threads_and_places_gives_the_same_bits() {
        let (rows, cols) = (700, 300);
        for (bits, group) in [(Bits::Four, GroupSize::G32), (Bits::Eight, GroupSize::Row)] {
            let layout = PackedLayout {
                rows,
                cols,
                bits,
                group,
            };
            let codes = (0..layout.words() as u32).map(|i| i.wrapping_mul(0x9e37_79b9));
            let scales = (0..layout.scales()).map(|i| f16::from_f32(0.01 + 1e-4 * (i % 7) as f32));
            let weight = PackedMatrix::new(layout, codes.collect(), scales.collect()).unwrap();
            // One token; one tile; several tiles, laid out on all threads.
            for m in [1, 3, 150] {
                let x: Vec<f32> = (0..m * cols).map(|i| (i % 101) as f32 - 50.3).collect();
                for activations in [Activations::Float32, Activations::Int8] {
                    let mut expected = None;
                    for (threads, reading) in [
                        (1, Reading::OnePlace),
                        (2, Reading::OnePlace),
                        (3, Reading::TwoPlaces),
                        (7, Reading::TwoPlaces),
                    ] {
                        let mut y = vec![f32::NAN; m * rows];
                        linear(
                            &Pool::new(threads),
                            Kernels::of(CpuLevel::active(), activations, m),
                            &x,
                            m,
                            (&weight).into(),
                            None,
                            activations,
                            reading,
                            &mut y,
                        );
                        assert_eq!(&y, expected.get_or_insert_with(|| y.clone()));
                    }
                }
            }
        }
    }
}
