#![doc = include_str!("../README.md")]
// Here, and nowhere else in the workspace.
#![allow(unsafe_code)]

#[cfg(feature = "tensor")]
mod block_ops;
pub mod cpu;
#[cfg(feature = "tensor")]
mod device;
mod error;
#[cfg(feature = "tensor")]
mod flex;
#[cfg(feature = "tensor")]
mod large_pages;
#[cfg(feature = "tensor")]
mod linear_ops;
mod mapped_file;
#[cfg(feature = "tensor")]
mod packed_weight;
#[cfg(feature = "tensor")]
mod portable;
#[cfg(feature = "tensor")]
mod spare_buffers;

#[cfg(feature = "tensor")]
pub use block_ops::{attention, gelu, layer_norm, rms_norm, scaled_add, swiglu};
pub use cpu::{Activations, CachePrecision};
#[cfg(feature = "tensor")]
pub use device::{DeviceName, set_cpu_threads};
pub use error::Error;
#[cfg(feature = "tensor")]
pub use large_pages::LargePages;
#[cfg(feature = "tensor")]
pub use linear_ops::{has_own_kernels, linear};
pub use mapped_file::MappedFile;
#[cfg(feature = "tensor")]
pub use packed_weight::PackedWeight;
