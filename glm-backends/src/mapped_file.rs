//! A file in memory without reading it.
//!
//! The system brings a page in when a kernel first reads it, keeps it in its file cache between runs, and drops it when
//! memory is short: a mapped weight is never written to swap, and two processes share it.

use std::{
    fmt,
    fs::{File, TryLockError},
    io::{self, Read, Seek},
    path::Path,
    sync::Arc,
};

use memmap2::Mmap;

/// A whole file, mapped for reading. What is made of its bytes keeps it mapped.
///
/// A shared lock is held on the file for as long as it is mapped, so that programs which ask for the lock do not change
/// it meanwhile. Others are not kept from it: whoever changes the file changes the weights, and a process that reads a
/// page after the file's new end is killed. Replace such a file by renaming another over it, never in place, or copy it
/// with [`MappedFile::read`].
#[derive(Clone)]
pub struct MappedFile {
    bytes: bytes::Bytes,
    file: Arc<File>,
}

/// What the bytes keep alive; fields are dropped in order, the map before the lock.
struct LockedMap {
    map: Mmap,
    _lock: Arc<File>,
}

impl AsRef<[u8]> for LockedMap {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

impl MappedFile {
    /// Maps the file at `path`. Nothing of it is read.
    ///
    /// # Errors
    /// As [`File::open`]; [`io::ErrorKind::WouldBlock`] when another process holds the file to write it;
    /// [`io::ErrorKind::InvalidInput`] when `path` is a folder; what the system says when it cannot map the file.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        // Before it is opened: opening a named pipe waits for whoever writes to it.
        if !path.as_ref().metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        Self::of(File::open(path)?)
    }

    /// Maps a file that is open for reading.
    ///
    /// # Errors
    /// As [`MappedFile::open`].
    pub fn of(file: File) -> io::Result<Self> {
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        match file.try_lock_shared() {
            // Some file systems, as of networks, have no locks: better without than not at all.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
        }
        // SAFETY: the map is read-only and its file is open for reading only. That no one else truncates or writes the
        // file is beyond any check; the shared lock taken above asks for it, and this type's documentation says it.
        let map = unsafe { Mmap::map(&file) }?;
        // With the first read the system then brings in 2 MiB at a time, and has one entry for them. Where it cannot, as
        // is no matter.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let file = Arc::new(file);
        let owner = LockedMap {
            map,
            _lock: Arc::clone(&file),
        };
        Ok(Self {
            bytes: bytes::Bytes::from_owner(owner),
            file,
        })
    }

    /// Reads the first bytes of the file, as many as `out` has room for, through the system and not from the map: a file
    /// that has become shorter is an error and does not end the process.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when there are fewer bytes; what the system says when it cannot read the file.
    pub fn read(&self, out: &mut [u8]) -> io::Result<()> {
        let mut file = &*self.file;
        file.rewind()?;
        file.read_exact(out)
    }

    /// The content.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The content as bytes that keep the file mapped; slices of them are not copied.
    #[must_use]
    pub fn into_bytes(self) -> bytes::Bytes {
        self.bytes
    }
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedFile")
            .field("length", &self.bytes.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn slices_lie_in_the_file_and_keep_it_mapped() {
        let file = file(b"a file that is mapped");
        let map = MappedFile::open(file.path()).unwrap();
        let place = map.as_bytes()[2..].as_ptr();
        let slice = map.into_bytes().slice(2..6);
        assert_eq!(slice.as_ptr(), place, "copied");
        assert_eq!(&*slice, b"file");
        let lock = File::open(file.path()).unwrap();
        assert!(lock.try_lock().is_err());
        drop(slice);
        lock.try_lock().unwrap();
    }

    #[test]
    fn what_was_read_does_not_change_with_the_file_and_a_shorter_one_is_an_error() {
        let content: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
        let mut file = file(&content);
        let map = MappedFile::open(file.path()).unwrap();
        let (mut start, mut all) = ([0; 9], vec![0; content.len()]);
        map.read(&mut start).unwrap();
        map.read(&mut all).unwrap();
        file.rewind().unwrap();
        file.write_all(&[0xff; 100]).unwrap();
        file.as_file().set_len(100).unwrap();
        assert_eq!(start, content[..9]);
        assert_eq!(all, content);
        let error = map.read(&mut all).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_that_is_being_written_is_refused_and_a_folder_too() {
        let file = file(&[0; 16]);
        let lock = File::open(file.path()).unwrap();
        lock.lock().unwrap();
        let error = MappedFile::open(file.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        let first = MappedFile::open(file.path()).unwrap();
        let second = MappedFile::open(file.path()).unwrap();
        assert_eq!(first.as_bytes(), second.as_bytes());
        assert!(MappedFile::open(std::env::temp_dir()).is_err());
    }
}
