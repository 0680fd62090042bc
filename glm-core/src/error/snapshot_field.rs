//! The parts of a snapshot that are checked.

use std::fmt;

use glm_tokenizer::{Phrase, phrase};

/// What of a snapshot ([`Prefix::save`](crate::prefix_cache::Prefix::save)) is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotField {
    /// The first bytes: it is another kind of file.
    Beginning,
    /// The version of the format.
    Version,
    /// The precision of keys and values.
    Precision,
    /// The length of the file: it is cut off, or goes on behind its end.
    Length,
    /// The digest of the model: another one, or one that computes in another way, has read the tokens.
    Model,
    /// The checksum: the file is damaged.
    Checksum,
    /// The token ids.
    Tokens,
}

impl From<SnapshotField> for Phrase {
    fn from(field: SnapshotField) -> Self {
        match field {
            SnapshotField::Beginning => phrase!("snapshot-field-beginning", "beginning"),
            SnapshotField::Version => phrase!("snapshot-field-version", "format version"),
            SnapshotField::Precision => {
                phrase!("snapshot-field-precision", "precision of keys and values")
            }
            SnapshotField::Length => phrase!("snapshot-field-length", "length"),
            SnapshotField::Model => phrase!("snapshot-field-model", "digest of the model"),
            SnapshotField::Checksum => phrase!("snapshot-field-checksum", "checksum"),
            SnapshotField::Tokens => phrase!("snapshot-field-tokens", "list of tokens"),
        }
    }
}

impl fmt::Display for SnapshotField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Phrase::from(*self).fmt(f)
    }
}
