//! A whole text from a file or from standard input. Pipes and devices are as good as files: no more than a number of bytes
//! is read of any.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    encoding::{Decoded, Encoding, Undecodable, decode},
    exit::note,
    texts::{Tell, Texts},
};

/// Longest question that is taken, in bytes: far above any model's context.
pub const MAX_QUESTION_BYTES: u64 = 1 << 20;

/// Where a text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// All of standard input.
    Input,
    /// A file, a named pipe, or a device.
    File(PathBuf),
}

impl Source {
    /// The file of this name; `-` is standard input.
    #[must_use]
    pub fn named(path: &Path) -> Self {
        match path == Path::new("-") {
            true => Self::Input,
            false => Self::File(path.to_path_buf()),
        }
    }

    /// The text, of at most `limit` bytes, in the encoding that is named or can be told ([`decode`]).
    ///
    /// # Errors
    /// [`Error`], with the name of the source.
    pub fn read(&self, limit: u64, encoding: Option<Encoding>) -> Result<Decoded, Error> {
        let bytes = self.bytes(limit).map_err(|source| Error::Read {
            name: self.clone(),
            source,
        })?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLong {
                name: self.clone(),
                limit,
            });
        }
        self.decoded(bytes, encoding)
    }

    /// The text of these bytes of it.
    ///
    /// # Errors
    /// As [`Self::read`], of the encoding.
    pub fn decoded(&self, bytes: Vec<u8>, encoding: Option<Encoding>) -> Result<Decoded, Error> {
        decode(bytes, encoding).map_err(|reason| {
            let name = self.clone();
            match reason {
                Undecodable::NotIn(encoding) => Error::NotInEncoding { name, encoding },
                Undecodable::Binary => Error::Binary { name },
                Undecodable::Unknown => Error::UnknownEncoding { name },
            }
        })
    }

    /// Says what the text was taken for, where nothing told it.
    pub fn note_guess(&self, read: &Decoded, texts: &Texts) {
        if let Some(encoding) = read.guessed {
            let name = ("name", self.tell(texts).into());
            let encoding = ("encoding", encoding.to_string().into());
            note(&texts.notice(&texts.with("shared-guessed-encoding", [name, encoding])));
        }
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

impl Tell for Source {
    /// Its name.
    fn tell(&self, texts: &Texts) -> String {
        match self {
            Self::Input => texts.get("shared-standard-input"),
            Self::File(path) => path.display().to_string(),
        }
    }
}

fn read_to(source: impl Read, limit: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    source.take(limit.saturating_add(1)).read_to_end(bytes)?;
    Ok(())
}

/// Why there is no text.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to open or read it.
    Read {
        /// The source.
        name: Source,
        /// The operating system's reason.
        source: io::Error,
    },
    /// It is too long.
    TooLong {
        /// The source.
        name: Source,
        /// Bytes that are taken.
        limit: u64,
    },
    /// Some of it is not in the encoding that it should be in.
    NotInEncoding {
        /// The source.
        name: Source,
        /// The one that was named, or that its byte-order mark says.
        encoding: Encoding,
    },
    /// It is another kind of file.
    Binary {
        /// The source.
        name: Source,
    },
    /// No encoding fits.
    UnknownEncoding {
        /// The source.
        name: Source,
    },
}

impl Tell for Error {
    fn tell(&self, texts: &Texts) -> String {
        let named = |name: &Source| ("name", name.tell(texts).into());
        match self {
            Self::Read { name, source } => {
                let reason = ("reason", source.to_string().into());
                texts.with("shared-cannot-read", [named(name), reason])
            }
            Self::TooLong { name, limit } => {
                let limit = ("limit", (*limit).into());
                texts.with("shared-text-too-long", [named(name), limit])
            }
            Self::NotInEncoding { name, encoding } => {
                let encoding = ("encoding", encoding.to_string().into());
                texts.with("shared-not-in-encoding", [named(name), encoding])
            }
            Self::Binary { name } => texts.with("shared-binary", [named(name)]),
            Self::UnknownEncoding { name } => texts.with("shared-encoding-not-told", [named(name)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::in_english;

    #[test]
    fn a_text_up_to_the_limit_is_read_and_a_longer_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("question.txt");
        fs::write(&file, "你好\n").unwrap();
        let source = Source::named(&file);
        assert_eq!(source.read(7, None).unwrap().text, "你好\n");
        let message = in_english(&source.read(6, None).unwrap_err());
        assert!(message.ends_with("question.txt has more than 6 bytes"));
        let message = in_english(&Source::named(dir.path()).read(6, None).unwrap_err());
        assert!(message.starts_with("cannot read "), "{message}");
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
