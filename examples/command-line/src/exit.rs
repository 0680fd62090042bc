//! How a program ends.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::texts::Texts;

/// What became of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All was done: 0.
    Done,
    /// Something failed: 1.
    Failed,
    /// The command line asks for what cannot be; nothing was loaded: 2, as clap has it.
    WrongUsage,
}

impl Exit {
    /// The exit code, after a message on standard error.
    #[must_use]
    pub fn saying(self, message: &str) -> ExitCode {
        note(message);
        self.into()
    }
}

/// The exit code of a program whose report cannot be written. That nobody reads on (`… | head`) needs no message.
#[must_use]
pub fn unwritten(error: &io::Error, texts: &Texts) -> ExitCode {
    if error.kind() != io::ErrorKind::BrokenPipe {
        let reason = ("reason", error.to_string().into());
        let reason = texts.with("shared-cannot-write-report", [reason]);
        note(&texts.with("shared-error", [("reason", reason.into())]));
    }
    Exit::Failed.into()
}

impl From<&glm_core::Error> for Exit {
    /// An option that the library refuses is as wrong as one that is refused here.
    fn from(error: &glm_core::Error) -> Self {
        match error {
            glm_core::Error::InvalidOption { .. } => Self::WrongUsage,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::WrongUsage => 2,
        })
    }
}

/// Says something beside the results. A standard error that is closed is no reason to stop.
pub fn note(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}
