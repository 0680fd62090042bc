//! What can be wrong with a tokenizer folder or with a SentencePiece file.

mod phrase;

use std::path::PathBuf;

use crate::{Phrase, regular_file::FileKind};

/// Why a tokenizer could not be made. Every message names the file (or folder) it is about.
///
/// Encoding and decoding never fail; only reading the model file does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder holds no SentencePiece file under one of the known names.
    #[error("no SentencePiece file in `{}`: looked for `ice_text.model` and `tokenizer.model`", dir.display())]
    NotFound {
        /// The folder that was searched.
        dir: PathBuf,
    },

    /// The operating system refused to read the file or folder.
    #[error("cannot read `{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },

    /// Something else lies where the file should be.
    #[error("`{}` is {found}, expected a SentencePiece model in a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it leads to.
        found: FileKind,
    },

    /// The file has no bytes.
    #[error("`{file}` is empty, expected a SentencePiece model")]
    Empty {
        /// The file.
        file: String,
    },

    /// The file is the small text that Git LFS leaves in place of the real one.
    #[error(
        "`{file}` is a Git LFS pointer, not the model itself: fetch it with `git lfs pull` or download it again"
    )]
    LfsPointer {
        /// The file.
        file: String,
    },

    /// A size in the file is beyond what any published model needs.
    #[error("`{file}`: {what} is {found}, more than the limit of {limit}")]
    LimitExceeded {
        /// The file.
        file: String,
        /// Which size.
        what: Phrase,
        /// The size found.
        found: usize,
        /// The largest size accepted.
        limit: usize,
    },

    /// The file ends in the middle of a field.
    #[error(
        "`{file}` is truncated: {field} at byte {offset} needs {expected} bytes, {found} are left"
    )]
    Truncated {
        /// The file.
        file: String,
        /// The protobuf message or field being read.
        field: &'static str,
        /// Where the field starts, in bytes from the start of the file.
        offset: usize,
        /// Bytes the field says it has.
        expected: u64,
        /// Bytes there are.
        found: usize,
    },

    /// The bytes are not protobuf, so this is not a SentencePiece model.
    #[error("`{file}` is not a SentencePiece model: {problem} in {field} at byte {offset}")]
    Malformed {
        /// The file.
        file: String,
        /// The protobuf message or field being read.
        field: &'static str,
        /// Where, in bytes from the start of the file.
        offset: usize,
        /// What is wrong there.
        problem: Phrase,
    },

    /// A known field is stored in another form than the format says.
    #[error("`{file}`: {field} at byte {offset} has wire type {found}, expected {expected}")]
    WireType {
        /// The file.
        file: String,
        /// The protobuf field.
        field: &'static str,
        /// Where the field starts, in bytes from the start of the file.
        offset: usize,
        /// The wire type the format asks for.
        expected: u8,
        /// The wire type found.
        found: u8,
    },

    /// A piece of the vocabulary cannot be used.
    #[error("`{file}`: piece {id} {problem}")]
    BadPiece {
        /// The file.
        file: String,
        /// Index of the piece, which is its token id.
        id: usize,
        /// What is wrong with it.
        problem: Phrase,
    },

    /// The same piece occurs twice, so a text would have two encodings.
    #[error("`{file}`: pieces {first} and {second} are both `{piece}`")]
    DuplicatePiece {
        /// The file.
        file: String,
        /// The text of the piece.
        piece: String,
        /// Index of its first occurrence.
        first: usize,
        /// Index of another occurrence.
        second: usize,
    },

    /// A piece that this model family cannot do without is not in the file.
    #[error("`{file}` has no piece `{piece}`, {why}")]
    MissingPiece {
        /// The file.
        file: String,
        /// The text of the piece.
        piece: String,
        /// What it is needed for.
        why: Phrase,
    },

    /// The normaliser's compiled table is inconsistent.
    #[error("`{file}`: normalizer_spec.precompiled_charsmap {problem}")]
    Charsmap {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: Phrase,
    },

    /// A piece has the name of a special token that is added behind the pieces, so tokens cannot be told by name.
    #[error(
        "tokens {first} and {second} are both named `{piece}`, expected a name for each, by which the `tokenizers` crate knows them"
    )]
    AmbiguousPiece {
        /// The name.
        piece: String,
        /// Id of the piece.
        first: usize,
        /// Id of the special token.
        second: usize,
    },

    /// The stock parts of the crate `tokenizers` would give other ids than the official tokenizer.
    #[error("the stock parts of the `tokenizers` crate cannot express this tokenizer: {reason}")]
    NotStock {
        /// What they lack.
        reason: Phrase,
    },

    /// The crate `tokenizers` refused a part that was made for it.
    #[error("the `tokenizers` crate refuses the tokenizer: {0}")]
    HuggingFace(Box<dyn std::error::Error + Send + Sync>),

    /// A valid SentencePiece model of a kind that no ChatGLM model uses.
    #[error("`{file}`: {field} is {found}, expected {expected}")]
    Unsupported {
        /// The file.
        file: String,
        /// The protobuf field.
        field: &'static str,
        /// Its value.
        found: Phrase,
        /// The values that are supported.
        expected: Phrase,
    },
}
