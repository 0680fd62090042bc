//! The official quantiser's arithmetic: one row of weights to one scale and its codes.
//!
//! `W8A16Linear` in `quantization.py` of the ChatGLM-6B repository computes
//! `scale = (w.abs().max(-1) / (2 ** (bits - 1) - 1)).half()` and `torch.round(w / scale)`, in the type of
//! the weights. With fp16 weights the quotient is therefore rounded twice: to fp16, then to an integer.
//! With float32 weights `w / scale` promotes to float32 and is rounded once.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::error::{Error, Result};

/// Buffers for one row, reused from row to row.
pub(crate) struct RowQuantizer {
    /// Largest code: 127 or 7.
    limit: f32,
    quotients: Vec<f32>,
    halves: Vec<f16>,
}

impl RowQuantizer {
    /// For rows of `cols` weights and codes from `-limit` to `limit`.
    pub(crate) fn new(limit: i8, cols: usize) -> Self {
        Self {
            limit: f32::from(limit),
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
        let mut largest = 0.0_f32;
        for (column, weight) in self.quotients.iter().enumerate() {
            if !weight.is_finite() {
                return Err(Error::NonFiniteWeight { row, column });
            }
            largest = largest.max(weight.abs());
        }
        let scale = f16::from_f32(largest / self.limit);
        if scale.is_finite() {
            Ok(scale)
        } else {
            Err(Error::ScaleOverflow { row })
        }
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
        // Within the limit except where the scale is subnormal and was rounded far down.
        #[allow(clippy::cast_possible_truncation)]
        self.quotients
            .iter()
            .map(|quotient| quotient.round_ties_even().clamp(-self.limit, self.limit) as i8)
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
