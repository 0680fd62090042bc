//! Why the program ends early, in one sentence each.

use std::{io, path::PathBuf};

use command_line::exit::Exit;

pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The library refused the checkpoint, an option or the code.
    #[error(transparent)]
    Model(#[from] glm_core::Error),
    /// There is no model where it was looked for.
    #[error(transparent)]
    Opening(#[from] command_line::model::Error),
    /// There is no code where it was looked for.
    #[error(transparent)]
    Code(#[from] command_line::text::Error),
    #[error(
        "{} belongs to ChatGLM-6B, which does not complete code; use CodeGeeX2-6B (THUDM/codegeex2-6b)",
        path.display()
    )]
    OtherFamily { path: PathBuf },
    #[error(
        "the language `{name}` is not known; --language takes one of those that --languages lists"
    )]
    Language { name: String },
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
    /// How the program ends with it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Model(error) => error.into(),
            _ => Exit::Failed,
        }
    }

    /// The reader of standard output has gone away.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
