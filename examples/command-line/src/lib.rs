#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod arguments;
pub mod coverage;
pub mod duration;
pub mod encoding;
pub mod exit;
mod help;
mod language;
pub mod lines;
#[cfg(feature = "model")]
pub mod model;
pub mod report;
pub mod text;
pub mod texts;
mod usage;
mod wrap;
