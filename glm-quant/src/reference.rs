//! Plain matrix products on dequantised rows: the oracle that faster kernels are judged by.
//!
//! Products are summed in float64 and rounded once, so the result is as good as float32 can say it; a kernel
//! may differ by its own roundings, never by more. Slow by intent.

use crate::error::{Error, Result, check_length};
use crate::{Int4Matrix, Int8Matrix, PackedMatrix};

/// `activations · weightᵀ + bias` with INT8 weights.
///
/// # Shapes
///
/// - activations: `[n, cols]`
/// - weight: `[rows, cols]`
/// - bias: `[rows]`
/// - result: `[n, rows]`
///
/// # Errors
///
/// [`Error::Length`] when the activations are no whole rows of `cols`, or the bias has another length.
pub fn int8_linear(
    activations: &[f32],
    weight: &Int8Matrix,
    bias: Option<&[f32]>,
) -> Result<Vec<f32>> {
    linear(
        activations,
        weight.rows(),
        weight.cols(),
        bias,
        |row, out| weight.dequantize_row(row, out),
    )
}

/// `activations · weightᵀ + bias` with INT4 weights. Shapes and errors as [`int8_linear`].
pub fn int4_linear(
    activations: &[f32],
    weight: &Int4Matrix,
    bias: Option<&[f32]>,
) -> Result<Vec<f32>> {
    linear(
        activations,
        weight.rows(),
        weight.cols(),
        bias,
        |row, out| weight.dequantize_row(row, out),
    )
}

/// `activations · weightᵀ + bias` with packed weights. Shapes and errors as [`int8_linear`].
pub fn packed_linear(
    activations: &[f32],
    weight: &PackedMatrix,
    bias: Option<&[f32]>,
) -> Result<Vec<f32>> {
    let layout = weight.layout();
    linear(activations, layout.rows, layout.cols, bias, |row, out| {
        weight.dequantize_row(row, out)
    })
}

fn linear(
    activations: &[f32],
    rows: usize,
    cols: usize,
    bias: Option<&[f32]>,
    dequantize_row: impl Fn(usize, &mut [f32]) -> Result<()>,
) -> Result<Vec<f32>> {
    if let Some(bias) = bias {
        check_length("the bias", rows, bias.len())?;
    }
    if cols == 0 || !activations.len().is_multiple_of(cols) {
        return Err(Error::Length {
            what: "the last row of the activations",
            expected: cols,
            found: activations.len().checked_rem(cols).unwrap_or(0),
        });
    }
    let mut weight = vec![0.0; cols];
    let mut result = vec![0.0; activations.len() / cols * rows]; // [n, rows]
    for row in 0..rows {
        dequantize_row(row, &mut weight)?;
        let bias = bias.and_then(|bias| bias.get(row)).copied().unwrap_or(0.0);
        let outputs = result.iter_mut().skip(row).step_by(rows);
        for (output, activation) in outputs.zip(activations.chunks_exact(cols)) {
            let sum: f64 = activation
                .iter()
                .zip(&weight)
                .map(|(a, w)| f64::from(*a) * f64::from(*w))
                .sum();
            #[allow(clippy::cast_possible_truncation)] // The one rounding.
            {
                *output = (sum + f64::from(bias)) as f32;
            }
        }
    }
    Ok(result)
}
