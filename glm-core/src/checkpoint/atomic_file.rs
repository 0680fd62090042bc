//! A file that appears under its name only when it is whole.
//!
//! Until then it has no name, where the system has such files ([`unnamed_file`]): whatever ends the process, nothing is
//! left of it, and of two processes that write the same file the later one wins. Elsewhere it lies beside its place as
//! `NAME.partial`, locked; what a killed process leaves is removed by the next one that writes the same file.
//!
//! What is replaced is a regular file. A symbolic link to one is itself replaced and what it points to stays as it is: in
//! the cache of a hub that is a file of another checkpoint. Devices, named pipes, sockets, folders, and links to them or
//! to nothing are refused before anything is written.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use glm_tokenizer::regular_file::{self, FileError, FileKind};

use crate::{
    checkpoint::unnamed_file,
    error::{Error, Occupied, Result},
};

/// Ends the name of a file that is being written.
const PARTIAL_SUFFIX: &str = ".partial";

/// A file being written. Dropped before [`PartialFile::commit`], it is gone.
#[derive(Debug)]
struct PartialFile {
    target: PathBuf,
    file: File,
    /// Where the file lies meanwhile; `None` when it has no name.
    partial: Option<PathBuf>,
}

impl PartialFile {
    /// An empty file that will be at `target`, whose folder must exist, with `required` bytes.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::PermissionDenied`]; [`Error::NotAFile`] when something else than a file would be replaced;
    /// [`Error::FileTooLarge`]; [`Error::Exists`] while another process writes the same file under a name.
    fn create(target: &Path, required: u64) -> Result<Self> {
        check_replaceable(target)?;
        check_file_size(target, required)?;
        let partial = partial_path(target);
        remove_abandoned(&partial)?;
        match unnamed_file::create(folder_of(target)) {
            Some(file) => Ok(Self {
                target: target.to_path_buf(),
                file,
                partial: None,
            }),
            None => Self::create_named(target, partial),
        }
    }

    fn create_named(target: &Path, partial: PathBuf) -> Result<Self> {
        let file = File::create_new(&partial).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => being_written(&partial),
            _ => Error::io(&partial, error),
        })?;
        // Says that the file is not abandoned. File systems without locks do without this care.
        let _ = file.try_lock();
        Ok(Self {
            target: target.to_path_buf(),
            file,
            partial: Some(partial),
        })
    }

    /// Brings the content to the disk, then the file to its name, over what was there.
    ///
    /// # Errors
    /// [`Error::NotAFile`] when something else than a file has come to its place; [`Error::StorageFull`], [`Error::Io`].
    fn commit(mut self, required: u64) -> Result<()> {
        check_replaceable(&self.target)?;
        self.rename()
            .and_then(|()| sync_folder(&self.target))
            .map_err(|error| write_error(&self.target, required, error))
    }

    fn rename(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        match &self.partial {
            None => unnamed_file::give_name(&mut self.file, &self.target)?,
            Some(partial) => fs::rename(partial, &self.target)?,
        }
        self.partial = None;
        // Not left to the end of this handle: a process that is being started has a copy of it for a moment.
        let _ = self.file.unlock();
        Ok(())
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
        let partial = PartialFile::create(target, required)?;
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
        let flushed = self.file.flush();
        flushed.map_err(|error| write_error(&self.partial.target, self.required, error))?;
        self.partial.commit(self.required)
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
        if let Some(partial) = &self.partial {
            // Where it cannot be removed, the next writer tries again.
            let _ = fs::remove_file(partial);
        }
    }
}

/// Removes what a killed process left. The file is never reused: between being opened and being locked it could become
/// the whole file of another writer.
fn remove_abandoned(partial: &Path) -> Result<()> {
    match regular_file::open(partial) {
        Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file(partial, error)),
        Ok(file) => match file.try_lock() {
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(being_written(partial));
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
        File::open(folder_of(path))?.sync_all()?;
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn partial_path(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(PARTIAL_SUFFIX);
    PathBuf::from(name)
}

fn being_written(partial: &Path) -> Error {
    Error::Exists {
        path: partial.to_path_buf(),
        why: Occupied::BeingWritten,
    }
}

/// Whether a file may come to `target`: when nothing is there, a regular file, or a symbolic link to one.
///
/// # Errors
/// [`Error::NotAFile`] when not; [`Error::Io`], [`Error::PermissionDenied`].
pub(crate) fn check_replaceable(target: &Path) -> Result<()> {
    match FileKind::at(target).map_err(|error| Error::io(target, error))? {
        None | Some(FileKind::Regular) => Ok(()),
        Some(found) => Err(Error::NotAFile {
            path: target.to_path_buf(),
            found,
        }),
    }
}

/// Whether this process may write a file of `required` bytes. Without asking, the first byte too many ends the process
/// (`SIGXFSZ`), with no word to the user.
///
/// # Errors
/// [`Error::FileTooLarge`].
pub(crate) fn check_file_size(path: &Path, required: u64) -> Result<()> {
    match largest_file() {
        Some(limit) if limit < required => Err(Error::FileTooLarge {
            path: path.to_path_buf(),
            required,
        }),
        _ => Ok(()),
    }
}

/// The size of a file that ends the process, in bytes; `None` without a limit.
#[cfg(unix)]
fn largest_file() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Fsize).current
}

#[cfg(not(unix))]
fn largest_file() -> Option<u64> {
    None
}

/// An error of writing `path`, which will have `required` bytes; a full disk and a limit on files are told apart.
pub(crate) fn write_error(path: &Path, required: u64, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::StorageFull {
            path: path.to_path_buf(),
            required,
        },
        io::ErrorKind::FileTooLarge => Error::FileTooLarge {
            path: path.to_path_buf(),
            required,
        },
        _ => Error::io(path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ways to write: without a name, where the file system of temporary files has that, and with one.
    fn writers(target: &Path) -> Vec<PartialFile> {
        let named = PartialFile::create_named(target, partial_path(target)).unwrap();
        let unnamed = unnamed_file::create(folder_of(target)).map(|file| PartialFile {
            target: target.to_path_buf(),
            file,
            partial: None,
        });
        [Some(named), unnamed].into_iter().flatten().collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_file_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        fs::write(&path, "old").unwrap();

        let mut partial = PartialFile::create_named(&path, partial_path(&path)).unwrap();
        partial.file.write_all(b"new").unwrap();
        for second in [
            PartialFile::create(&path, 3),
            PartialFile::create_named(&path, partial_path(&path)),
        ] {
            assert!(matches!(
                second,
                Err(Error::Exists {
                    why: Occupied::BeingWritten,
                    ..
                })
            ));
        }
        drop(partial);
        for mut writer in writers(&path) {
            writer.file.write_all(b"new").unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["model"]);

        // What a killed process left, longer than what is written now.
        fs::write(folder.path().join("model.partial"), [7; 100]).unwrap();
        let mut partial = PartialFile::create(&path, 3).unwrap();
        partial.file.write_all(b"new").unwrap();
        partial.commit(3).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["model"]);

        for (content, mut writer) in [b"one", b"two"].into_iter().zip(writers(&path)) {
            writer.file.write_all(content).unwrap();
            writer.commit(3).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        assert_eq!(names(folder.path()), ["model"]);
    }

    #[test]
    fn a_file_without_a_name_can_also_be_copied_to_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let Some(mut file) = unnamed_file::create(folder.path()) else {
            return;
        };
        file.write_all(b"whole").unwrap();
        let path = folder.path().join("model");
        unnamed_file::copy(&mut file, &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_but_a_file_is_ever_replaced() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        use std::os::unix::{
            fs::{FileTypeExt, symlink},
            net::UnixListener,
        };
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        symlink("fifo", at("to-fifo")).unwrap();
        symlink("folder", at("to-folder")).unwrap();
        symlink("/dev/null", at("to-null")).unwrap();
        symlink("nothing", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let before = names(folder.path());
        for (name, kind) in [
            ("fifo", FileKind::Fifo),
            ("socket", FileKind::Socket),
            ("folder", FileKind::Folder),
            ("to-fifo", FileKind::Fifo),
            ("to-folder", FileKind::Folder),
            ("to-null", FileKind::CharacterDevice),
            ("dangling", FileKind::DanglingLink),
        ] {
            match write_whole(&at(name), b"content") {
                Err(Error::NotAFile { path, found }) => {
                    assert_eq!((path, found), (at(name), kind), "{name}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        assert!(matches!(
            write_whole(&at("loop"), b"content"),
            Err(Error::Io { .. })
        ));
        // A pipe in place of what a killed process leaves does not make this wait.
        symlink("fifo", at("model.partial")).unwrap();
        assert!(matches!(
            write_whole(&at("model"), b"content"),
            Err(Error::NotAFile { .. })
        ));
        fs::remove_file(at("model.partial")).unwrap();
        assert_eq!(names(folder.path()), before);
        assert!(fs::metadata(at("fifo")).unwrap().file_type().is_fifo());

        // What comes while the file is written stays, too.
        for writer in writers(&at("late")) {
            symlink("fifo", at("late")).unwrap();
            assert!(matches!(writer.commit(0), Err(Error::NotAFile { .. })));
            fs::remove_file(at("late")).unwrap();
        }
        assert_eq!(names(folder.path()), before);

        // A link to a file is replaced, and the file is not.
        fs::write(at("blob"), "of another checkpoint").unwrap();
        symlink("blob", at("to-blob")).unwrap();
        write_whole(&at("to-blob"), b"content").unwrap();
        assert_eq!(fs::read(at("to-blob")).unwrap(), b"content");
        assert_eq!(fs::read(at("blob")).unwrap(), b"of another checkpoint");
    }

    /// Set for a process that is to die while it writes this file.
    const DIES: &str = "GLM_TEST_DIES_WRITING";

    /// This test again, in a process of its own under a shell command.
    #[cfg(unix)]
    fn in_a_process(shell: &str, target: &Path) -> std::process::Output {
        let test = "checkpoint::atomic_file::tests::a_process_that_dies_leaves_nothing_for_ever";
        std::process::Command::new("sh")
            .args(["-c", &format!("{shell}; exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(DIES, target)
            .output()
            .unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn a_process_that_dies_leaves_nothing_for_ever() {
        if let Some(target) = std::env::var_os(DIES) {
            // More than the limit, which is then known, or than it can know of.
            let target = PathBuf::from(target);
            match write_whole(&target, &[1; 1 << 16]) {
                Err(Error::FileTooLarge { path, required }) => {
                    assert_eq!((&path, required), (&target, 1 << 16));
                }
                other => panic!("{other:?}"),
            }
            let mut writer = PartWriter::create(&target, 8).unwrap();
            writer.write_at(0, b"begun").unwrap();
            // Without the signal, an error; with it, the end.
            let error = writer.write_at(1 << 16, b"too far").unwrap_err();
            assert!(matches!(error, Error::FileTooLarge { .. }), "{error}");
            drop(writer);
            std::process::abort();
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let leaves_nothing = unnamed_file::create(folder.path()).is_some();
        for shell in [
            "ulimit -c 0; ulimit -f 8",
            "trap '' XFSZ; ulimit -c 0; ulimit -f 8",
        ] {
            let output = in_a_process(shell, &path);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success());
            assert!(!said.contains("panicked"), "{shell}: {said}");
            if leaves_nothing || shell.starts_with("trap") {
                assert_eq!(names(folder.path()), [""; 0], "{shell}");
            }
            write_whole(&path, b"whole").unwrap();
            assert_eq!(names(folder.path()), ["model"], "{shell}");
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let error = |kind| write_error(Path::new("x"), 7, io::Error::from(kind));
        assert!(matches!(
            error(io::ErrorKind::StorageFull),
            Error::StorageFull { required: 7, .. }
        ));
        assert!(matches!(
            error(io::ErrorKind::FileTooLarge),
            Error::FileTooLarge { required: 7, .. }
        ));
        assert!(matches!(error(io::ErrorKind::BrokenPipe), Error::Io { .. }));
    }
}
