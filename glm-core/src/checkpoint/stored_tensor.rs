//! One tensor as it was read, and what is made of it: floats as they are, a vector in f32, or codes.

use std::ops::Range;

use glm_quant::{Bits, GgmlBlock, Int4Matrix, Int8Matrix, PackedLayout, PackedMatrix};
use half::{bf16, f16};
use rayon::prelude::*;

use crate::{
    checkpoint::{
        check::{float_types, wrong_type},
        files::{TensorInfo, WeightDType},
        names::layer_of,
        weight::{FloatType, Weight, bytes_of},
    },
    error::{Error, Result},
};

/// Rows that are quantised at a time by one thread: few enough to share the work evenly, a multiple of 16 so that the
/// packed rows of a slab are a piece of the whole.
const SLAB_ROWS: usize = 256;

/// The bytes of one tensor on their way to the model.
pub(super) struct StoredTensor<'files> {
    pub(super) info: &'files TensorInfo,
    pub(super) bytes: Vec<u8>,
}

impl StoredTensor<'_> {
    /// A float tensor in its own type; blocks in f32.
    ///
    /// # Errors
    /// [`Error::NonFinite`], [`Error::TensorType`].
    pub(super) fn float(self) -> Result<Weight> {
        if self.info.blocks.is_some() {
            return self.widened();
        }
        self.check_finite()?;
        let dtype = FloatType::of(self.info.dtype);
        Ok(Weight::Float {
            dtype: dtype.ok_or_else(|| wrong_type(self.info, float_types()))?,
            shape: self.info.shape.clone(),
            bytes: self.bytes.into(),
        })
    }

    /// A float tensor widened to f32.
    ///
    /// # Errors
    /// As [`StoredTensor::float`].
    pub(super) fn widened(self) -> Result<Weight> {
        self.check_finite()?;
        let values = self.to_f32(&self.bytes)?;
        if self.info.blocks.is_some() && !values.iter().all(|value| value.is_finite()) {
            return Err(non_finite(self.info));
        }
        Ok(Weight::f32(values, self.info.shape.clone()))
    }

    /// A float matrix rounded to codes. `layout` has the shape of the tensor.
    ///
    /// # Errors
    /// [`Error::NonFinite`], [`Error::TensorType`], [`Error::Quantize`].
    pub(super) fn quantize(&self, layout: PackedLayout) -> Result<PackedMatrix> {
        let row_bytes = self.bytes.len() / layout.rows.max(1);
        by_slabs(self.info, layout, |rows, layout| {
            let bytes = self.bytes.get(rows.start * row_bytes..rows.end * row_bytes);
            self.quantize_slab(layout, bytes.unwrap_or_default())
        })
    }

    fn quantize_slab(&self, layout: PackedLayout, bytes: &[u8]) -> Result<PackedMatrix> {
        let packed = if self.info.dtype == WeightDType::F16 {
            // The official quantiser divides in fp16 when the weights are fp16.
            PackedMatrix::quantize_f16(layout, &halves(bytes))
        } else {
            PackedMatrix::quantize_f32(layout, &self.to_f32(bytes)?)
        };
        packed.map_err(|error| self.quant_error(error))
    }

    /// The codes of an official checkpoint with their scales, repacked. `layout` has the shape of the weight and one
    /// scale per row.
    ///
    /// # Errors
    /// [`Error::NonFinite`], [`Error::TensorType`], [`Error::Quantize`].
    pub(super) fn repack(self, layout: PackedLayout, scales: Self) -> Result<PackedMatrix> {
        scales.check_finite()?;
        let values = scales.to_f32(&scales.bytes)?;
        let values = values.into_iter().map(f16::from_f32).collect();
        let PackedLayout { rows, cols, .. } = layout;
        let info = self.info;
        let packed = match layout.bits {
            Bits::Eight => {
                let codes = self.bytes.into_iter().map(u8::cast_signed).collect();
                Int8Matrix::new(rows, cols, codes, values)
                    .and_then(|matrix| PackedMatrix::from_int8(&matrix))
            }
            Bits::Four => Int4Matrix::new(rows, cols, self.bytes, values)
                .and_then(|matrix| PackedMatrix::from_int4(&matrix)),
        };
        packed.map_err(|error| quant_error(info, error))
    }

    /// The codes of q4_0 or q8_0 blocks, `[rows, cols]`, with their scales.
    ///
    /// # Errors
    /// [`Error::NonFinite`], [`Error::Quantize`].
    pub(super) fn pack(&self, block: GgmlBlock, rows: usize, cols: usize) -> Result<PackedMatrix> {
        PackedMatrix::from_ggml(block, rows, cols, &self.bytes)
            .map_err(|error| self.quant_error(error))
    }

    fn to_f32(&self, bytes: &[u8]) -> Result<Vec<f32>> {
        if let Some(block) = self.info.blocks {
            return Ok(block.dequantize(bytes));
        }
        Ok(match self.info.dtype {
            WeightDType::F32 => values(bytes, f32::from_le_bytes),
            WeightDType::F16 => values(bytes, |b| f16::from_le_bytes(b).to_f32()),
            WeightDType::BF16 => values(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            _ => return Err(wrong_type(self.info, float_types())),
        })
    }

    /// NaN and infinity are the values whose exponent bits are all ones.
    fn check_finite(&self) -> Result<()> {
        let finite = match self.info.dtype {
            _ if self.info.blocks.is_some() => true, // Not seen before they are dequantised.
            WeightDType::F32 => all_finite::<4>(&self.bytes, |b| {
                u32::from_le_bytes(b) & 0x7f80_0000 != 0x7f80_0000
            }),
            WeightDType::F16 => {
                all_finite::<2>(&self.bytes, |b| u16::from_le_bytes(b) & 0x7c00 != 0x7c00)
            }
            WeightDType::BF16 => {
                all_finite::<2>(&self.bytes, |b| u16::from_le_bytes(b) & 0x7f80 != 0x7f80)
            }
            _ => true,
        };
        if finite {
            Ok(())
        } else {
            Err(non_finite(self.info))
        }
    }

    fn quant_error(&self, error: glm_quant::Error) -> Error {
        quant_error(self.info, error)
    }
}

/// Codes of another form, `layout`, for the weights of `matrix`; `info` is what it was read from.
///
/// # Errors
/// [`Error::Quantize`].
pub(super) fn requantize(
    info: &TensorInfo,
    matrix: &PackedMatrix,
    layout: PackedLayout,
) -> Result<PackedMatrix> {
    by_slabs(info, layout, |rows, layout| {
        let dequantized = dequantize(matrix, rows).map_err(|error| quant_error(info, error))?;
        PackedMatrix::quantize_f32(layout, &dequantized).map_err(|error| quant_error(info, error))
    })
}

/// The weights of `matrix` rounded to f16; `info` is what it was read from.
///
/// # Errors
/// [`Error::Quantize`].
pub(super) fn to_halves(info: &TensorInfo, matrix: &PackedMatrix) -> Result<Weight> {
    let PackedLayout { rows, cols, .. } = *matrix.layout();
    let mut halves = vec![f16::ZERO; rows * cols];
    let slabs = halves.par_chunks_mut((SLAB_ROWS * cols).max(1)).enumerate();
    slabs
        .try_for_each(|(slab, halves)| {
            let start = slab * SLAB_ROWS;
            let weights = dequantize(matrix, start..rows.min(start + SLAB_ROWS))?;
            for (half, weight) in halves.iter_mut().zip(weights) {
                *half = f16::from_f32(weight);
            }
            Ok(())
        })
        .map_err(|error| quant_error(info, error))?;
    Ok(Weight::Float {
        dtype: FloatType::F16,
        shape: vec![rows, cols],
        bytes: bytes_of(halves),
    })
}

/// `[rows, cols]` in f32.
fn dequantize(matrix: &PackedMatrix, rows: Range<usize>) -> glm_quant::Result<Vec<f32>> {
    let cols = matrix.layout().cols;
    let mut weights = vec![0.0; rows.len() * cols];
    for (row, out) in rows.zip(weights.chunks_mut(cols.max(1))) {
        matrix.dequantize_row(row, out)?;
    }
    Ok(weights)
}

/// A matrix whose slabs of rows are made by `quantize`, which is given the rows and the layout of one, on all threads.
fn by_slabs(
    info: &TensorInfo,
    layout: PackedLayout,
    quantize: impl Fn(Range<usize>, PackedLayout) -> Result<PackedMatrix> + Sync,
) -> Result<PackedMatrix> {
    let slab = |rows| PackedLayout { rows, ..layout };
    let full = slab(SLAB_ROWS);
    let zeros = PackedMatrix::zeros(layout).map_err(|error| quant_error(info, error))?;
    let (mut codes, mut scales) = zeros.into_parts();
    codes
        .par_chunks_mut(full.words())
        .zip(scales.par_chunks_mut(full.scales()))
        .enumerate()
        .try_for_each(|(index, (codes, scales))| {
            let start = index * SLAB_ROWS;
            let rows = start..layout.rows.min(start + SLAB_ROWS);
            let packed = quantize(rows.clone(), slab(rows.len()))?;
            codes.copy_from_slice(packed.codes());
            scales.copy_from_slice(packed.scales());
            Ok::<_, Error>(())
        })?;
    PackedMatrix::new(layout, codes, scales).map_err(|error| quant_error(info, error))
}

/// Positions in `error` count from the start of a slab, so only the tensor is named for a value that is not finite.
fn quant_error(info: &TensorInfo, error: glm_quant::Error) -> Error {
    use glm_quant::Error::{NonFiniteScale, NonFiniteWeight};
    match error {
        NonFiniteWeight { .. } | NonFiniteScale { .. } => non_finite(info),
        source => Error::Quantize {
            path: info.file.clone(),
            tensor: info.name.clone(),
            source,
        },
    }
}

fn non_finite(info: &TensorInfo) -> Error {
    Error::NonFinite {
        path: info.file.clone(),
        tensor: info.name.clone(),
        layer: layer_of(&info.name),
    }
}

fn halves(bytes: &[u8]) -> Vec<f16> {
    values(bytes, f16::from_le_bytes)
}

/// The values that these little-endian bytes are, one for each `N`.
pub(super) fn values<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|&chunk| value(chunk)).collect()
}

/// Whether all of these values, `N` bytes each, are finite.
pub(super) fn all_finite<const N: usize>(
    bytes: &[u8],
    is_finite: impl Fn([u8; N]) -> bool + Sync,
) -> bool {
    let (values, _) = bytes.as_chunks::<N>();
    // Without an early exit inside a block the loop becomes SIMD.
    values.chunks(4096).all(|block| {
        block
            .iter()
            .fold(true, |all, &value| all & is_finite(value))
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use glm_quant::GroupSize;
    use half::{bf16, f16};

    use super::*;

    fn info(dtype: WeightDType, shape: &[usize]) -> TensorInfo {
        TensorInfo {
            name: "transformer.layers.7.attention.dense.weight".to_owned(),
            dtype,
            shape: shape.to_vec(),
            blocks: None,
            file: PathBuf::from("x.bin"),
        }
    }

    #[test]
    fn every_non_finite_half_is_found_and_no_finite_one() {
        for bits in 0..=u16::MAX {
            for (dtype, finite) in [
                (WeightDType::F16, f16::from_bits(bits).is_finite()),
                (WeightDType::BF16, bf16::from_bits(bits).is_finite()),
            ] {
                let bytes = [[0, 0], bits.to_le_bytes(), [0, 0]].concat();
                let result = StoredTensor {
                    info: &info(dtype, &[3]),
                    bytes,
                }
                .check_finite();
                assert_eq!(result.is_ok(), finite, "{bits:#06x} as {dtype:?}");
                if let Err(error) = result {
                    assert!(matches!(error, Error::NonFinite { layer: Some(7), .. }));
                }
            }
        }
    }

    #[test]
    fn slabs_give_the_matrix_that_the_whole_gives() {
        let (rows, cols) = (2 * SLAB_ROWS + 37, 40);
        let weights: Vec<f16> = (0..rows * cols)
            .map(|i| f16::from_f32((i as f32 * 0.37).sin() * 0.1))
            .collect();
        let info = info(WeightDType::F16, &[rows, cols]);
        for bits in [Bits::Four, Bits::Eight] {
            for group in [GroupSize::Row, GroupSize::G32, GroupSize::G128] {
                let layout = PackedLayout {
                    rows,
                    cols,
                    bits,
                    group,
                };
                let stored = StoredTensor {
                    info: &info,
                    bytes: weights.iter().flat_map(|w| w.to_le_bytes()).collect(),
                };
                let whole = PackedMatrix::quantize_f16(layout, &weights).unwrap();
                assert_eq!(stored.quantize(layout).unwrap(), whole, "{layout:?}");
            }
        }
    }

    #[test]
    fn a_weight_that_is_not_finite_is_named_not_quantised() {
        for dtype in [WeightDType::F16, WeightDType::F32, WeightDType::BF16] {
            let mut bytes = vec![0; 32 * dtype.size()];
            let last = bytes.len() - 2;
            // All ones is NaN in every type.
            bytes[last - dtype.size() + 2..].fill(0xff);
            let info = info(dtype, &[1, 32]);
            let layout = PackedLayout {
                rows: 1,
                cols: 32,
                bits: Bits::Four,
                group: GroupSize::Row,
            };
            let stored = StoredTensor { info: &info, bytes };
            assert!(matches!(
                stored.quantize(layout),
                Err(Error::NonFinite { layer: Some(7), .. })
            ));
        }
    }
}
