//! Why the program ends early, in one sentence each.

use std::{io, path::PathBuf};

pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The library refused the checkpoint, an option or the code.
    #[error(transparent)]
    Model(#[from] glm_core::Error),
    #[error(
        "{} belongs to ChatGLM-6B, which does not complete code; use CodeGeeX2-6B (THUDM/codegeex2-6b)",
        path.display()
    )]
    OtherFamily { path: PathBuf },
    #[error(
        "the language `{name}` is not known; --language takes one of those that --languages lists"
    )]
    Language { name: String },
    #[error("cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} has no line {line}: it has {lines}", path.display())]
    NoLine {
        path: PathBuf,
        line: usize,
        lines: usize,
    },
    #[error("line {line} of {} has no column {column}: the last one is {last}", path.display())]
    NoColumn {
        path: PathBuf,
        line: usize,
        column: usize,
        last: usize,
    },
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    #[error("cannot write the completion: {0}")]
    Output(io::Error),
}

impl Error {
    /// The reader of standard output has gone away.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
