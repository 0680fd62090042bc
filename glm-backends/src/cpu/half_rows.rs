//! Matrix products on slices, one weight row at a time: a row is widened to f32 in a small buffer and multiplied with
//! every row of `x`, so that a weight is read once and never exists as a whole in f32.

use glm_quant::Int4Matrix;
use half::{bf16, f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

use super::dot::dot;

/// The rows of a weight `[n, k]` as they are stored.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    F16(&'a [f16]),
    BF16(&'a [bf16]),
    Int8 { codes: &'a [i8], scales: &'a [f16] },
    Int4 { packed: &'a [u8], scales: &'a [f16] },
}

impl Rows<'_> {
    fn check(&self, n: usize, k: usize) {
        let (stored, expected, scales) = match self {
            Self::F16(values) => (values.len(), n * k, n),
            Self::BF16(values) => (values.len(), n * k, n),
            Self::Int8 { codes, scales } => (codes.len(), n * k, scales.len()),
            Self::Int4 { packed, scales } => {
                assert!(
                    k.is_multiple_of(2),
                    "INT4 packs two columns into a byte, {k} is odd"
                );
                (packed.len() * 2, n * k, scales.len())
            }
        };
        assert_eq!(
            stored, expected,
            "a weight of {n} rows needs {k} columns as the input has"
        );
        assert_eq!(scales, n, "a quantised weight needs one scale per row");
    }

    /// Row `row` in f32.
    fn widen(&self, row: usize, out: &mut [f32]) {
        let k = out.len();
        match self {
            Self::F16(values) => values[row * k..][..k].convert_to_f32_slice(out),
            Self::BF16(values) => values[row * k..][..k].convert_to_f32_slice(out),
            Self::Int8 { codes, scales } => {
                dequantize_int8_row(&codes[row * k..][..k], scales[row], out);
            }
            Self::Int4 { packed, scales } => {
                dequantize_int4_row(&packed[row * k / 2..][..k / 2], scales[row], out);
            }
        }
    }
}

/// Weight rows that one thread takes at a time.
const ROWS_PER_TASK: usize = 32;

/// `x [m, k] · weight [n, k]ᵀ` → `[m, n]`, summed in f32.
///
/// The result does not depend on the number of threads: each element is one dot product.
///
/// # Panics
/// If a slice does not have the length its shape asks for.
pub(crate) fn matmul_rows(x: &[f32], m: usize, k: usize, n: usize, weight: Rows<'_>) -> Vec<f32> {
    assert_eq!(x.len(), m * k, "the input has {m} rows of {k}");
    weight.check(n, k);
    // By weight row first, [n, m], so that every thread writes its own piece.
    let mut by_weight_row = vec![0.0f32; n * m];
    if m == 0 || k == 0 {
        return by_weight_row;
    }
    by_weight_row
        .par_chunks_mut(ROWS_PER_TASK * m)
        .enumerate()
        .for_each_init(
            || vec![0.0f32; k],
            |row_f32, (task, out)| {
                for (offset, out) in out.chunks_exact_mut(m).enumerate() {
                    weight.widen(task * ROWS_PER_TASK + offset, row_f32);
                    for (x, out) in x.chunks_exact(k).zip(out) {
                        *out = dot(x, row_f32);
                    }
                }
            },
        );
    if m == 1 {
        by_weight_row
    } else {
        transpose(&by_weight_row, n, m)
    }
}

/// `[rows, columns]` → `[columns, rows]`.
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0f32; values.len()];
    out.par_chunks_mut(rows)
        .enumerate()
        .for_each(|(column, out)| {
            for (row, out) in out.iter_mut().enumerate() {
                *out = values[row * columns + column];
            }
        });
    out
}

fn dequantize_int8_row(codes: &[i8], scale: f16, out: &mut [f32]) {
    let scale = scale.to_f32();
    for (code, out) in codes.iter().zip(out) {
        *out = f32::from(*code) * scale;
    }
}

fn dequantize_int4_row(packed: &[u8], scale: f16, out: &mut [f32]) {
    let scale = scale.to_f32();
    for (byte, out) in packed.iter().zip(out.chunks_exact_mut(2)) {
        let (even, odd) = Int4Matrix::unpack(*byte);
        out[0] = f32::from(even) * scale;
        out[1] = f32::from(odd) * scale;
    }
}
