//! The official quantiser's arithmetic: one row of weights to one scale and its codes.
//!
//! `W8A16Linear` in `quantization.py` of the ChatGLM-6B repository computes
//! `scale = (w.abs().max(-1) / (2 ** (bits - 1) - 1)).half()` and `torch.round(w / scale)`, in the type of
//! the weights. With fp16 weights the quotient is therefore rounded twice: to fp16, then to an integer.
//! With float32 weights `w / scale` promotes to float32 and is rounded once.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::error::{Error, Result};
use crate::group_scale::{CodeRange, official_scale};
use crate::layout::{Bits, GroupSize};

/// Buffers for one row, reused from row to row.
pub(crate) struct RowQuantizer {
    /// Largest code: 127 or 7.
    limit: i8,
    range: CodeRange,
    quotients: Vec<f32>,
    halves: Vec<f16>,
}

impl RowQuantizer {
    /// For rows of `cols` weights and codes of these bits.
    pub(crate) fn new(bits: Bits, cols: usize) -> Self {
        Self {
            limit: bits.max_code(),
            range: CodeRange::new(bits, GroupSize::Row),
            quotients: vec![0.0; cols],
            halves: vec![f16::ZERO; cols],
        }
    }

    /// Scale and codes of a row of fp16 weights. `row` is its number, for errors.
    pub(crate) fn f16_row(
        &mut self,
        row: usize,
        weights: &[f16],
    ) -> Result<(f16, impl Iterator<Item = i8>)> {
        weights.convert_to_f32_slice(&mut self.quotients);
        let scale = self.scale(row)?;
        self.divide_by(scale);
        // float32 is wide enough that rounding to it first does not change the fp16 quotient.
        self.halves.convert_from_f32_slice(&self.quotients);
        self.halves.convert_to_f32_slice(&mut self.quotients);
        Ok((scale, self.codes()))
    }

    /// Scale and codes of a row of float32 weights. `row` is its number, for errors.
    pub(crate) fn f32_row(
        &mut self,
        row: usize,
        weights: &[f32],
    ) -> Result<(f16, impl Iterator<Item = i8>)> {
        self.quotients.copy_from_slice(weights);
        let scale = self.scale(row)?;
        self.divide_by(scale);
        Ok((scale, self.codes()))
    }

    fn scale(&self, row: usize) -> Result<f16> {
        check_weights(row, &self.quotients)?;
        official_scale(self.limit, &self.quotients).ok_or(Error::ScaleOverflow { row })
    }

    fn divide_by(&mut self, scale: f16) {
        let scale = scale.to_f32();
        if scale == 0.0 {
            // 0 / 0 and w / 0 become code 0; the weight is 0 whatever the code.
            self.quotients.fill(0.0);
        } else {
            for quotient in &mut self.quotients {
                *quotient /= scale;
            }
        }
    }

    fn codes(&self) -> impl Iterator<Item = i8> {
        // Only a subnormal scale, rounded far down, has quotients beyond the range.
        let codes = self.quotients.iter();
        codes.map(|quotient| self.range.nearest_code(*quotient))
    }
}

/// [`Error::NonFiniteWeight`] for the first weight of the row that is NaN or infinite.
pub(crate) fn check_weights(row: usize, weights: &[f32]) -> Result<()> {
    // Without an early exit the compiler makes vectors of this, and it hardly ever finds anything.
    let sound = weights.iter().fold(true, |sound, w| sound & w.is_finite());
    if sound {
        return Ok(());
    }
    match weights.iter().position(|weight| !weight.is_finite()) {
        Some(column) => Err(Error::NonFiniteWeight { row, column }),
        None => Ok(()),
    }
}

/// fp16 scales as a checkpoint stores them, little-endian.
pub(crate) fn scales_from_le_bytes(rows: usize, bytes: &[u8]) -> Result<Vec<f16>> {
    let expected = crate::error::element_count(rows, 2)?;
    crate::error::check_length("the bytes of the scales", expected, bytes.len())?;
    let (pairs, _) = bytes.as_chunks::<2>();
    Ok(pairs.iter().map(|pair| f16::from_le_bytes(*pair)).collect())
}

/// [`Error::NonFiniteScale`] for the first NaN or infinity.
pub(crate) fn check_scales(scales: &[f16]) -> Result<()> {
    match scales.iter().position(|scale| !scale.is_finite()) {
        Some(row) => Err(Error::NonFiniteScale { row }),
        None => Ok(()),
    }
}
