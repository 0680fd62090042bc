//! INT8 weights: one code in a byte, one scale per output row.

use half::f16;

use crate::error::{Error, Result, check_length, element_count};
use crate::layout::Bits;
use crate::official_rounding::{RowQuantizer, check_scales, scales_from_le_bytes};

/// A weight matrix `[rows, cols]` of INT8 codes with one fp16 scale per row (per output).
///
/// The weight in row `r`, column `c` is `scales[r] * codes[r * cols + c]`. The crate's front page draws the
/// bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Int8Matrix {
    rows: usize,
    cols: usize,
    codes: Vec<i8>,   // [rows, cols]
    scales: Vec<f16>, // [rows]
}

impl Int8Matrix {
    /// Largest code that [`Int8Matrix::quantize_f16`] writes; reading accepts every byte.
    pub const MAX_CODE: i8 = 127;

    /// A matrix of `codes` `[rows, cols]` and `scales` `[rows]`.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] when a buffer does not fit the shape, [`Error::TooLarge`],
    /// [`Error::NonFiniteScale`].
    pub fn new(rows: usize, cols: usize, codes: Vec<i8>, scales: Vec<f16>) -> Result<Self> {
        check_length("the codes", element_count(rows, cols)?, codes.len())?;
        check_length("the scales", rows, scales.len())?;
        check_scales(&scales)?;
        Ok(Self {
            rows,
            cols,
            codes,
            scales,
        })
    }

    /// A matrix from the bytes of `X.weight` and `X.weight_scale` of a checkpoint. The codes are not copied.
    /// Errors as [`Int8Matrix::new`].
    pub fn from_checkpoint(
        rows: usize,
        cols: usize,
        codes: Vec<u8>,
        scales: &[u8],
    ) -> Result<Self> {
        let scales = scales_from_le_bytes(rows, scales)?;
        Self::new(rows, cols, bytemuck::cast_vec(codes), scales)
    }

    /// Quantises fp16 `weights` `[rows, cols]`, bit for bit as the official code.
    ///
    /// # Errors
    ///
    /// [`Error::Length`], [`Error::TooLarge`], [`Error::NonFiniteWeight`].
    pub fn quantize_f16(rows: usize, cols: usize, weights: &[f16]) -> Result<Self> {
        let mut matrix = Self::empty(rows, cols, weights.len())?;
        let mut quantizer = RowQuantizer::new(Bits::Eight, cols);
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
    /// As [`Int8Matrix::quantize_f16`], and [`Error::ScaleOverflow`].
    pub fn quantize_f32(rows: usize, cols: usize, weights: &[f32]) -> Result<Self> {
        let mut matrix = Self::empty(rows, cols, weights.len())?;
        let mut quantizer = RowQuantizer::new(Bits::Eight, cols);
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

    /// Input columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The codes `[rows, cols]`.
    pub fn codes(&self) -> &[i8] {
        &self.codes
    }

    /// The scales `[rows]`.
    pub fn scales(&self) -> &[f16] {
        &self.scales
    }

    /// Codes and scales.
    pub fn into_parts(self) -> (Vec<i8>, Vec<f16>) {
        (self.codes, self.scales)
    }

    /// Bytes of codes and scales together.
    pub fn byte_len(&self) -> usize {
        self.codes.len() + 2 * self.scales.len()
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
        let codes = self.codes.iter().skip(row * self.cols);
        for (out, code) in out.iter_mut().zip(codes) {
            *out = scale.to_f32() * f32::from(*code);
        }
        Ok(())
    }

    fn products(&self) -> impl Iterator<Item = f32> {
        self.codes
            .chunks_exact(self.cols.max(1))
            .zip(&self.scales)
            .flat_map(|(codes, scale)| {
                let scale = scale.to_f32();
                codes.iter().map(move |code| scale * f32::from(*code))
            })
    }

    /// A matrix with room for everything and no rows yet.
    fn empty(rows: usize, cols: usize, weights: usize) -> Result<Self> {
        let elements = element_count(rows, cols)?;
        check_length("the weights", elements, weights)?;
        Ok(Self {
            rows,
            cols,
            codes: Vec::with_capacity(elements),
            scales: Vec::with_capacity(rows),
        })
    }

    fn push_row(&mut self, scale: f16, codes: impl Iterator<Item = i8>) {
        self.scales.push(scale);
        self.codes.extend(codes);
    }

    /// Rows without columns have no weights to visit, but still a scale.
    fn complete(mut self) -> Self {
        self.scales.resize(self.rows, f16::ZERO);
        self
    }
}
