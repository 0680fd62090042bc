//! Errors as phrases, which other languages translate.

use glm_tokenizer::{Phrase, values};

use super::Error;

impl From<&Error> for Phrase {
    fn from(error: &Error) -> Self {
        let (id, values) = match error {
            Error::NotFound { path } => ("not-found", values![path]),
            _ => return Self::verbatim(error),
        };
        Self::new(id, error, values)
    }
}
