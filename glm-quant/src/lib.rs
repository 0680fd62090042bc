#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod int4;
mod int8;
mod packed;
pub mod reference;
mod rounding;

pub use error::{Error, Result};
pub use half;
pub use int4::Int4Matrix;
pub use int8::Int8Matrix;
pub use packed::{BLOCK_ROWS, Bits, COLUMN_ALIGNMENT, GroupSize, PackedLayout, PackedMatrix};
