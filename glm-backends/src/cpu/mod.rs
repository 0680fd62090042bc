//! The kernels of the CPU, on slices: no tensors, no model. Every product and every other operation that costs time has
//! one file with its loops, written once per instruction set.

mod attention;
mod cache_bytes;
mod cache_slice;
mod chunks;
#[cfg(feature = "tensor")]
mod dot;
mod exp;
mod gelu;
#[cfg(feature = "tensor")]
pub(crate) mod half_rows;
mod kv_buffers;
mod lanes;
mod layer_norm;
mod level;
pub mod machine_peak;
mod packed;
mod pool;
mod prefetch;
mod rotary;
mod scaled_add;
mod shares;
mod swiglu;

pub use attention::{Span, attention, attention_at};
pub use cache_slice::{CacheSlice, CacheSliceMut};
pub use gelu::{gelu, gelu_at};
pub use kv_buffers::{CachePrecision, KvBuffers};
pub use layer_norm::{layer_norm, layer_norm_at, rms_norm, rms_norm_at};
pub use level::{CpuLevel, LevelError};
pub use packed::{
    Activations, PackedView, packed_dequantize, packed_linear, packed_linear_at, packed_row,
};
pub use pool::{ThreadsError, set_threads, threads};
#[cfg(feature = "tensor")]
pub(crate) use prefetch::LINE;
pub use rotary::{HeadOffsets, QkvLayout, RotaryPairs, Step, rotary_append, rotary_append_at};
pub use scaled_add::{scaled_add, scaled_add_at};
pub use swiglu::{swiglu, swiglu_at};
