//! Keys and values as bytes, to be kept in a file.

use half::f16;

use super::cache_slice::{CacheSlice, CacheSliceMut};

impl CacheSlice<'_> {
    /// The bytes of all values, little-endian; of INT8 and INT16 the codes, then the scales.
    #[must_use]
    pub fn to_le_bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F16(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::Int16 { codes, scales } => {
                let codes = codes.iter().flat_map(|code| code.to_le_bytes());
                let scales = scales.iter().flat_map(|scale| scale.to_le_bytes());
                codes.chain(scales).collect()
            }
            Self::Int8 { codes, scales } => {
                let codes = codes.iter().flat_map(|code| code.to_le_bytes());
                let scales = scales.iter().flat_map(|scale| scale.to_le_bytes());
                codes.chain(scales).collect()
            }
        }
    }
}

impl CacheSliceMut<'_> {
    /// Takes all values from the bytes of [`CacheSlice::to_le_bytes`].
    ///
    /// # Panics
    /// If there are more or fewer bytes.
    pub fn copy_from_le_bytes(self, bytes: &[u8]) {
        match self {
            Self::F32(values) => fill(values, bytes, f32::from_le_bytes),
            Self::F16(values) => fill(values, bytes, f16::from_le_bytes),
            Self::Int16 { codes, scales } => {
                let (code_bytes, scale_bytes) = bytes.split_at(2 * codes.len());
                fill(codes, code_bytes, i16::from_le_bytes);
                fill(scales, scale_bytes, f32::from_le_bytes);
            }
            Self::Int8 { codes, scales } => {
                let (code_bytes, scale_bytes) = bytes.split_at(codes.len());
                fill(codes, code_bytes, i8::from_le_bytes);
                fill(scales, scale_bytes, f16::from_le_bytes);
            }
        }
    }
}

fn fill<T, const N: usize>(values: &mut [T], bytes: &[u8], value: impl Fn([u8; N]) -> T) {
    let (bytes, rest) = bytes.as_chunks::<N>();
    assert!(
        bytes.len() == values.len() && rest.is_empty(),
        "{N} bytes for each of {} values",
        values.len()
    );
    for (to, from) in values.iter_mut().zip(bytes) {
        *to = value(*from);
    }
}
