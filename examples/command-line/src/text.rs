//! A whole text from a file or from standard input. Pipes and devices are as good as files: no more than a number of bytes
//! is read of any.

use std::{
    fmt, fs,
    io::{self, Read},
    path::Path,
};

use crate::encoding::{Decoded, Encoding, Undecodable, decode};

/// Longest question that is taken, in bytes: far above any model's context.
pub const MAX_QUESTION_BYTES: u64 = 1 << 20;

/// Where a text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// All of standard input.
    Input,
    /// A file, a named pipe, or a device.
    File(&'a Path),
}

impl<'a> Source<'a> {
    /// The file of this name; `-` is standard input.
    #[must_use]
    pub fn named(path: &'a Path) -> Self {
        match path == Path::new("-") {
            true => Self::Input,
            false => Self::File(path),
        }
    }

    /// The text, of at most `limit` bytes, in the encoding that is named or can be told ([`decode`]).
    ///
    /// # Errors
    /// [`Error`], with the name of the source.
    pub fn read(&self, limit: u64, encoding: Option<Encoding>) -> Result<Decoded, Error> {
        let name = || self.to_string();
        let bytes = self.bytes(limit).map_err(|source| Error::Read {
            name: name(),
            source,
        })?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLong {
                name: name(),
                limit,
            });
        }
        decoded(self, bytes, encoding)
    }

    /// Up to one byte more than `limit`.
    fn bytes(&self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self {
            Self::Input => read_to(io::stdin().lock(), limit, &mut bytes)?,
            Self::File(path) => read_to(fs::File::open(path)?, limit, &mut bytes)?,
        }
        Ok(bytes)
    }
}

/// The text of the bytes of what is called `name`.
///
/// # Errors
/// As [`Source::read`], of the encoding.
pub fn decoded(
    name: &dyn fmt::Display,
    bytes: Vec<u8>,
    encoding: Option<Encoding>,
) -> Result<Decoded, Error> {
    decode(bytes, encoding).map_err(|reason| {
        let name = name.to_string();
        match reason {
            Undecodable::NotIn(encoding) => Error::NotInEncoding { name, encoding },
            Undecodable::Binary => Error::Binary { name },
            Undecodable::Unknown => Error::UnknownEncoding { name },
        }
    })
}

fn read_to(source: impl Read, limit: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    source.take(limit.saturating_add(1)).read_to_end(bytes)?;
    Ok(())
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to open or read it.
    #[error("cannot read {name}: {source}")]
    Read {
        /// Of the source.
        name: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// It is too long.
    #[error("{name} has more than {limit} bytes")]
    TooLong {
        /// Of the source.
        name: String,
        /// Bytes that are taken.
        limit: u64,
    },
    /// Some of it is not in the encoding that it should be in.
    #[error("{name} is not text in {encoding}; --encoding names another encoding")]
    NotInEncoding {
        /// Of the source.
        name: String,
        /// The one that was named, or that its byte-order mark says.
        encoding: Encoding,
    },
    /// It is another kind of file.
    #[error(
        "{name} is no text: it holds zero bytes; text in UTF-16 has them, --encoding utf-16le names it"
    )]
    Binary {
        /// Of the source.
        name: String,
    },
    /// No encoding fits.
    #[error("{name} is not UTF-8, and its encoding cannot be told; --encoding names it")]
    UnknownEncoding {
        /// Of the source.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_up_to_the_limit_is_read_and_a_longer_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("question.txt");
        fs::write(&file, "你好\n").unwrap();
        let source = Source::named(&file);
        assert_eq!(source.read(7, None).unwrap().text, "你好\n");
        let message = source.read(6, None).unwrap_err().to_string();
        assert!(message.ends_with("question.txt has more than 6 bytes"));
        let message = Source::named(dir.path()).read(6, None).unwrap_err();
        assert!(message.to_string().starts_with("cannot read "), "{message}");
        assert_eq!(Source::named(Path::new("-")), Source::Input);
    }

    #[cfg(unix)]
    #[test]
    fn endless_devices_end_at_the_limit() {
        for device in ["/dev/zero", "/dev/urandom"] {
            let refused = Source::named(Path::new(device)).read(1 << 16, None);
            assert!(matches!(refused, Err(Error::TooLong { .. })), "{refused:?}");
        }
    }
}
