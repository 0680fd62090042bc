//! Why the program ends early, in one sentence each.

use std::{
    io,
    path::{Path, PathBuf},
};

use command_line::{
    exit::Exit,
    model, text,
    texts::{Tell, Texts},
};

pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub(crate) enum Error {
    /// The library refused the checkpoint, an option or the code.
    Model(glm_core::Error),
    /// There is no model where it was looked for.
    Opening(model::Error),
    /// There is no code where it was looked for.
    Code(text::Error),
    /// The model does not complete code.
    OtherFamily {
        path: PathBuf,
    },
    /// No language has this name.
    Language {
        name: String,
    },
    /// The file has fewer lines.
    NoLine {
        path: PathBuf,
        line: usize,
        lines: usize,
    },
    /// The line has fewer columns.
    NoColumn {
        path: PathBuf,
        line: usize,
        column: usize,
        last: usize,
    },
    Input(io::Error),
    Output(io::Error),
}

impl Tell for Error {
    fn tell(&self, texts: &Texts) -> String {
        let path = |path: &Path| ("path", path.display().to_string().into());
        let because =
            |id, reason: &io::Error| texts.with(id, [("reason", reason.to_string().into())]);
        match self {
            Self::Model(error) => error.tell(texts),
            Self::Opening(error) => error.tell(texts),
            Self::Code(error) => error.tell(texts),
            Self::OtherFamily { path: model } => {
                texts.with("complete-code-other-family", [path(model)])
            }
            Self::Language { name } => texts.with(
                "complete-code-no-language",
                [("name", name.as_str().into())],
            ),
            Self::NoLine {
                path: file,
                line,
                lines,
            } => {
                let numbers = [("line", (*line).into()), ("lines", (*lines).into())];
                texts.with(
                    "complete-code-no-line",
                    [path(file)].into_iter().chain(numbers),
                )
            }
            Self::NoColumn {
                path: file,
                line,
                column,
                last,
            } => {
                let numbers = [("line", *line), ("column", *column), ("last", *last)];
                let numbers = numbers.map(|(name, number)| (name, number.into()));
                texts.with(
                    "complete-code-no-column",
                    [path(file)].into_iter().chain(numbers),
                )
            }
            Self::Input(reason) => because("shared-cannot-read-input", reason),
            Self::Output(reason) => because("complete-code-cannot-write", reason),
        }
    }
}

impl From<glm_core::Error> for Error {
    fn from(error: glm_core::Error) -> Self {
        Self::Model(error)
    }
}

impl From<model::Error> for Error {
    fn from(error: model::Error) -> Self {
        Self::Opening(error)
    }
}

impl From<text::Error> for Error {
    fn from(error: text::Error) -> Self {
        Self::Code(error)
    }
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
