//! The parts of a snapshot that are checked.

use std::fmt;

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

impl fmt::Display for SnapshotField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Beginning => "beginning",
            Self::Version => "format version",
            Self::Precision => "precision of keys and values",
            Self::Length => "length",
            Self::Model => "digest of the model",
            Self::Checksum => "checksum",
            Self::Tokens => "list of tokens",
        })
    }
}
