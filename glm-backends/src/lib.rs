#![doc = include_str!("../README.md")]

mod cpu;
mod device;
mod error;
mod flex;
mod linear_ops;
mod portable;

pub use device::{DeviceName, set_cpu_threads};
pub use error::Error;
pub use linear_ops::{int4_linear, int8_linear, linear};
