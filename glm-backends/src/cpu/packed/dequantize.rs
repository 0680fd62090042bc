//! Weights in f32: a row for an embedding, a whole matrix where a product wants floats.

use glm_quant::{BLOCK_ROWS, Bits, GroupSize, PackedLayout};
use half::f16;

use super::PackedView;
use crate::cpu::chunks::for_each_chunk;

/// Writes the weights of one row, `f32(scale) · code`, to `out` `[cols]`.
///
/// # Panics
/// If there is no such row, or `out` has another length.
pub fn packed_row(weight: PackedView<'_>, row: usize, out: &mut [f32]) {
    let PackedLayout { rows, cols, .. } = weight.layout;
    assert!(row < rows, "row {row} of a weight of {rows}");
    assert_eq!(out.len(), cols, "a row of {cols} columns");
    write_row(weight, row, out);
}

/// Writes all weights to `out` `[rows, cols]`, on all threads.
///
/// # Panics
/// If `out` has another length.
pub fn packed_dequantize(weight: PackedView<'_>, out: &mut [f32]) {
    let PackedLayout { rows, cols, .. } = weight.layout;
    assert_eq!(out.len(), rows * cols, "a weight [{rows}, {cols}]");
    if cols == 0 {
        return;
    }
    // A block's rows share its cache lines, so one thread takes them all.
    for_each_chunk(out, BLOCK_ROWS * cols, |block, out| {
        for (lane, out) in out.chunks_exact_mut(cols).enumerate() {
            write_row(weight, block * BLOCK_ROWS + lane, out);
        }
    });
}

fn write_row(weight: PackedView<'_>, row: usize, out: &mut [f32]) {
    let layout = weight.layout;
    let (block, lane) = (row / BLOCK_ROWS, row % BLOCK_ROWS);
    let words = &weight.codes[block * layout.steps() * BLOCK_ROWS + lane..];
    let scales = &weight.scales[block * layout.groups() * BLOCK_ROWS + lane..];
    let group = match layout.group {
        GroupSize::Row => layout.cols.max(1),
        group => group.columns(layout.cols),
    };
    let words_per_group = group / layout.bits.columns_per_word();
    for (index, (out, scale)) in out
        .chunks_mut(group)
        .zip(scales.iter().step_by(BLOCK_ROWS))
        .enumerate()
    {
        let words = words
            .iter()
            .step_by(BLOCK_ROWS)
            .skip(index * words_per_group);
        write_group(words.copied(), layout.bits, *scale, out);
    }
}

#[inline(always)]
fn write_group(words: impl Iterator<Item = u32>, bits: Bits, scale: f16, out: &mut [f32]) {
    let scale = scale.to_f32();
    match bits {
        Bits::Four => {
            for (word, out) in words.zip(out.chunks_mut(8)) {
                let low = (word & 0x0f0f_0f0f).to_le_bytes();
                let high = (word >> 4 & 0x0f0f_0f0f).to_le_bytes();
                for (out, stored) in out.iter_mut().zip(low.into_iter().chain(high)) {
                    *out = scale * f32::from(stored.cast_signed() - 8);
                }
            }
        }
        Bits::Eight => {
            for (word, out) in words.zip(out.chunks_mut(4)) {
                for (out, stored) in out.iter_mut().zip((word ^ 0x8080_8080).to_le_bytes()) {
                    *out = scale * f32::from(stored.cast_signed());
                }
            }
        }
    }
}
