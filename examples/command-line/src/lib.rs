#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod arguments;
pub mod encoding;
pub mod exit;
pub mod lines;
#[cfg(feature = "model")]
pub mod model;
pub mod text;
