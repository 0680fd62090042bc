//! The most memory that this process has had at once.

/// The largest resident set so far, in bytes; `None` where the system does not say.
pub(crate) fn peak_memory() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        high_water_mark(&std::fs::read_to_string("/proc/self/status").ok()?)
    }
    #[cfg(all(unix, not(target_os = "linux")))]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        // Bytes on Apple's systems, kibibytes on the others.
        let unit = if cfg!(target_vendor = "apple") {
            1
        } else {
            1024
        };
        u64::try_from(usage.max_rss()).ok()?.checked_mul(unit)
    }
    #[cfg(not(unix))]
    {
        None
    }
}

/// `VmHWM` of a process's status, which is in kibibytes.
#[cfg(any(target_os = "linux", test))]
fn high_water_mark(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes = line.trim().strip_suffix("kB")?.trim_end();
    kibibytes.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_among_the_others() {
        let status = "Name:\tglm-bench\nVmPeak:\t  200 kB\nVmHWM:\t  1536 kB\nVmRSS:\t  100 kB\n";
        assert_eq!(high_water_mark(status), Some(1536 * 1024));
        for status in [
            "",
            "VmHWM:\t\n",
            "VmHWM:\t many kB\n",
            "VmHWM:\t99999999999999999999 kB\n",
        ] {
            assert_eq!(high_water_mark(status), None);
        }
    }

    #[test]
    #[cfg(unix)]
    fn memory_that_is_used_counts() {
        let size = 64 << 20;
        let before = peak_memory().unwrap();
        let memory = std::hint::black_box(vec![1u8; size]);
        assert!(peak_memory().unwrap() >= size as u64);
        assert!(before > 0);
        drop(memory);
    }
}
