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

use std::process::ExitCode;

/// What a program ends with; an error is told on the way.
#[must_use]
pub fn exit_code(result: Result<(), Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
