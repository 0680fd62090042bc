//! Memory for keys and values in every precision, and values to fill it with.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use glm_backends::cpu::{CacheSlice, CacheSliceMut};
use half::f16;
use proptest::prelude::*;

/// Repeatable values between -1 and 1.
pub(crate) fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    F32,
    F16,
    Int16,
    Int8,
}

pub(crate) const PRECISIONS: [Precision; 4] = [
    Precision::F32,
    Precision::F16,
    Precision::Int16,
    Precision::Int8,
];

/// Keys or values with the memory behind them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cache {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Int16(Vec<i16>, Vec<f32>),
    Int8(Vec<i8>, Vec<f16>),
}

impl Cache {
    /// Nothing but values that would show: NaN where the type has one.
    pub(crate) fn new(precision: Precision, rows: usize, head_dim: usize) -> Self {
        match precision {
            Precision::F32 => Self::F32(vec![f32::NAN; rows * head_dim]),
            Precision::F16 => Self::F16(vec![f16::NAN; rows * head_dim]),
            Precision::Int16 => Self::Int16(vec![i16::MIN; rows * head_dim], vec![f32::NAN; rows]),
            Precision::Int8 => Self::Int8(vec![-128; rows * head_dim], vec![f16::NAN; rows]),
        }
    }

    pub(crate) fn fill(&mut self, row: usize, head_dim: usize, values: &[f32]) {
        let here = row * head_dim..(row + 1) * head_dim;
        match self {
            Self::F32(rows) => rows[here].copy_from_slice(values),
            Self::F16(rows) => {
                for (to, from) in rows[here].iter_mut().zip(values) {
                    *to = f16::from_f32(*from);
                }
            }
            Self::Int16(codes, scales) => {
                scales[row] = 1.0 / 8191.0;
                for (to, from) in codes[here].iter_mut().zip(values) {
                    *to = (from * 8191.0) as i16;
                }
            }
            Self::Int8(codes, scales) => {
                scales[row] = f16::from_f32(1.0 / 127.0);
                for (to, from) in codes[here].iter_mut().zip(values) {
                    *to = (from * 127.0) as i8;
                }
            }
        }
    }

    /// How far attention over it may be from the formula, where values are below 1.
    pub(crate) fn tolerance(&self) -> f64 {
        match self {
            // Of a query up to 4 with 144 values a code is up to 1.1e-3: the sum of all of them has 18 bits. So a score is off
            // by 1.8e-4 (the standard deviation), and a result of two equal weights and opposite values by 1.3e-4: this is
            // five of those, for the largest of some ten thousand results.
            Self::Int16(..) => 6e-4,
            // Sums of some hundred products in f32.
            _ => 1e-5,
        }
    }

    pub(crate) fn get(&self, index: usize, head_dim: usize) -> f64 {
        match self {
            Self::F32(values) => f64::from(values[index]),
            Self::F16(values) => f64::from(values[index]),
            Self::Int16(codes, scales) => {
                f64::from(codes[index]) * f64::from(scales[index / head_dim])
            }
            Self::Int8(codes, scales) => {
                f64::from(codes[index]) * f64::from(scales[index / head_dim])
            }
        }
    }

    pub(crate) fn slice(&self) -> CacheSlice<'_> {
        match self {
            Self::F32(values) => CacheSlice::F32(values),
            Self::F16(values) => CacheSlice::F16(values),
            Self::Int16(codes, scales) => CacheSlice::Int16 { codes, scales },
            Self::Int8(codes, scales) => CacheSlice::Int8 { codes, scales },
        }
    }

    /// Some of the rows.
    pub(crate) fn rows(&self, rows: Vec<usize>, head_dim: usize) -> Self {
        fn of<T: Copy>(values: &[T], rows: &[usize], width: usize) -> Vec<T> {
            let row = |row: &usize| values[row * width..][..width].to_vec();
            rows.iter().flat_map(row).collect()
        }
        match self {
            Self::F32(values) => Self::F32(of(values, &rows, head_dim)),
            Self::F16(values) => Self::F16(of(values, &rows, head_dim)),
            Self::Int16(codes, scales) => {
                Self::Int16(of(codes, &rows, head_dim), of(scales, &rows, 1))
            }
            Self::Int8(codes, scales) => {
                Self::Int8(of(codes, &rows, head_dim), of(scales, &rows, 1))
            }
        }
    }

    pub(crate) fn slice_mut(&mut self) -> CacheSliceMut<'_> {
        match self {
            Self::F32(values) => CacheSliceMut::F32(values),
            Self::F16(values) => CacheSliceMut::F16(values),
            Self::Int16(codes, scales) => CacheSliceMut::Int16 { codes, scales },
            Self::Int8(codes, scales) => CacheSliceMut::Int8 { codes, scales },
        }
    }
}

pub(crate) fn precisions() -> impl Strategy<Value = Precision> {
    prop::sample::select(PRECISIONS.to_vec())
}
