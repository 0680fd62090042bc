//! How much memory a model may take, asked before anything large is read.
//!
//! A model that does not fit is killed by the system minutes into loading, without a word. An error before
//! the first tensor is kinder.

use std::path::Path;

use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::error::{Error, Result};

/// Bytes this process can still take without swapping, or `None` where the system does not tell.
///
/// The free and reclaimable memory of the machine, or of the control group (container) that the process is
/// in, whichever is less. Memory that the group uses for cached files counts as available: reading a
/// checkpoint fills it, and the system gives it back on demand.
pub(crate) fn available_memory() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let machine = match system.available_memory() {
        0 => None,
        bytes => Some(bytes),
    };
    let group = control_group(&mut system);
    machine.into_iter().chain(group).min()
}

/// What the limit of the process's control group leaves; Linux only.
fn control_group(system: &mut System) -> Option<u64> {
    let limits = sysinfo::get_current_pid()
        .ok()
        .and_then(|id| {
            let ids = [id];
            let kind = ProcessRefreshKind::nothing();
            system.refresh_processes_specifics(ProcessesToUpdate::Some(&ids), false, kind);
            system.process(id)?.cgroup_limits()
        })
        // In a container the path of the process's own group is often not visible; its root is.
        .or_else(|| system.cgroup_limits())?;
    Some(limits.total_memory.saturating_sub(limits.rss))
}

/// [`Error::OutOfMemory`] when what is at `path` needs `required` bytes and this process can take fewer. Where
/// the system does not tell, everything fits.
pub(crate) fn check_fits(path: &Path, required: u64) -> Result<()> {
    match available_memory() {
        Some(available) => check_fits_in(path, required, available),
        None => Ok(()),
    }
}

/// [`Error::OutOfMemory`] when `required` is more than `available`, both in bytes.
pub(crate) fn check_fits_in(path: &Path, required: u64, available: u64) -> Result<()> {
    if required <= available {
        Ok(())
    } else {
        Err(Error::OutOfMemory {
            path: path.to_path_buf(),
            required,
            available,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_decides() {
        assert!(check_fits_in(Path::new("x"), 8, 8).is_ok());
        assert!(matches!(
            check_fits_in(Path::new("x"), 9, 8),
            Err(Error::OutOfMemory {
                required: 9,
                available: 8,
                ..
            })
        ));
    }

    #[test]
    fn this_machine_has_some_memory_but_not_all_of_it() {
        let available = available_memory().expect("tests run on systems that tell");
        assert!(available > 1 << 20, "{available}");
        assert!(check_fits(Path::new("x"), 1 << 20).is_ok());
        assert!(check_fits(Path::new("x"), u64::MAX).is_err());
    }
}
