//! Errors as phrases, which other languages translate.

use super::Error;
use crate::{Phrase, Value, phrase, protobuf, values};

impl From<&Error> for Phrase {
    fn from(error: &Error) -> Self {
        let (id, values) = match error {
            Error::NotFound { dir } => ("tokenizer-not-found", values![dir]),
            Error::Io { path, source } => ("tokenizer-io", values![path, source]),
            Error::NotAFile { path, found } => ("tokenizer-not-a-file", values![path, found]),
            Error::Empty { file } => ("tokenizer-empty", values![file]),
            Error::LfsPointer { file } => ("tokenizer-lfs-pointer", values![file]),
            Error::LimitExceeded {
                file,
                what,
                found,
                limit,
            } => (
                "tokenizer-limit-exceeded",
                values![file, what, found, limit],
            ),
            Error::Truncated {
                file,
                field,
                offset,
                expected,
                found,
            } => (
                "tokenizer-truncated",
                values![file, field = part(field), offset, expected, found],
            ),
            Error::Malformed {
                file,
                field,
                offset,
                problem,
            } => (
                "tokenizer-malformed",
                values![file, field = part(field), offset, problem],
            ),
            Error::WireType {
                file,
                field,
                offset,
                expected,
                found,
            } => (
                "tokenizer-wire-type",
                values![file, field = part(field), offset, expected, found],
            ),
            Error::BadPiece { file, id, problem } => {
                ("tokenizer-bad-piece", values![file, id, problem])
            }
            Error::DuplicatePiece {
                file,
                piece,
                first,
                second,
            } => (
                "tokenizer-duplicate-piece",
                values![file, piece, first, second],
            ),
            Error::MissingPiece { file, piece, why } => {
                ("tokenizer-missing-piece", values![file, piece, why])
            }
            Error::Charsmap { file, problem } => ("tokenizer-charsmap", values![file, problem]),
            Error::AmbiguousPiece {
                piece,
                first,
                second,
            } => ("tokenizer-ambiguous-piece", values![piece, first, second]),
            Error::NotStock { reason } => ("tokenizer-not-stock", values![reason]),
            Error::HuggingFace(source) => (
                "tokenizer-hugging-face",
                values![source = source.to_string()],
            ),
            Error::Unsupported {
                file,
                field,
                found,
                expected,
            } => (
                "tokenizer-unsupported",
                values![file, field, found, expected],
            ),
        };
        Self::new(id, error, values)
    }
}

/// A part of the file, by its name in the format.
fn part(field: &str) -> Value {
    match field {
        protobuf::WHOLE => phrase!("protobuf-whole", "the model").into(),
        field => field.into(),
    }
}
