//! One process at a time.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use glm_tokenizer::regular_file;

use crate::{
    checkpoint::progress::{LoadStage, Meter},
    error::{Error, Result},
};

/// Waits for the lock on `path`, which is made when missing. It is held until the file is dropped. The meter is told when
/// another process has it.
///
/// # Errors
/// [`Error::Io`], [`Error::PermissionDenied`] and [`Error::NotAFile`].
pub(crate) fn lock_file(path: &Path, meter: &mut Meter<'_>) -> Result<File> {
    let failed = |error| Error::io(path, error);
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    let file =
        regular_file::open_with(path, &mut options).map_err(|error| Error::file(path, error))?;
    match file.try_lock() {
        // Without locks in the file system two processes may both make the file; the later name wins.
        Ok(()) | Err(TryLockError::Error(_)) => {}
        Err(TryLockError::WouldBlock) => {
            meter.begin(LoadStage::Waiting, 0);
            file.lock().map_err(failed)?;
        }
    }
    Ok(file)
}
