#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod ggml_block;
pub mod gptq;
mod group_scale;
mod int4;
mod int8;
mod layout;
mod official_form;
mod official_rounding;
mod packed;
pub mod reference;
mod round_to_nearest;
mod row_block;

pub use error::{Error, Result};
pub use ggml_block::GgmlBlock;
pub use half;
pub use int4::Int4Matrix;
pub use int8::Int8Matrix;
pub use layout::{BLOCK_ROWS, Bits, COLUMN_ALIGNMENT, GroupSize, PackedLayout};
pub use packed::PackedMatrix;
pub use round_to_nearest::PackedWriter;
