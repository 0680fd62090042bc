//! Why the program ends early, in one sentence each.

use std::io;

use command_line::{encoding::Encoding, exit::Exit};
use rustyline::error::ReadlineError;

pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The library refused the checkpoint, an option or a question.
    #[error(transparent)]
    Model(#[from] glm_core::Error),
    /// There is no model where it was looked for.
    #[error(transparent)]
    Opening(#[from] command_line::model::Error),
    /// There is no question where it was looked for.
    #[error(transparent)]
    Question(#[from] command_line::text::Error),
    #[error("there is no question in {name}")]
    NoQuestion { name: String },
    #[error("the question is empty")]
    EmptyQuestion,
    #[error(
        "there is no blank in the text of --infill: write [MASK] for a few words, [sMASK] for sentences, or [gMASK] for a passage"
    )]
    NoBlank,
    #[error(
        "ChatGLM2-6B and its relatives have not learned to fill blanks; use --infill with ChatGLM-6B, or ask with --once"
    )]
    NoInfilling,
    #[error(
        "questions in {encoding} cannot be taken line by line; give one with --file or --once -"
    )]
    NoLines { encoding: Encoding },
    #[error(
        "--num-return-sequences asks for several answers, but greedy decoding (--greedy or --temperature 0) has only one; sample, or add --num-beams"
    )]
    SameAnswers,
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    #[error("cannot write the answer: {0}")]
    Output(io::Error),
    #[error("cannot read from the terminal: {0}")]
    Terminal(#[from] ReadlineError),
    #[error("cannot watch for ctrl-c: {0}")]
    Interrupt(#[from] ctrlc::Error),
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
