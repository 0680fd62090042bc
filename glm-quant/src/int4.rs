//! INT4 weights: two codes in a byte, one scale per output row.

use half::f16;

use crate::error::{Error, Result, check_length, element_count};
use crate::layout::Bits;
use crate::official_rounding::{RowQuantizer, check_scales, scales_from_le_bytes};

/// A weight matrix `[rows, cols]` of INT4 codes with one fp16 scale per row (per output).
///
/// Byte `j` of a row holds column `2j` in its high nibble and column `2j + 1` in its low nibble, each a
/// two's complement number. The crate's front page draws the bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Int4Matrix {
    rows: usize,
    cols: usize,
    packed: Vec<u8>,  // [rows, cols / 2]
    scales: Vec<f16>, // [rows]
}

impl Int4Matrix {
    /// Largest code that [`Int4Matrix::quantize_f16`] writes; reading accepts -8 too.
    pub const MAX_CODE: i8 = 7;

    /// A matrix `[rows, cols]` of `packed` codes `[rows, cols / 2]` and `scales` `[rows]`.
    ///
    /// # Errors
    ///
    /// [`Error::OddColumns`], [`Error::Length`] when a buffer does not fit the shape, [`Error::TooLarge`],
    /// [`Error::NonFiniteScale`].
    pub fn new(rows: usize, cols: usize, packed: Vec<u8>, scales: Vec<f16>) -> Result<Self> {
        check_length("the packed codes", packed_len(rows, cols)?, packed.len())?;
        check_length("the scales", rows, scales.len())?;
        check_scales(&scales)?;
        Ok(Self {
            rows,
            cols,
            packed,
            scales,
        })
    }

    /// A matrix `[rows, cols]` from the bytes of `X.weight` (shape `[rows, cols / 2]` in the file) and
    /// `X.weight_scale` of a checkpoint. The codes are not copied. Errors as [`Int4Matrix::new`].
    pub fn from_checkpoint(
        rows: usize,
        cols: usize,
        packed: Vec<u8>,
        scales: &[u8],
    ) -> Result<Self> {
        let scales = scales_from_le_bytes(rows, scales)?;
        Self::new(rows, cols, packed, scales)
    }

    /// Quantises fp16 `weights` `[rows, cols]`, bit for bit as the official code.
    ///
    /// # Errors
    ///
    /// [`Error::OddColumns`], [`Error::Length`], [`Error::TooLarge`], [`Error::NonFiniteWeight`].
    pub fn quantize_f16(rows: usize, cols: usize, weights: &[f16]) -> Result<Self> {
        let mut matrix = Self::empty(rows, cols, weights.len())?;
        let mut quantizer = RowQuantizer::new(Bits::Four, cols);
        for (row, weights) in weights.chunks_exact(cols.max(1)).enumerate() {
            let (scale, codes) = quantizer.f16_row(row, weights)?;
            matrix.push_row(scale, codes);
        }
        Ok(matrix.complete())
    }

    /// Quantises float32 `weights` `[rows, cols]` as the official code does with float32 weights: the
    /// quotient is not rounded to fp16 first, so some codes differ from those of the same weights in fp16.
    ///
    /// # Errors
    ///
    /// As [`Int4Matrix::quantize_f16`], and [`Error::ScaleOverflow`].
    pub fn quantize_f32(rows: usize, cols: usize, weights: &[f32]) -> Result<Self> {
        let mut matrix = Self::empty(rows, cols, weights.len())?;
        let mut quantizer = RowQuantizer::new(Bits::Four, cols);
        for (row, weights) in weights.chunks_exact(cols.max(1)).enumerate() {
            let (scale, codes) = quantizer.f32_row(row, weights)?;
            matrix.push_row(scale, codes);
        }
        Ok(matrix.complete())
    }

    /// Output rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input columns; even.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The packed codes `[rows, cols / 2]`.
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// The scales `[rows]`.
    pub fn scales(&self) -> &[f16] {
        &self.scales
    }

    /// Packed codes and scales.
    pub fn into_parts(self) -> (Vec<u8>, Vec<f16>) {
        (self.packed, self.scales)
    }

    /// Bytes of codes and scales together.
    pub fn byte_len(&self) -> usize {
        self.packed.len() + 2 * self.scales.len()
    }

    /// One byte of an even and an odd column's code; only the low four bits of each are kept.
    pub fn pack(even: i8, odd: i8) -> u8 {
        let [even, odd] = [even, odd].map(i8::cast_unsigned);
        even << 4 | odd & 0x0f
    }

    /// The even and the odd column's code of one byte, -8 to 7 each.
    pub fn unpack(byte: u8) -> (i8, i8) {
        // A right shift of a signed number carries the sign of the nibble along.
        (byte.cast_signed() >> 4, (byte << 4).cast_signed() >> 4)
    }

    /// The codes `[rows, cols]`, one in a byte.
    pub fn codes(&self) -> Vec<i8> {
        self.packed
            .iter()
            .flat_map(|byte| <[i8; 2]>::from(Self::unpack(*byte)))
            .collect()
    }

    /// The weights `[rows, cols]` in float32: `f32(scale) * code`, exact.
    pub fn dequantize(&self) -> Vec<f32> {
        self.products().collect()
    }

    /// The weights `[rows, cols]` in fp16: the exact products rounded once, as on the official GPU path.
    pub fn dequantize_f16(&self) -> Vec<f16> {
        self.products().map(f16::from_f32).collect()
    }

    /// Writes the weights of one row, float32, to `out` `[cols]`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRow`], [`Error::Length`].
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) -> Result<()> {
        check_length("the output", self.cols, out.len())?;
        let Some(scale) = self.scales.get(row) else {
            return Err(Error::NoSuchRow {
                row,
                rows: self.rows,
            });
        };
        let scale = scale.to_f32();
        let bytes = self.packed.iter().skip(row * (self.cols / 2));
        let (pairs, _) = out.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(bytes) {
            let (even, odd) = Self::unpack(*byte);
            *pair = [scale * f32::from(even), scale * f32::from(odd)];
        }
        Ok(())
    }

    fn products(&self) -> impl Iterator<Item = f32> {
        self.packed
            .chunks_exact((self.cols / 2).max(1))
            .zip(&self.scales)
            .flat_map(|(bytes, scale)| {
                let scale = scale.to_f32();
                bytes.iter().flat_map(move |byte| {
                    let (even, odd) = Self::unpack(*byte);
                    [scale * f32::from(even), scale * f32::from(odd)]
                })
            })
    }

    /// A matrix with room for everything and no rows yet.
    fn empty(rows: usize, cols: usize, weights: usize) -> Result<Self> {
        let bytes = packed_len(rows, cols)?;
        check_length("the weights", element_count(rows, cols)?, weights)?;
        Ok(Self {
            rows,
            cols,
            packed: Vec::with_capacity(bytes),
            scales: Vec::with_capacity(rows),
        })
    }

    fn push_row(&mut self, scale: f16, mut codes: impl Iterator<Item = i8>) {
        self.scales.push(scale);
        while let (Some(even), Some(odd)) = (codes.next(), codes.next()) {
            self.packed.push(Self::pack(even, odd));
        }
    }

    /// Rows without columns have no weights to visit, but still a scale.
    fn complete(mut self) -> Self {
        self.scales.resize(self.rows, f16::ZERO);
        self
    }
}

fn packed_len(rows: usize, cols: usize) -> Result<usize> {
    if cols.is_multiple_of(2) {
        element_count(rows, cols / 2)
    } else {
        Err(Error::OddColumns { cols })
    }
}
