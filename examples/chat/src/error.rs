//! Why the program ends early, in one sentence each.

use std::{io, path::PathBuf};

use rustyline::error::ReadlineError;

/// What a checkpoint folder has to hold.
pub(crate) const LOOKED_FOR: &str = "config.json, ice_text.model, and the weights as model.safetensors, \
     model.safetensors.index.json, pytorch_model.bin or pytorch_model.bin.index.json";

pub(crate) type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The library refused the checkpoint, an option or a question.
    #[error(transparent)]
    Model(#[from] glm_core::Error),
    #[error(
        "there is no folder {}; --model takes the folder of a downloaded checkpoint, a ggml file, a quantised file, or the name ORG/NAME of a model to download",
        path.display()
    )]
    NoFolder { path: PathBuf },
    #[error("{} is not a checkpoint folder: it has no config.json; looked for {LOOKED_FOR}", path.display())]
    NoConfig { path: PathBuf },
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
    /// The reader of standard output has gone away.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
