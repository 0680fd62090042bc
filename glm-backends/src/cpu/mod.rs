//! The kernels of the CPU, on slices: no tensors, no model. Every product and every other operation that costs time has
//! one file with its loops, written once per instruction set.

mod dot;
pub(crate) mod half_rows;
mod level;
pub mod pool;

pub use level::{CpuLevel, LevelError};
