//! Codes to words and back: whole words at a time, by shifts.
//!
//! The words of a block are `[steps, 16]`, so those of one row are 16 apart. The crate's front page draws them.

use crate::layout::{BLOCK_ROWS, Bits};

/// Stored codes of zero.
const ZERO_NIBBLES: u32 = 0x8888_8888;
const ZERO_BYTES: u32 = 0x8080_8080;

/// Eight codes, the first in the lowest byte, as a word. Codes are -8 to 7.
fn int4_word(codes: [i8; 8]) -> u32 {
    let [c0, c1, c2, c3, c4, c5, c6, c7] = codes.map(i8::cast_unsigned);
    let low = u32::from_le_bytes([c0, c1, c2, c3]) & 0x0f0f_0f0f;
    let high = u32::from_le_bytes([c4, c5, c6, c7]) & 0x0f0f_0f0f;
    (low | high << 4) ^ ZERO_NIBBLES
}

/// The eight codes of a word.
fn int4_codes(word: u32) -> [i8; 8] {
    let nibbles = word ^ ZERO_NIBBLES;
    let low = (nibbles & 0x0f0f_0f0f).to_le_bytes();
    let high = (nibbles >> 4 & 0x0f0f_0f0f).to_le_bytes();
    let [c0, c1, c2, c3] = low;
    let [c4, c5, c6, c7] = high;
    // The shifts carry the sign of the nibble along.
    [c0, c1, c2, c3, c4, c5, c6, c7].map(|nibble| (nibble << 4).cast_signed() >> 4)
}

/// Four codes as a word.
fn int8_word(codes: [i8; 4]) -> u32 {
    u32::from_le_bytes(codes.map(i8::cast_unsigned)) ^ ZERO_BYTES
}

/// The four codes of a word.
fn int8_codes(word: u32) -> [i8; 4] {
    (word ^ ZERO_BYTES).to_le_bytes().map(u8::cast_signed)
}

/// Writes the codes of one row, padded to whole words, to its lane of a block.
pub(crate) fn store_row(bits: Bits, codes: &[i8], lane: usize, words: &mut [u32]) {
    let (steps, _) = words.as_chunks_mut::<BLOCK_ROWS>();
    match bits {
        Bits::Four => {
            for (words, codes) in steps.iter_mut().zip(codes.as_chunks().0) {
                words[lane] = int4_word(*codes);
            }
        }
        Bits::Eight => {
            for (words, codes) in steps.iter_mut().zip(codes.as_chunks().0) {
                words[lane] = int8_word(*codes);
            }
        }
    }
}

/// Writes codes `[padded_cols][16 rows]` to the words of a block.
pub(crate) fn store_lanes(bits: Bits, codes: &[[i8; BLOCK_ROWS]], words: &mut [u32]) {
    let (steps, _) = words.as_chunks_mut::<BLOCK_ROWS>();
    for (words, columns) in steps.iter_mut().zip(codes.chunks(bits.columns_per_word())) {
        for (lane, word) in words.iter_mut().enumerate() {
            let code = |column: usize| columns[column][lane];
            *word = match bits {
                Bits::Four => int4_word(std::array::from_fn(code)),
                Bits::Eight => int8_word(std::array::from_fn(code)),
            };
        }
    }
}

/// Reads the codes of one row of a block, as floats, to `out` `[cols]`.
pub(crate) fn load_row(bits: Bits, words: &[u32], lane: usize, out: &mut [f32]) {
    let (steps, _) = words.as_chunks::<BLOCK_ROWS>();
    for (words, out) in steps.iter().zip(out.chunks_mut(bits.columns_per_word())) {
        let word = words[lane];
        match bits {
            Bits::Four => fill(out, int4_codes(word)),
            Bits::Eight => fill(out, int8_codes(word)),
        }
    }
}

fn fill<const N: usize>(out: &mut [f32], codes: [i8; N]) {
    for (out, code) in out.iter_mut().zip(codes) {
        *out = f32::from(code);
    }
}

/// Writes the official INT4 bytes of one row to its lane; columns beyond the row become zero codes.
pub(crate) fn store_official_int4(bytes: &[u8], lane: usize, words: &mut [u32]) {
    let (whole, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let (steps, _) = words.as_chunks_mut::<BLOCK_ROWS>();
    for (words, bytes) in steps.iter_mut().zip(whole.iter().chain([&last])) {
        words[lane] = from_official_nibbles(u32::from_le_bytes(*bytes)) ^ ZERO_NIBBLES;
    }
}

/// Reads one row as official INT4 bytes.
pub(crate) fn load_official_int4(words: &[u32], lane: usize, bytes: &mut [u8]) {
    let (steps, _) = words.as_chunks::<BLOCK_ROWS>();
    for (words, bytes) in steps.iter().zip(bytes.chunks_mut(4)) {
        let official = to_official_nibbles(words[lane] ^ ZERO_NIBBLES).to_le_bytes();
        bytes.copy_from_slice(&official[..bytes.len()]);
    }
}

/// Writes the official INT8 bytes of one row to its lane; columns beyond the row become zero codes.
pub(crate) fn store_official_int8(codes: &[i8], lane: usize, words: &mut [u32]) {
    let (whole, rest) = codes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let (steps, _) = words.as_chunks_mut::<BLOCK_ROWS>();
    for (words, codes) in steps.iter_mut().zip(whole.iter().chain([&last])) {
        words[lane] = int8_word(*codes);
    }
}

/// Reads one row as official INT8 codes.
pub(crate) fn load_official_int8(words: &[u32], lane: usize, codes: &mut [i8]) {
    let (steps, _) = words.as_chunks::<BLOCK_ROWS>();
    for (words, codes) in steps.iter().zip(codes.chunks_mut(4)) {
        codes.copy_from_slice(&int8_codes(words[lane])[..codes.len()]);
    }
}

/// Official bytes hold columns 1 0 3 2 5 4 7 6 from the lowest nibble up; words hold 0 4 1 5 2 6 3 7.
fn from_official_nibbles(bytes: u32) -> u32 {
    let in_order = swap_nibbles_of_bytes(bytes);
    swap_inner_nibbles(swap_inner_bytes(in_order))
}

fn to_official_nibbles(word: u32) -> u32 {
    let in_order = swap_inner_bytes(swap_inner_nibbles(word));
    swap_nibbles_of_bytes(in_order)
}

fn swap_nibbles_of_bytes(word: u32) -> u32 {
    word >> 4 & 0x0f0f_0f0f | (word & 0x0f0f_0f0f) << 4
}

/// The two inner bytes of the word change places.
fn swap_inner_bytes(word: u32) -> u32 {
    word & 0xff00_00ff | (word & 0x00ff_0000) >> 8 | (word & 0x0000_ff00) << 8
}

/// The two inner nibbles of each half of the word change places.
fn swap_inner_nibbles(word: u32) -> u32 {
    word & 0xf00f_f00f | (word & 0x0f00_0f00) >> 4 | (word & 0x00f0_00f0) << 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nibbles_move_to_their_places() {
        // Column c carries the code c, so the word spells the order of columns.
        let official = u32::from_le_bytes([0x01, 0x23, 0x45, 0x67]);
        assert_eq!(from_official_nibbles(official), 0x7362_5140);
        assert_eq!(to_official_nibbles(0x7362_5140), official);
        assert_eq!(
            int4_word([0, 1, 2, 3, 4, 5, 6, 7]),
            0x7362_5140 ^ ZERO_NIBBLES
        );
    }

    #[test]
    fn every_code_survives_a_word() {
        for code in i8::MIN..=i8::MAX {
            let codes = [code, !code, 0, code.wrapping_add(1)];
            assert_eq!(int8_codes(int8_word(codes)), codes);
        }
        for code in -8..8 {
            let codes = [code, !code, 0, 7, -8, code, 1, -code.max(-7)];
            assert_eq!(int4_codes(int4_word(codes)), codes);
        }
    }
}
