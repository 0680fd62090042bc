//! What can be wrong with a device.

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The name is none that this library knows.
    #[error("unknown device `{name}`: expected cpu, ndarray, wgpu[:N] or cuda[:N]")]
    UnknownDevice {
        /// The name as given.
        name: String,
    },
    /// The name is known, but this build was made without the feature behind it.
    #[error("device `{name}` is not in this build: compile with `--features {feature}`")]
    DeviceNotBuilt {
        /// The name as given.
        name: String,
        /// The Cargo feature that brings the device.
        feature: &'static str,
    },
    /// The thread count cannot be set (again).
    #[error("cannot use {threads} threads: {reason}")]
    Threads {
        /// The count as given.
        threads: usize,
        /// Why not.
        reason: String,
    },
}
