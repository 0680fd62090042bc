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
    /// The number of threads cannot be set.
    #[error(transparent)]
    Threads(#[from] crate::cpu::ThreadsError),
    /// The threads of the tensor library cannot be started, or already run.
    #[error("cannot compute on tensors with {threads} threads: {reason}")]
    TensorThreads {
        /// How many were asked for.
        threads: usize,
        /// Why not.
        reason: String,
    },
}
