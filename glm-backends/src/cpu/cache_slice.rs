//! The keys or the values of a layer's cache, as slices of one of three element types.

use std::ops::Range;

use half::{f16, slice::HalfFloatSliceExt};

use super::{
    chunks::Parts,
    lanes::{LANES, Lanes, ROUND},
    prefetch::{Ahead, LINE, prefetch},
};

/// The keys or the values of one layer: `[batch, kv_heads, capacity, head_dim]`.
#[derive(Debug, Clone, Copy)]
pub enum CacheSlice<'a> {
    /// As they are computed.
    F32(&'a [f32]),
    /// Rounded to half precision.
    F16(&'a [f16]),
    /// 14-bit codes with one scale for each head of each token: `value = code · scale`, with codes up to ±8191.
    ///
    /// An element is off by at most 1/16382 of the row's largest value, about as much as with f16, in the same memory. Queries
    /// and weights become codes too, and attention multiplies integers: two products in the place of one.
    Int16 {
        /// `[batch, kv_heads, capacity, head_dim]`
        codes: &'a [i16],
        /// `[batch, kv_heads, capacity]`
        scales: &'a [f32],
    },
    /// 8-bit codes with one scale for each head of each token: `value = code · scale`.
    ///
    /// The largest value of a row gets the code ±127, so an element is off by at most half a step, `scale / 2`, which is
    /// 1/254 of the row's largest value. Attention over 128 to 2,048 tokens with normally distributed values differs from
    /// that over an f32 cache by 0.9 % of its norm; with f16 it is 0.03 %.
    Int8 {
        /// `[batch, kv_heads, capacity, head_dim]`
        codes: &'a [i8],
        /// `[batch, kv_heads, capacity]`
        scales: &'a [f16],
    },
}

/// [`CacheSlice`] to write to.
#[derive(Debug)]
pub enum CacheSliceMut<'a> {
    /// See [`CacheSlice::F32`].
    F32(&'a mut [f32]),
    /// See [`CacheSlice::F16`].
    F16(&'a mut [f16]),
    /// See [`CacheSlice::Int16`].
    Int16 {
        /// `[batch, kv_heads, capacity, head_dim]`
        codes: &'a mut [i16],
        /// `[batch, kv_heads, capacity]`
        scales: &'a mut [f32],
    },
    /// See [`CacheSlice::Int8`].
    Int8 {
        /// `[batch, kv_heads, capacity, head_dim]`
        codes: &'a mut [i8],
        /// `[batch, kv_heads, capacity]`
        scales: &'a mut [f16],
    },
}

/// The largest code of [`CacheSlice::Int16`].
pub(super) const LARGEST_CODE: i16 = 8191;

/// An expression with the elements of a [`CacheSlice`] that are multiplied as f32, of whichever type they are; INT8 codes
/// without their scales.
macro_rules! with_elements {
    ($cache:expr, |$all:ident| $expression:expr) => {
        match $cache {
            CacheSlice::F32($all) => $expression,
            CacheSlice::F16($all) => $expression,
            CacheSlice::Int16 { .. } => unreachable!("codes of 16 bits are multiplied as integers"),
            CacheSlice::Int8 { codes: $all, .. } => $expression,
        }
    };
}

pub(super) use with_elements;

impl<'a> CacheSlice<'a> {
    /// Some of the rows.
    pub(super) fn rows(self, rows: Range<usize>, head_dim: usize) -> Self {
        let values = rows.start * head_dim..rows.end * head_dim;
        match self {
            Self::F32(all) => Self::F32(&all[values]),
            Self::F16(all) => Self::F16(&all[values]),
            Self::Int16 { codes, scales } => Self::Int16 {
                codes: &codes[values],
                scales: &scales[rows],
            },
            Self::Int8 { codes, scales } => Self::Int8 {
                codes: &codes[values],
                scales: &scales[rows],
            },
        }
    }

    /// Where a row is, which need not exist.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn address(self, row: usize, head_dim: usize) -> *const u8 {
        match self {
            Self::Int16 { codes, .. } => codes.as_ptr().wrapping_add(row * head_dim).cast(),
            _ => with_elements!(self, |all| all.as_ptr().wrapping_add(row * head_dim).cast()),
        }
    }

    /// Asks for the scale of a row, where rows have any, and for those beside it; the row need not exist.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn prefetch_scale(self, row: usize) {
        match self {
            Self::F32(_) | Self::F16(_) => {}
            Self::Int16 { scales, .. } => prefetch(scales.as_ptr().wrapping_add(row)),
            Self::Int8 { scales, .. } => prefetch(scales.as_ptr().wrapping_add(row)),
        }
    }

    /// Some rows, which need not exist, to be asked for in `times` parts.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn ahead(self, rows: Range<usize>, head_dim: usize, times: usize) -> Ahead {
        let [start, end] = [rows.start, rows.end].map(|row| self.address(row, head_dim));
        Ahead::new(start, end as usize - start as usize, times)
    }

    /// The scale of a row, where rows have any.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn scale(self, row: usize) -> Option<f32> {
        match self {
            Self::F32(_) | Self::F16(_) => None,
            Self::Int16 { scales, .. } => Some(scales[row]),
            Self::Int8 { scales, .. } => Some(scales[row].to_f32()),
        }
    }

    /// Panics unless there are `rows` rows of `head_dim`.
    pub(super) fn check(&self, rows: usize, head_dim: usize) {
        let (values, scales) = match self {
            Self::F32(values) => (values.len(), rows),
            Self::F16(values) => (values.len(), rows),
            Self::Int16 { codes, scales } => (codes.len(), scales.len()),
            Self::Int8 { codes, scales } => (codes.len(), scales.len()),
        };
        check_lengths(values, scales, rows, head_dim);
    }
}

impl<'a> CacheSliceMut<'a> {
    /// A view that tasks write rows to, once there are known to be `rows` of `head_dim`.
    pub(super) fn rows(self, rows: usize, head_dim: usize) -> CacheRows<'a> {
        let (values, scales) = match &self {
            Self::F32(values) => (values.len(), rows),
            Self::F16(values) => (values.len(), rows),
            Self::Int16 { codes, scales } => (codes.len(), scales.len()),
            Self::Int8 { codes, scales } => (codes.len(), scales.len()),
        };
        check_lengths(values, scales, rows, head_dim);
        match self {
            Self::F32(values) => CacheRows::F32(Parts::new(values)),
            Self::F16(values) => CacheRows::F16(Parts::new(values)),
            Self::Int16 { codes, scales } => CacheRows::Int16 {
                codes: Parts::new(codes),
                scales: Parts::new(scales),
            },
            Self::Int8 { codes, scales } => CacheRows::Int8 {
                codes: Parts::new(codes),
                scales: Parts::new(scales),
            },
        }
    }
}

fn check_lengths(values: usize, scales: usize, rows: usize, head_dim: usize) {
    assert_eq!(
        values,
        rows * head_dim,
        "the cache has {rows} rows of {head_dim}"
    );
    assert_eq!(scales, rows, "a cache of codes has one scale per row");
}

/// The rows of a cache, written to by several tasks.
pub(super) enum CacheRows<'a> {
    F32(Parts<'a, f32>),
    F16(Parts<'a, f16>),
    Int16 {
        codes: Parts<'a, i16>,
        scales: Parts<'a, f32>,
    },
    Int8 {
        codes: Parts<'a, i8>,
        scales: Parts<'a, f16>,
    },
}

impl CacheRows<'_> {
    /// Asks for the memory of a row, which need not exist.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn ask_for(&self, row: usize, head_dim: usize) {
        let first = row * head_dim;
        match self {
            Self::F32(rows) => prefetch_row(rows, first, head_dim),
            Self::F16(rows) => prefetch_row(rows, first, head_dim),
            Self::Int16 { codes, scales } => {
                prefetch_row(codes, first, head_dim);
                prefetch(scales.address(row));
            }
            Self::Int8 { codes, scales } => {
                prefetch_row(codes, first, head_dim);
                prefetch(scales.address(row));
            }
        }
    }

    /// Stores `values` as row number `row`.
    ///
    /// # Safety
    /// Nobody else reads or writes this row meanwhile.
    ///
    /// # Panics
    /// If the cache does not have the row.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) unsafe fn write(&self, row: usize, values: &[f32]) {
        let range = row * values.len()..(row + 1) * values.len();
        // SAFETY: in all of them, nobody else has the row, as the caller promises.
        unsafe {
            match self {
                Self::F32(rows) => rows.part(range).copy_from_slice(values),
                Self::F16(rows) => rows.part(range).convert_from_f32_slice(values),
                Self::Int16 { codes, scales } => {
                    let scale = largest(values) / f32::from(LARGEST_CODE);
                    let bound = f32::from(LARGEST_CODE);
                    quantize(values, scale, bound, codes.part(range), |bits| bits as i16);
                    scales.part(row..row + 1)[0] = scale;
                }
                Self::Int8 { codes, scales } => {
                    let scale = f16::from_f32(largest(values) / 127.0);
                    let divisor = scale.to_f32();
                    quantize(values, divisor, 127.0, codes.part(range), |bits| bits as i8);
                    scales.part(row..row + 1)[0] = scale;
                }
            }
        }
    }
}

#[cfg_attr(not(unoptimised), inline(always))]
fn prefetch_row<T>(rows: &Parts<'_, T>, first: usize, len: usize) {
    for offset in (0..len).step_by(LINE / size_of::<T>()) {
        prefetch(rows.address(first + offset));
    }
}

/// `max |x|`, not a number where one of them is none.
#[cfg_attr(not(unoptimised), inline(always))]
fn largest(values: &[f32]) -> f32 {
    // The order of numbers above zero is that of their bits.
    let bits = values
        .iter()
        .fold(0, |largest, x| x.abs().to_bits().max(largest));
    f32::from_bits(bits)
}

/// `code = round(x / scale)` to even, between `-bound` and `bound`.
#[cfg_attr(not(unoptimised), inline(always))]
fn quantize<T>(
    values: &[f32],
    scale: f32,
    bound: f32,
    codes: &mut [T],
    from_low_bits: impl Fn(u32) -> T,
) {
    for (code, x) in codes.iter_mut().zip(values) {
        // The bounds matter where the scale was rounded down, and make a number of 0 / 0, which `clamp` does not.
        #[allow(clippy::manual_clamp)]
        let steps = (x / scale).max(-bound).min(bound);
        *code = from_low_bits((steps + ROUND).to_bits());
    }
}

/// An element of a cache, as lanes.
pub(super) trait Element: Copy + Default + Sync {
    fn load<L: Lanes>(lanes: L, values: &[Self; LANES]) -> L::Vector;

    /// The first up to 16 values of a slice, zero behind its end.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn load_part<L: Lanes>(lanes: L, values: &[Self]) -> L::Vector {
        match values.first_chunk() {
            Some(values) => Self::load(lanes, values),
            None => Self::load_tail(lanes, values),
        }
    }

    /// Fewer than 16 values, zero behind them.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn load_tail<L: Lanes>(lanes: L, values: &[Self]) -> L::Vector {
        let mut padded = [Self::default(); LANES];
        padded[..values.len()].copy_from_slice(values);
        Self::load(lanes, &padded)
    }
}

impl Element for f32 {
    #[cfg_attr(not(unoptimised), inline(always))]
    fn load<L: Lanes>(lanes: L, values: &[Self; LANES]) -> L::Vector {
        lanes.load(values)
    }
}

impl Element for f16 {
    #[cfg_attr(not(unoptimised), inline(always))]
    fn load<L: Lanes>(lanes: L, values: &[Self; LANES]) -> L::Vector {
        lanes.load_f16(values)
    }
}

impl Element for i8 {
    #[cfg_attr(not(unoptimised), inline(always))]
    fn load<L: Lanes>(lanes: L, values: &[Self; LANES]) -> L::Vector {
        lanes.load_i8(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantize(values: &[f32]) -> (Vec<i8>, f16) {
        let (mut codes, mut scales) = (vec![0; values.len()], [f16::ZERO]);
        let slice = CacheSliceMut::Int8 {
            codes: &mut codes,
            scales: &mut scales,
        };
        // SAFETY: there is no other task.
        unsafe { slice.rows(1, values.len()).write(0, values) };
        (codes, scales[0])
    }

    #[test]
    fn int8_rows_are_off_by_half_a_step_at_most() {
        for seed in 0..200 {
            let size = 10f32.powi(seed % 7 - 3);
            let values: Vec<f32> = (0..128)
                .map(|i| ((i * 37 + seed) as f32).sin() * size)
                .collect();
            let (codes, scale) = quantize(&values);
            for (x, code) in values.iter().zip(codes) {
                let found = f32::from(code) * scale.to_f32();
                // The scale is rounded to 11 bits (fewer below 2^-14), so 127 steps may end before the largest value.
                let bound = 0.5 * scale.to_f32() + size * 5e-4 + 127.0 * 3e-8;
                assert!(
                    (found - x).abs() <= bound,
                    "{x} became {found}, scale {scale}"
                );
            }
        }
    }

    #[test]
    fn int8_codes_of_simple_rows() {
        assert_eq!(
            quantize(&[127.0, -127.0, 0.5, 1.5, 2.5]),
            (vec![127, -127, 0, 2, 2], f16::ONE)
        );
        assert_eq!(quantize(&[0.0, 0.0]), (vec![-127, -127], f16::ZERO));
        // The scale becomes zero in f16, whatever the codes.
        assert_eq!(quantize(&[1e-9, -1e-9]).1, f16::ZERO);
    }

    #[test]
    #[should_panic(expected = "one scale per row")]
    fn missing_scales_are_refused() {
        CacheSlice::Int8 {
            codes: &[0; 8],
            scales: &[f16::ONE],
        }
        .check(2, 4);
    }
}
