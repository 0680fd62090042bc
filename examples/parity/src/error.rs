//! Why a folder cannot be compared at all. A comparison that fails is no error but a [`crate::Check`].

use std::path::{Path, PathBuf};

use command_line::texts::{Tell, Texts};

/// The result of reading a folder.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this program. Messages are whole lower-case sentences.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to compare with.
    #[error("{} has no expected.json; the README of this program describes the layout", dir.display())]
    NoExpectations {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder is of a kind that this version has no checks for.
    #[error("not supported yet: {} {found}", path.display())]
    NotSupported {
        /// The folder, or the file that tells.
        path: PathBuf,
        /// What it is, as the rest of a sentence that starts with the path.
        found: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// `expected.json` does not follow the layout.
    #[error("{} does not follow the layout: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor of `expected.safetensors` is not what the layout asks for.
    #[error("tensor `{tensor}` in {} must be {expected}, found {found}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A folder whose files ask for no check.
    #[error("{} holds nothing that can be checked{with_format}", dir.display())]
    NothingToCheck {
        /// The folder.
        dir: PathBuf,
        /// " in format X" when only one format was asked for.
        with_format: String,
    },
    /// A checkpoint or a file of tensors cannot be loaded; the message names the file.
    #[error(transparent)]
    Model(glm_core::Error),
    /// The model was loaded, or would have been, but cannot run.
    #[error("the model in {} cannot run: {source}", dir.display())]
    Run {
        /// The folder.
        dir: PathBuf,
        /// Why not.
        source: Box<glm_core::Error>,
    },
    /// The parts of a quantised matrix do not fit together.
    #[error("the quantised matrix `{tensor}` in {} cannot be used: {source}", path.display())]
    Quantised {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        source: glm_quant::Error,
    },
}

impl Tell for Error {
    /// What is wrong with recorded results is told in English, as they are recorded.
    fn tell(&self, texts: &Texts) -> String {
        match self {
            Self::Model(error) => error.tell(texts),
            other => other.to_string(),
        }
    }
}

impl From<glm_core::Error> for Error {
    fn from(error: glm_core::Error) -> Self {
        match error {
            glm_core::Error::UnsupportedModel { path, found } => Self::NotSupported {
                path,
                found: format!("describes {found}"),
            },
            other => Self::Model(other),
        }
    }
}

impl Error {
    /// Adds the folder to an error that names no file.
    pub(crate) fn in_folder(self, dir: &Path) -> Self {
        use glm_core::Error as E;
        match self {
            Self::Model(
                source @ (E::InvalidOption { .. }
                | E::Prompt { .. }
                | E::PromptTooLong { .. }
                | E::Execution { .. }
                | E::Device(_)
                | E::NonFiniteLogits { .. }),
            ) => Self::Run {
                dir: dir.to_path_buf(),
                source: Box::new(source),
            },
            other => other,
        }
    }
}
