//! Why the program ends early, in one sentence each.

use std::io;

use command_line::{
    encoding::Encoding,
    exit::Exit,
    model,
    text::{self, Source},
    texts::{Tell, Texts},
};
use rustyline::error::ReadlineError;

pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
pub(crate) enum Error {
    /// The library refused the checkpoint, an option or a question.
    Model(glm_core::Error),
    /// There is no model where it was looked for.
    Opening(model::Error),
    /// There is no question where it was looked for.
    Question(text::Error),
    /// The source has nothing but white space.
    NoQuestion(Source),
    /// The question on the command line has nothing but white space.
    EmptyQuestion,
    /// The text to fill has no blank.
    NoBlank,
    /// The model does not fill blanks.
    NoInfilling,
    /// Lines cannot be told in this encoding.
    NoLines(Encoding),
    /// Several answers that would be the same.
    SameAnswers,
    Input(io::Error),
    Output(io::Error),
    Terminal(ReadlineError),
    Interrupt(ctrlc::Error),
}

impl Tell for Error {
    fn tell(&self, texts: &Texts) -> String {
        let because =
            |id, reason: &dyn ToString| texts.with(id, [("reason", reason.to_string().into())]);
        match self {
            Self::Model(error) => error.tell(texts),
            Self::Opening(error) => error.tell(texts),
            Self::Question(error) => error.tell(texts),
            Self::NoQuestion(source) => {
                texts.with("chat-no-question", [("name", source.tell(texts).into())])
            }
            Self::EmptyQuestion => texts.get("chat-empty-question"),
            Self::NoBlank => texts.get("chat-no-blank"),
            Self::NoInfilling => texts.get("chat-no-infilling"),
            Self::NoLines(encoding) => {
                texts.with("chat-no-lines", [("encoding", encoding.to_string().into())])
            }
            Self::SameAnswers => texts.get("chat-same-answers"),
            Self::Input(reason) => because("shared-cannot-read-input", reason),
            Self::Output(reason) => because("chat-cannot-write", reason),
            Self::Terminal(reason) => because("chat-cannot-read-terminal", reason),
            Self::Interrupt(reason) => because("chat-cannot-watch", reason),
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
        Self::Question(error)
    }
}

impl From<ReadlineError> for Error {
    fn from(error: ReadlineError) -> Self {
        Self::Terminal(error)
    }
}

impl From<ctrlc::Error> for Error {
    fn from(error: ctrlc::Error) -> Self {
        Self::Interrupt(error)
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
