//! A file without a name, which the system removes by itself when the process dies, however that happens.
//!
//! Linux has them on most local file systems. Where there is none, whoever asks has to use a named file.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// A file without a name in `folder`, to read and to write; `None` where there can be none.
pub(super) fn create(folder: &Path) -> Option<File> {
    let file = unnamed(folder).ok()?;
    // What cannot be given a name in the end is of no use.
    can_be_named(&file).then_some(file)
}

/// Gives `file` the name `target`, in the folder that it was made in, over what has this name.
///
/// # Errors
/// What the system says.
pub(super) fn give_name(file: &mut File, target: &Path) -> io::Result<()> {
    // A link does not replace anything, a renaming does. A process that dies between the two leaves a whole file.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".{}-{number}.partial", std::process::id()));
    let partial = PathBuf::from(name);
    let named = link(file, &partial).or_else(|_| copy(file, &partial));
    let result = named.and_then(|()| std::fs::rename(&partial, target));
    if result.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    result
}

/// What is left where the link is refused after all, as inside some sandboxes.
pub(super) fn copy(file: &mut File, to: &Path) -> io::Result<()> {
    use io::Seek;
    file.rewind()?;
    let mut named = File::create_new(to)?;
    io::copy(file, &mut named)?;
    named.sync_all()
}

#[cfg(target_os = "linux")]
fn unnamed(folder: &Path) -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    // Less what the user's mask takes away, as of every new file.
    let mode = Mode::from_raw_mode(0o666);
    Ok(openat(CWD, folder, flags, mode)?.into())
}

#[cfg(target_os = "linux")]
fn descriptor(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(target_os = "linux")]
fn can_be_named(file: &File) -> bool {
    descriptor(file).exists()
}

#[cfg(target_os = "linux")]
fn link(file: &File, to: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    Ok(linkat(
        CWD,
        descriptor(file),
        CWD,
        to,
        AtFlags::SYMLINK_FOLLOW,
    )?)
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_folder: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn can_be_named(_file: &File) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn link(_file: &File, _to: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
