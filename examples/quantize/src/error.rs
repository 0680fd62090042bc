//! Why there is no quantised checkpoint.

use std::path::PathBuf;

use command_line::{
    exit::Exit,
    model, text,
    texts::{Tell, Texts},
};

#[derive(Debug)]
pub(crate) enum Error {
    /// The library refused the checkpoint or an option, or could not write.
    Model(glm_core::Error),
    /// There is no model where it was looked for.
    Opening(model::Error),
    /// The text to calibrate with cannot be read.
    Calibration(text::Error),
    /// The text to calibrate with has nothing but white space.
    NoText { path: PathBuf },
}

impl Error {
    /// How the program ends with it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Model(error) => error.into(),
            _ => Exit::Failed,
        }
    }
}

impl Tell for Error {
    fn tell(&self, texts: &Texts) -> String {
        match self {
            Self::Model(error) => error.tell(texts),
            Self::Opening(error) => error.tell(texts),
            Self::Calibration(error) => error.tell(texts),
            Self::NoText { path } => {
                let path = ("path", path.display().to_string().into());
                texts.with("quantize-no-text", [path])
            }
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
        Self::Calibration(error)
    }
}
