//! Opening and reading what a user names as a file, without trusting that it is one.
//!
//! Opening a FIFO waits for a writer that may never come, `/dev/zero` has no end, and opening a device can set something
//! in motion. So [`open`] takes regular files only, and [`read`] takes no more bytes than a file of its kind can have,
//! whatever length the system reports: a file in `/proc` reports none, a growing file less than it has. Symbolic links
//! are followed; the Hugging Face cache consists of them.

use std::{
    fmt,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, BufRead, Read},
    path::Path,
};

use crate::{Phrase, phrase};

/// Why a file could not be opened or read. The path is left to the caller's own error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// What the operating system says.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something else than a regular file.
    #[error("it is {0}, not a regular file")]
    Kind(FileKind),
    /// More bytes than such a file can have.
    #[error("it has more than {most} bytes")]
    TooLong {
        /// The most that is read.
        most: u64,
    },
}

/// What a path leads to, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A file with content.
    Regular,
    /// A folder.
    Folder,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A device such as `/dev/zero` or a terminal.
    CharacterDevice,
    /// A device such as a disk.
    BlockDevice,
    /// A symbolic link to something that is not there.
    DanglingLink,
    /// What the system has no common name for.
    Other,
}

impl FileKind {
    /// What `path` leads to; `None` when there is nothing.
    ///
    /// # Errors
    /// What the operating system says, as for a folder that may not be searched.
    pub fn at(path: impl AsRef<Path>) -> io::Result<Option<Self>> {
        let path = path.as_ref();
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let is_link = fs::symlink_metadata(path).is_ok();
                Ok(is_link.then_some(Self::DanglingLink))
            }
            Err(error) => Err(error),
        }
    }

    /// The kind of what `metadata` is of.
    pub fn of(metadata: &Metadata) -> Self {
        if metadata.is_file() {
            Self::Regular
        } else if metadata.is_dir() {
            Self::Folder
        } else {
            Self::special(metadata)
        }
    }

    #[cfg(unix)]
    fn special(metadata: &Metadata) -> Self {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        match () {
            () if kind.is_fifo() => Self::Fifo,
            () if kind.is_socket() => Self::Socket,
            () if kind.is_char_device() => Self::CharacterDevice,
            () if kind.is_block_device() => Self::BlockDevice,
            () => Self::Other,
        }
    }

    #[cfg(not(unix))]
    fn special(_metadata: &Metadata) -> Self {
        Self::Other
    }
}

impl From<FileKind> for Phrase {
    fn from(kind: FileKind) -> Self {
        match kind {
            FileKind::Regular => phrase!("file-kind-regular", "a regular file"),
            FileKind::Folder => phrase!("file-kind-folder", "a folder"),
            FileKind::Fifo => phrase!("file-kind-fifo", "a named pipe"),
            FileKind::Socket => phrase!("file-kind-socket", "a socket"),
            FileKind::CharacterDevice => {
                phrase!("file-kind-character-device", "a character device")
            }
            FileKind::BlockDevice => phrase!("file-kind-block-device", "a block device"),
            FileKind::DanglingLink => {
                phrase!("file-kind-dangling-link", "a symbolic link to nothing")
            }
            FileKind::Other => phrase!("file-kind-other", "a special file"),
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Phrase::from(*self).fmt(f)
    }
}

/// Opens the regular file at `path` for reading, without ever waiting for anyone.
///
/// # Errors
/// [`FileError::Io`]; [`FileError::Kind`] for anything but a regular file.
pub fn open(path: impl AsRef<Path>) -> Result<File, FileError> {
    open_with(path, OpenOptions::new().read(true))
}

/// As [`open`], with the options of the caller. With [`OpenOptions::create`], `path` may be missing.
///
/// # Errors
/// As [`open`].
pub fn open_with(path: impl AsRef<Path>, options: &mut OpenOptions) -> Result<File, FileError> {
    let path = path.as_ref();
    // A device is not even opened. What is missing, opening creates or refuses.
    match fs::metadata(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Err(_) => {}
        Ok(metadata) => check(&metadata)?,
    }
    // A pipe that has just taken the place of the file must not make this wait.
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

fn check(metadata: &Metadata) -> Result<(), FileError> {
    match FileKind::of(metadata) {
        FileKind::Regular => Ok(()),
        kind => Err(FileError::Kind(kind)),
    }
}

/// The content of the regular file at `path`, at most `most` bytes.
///
/// # Errors
/// As [`open`]; [`FileError::TooLong`].
pub fn read(path: impl AsRef<Path>, most: u64) -> Result<Vec<u8>, FileError> {
    read_at_most(open(path)?, most)
}

/// All bytes of `reader`, at most `most`.
///
/// # Errors
/// [`FileError::Io`], [`FileError::TooLong`].
pub fn read_at_most(reader: impl Read, most: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    reader
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(FileError::TooLong { most });
    }
    Ok(bytes)
}

/// The next line of `reader` without its end, `\n` or `\r\n`; `None` at the end of the input. Of a line with more than
/// `most` bytes nothing is kept, and the next call gives the line after it.
///
/// # Errors
/// [`FileError::Io`], [`FileError::TooLong`].
pub fn read_line(reader: &mut impl BufRead, most: u64) -> Result<Option<Vec<u8>>, FileError> {
    // Room for the line's end.
    let room = most.saturating_add(2);
    let mut line = Vec::new();
    if reader.by_ref().take(room).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let is_whole = line.last() == Some(&b'\n');
    if is_whole {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    } else if line.len() as u64 == room {
        reader.skip_until(b'\n')?;
    }
    if line.len() as u64 > most {
        return Err(FileError::TooLong { most });
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_also_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "twelve bytes").unwrap();
        assert_eq!(read(&path, 12).unwrap(), b"twelve bytes");
        assert!(matches!(
            read(&path, 11),
            Err(FileError::TooLong { most: 11 })
        ));
        #[cfg(unix)]
        {
            let link = folder.path().join("link");
            std::os::unix::fs::symlink("file", &link).unwrap();
            assert_eq!(read(&link, 12).unwrap(), b"twelve bytes");
            assert_eq!(FileKind::at(&link).unwrap(), Some(FileKind::Regular));
            let dangling = folder.path().join("dangling");
            std::os::unix::fs::symlink("nothing", &dangling).unwrap();
            assert_eq!(
                FileKind::at(&dangling).unwrap(),
                Some(FileKind::DanglingLink)
            );
        }
        let missing = folder.path().join("missing");
        assert_eq!(FileKind::at(&missing).unwrap(), None);
        assert!(
            matches!(read(missing, 1), Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound)
        );
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| match open(path) {
            Err(FileError::Kind(kind)) => kind,
            other => panic!("{}: {other:?}", path.display()),
        };
        assert_eq!(refused(folder.path()), FileKind::Folder);
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{CWD, FileType, Mode, mknodat};
            let fifo = folder.path().join("fifo");
            mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
            assert_eq!(refused(&fifo), FileKind::Fifo);
            let link = folder.path().join("link");
            std::os::unix::fs::symlink(&fifo, &link).unwrap();
            assert_eq!(refused(&link), FileKind::Fifo);
            let socket = folder.path().join("socket");
            let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            assert_eq!(refused(&socket), FileKind::Socket);
            for device in ["/dev/zero", "/dev/urandom", "/dev/null"] {
                assert_eq!(refused(Path::new(device)), FileKind::CharacterDevice);
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_reports_no_length_is_still_limited() {
        let path = "/proc/self/maps";
        assert_eq!(fs::metadata(path).unwrap().len(), 0);
        assert!(matches!(read(path, 16), Err(FileError::TooLong { .. })));
    }

    #[test]
    fn lines_are_limited_and_a_longer_one_does_not_hide_the_next() {
        let mut input = &b"four\r\n12345\n\n1234567890123\nend"[..];
        assert_eq!(read_line(&mut input, 4).unwrap().unwrap(), b"four");
        assert!(matches!(
            read_line(&mut input, 4),
            Err(FileError::TooLong { most: 4 })
        ));
        assert_eq!(read_line(&mut input, 4).unwrap().unwrap(), b"");
        assert!(read_line(&mut input, 4).is_err());
        assert_eq!(read_line(&mut input, 4).unwrap().unwrap(), b"end");
        assert!(read_line(&mut input, 4).unwrap().is_none());
        // A limit of exactly the line, with either end.
        let mut input = &b"12345\n12345\r\n"[..];
        assert_eq!(read_line(&mut input, 5).unwrap().unwrap(), b"12345");
        assert_eq!(read_line(&mut input, 5).unwrap().unwrap(), b"12345");
    }
}
