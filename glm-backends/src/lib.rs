#![doc = include_str!("../README.md")]

pub mod cpu;
#[cfg(feature = "tensor")]
mod device;
#[cfg(feature = "tensor")]
mod error;
#[cfg(feature = "tensor")]
mod flex;
#[cfg(feature = "tensor")]
mod linear_ops;
#[cfg(feature = "tensor")]
mod portable;

#[cfg(feature = "tensor")]
pub use device::{DeviceName, set_cpu_threads};
#[cfg(feature = "tensor")]
pub use error::Error;
#[cfg(feature = "tensor")]
pub use linear_ops::{int4_linear, int8_linear, linear};
