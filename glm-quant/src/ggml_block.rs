//! The blocks of [ggml](https://github.com/ggml-org/ggml), as chatglm.cpp keeps its matrices: 32 neighbouring weights of
//! a row, with a scale of their own.
//!
//! ```text
//!        bytes
//! q8_0   34   d  32 × i8                     w = d · q
//! q4_0   18   d  16 × two nibbles            w = d · (q - 8)
//! q4_1   20   d  m  16 × two nibbles         w = d · q + m
//! q5_0   22   d  fifth bits  16 × nibbles    w = d · (q - 16)
//! q5_1   24   d  m  fifth bits  16 × nibbles w = d · q + m
//! ```
//!
//! `d` and `m` are fp16; `d` may be negative. Byte `j` of the nibbles holds weight `j` in its low nibble and weight
//! `j + 16` in its high one; bit `k` of the fifth bits, a `u32`, belongs to weight `k`. All numbers are little-endian.

use half::f16;
use rayon::prelude::*;

use crate::error::{Error, Result, check_length, element_count};
use crate::layout::{BLOCK_ROWS, Bits, GroupSize, PackedLayout};
use crate::packed::{PackedMatrix, RowBlock};
use crate::row_block;

/// One of ggml's block formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GgmlBlock {
    /// 4 bits.
    Q4_0,
    /// 4 bits and a minimum.
    Q4_1,
    /// 5 bits.
    Q5_0,
    /// 5 bits and a minimum.
    Q5_1,
    /// 8 bits.
    Q8_0,
}

/// One block.
struct Block {
    scale: f16,
    minimum: Option<f16>,
    codes: [i8; GgmlBlock::COLUMNS],
}

impl GgmlBlock {
    /// Weights in a block; rows are whole blocks.
    pub const COLUMNS: usize = 32;

    /// Bytes of a block.
    pub fn byte_len(self) -> usize {
        match self {
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
        }
    }

    /// Bits of the packed matrix that has the same codes and scales ([`PackedMatrix::from_ggml`]). `None` for formats
    /// with a minimum or five bits, which have no such matrix.
    pub fn packed_bits(self) -> Option<Bits> {
        match self {
            Self::Q4_0 => Some(Bits::Four),
            Self::Q8_0 => Some(Bits::Eight),
            Self::Q4_1 | Self::Q5_0 | Self::Q5_1 => None,
        }
    }

    /// The weights of whole blocks in float32: exact, but for the sum with a minimum, which is rounded once.
    pub fn dequantize(self, blocks: &[u8]) -> Vec<f32> {
        let blocks = blocks.par_chunks_exact(self.byte_len());
        blocks
            .flat_map_iter(|bytes| {
                let block = self.block(bytes);
                let (scale, minimum) = (block.scale.to_f32(), block.minimum.map(f16::to_f32));
                block.codes.into_iter().map(move |code| {
                    let product = scale * f32::from(code);
                    minimum.map_or(product, |minimum| product + minimum)
                })
            })
            .collect()
    }

    /// Takes a block apart. `bytes` are as many as a block has.
    fn block(self, bytes: &[u8]) -> Block {
        let half = |at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let nibbles = |from: usize| {
            let bytes = &bytes[from..from + Self::COLUMNS / 2];
            let low = bytes.iter().map(|byte| byte & 0x0f);
            let high = bytes.iter().map(|byte| byte >> 4);
            low.chain(high)
        };
        let fifth_bits = |from: usize| {
            let [a, b, c, d] = [0, 1, 2, 3].map(|at| bytes[from + at]);
            let bits = u32::from_le_bytes([a, b, c, d]);
            (0..Self::COLUMNS).map(move |column| ((bits >> column & 1) as u8) << 4)
        };
        let five_bits = |from: usize| {
            let pairs = nibbles(from + 4).zip(fifth_bits(from));
            pairs.map(|(low, high)| low | high)
        };
        match self {
            Self::Q4_0 => Block::new(half(0), None, nibbles(2), 8),
            Self::Q4_1 => Block::new(half(0), Some(half(2)), nibbles(4), 0),
            Self::Q5_0 => Block::new(half(0), None, five_bits(2), 16),
            Self::Q5_1 => Block::new(half(0), Some(half(2)), five_bits(4), 0),
            Self::Q8_0 => Block::new(half(0), None, bytes[2..].iter().copied(), 0),
        }
    }
}

impl Block {
    /// A block of these stored codes, from which `offset` is to be taken.
    fn new(scale: f16, minimum: Option<f16>, stored: impl Iterator<Item = u8>, offset: i8) -> Self {
        let mut codes = [0; GgmlBlock::COLUMNS];
        for (code, stored) in codes.iter_mut().zip(stored) {
            *code = stored.cast_signed() - offset;
        }
        Self {
            scale,
            minimum,
            codes,
        }
    }
}

impl PackedMatrix {
    /// The matrix `[rows, cols]` of these blocks, with the same codes and scales: INT4 for q4_0 and INT8 for q8_0, one scale
    /// for 32 columns.
    ///
    /// # Errors
    ///
    /// [`Error::NoPackedForm`] for other blocks; [`Error::Length`] when rows are no whole blocks, or `bytes` are not as
    /// many as the shape asks for; [`Error::TooLarge`], [`Error::NonFiniteScale`].
    pub fn from_ggml(block: GgmlBlock, rows: usize, cols: usize, bytes: &[u8]) -> Result<Self> {
        let bits = block.packed_bits().ok_or(Error::NoPackedForm { block })?;
        let groups = cols / GgmlBlock::COLUMNS;
        check_length("rows of whole blocks", groups * GgmlBlock::COLUMNS, cols)?;
        let row_bytes = element_count(groups, block.byte_len())?;
        check_length("the blocks", element_count(rows, row_bytes)?, bytes.len())?;
        let group = GroupSize::G32;
        let layout = PackedLayout {
            rows,
            cols,
            bits,
            group,
        };
        let mut packed = Self::zeros(layout)?;
        let row_blocks = bytes.par_chunks((BLOCK_ROWS * row_bytes).max(1));
        let filled = packed.blocks_mut(0).zip(row_blocks);
        filled.for_each(|(RowBlock { words, scales }, bytes)| {
            let mut codes = Vec::with_capacity(cols);
            for (lane, row) in bytes.chunks_exact(row_bytes).enumerate() {
                codes.clear();
                let (scales, _) = scales.as_chunks_mut::<BLOCK_ROWS>();
                for (scales, bytes) in scales.iter_mut().zip(row.chunks_exact(block.byte_len())) {
                    let block = block.block(bytes);
                    scales[lane] = block.scale;
                    codes.extend(block.codes);
                }
                row_block::store_row(bits, &codes, lane, words);
            }
        });
        let (codes, scales) = packed.into_parts();
        Self::new(layout, codes, scales) // Looks at the scales.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [GgmlBlock; 5] = [
        GgmlBlock::Q4_0,
        GgmlBlock::Q4_1,
        GgmlBlock::Q5_0,
        GgmlBlock::Q5_1,
        GgmlBlock::Q8_0,
    ];

    /// Two scales and then every code, some with a negative scale.
    fn blocks(kind: GgmlBlock, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for index in 0..count {
            let start = bytes.len();
            let scale = f16::from_f32(if index % 3 == 1 { -0.25 } else { 0.5 });
            bytes.extend(scale.to_le_bytes());
            if matches!(kind, GgmlBlock::Q4_1 | GgmlBlock::Q5_1) {
                bytes.extend(f16::from_f32(-1.5).to_le_bytes());
            }
            let mut next = index as u8;
            bytes.resize_with(start + kind.byte_len(), || {
                next = next.wrapping_mul(37).wrapping_add(101);
                next
            });
        }
        bytes
    }

    #[test]
    fn a_block_written_by_hand_has_its_weights() {
        // Weight 0 has the code 0, weight 16 the code 15, all others 8 (and, with five bits, the fifth bit at weight 1).
        let nibbles = [&[0xf0][..], &[0x88; 15]].concat();
        let [half, two, fifth] = [&[0x00, 0x38][..], &[0x00, 0x40], &[2, 0, 0, 0]];
        for (kind, parts, first, second, seventeenth) in [
            (GgmlBlock::Q4_0, vec![half], -4.0, 0.0, 3.5),
            (GgmlBlock::Q4_1, vec![half, two], 2.0, 6.0, 9.5),
            (GgmlBlock::Q5_0, vec![half, fifth], -8.0, 4.0, -0.5),
            (GgmlBlock::Q5_1, vec![half, two, fifth], 2.0, 14.0, 9.5),
        ] {
            let bytes = [parts.concat(), nibbles.clone()].concat();
            assert_eq!(bytes.len(), kind.byte_len());
            let weights = kind.dequantize(&bytes);
            assert_eq!(
                [weights[0], weights[1], weights[16]],
                [first, second, seventeenth],
                "{kind:?}"
            );
        }
        let codes = [&[0x80, 0x7f][..], &[0xff; 30]].concat();
        let weights = GgmlBlock::Q8_0.dequantize(&[half, &codes].concat());
        assert_eq!(weights[..3], [-64.0, 63.5, -0.5]);
    }

    #[test]
    fn packed_matrices_have_the_same_weights() {
        for kind in ALL {
            let (rows, cols) = (37, 96);
            let bytes = blocks(kind, rows * cols / 32);
            let packed = PackedMatrix::from_ggml(kind, rows, cols, &bytes);
            if kind.packed_bits().is_none() {
                assert_eq!(packed, Err(Error::NoPackedForm { block: kind }));
                continue;
            }
            let packed = packed.unwrap();
            let mut row = vec![0.0; cols];
            for (index, expected) in kind.dequantize(&bytes).chunks(cols).enumerate() {
                packed.dequantize_row(index, &mut row).unwrap();
                assert_eq!(row, expected, "{kind:?}, row {index}");
            }
            let codes = (0..rows * cols).map(|i| packed.code(i / cols, i % cols).unwrap());
            let lowest = codes.min();
            assert!(kind == GgmlBlock::Q8_0 || lowest == Some(-8), "{lowest:?}");
        }
    }

    #[test]
    fn what_is_no_matrix_of_blocks_is_refused() {
        let bytes = blocks(GgmlBlock::Q4_0, 4);
        let pack = |rows, cols, bytes: &[u8]| {
            PackedMatrix::from_ggml(GgmlBlock::Q4_0, rows, cols, bytes).unwrap_err()
        };
        assert!(matches!(pack(4, 31, &bytes), Error::Length { .. }));
        assert!(matches!(pack(4, 32, &bytes[1..]), Error::Length { .. }));
        assert!(matches!(
            pack(usize::MAX, 64, &bytes),
            Error::TooLarge { .. }
        ));
        let mut infinite = bytes;
        infinite[18 * 2 + 1] = 0x7c;
        infinite[18 * 2] = 0;
        assert_eq!(pack(4, 32, &infinite), Error::NonFiniteScale { row: 2 });
    }
}
