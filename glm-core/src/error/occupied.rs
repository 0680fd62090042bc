//! Why something cannot be written where it was to be.

use std::fmt;

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

impl fmt::Display for Occupied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => {
                "exists already and is a file; remove it, give another name, or have it replaced (`--force`)"
            }
            Self::Folder => {
                "exists already and is a folder with files in it; give another name, empty it, or have its files replaced (`--force`)"
            }
            Self::Source => {
                "is what the output is made from, or part of it; it is never overwritten, give another place"
            }
            Self::OtherTokenizer => {
                "exists already and is the tokenizer of another model; write to another folder, or move that file away"
            }
            Self::BeingWritten => {
                "is being written by another process; wait until that has ended"
            }
        })
    }
}
