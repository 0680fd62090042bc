//! Matrix products on slices, one weight row at a time: a row is widened to f32 in a small buffer and multiplied with
//! every row of `x`, so that a weight is read once and never exists as a whole in f32.

use half::{bf16, f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

use super::dot::dot;

/// The rows of a weight `[n, k]` as they are stored.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    F16(&'a [f16]),
    BF16(&'a [bf16]),
}

impl Rows<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F16(values) => values.len(),
            Self::BF16(values) => values.len(),
        }
    }

    /// Row `row` in f32.
    fn widen(&self, row: usize, out: &mut [f32]) {
        let k = out.len();
        match self {
            Self::F16(values) => values[row * k..][..k].convert_to_f32_slice(out),
            Self::BF16(values) => values[row * k..][..k].convert_to_f32_slice(out),
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
    assert_eq!(
        weight.len(),
        n * k,
        "a weight of {n} rows needs {k} columns as the input has"
    );
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
