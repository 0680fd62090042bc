//! Why something cannot be written where it was to be.

use std::fmt;

use glm_tokenizer::{Phrase, phrase};

/// What is in the way of an output, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Occupied {
    /// A file, which is replaced only when told to.
    File,
    /// A folder with something in it, whose files are replaced only when told to.
    Folder,
    /// The output would overwrite what it is made from.
    Source,
    /// The tokenizer that belongs beside the output would replace another one.
    OtherTokenizer,
    /// Another process writes the same file.
    BeingWritten,
}

impl From<Occupied> for Phrase {
    fn from(why: Occupied) -> Self {
        match why {
            Occupied::File => phrase!(
                "occupied-file",
                "exists already and is a file; remove it, give another name, or have it replaced (`--force`)",
            ),
            Occupied::Folder => phrase!(
                "occupied-folder",
                "exists already and is a folder with files in it; give another name, empty it, or have its files \
                 replaced (`--force`)"
            ),
            Occupied::Source => phrase!(
                "occupied-source",
                "is what the output is made from, or part of it; it is never overwritten, give another place",
            ),
            Occupied::OtherTokenizer => phrase!(
                "occupied-other-tokenizer",
                "exists already and is the tokenizer of another model; write to another folder, or move that file \
                 away"
            ),
            Occupied::BeingWritten => phrase!(
                "occupied-being-written",
                "is being written by another process; wait until that has ended"
            ),
        }
    }
}

impl fmt::Display for Occupied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Phrase::from(*self).fmt(f)
    }
}
