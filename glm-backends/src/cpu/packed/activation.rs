//! The activations of a tile, in the order in which kernels read them.
//!
//! ```text
//! Int8      per group:  [tokens] scale (f32)   [tokens] correction (i32)   [columns / 4, tokens] four codes a word
//! Float32   [columns, tokens] f32
//! ```
//!
//! or, for kernels that multiply many columns of many tokens at once:
//!
//! ```text
//! Int8      per group:  [tokens] scale (f32)   [tokens] nothing            [tokens, columns] codes, a byte each
//! ```
//!
//! In the first form, tokens lie side by side, so that a kernel reads one stream however many there are. The correction is `-offset · Σ q`:
//! weight codes are stored with an offset, and `Σ q · (code + offset)` starts from it. A tile's last group may be
//! shorter, and columns past the end of the matrix are zero.

use super::tile::LONG_GROUP;
use crate::cpu::lanes::ROUND;

/// The rows of `x` that make up a tile.
pub(super) struct TokenTile<'a> {
    /// `[tokens, cols]`.
    pub(super) x: &'a [f32],
    pub(super) cols: usize,
    /// Columns that share a scale: 32 or 128.
    pub(super) group: usize,
}

impl TokenTile<'_> {
    fn tokens(&self) -> usize {
        self.x.len() / self.cols
    }

    /// Words of one token, for `padded_cols` columns.
    pub(super) fn quantized_words(padded_cols: usize, group: usize) -> usize {
        padded_cols / 4 + 2 * padded_cols.div_ceil(group)
    }

    /// Rounds to 8 bits as the page of `packed` says, into words of the first form.
    #[inline(always)]
    pub(super) fn quantize(&self, offset: i32, out: &mut [u32]) {
        if self.group == LONG_GROUP {
            self.quantize_groups::<LONG_GROUP, false>(offset, out);
        } else {
            self.quantize_groups::<32, false>(offset, out);
        }
    }

    /// Rounds likewise, into rows of bytes.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn quantize_rows(&self, out: &mut [u32]) {
        if self.group == LONG_GROUP {
            self.quantize_groups::<LONG_GROUP, true>(0, out);
        } else {
            self.quantize_groups::<32, true>(0, out);
        }
    }

    #[inline(always)]
    fn quantize_groups<const GROUP: usize, const ROWS: bool>(&self, offset: i32, out: &mut [u32]) {
        let tokens = self.tokens();
        let group_words = (GROUP / 4 + 2) * tokens;
        for (group, out) in out.chunks_mut(group_words).enumerate() {
            let (scales, out) = out.split_at_mut(tokens);
            let (corrections, words) = out.split_at_mut(tokens);
            let first = (group * GROUP).min(self.cols);
            let last = (first + GROUP).min(self.cols);
            for (token, x) in self.x.chunks_exact(self.cols).enumerate() {
                let x = &x[first..last];
                let mut codes = [0; GROUP];
                let (scale, sum) = match x.as_array::<GROUP>() {
                    Some(x) => quantize_group(x, &mut codes),
                    None => {
                        let mut padded = [0.0; GROUP];
                        padded[..x.len()].copy_from_slice(x);
                        quantize_group(&padded, &mut codes)
                    }
                };
                scales[token] = scale.to_bits();
                corrections[token] = (-offset * sum).cast_unsigned();
                let (codes, _) = codes.as_chunks::<4>();
                let (first, step) = if ROWS {
                    (token * (words.len() / tokens), 1)
                } else {
                    (token, tokens)
                };
                for (word, codes) in words.iter_mut().skip(first).step_by(step).zip(codes) {
                    *word = u32::from_le_bytes(codes.map(i8::cast_unsigned));
                }
            }
        }
    }

    /// Lays out the values as they are.
    pub(super) fn interleave(&self, out: &mut [u32]) {
        let tokens = self.tokens();
        for (token, x) in self.x.chunks_exact(self.cols).enumerate() {
            let padded = x.iter().copied().chain(std::iter::repeat(0.0));
            let slots = out.iter_mut().skip(token).step_by(tokens);
            for (slot, value) in slots.zip(padded) {
                *slot = value.to_bits();
            }
        }
    }
}

/// The scale of these values and the sum of their codes; `codes` comes as zeros.
#[inline(always)]
fn quantize_group<const GROUP: usize>(
    values: &[f32; GROUP],
    codes: &mut [i8; GROUP],
) -> (f32, i32) {
    // As integers, magnitudes are ordered like the floats, with infinity and then NaN above all others.
    let mut largest = 0;
    for value in values {
        largest = largest.max(value.to_bits() & 0x7fff_ffff);
    }
    let largest = f32::from_bits(largest);
    let inverse = 127.0 / largest;
    if !largest.is_finite() {
        return (f32::NAN, 0);
    }
    if !inverse.is_finite() {
        return (0.0, 0);
    }
    let mut rounded = [0; GROUP];
    for (q, value) in rounded.iter_mut().zip(values) {
        *q = (value * inverse + ROUND).to_bits().cast_signed() - ROUND.to_bits().cast_signed();
    }
    for (code, q) in codes.iter_mut().zip(&rounded) {
        #[allow(clippy::cast_possible_truncation)] // From -127 to 127.
        {
            *code = *q as i8;
        }
    }
    (largest / 127.0, rounded.iter().sum())
}
