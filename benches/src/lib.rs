#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod arguments;
mod calendar;
mod error;
pub mod machine;
mod matrices;
pub mod measurement;
pub mod model_source;
mod peak_memory;
pub mod random_prompt;
pub mod report;
pub mod statistics;
pub mod table;

pub use error::Error;
