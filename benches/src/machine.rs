//! Which machine and which state of the source a measurement belongs to.

use std::process::Command;

use glm_backends::cpu::CpuLevel;
use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The CPU's name for itself.
    pub cpu: String,
    /// Its architecture, such as `x86_64`.
    pub architecture: String,
    /// The instruction set that the kernels use.
    pub level: String,
    /// Cores that the process may use.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The operating system.
    pub system: String,
}

impl Machine {
    /// This machine.
    #[must_use]
    pub fn this() -> Self {
        let parts = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(parts);
        let brand = system.cpus().first().map_or("", |cpu| cpu.brand().trim());
        Self {
            cpu: if brand.is_empty() { "unknown" } else { brand }.to_owned(),
            architecture: std::env::consts::ARCH.to_owned(),
            level: CpuLevel::active().to_string(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: system.total_memory(),
            system: System::long_os_version().unwrap_or_else(|| std::env::consts::OS.to_owned()),
        }
    }
}

/// The commit of the checkout that this program was built from, with `-dirty` when files differ from it; `None` when
/// there is no checkout any more.
#[must_use]
pub fn commit() -> Option<String> {
    let output = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR")])
        .args([
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let commit = text.trim();
    (output.status.success() && !commit.is_empty()).then(|| commit.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_level_cores_and_memory() {
        let machine = Machine::this();
        assert!(machine.level.parse::<CpuLevel>().unwrap().is_available());
        assert!(machine.cores > 0);
        assert!(machine.memory_bytes > 1 << 20);
        assert!(!machine.cpu.is_empty() && !machine.system.is_empty());
    }
}
