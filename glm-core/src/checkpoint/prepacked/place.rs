//! Where the tensors of a prepacked file lie: their ranges, one behind the other, and what a range must be.

use std::{ops::Range, path::Path};

use glm_quant::{BLOCK_ROWS, COLUMN_ALIGNMENT, PackedLayout};
use glm_tokenizer::{Phrase, phrase};

use crate::{
    checkpoint::{
        files::WeightDType,
        names::{ExpectedTensor, Role},
        precision::{Form, Forms},
        weight::FloatType,
    },
    error::{Error, Result},
};

/// Matrices begin at a multiple of this: a page.
pub(super) const MATRIX_ALIGNMENT: usize = 4096;
/// Scales and vectors begin at a multiple of this: a cache line.
const VECTOR_ALIGNMENT: usize = 64;

/// One tensor.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) place: Place,
}

/// Type, shape, and the bytes in the file, counted from its start.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Float {
        dtype: FloatType,
        shape: Vec<usize>,
        data: Range<usize>,
    },
    Packed {
        layout: PackedLayout,
        codes: Range<usize>,
        scales: Range<usize>,
    },
}

/// Puts one tensor behind another.
#[derive(Default)]
pub(super) struct Layout {
    end: usize,
}

impl Layout {
    pub(super) fn place(
        &mut self,
        tensor: &ExpectedTensor,
        forms: Forms,
        stored: WeightDType,
    ) -> Option<Place> {
        let layout = match (tensor.role, tensor.shape.as_slice()) {
            (Role::Matrix, &[rows, cols]) => forms.of(tensor).layout(rows, cols),
            _ => None,
        };
        if let Some(layout) = layout {
            let (codes, scales) = packed_bytes(&layout)?;
            return Some(Place::Packed {
                layout,
                codes: self.range(codes, MATRIX_ALIGNMENT)?,
                scales: self.range(scales, VECTOR_ALIGNMENT)?,
            });
        }
        let dtype = match tensor.role {
            Role::Vector => FloatType::F32,
            _ => FloatType::of(stored)?,
        };
        let shape = tensor.shape.clone();
        let length = dtype.byte_len(&shape)?;
        let data = self.range(length, float_alignment(&shape))?;
        Some(Place::Float { dtype, shape, data })
    }

    fn range(&mut self, length: usize, alignment: usize) -> Option<Range<usize>> {
        let start = self.end.checked_next_multiple_of(alignment)?;
        self.end = start.checked_add(length)?;
        Some(start..self.end)
    }
}

impl Entry {
    /// Kind, type and shape are those of `expected`.
    pub(super) fn check(&self, path: &Path, expected: &ExpectedTensor, forms: Forms) -> Result<()> {
        let wanted = match expected.role {
            Role::Matrix => forms.of(expected),
            _ => Form::Float,
        };
        let (form, shape) = match &self.place {
            Place::Float { shape, .. } => (Form::Float, shape.clone()),
            Place::Packed { layout, .. } => (form_of(layout), vec![layout.rows, layout.cols]),
        };
        if shape != expected.shape {
            return Err(Error::TensorShape {
                path: path.to_path_buf(),
                tensor: self.name.clone(),
                expected: expected.shape.clone(),
                found: shape,
            });
        }
        let is_f32 = matches!(&self.place, Place::Float { dtype, .. } if *dtype == FloatType::F32);
        if form != wanted || (expected.role == Role::Vector && !is_f32) {
            let (expected, found) = match (expected.role, form) {
                (Role::Vector, Form::Float) => {
                    (Phrase::verbatim("f32"), phrase!("type-half", "a half"))
                }
                _ => (
                    Phrase::verbatim(wanted.precision()),
                    Phrase::verbatim(form.precision()),
                ),
            };
            return Err(Error::TensorType {
                path: path.to_path_buf(),
                tensor: self.name.clone(),
                expected,
                found,
            });
        }
        Ok(())
    }
}

impl Place {
    /// The element type of floats; that of codes is not asked for.
    pub(super) fn float_type(&self) -> WeightDType {
        match self {
            Self::Float { dtype, .. } => match dtype {
                FloatType::F32 => WeightDType::F32,
                FloatType::F16 => WeightDType::F16,
                FloatType::Bf16 => WeightDType::BF16,
            },
            Self::Packed { .. } => WeightDType::I8,
        }
    }

    pub(super) fn ranges(&self) -> impl Iterator<Item = &Range<usize>> {
        match self {
            Self::Float { data, .. } => [Some(data), None],
            Self::Packed { codes, scales, .. } => [Some(codes), Some(scales)],
        }
        .into_iter()
        .flatten()
    }

    pub(super) fn end(&self) -> usize {
        self.ranges().map(|range| range.end).max().unwrap_or(0)
    }

    pub(super) fn shift(&mut self, bytes: usize) {
        let shift = |range: &mut Range<usize>| *range = range.start + bytes..range.end + bytes;
        match self {
            Self::Float { data, .. } => shift(data),
            Self::Packed { codes, scales, .. } => {
                shift(codes);
                shift(scales);
            }
        }
    }

    /// Lengths and alignments.
    pub(super) fn check(&self, path: &Path, name: &str) -> Result<()> {
        let lengths = match self {
            Self::Float { dtype, shape, .. } => {
                let length = dtype.byte_len(shape);
                vec![length.map(|length| (length, float_alignment(shape)))]
            }
            Self::Packed { layout, .. } => {
                let (codes, scales) = packed_bytes(layout).unzip();
                vec![
                    codes.map(|length| (length, MATRIX_ALIGNMENT)),
                    scales.map(|length| (length, VECTOR_ALIGNMENT)),
                ]
            }
        };
        for (range, expected) in self.ranges().zip(lengths) {
            let fits = expected.is_some_and(|(length, alignment)| {
                range.len() == length && range.start.is_multiple_of(alignment)
            });
            if !fits {
                return Err(Error::malformed(
                    path,
                    phrase!(
                        "prepacked-tensor-place",
                        "tensor `{name}` should have {bytes} bytes at a multiple of {alignment}, found {found} at \
                         {start}",
                        name,
                        bytes = expected.unwrap_or_default().0,
                        alignment = expected.unwrap_or_default().1,
                        found = range.len(),
                        start = range.start
                    ),
                ));
            }
        }
        Ok(())
    }
}

pub(super) fn form_of(layout: &PackedLayout) -> Form {
    Form::Packed {
        bits: layout.bits,
        group: layout.group,
    }
}

fn float_alignment(shape: &[usize]) -> usize {
    match shape {
        [_] => VECTOR_ALIGNMENT,
        _ => MATRIX_ALIGNMENT,
    }
}

/// Bytes of codes and of scales.
pub(super) fn packed_bytes(layout: &PackedLayout) -> Option<(usize, usize)> {
    // The layout counts without checks; nothing that it counts is more than four bytes for each padded weight.
    let rows = layout.rows.checked_next_multiple_of(BLOCK_ROWS)?;
    let cols = layout.cols.checked_next_multiple_of(COLUMN_ALIGNMENT)?;
    rows.checked_mul(cols)?.checked_mul(4)?;
    Some((4 * layout.words(), 2 * layout.scales()))
}
