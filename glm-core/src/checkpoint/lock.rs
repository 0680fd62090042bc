//! One process at a time.

use std::{
    fs::{File, TryLockError},
    path::Path,
};

use crate::{
    checkpoint::progress::{LoadStage, Meter},
    error::{Error, Result},
};

/// Waits for the lock on `path`, which is made when missing. It is held until the file is dropped. The meter is told when
/// another process has it.
///
/// # Errors
/// [`Error::Io`] and [`Error::PermissionDenied`].
pub(crate) fn lock_file(path: &Path, meter: &mut Meter<'_>) -> Result<File> {
    let failed = |error| Error::io(path, error);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(failed)?;
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
