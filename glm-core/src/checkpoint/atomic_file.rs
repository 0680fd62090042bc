//! A file that appears under its name only when it is whole.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// Ends the name of a file that is being written.
const PARTIAL_SUFFIX: &str = ".partial";

/// A file being written beside the place where it will be. Dropped before [`PartialFile::commit`], it is removed; what a
/// killed process leaves is removed by the next one.
#[derive(Debug)]
struct PartialFile {
    target: PathBuf,
    partial: PathBuf,
    file: File,
    has_its_name: bool,
}

impl PartialFile {
    /// An empty file beside `target`, whose folder must exist.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::PermissionDenied`], and [`Error::Exists`] while another process writes the same file.
    fn create(target: &Path) -> Result<Self> {
        let mut name = target.as_os_str().to_owned();
        name.push(PARTIAL_SUFFIX);
        let partial = PathBuf::from(name);
        remove_abandoned(&partial)?;
        let file = File::create_new(&partial).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists {
                path: partial.clone(),
            },
            _ => Error::io(&partial, error),
        })?;
        // Says that the file is not abandoned. File systems without locks do without this care.
        let _ = file.try_lock();
        Ok(Self {
            target: target.to_path_buf(),
            partial,
            file,
            has_its_name: false,
        })
    }

    /// Brings the content to the disk, then the file to its name, over what was there.
    ///
    /// # Errors
    /// What the system says.
    fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.partial, &self.target)?;
        self.has_its_name = true;
        // Not left to the end of this handle: a process that is being started has a copy of it for a moment.
        let _ = self.file.unlock();
        sync_folder(&self.target)
    }
}

/// A [`PartialFile`] whose parts are written in any order.
#[derive(Debug)]
pub(crate) struct PartWriter<W = File> {
    partial: PartialFile,
    file: W,
    /// Bytes that the file will have; for the error of a full disk.
    required: u64,
}

impl PartWriter {
    /// As [`PartialFile::create`], for a file of `required` bytes.
    pub(crate) fn create(target: &Path, required: u64) -> Result<Self> {
        Self::create_through(target, required, |file| file)
    }
}

impl<W: Write + Seek> PartWriter<W> {
    /// As [`PartWriter::create`], with something between the parts and the file.
    pub(crate) fn create_through(
        target: &Path,
        required: u64,
        through: impl FnOnce(File) -> W,
    ) -> Result<Self> {
        let partial = PartialFile::create(target)?;
        let file = partial.file.try_clone();
        let file = file.map_err(|error| Error::io(target, error))?;
        Ok(Self {
            partial,
            file: through(file),
            required,
        })
    }

    /// Writes `bytes` from byte `start` on.
    ///
    /// # Errors
    /// [`Error::StorageFull`], [`Error::Io`].
    pub(crate) fn write_at(&mut self, start: u64, bytes: &[u8]) -> Result<()> {
        let written = self.file.seek(SeekFrom::Start(start));
        let written = written.and_then(|_| self.file.write_all(bytes));
        written.map_err(|error| write_error(&self.partial.target, self.required, error))
    }

    /// As [`PartialFile::commit`].
    ///
    /// # Errors
    /// As [`PartWriter::write_at`].
    pub(crate) fn commit(mut self) -> Result<()> {
        let target = self.partial.target.clone();
        self.file
            .flush()
            .and_then(|()| self.partial.commit())
            .map_err(|error| write_error(&target, self.required, error))
    }
}

/// Writes a whole file, which appears under its name when it is whole.
///
/// # Errors
/// As [`PartialFile::create`]; [`Error::StorageFull`].
pub(super) fn write_whole(target: &Path, content: &[u8]) -> Result<()> {
    let mut writer = PartWriter::create(target, content.len() as u64)?;
    writer.write_at(0, content)?;
    writer.commit()
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.has_its_name {
            // Where it cannot be removed, the next writer tries again.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Removes what a killed process left. The file is never reused: between being opened and being locked it could become
/// the whole file of another writer.
fn remove_abandoned(partial: &Path) -> Result<()> {
    match File::open(partial) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io(partial, error)),
        Ok(file) => match file.try_lock() {
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Exists {
                    path: partial.to_path_buf(),
                });
            }
        },
    }
    match fs::remove_file(partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(partial, error)),
        _ => Ok(()),
    }
}

/// A new name is safe from a power cut only when its folder is on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// An error of writing `path`, which will have `required` bytes; a full disk is told apart.
pub(crate) fn write_error(path: &Path, required: u64, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error::StorageFull {
                path: path.to_path_buf(),
                required,
            }
        }
        _ => Error::io(path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_file_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        fs::write(&path, "old").unwrap();

        let mut partial = PartialFile::create(&path).unwrap();
        partial.file.write_all(b"new").unwrap();
        assert!(matches!(
            PartialFile::create(&path),
            Err(Error::Exists { .. })
        ));
        drop(partial);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        // What a killed process left, longer than what is written now.
        fs::write(folder.path().join("model.partial"), [7; 100]).unwrap();
        let mut partial = PartialFile::create(&path).unwrap();
        partial.file.write_all(b"new").unwrap();
        partial.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let error = |kind| write_error(Path::new("x"), 7, io::Error::from(kind));
        assert!(matches!(
            error(io::ErrorKind::StorageFull),
            Error::StorageFull { required: 7, .. }
        ));
        assert!(matches!(error(io::ErrorKind::BrokenPipe), Error::Io { .. }));
    }
}
