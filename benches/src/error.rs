//! What can keep a measurement from happening.

use std::{io, process::ExitStatus};

/// An error of the measuring program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A random model of a size that is not known.
    #[error("there is no random model `{name}`, but {known}")]
    UnknownRandomModel {
        /// The name behind `random:`.
        name: String,
        /// Those there are.
        known: String,
    },
    /// The model is of a family whose matrices this program does not know.
    #[error("the matrices of this model cannot be measured one by one: {reason}")]
    Matrices {
        /// What was found.
        reason: String,
    },
    /// A prompt or cache that the model has no tokens for.
    #[error("the vocabulary of the model is too small for a random prompt")]
    Vocabulary,
    /// A faster way to write a text has changed it, which it must not.
    #[error("the faster way has written another text than the plain one")]
    TextDiffers,
    /// A line that asks for tokens holds no number of them.
    #[error("`{line}` is no number of tokens to write")]
    Tokens {
        /// The line.
        line: String,
    },
    /// There is no room for the memory that plain reading is measured with.
    #[error("no room for {bytes} bytes to measure plain reading with: {source}")]
    ReadBuffer {
        /// Its size.
        bytes: usize,
        /// The system's answer.
        source: io::Error,
    },
    /// An error of the library.
    #[error(transparent)]
    Model(#[from] glm_core::Error),
    /// The number of threads cannot be set.
    #[error(transparent)]
    Device(#[from] glm_backends::Error),
    /// `GLM_CPU_LEVEL` cannot be followed.
    #[error(transparent)]
    Level(#[from] glm_backends::cpu::LevelError),
    /// The program could not run itself for one of the numbers of threads.
    #[error("cannot start the program for {threads} threads: {source}")]
    Start {
        /// The number.
        threads: usize,
        /// The system's answer.
        source: io::Error,
    },
    /// The program failed for one of the numbers of threads; it has said why.
    #[error("the measurement with {threads} threads failed: {status}")]
    Run {
        /// The number.
        threads: usize,
        /// How it ended.
        status: ExitStatus,
    },
    /// A report cannot be written, or what the program printed is none.
    #[error("a report is not what it should be: {0}")]
    Report(#[from] serde_json::Error),
    /// The terminal or pipe is gone.
    #[error("cannot write the report: {0}")]
    Write(#[from] io::Error),
}
