//! Devices by name. burn panics when an operation reaches a backend that is not compiled in, so every device of
//! this library goes through [`DeviceName::open`], which refuses it first.

use std::{fmt, str::FromStr};

use burn::tensor::Device;

use crate::{Error, cpu};

/// A device as users write it: `cpu`, `ndarray`, `wgpu`, `wgpu:1`, `cuda:0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceName {
    /// burn's Flex backend: the CPU, with SIMD and all cores.
    #[default]
    Cpu,
    /// burn's NdArray backend: the CPU, for comparison (feature `ndarray`).
    NdArray,
    /// The n-th discrete GPU through wgpu: Vulkan, Metal or DirectX 12 (feature `wgpu`). `None` is wgpu's choice.
    Wgpu(Option<usize>),
    /// The n-th NVIDIA GPU (feature `cuda`).
    Cuda(usize),
}

impl DeviceName {
    /// The burn device behind the name.
    ///
    /// # Errors
    /// [`Error::DeviceNotBuilt`] when this build lacks the backend.
    pub fn open(self) -> Result<Device, Error> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "ndarray")]
            #[allow(deprecated)]
            // burn prefers Flex, as we do; the feature is for comparison.
            Self::NdArray => Ok(Device::ndarray()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu(index) => Ok(Device::wgpu(match index {
                None => burn::tensor::DeviceKind::DefaultDevice,
                Some(index) => burn::tensor::DeviceKind::DiscreteGpu(index),
            })),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => Ok(Device::cuda(index)),
            #[allow(unreachable_patterns)] // With every feature on nothing is left.
            missing => Err(Error::DeviceNotBuilt {
                name: missing.to_string(),
                feature: missing.feature(),
            }),
        }
    }

    fn feature(self) -> &'static str {
        match self {
            Self::Cpu => "default",
            Self::NdArray => "ndarray",
            Self::Wgpu(_) => "wgpu",
            Self::Cuda(_) => "cuda",
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::NdArray => f.write_str("ndarray"),
            Self::Wgpu(None) => f.write_str("wgpu"),
            Self::Wgpu(Some(index)) => write!(f, "wgpu:{index}"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownDevice {
            name: name.to_owned(),
        };
        let (kind, index) = match name.split_once(':') {
            None => (name, None),
            Some((kind, index)) => (kind, Some(index.parse::<usize>().map_err(|_| unknown())?)),
        };
        match (kind, index) {
            ("cpu", None) => Ok(Self::Cpu),
            ("ndarray", None) => Ok(Self::NdArray),
            ("wgpu", index) => Ok(Self::Wgpu(index)),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

/// Sets how many threads the CPU backend uses, those of the kernels and those of burn, for the whole process; without it,
/// one per core. Returns how many it is: fewer, when the system refuses to start more.
///
/// # Errors
/// [`Error::Threads`] for zero, for more than 64 and than four for each core, and when the threads already run: call it
/// before the first tensor is made. [`Error::TensorThreads`] when burn's threads already run, or cannot be started.
pub fn set_cpu_threads(threads: usize) -> Result<usize, Error> {
    let running = cpu::set_threads(threads)?;
    rayon::ThreadPoolBuilder::new()
        .num_threads(running)
        .build_global()
        .map_err(|error| Error::TensorThreads {
            threads: running,
            reason: error.to_string(),
        })?;
    Ok(running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in ["cpu", "ndarray", "wgpu", "wgpu:1", "cuda:0"] {
            assert_eq!(name.parse::<DeviceName>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(DeviceName::Cuda(0)));
    }

    #[test]
    fn wrong_names_are_refused() {
        for name in ["", "gpu", "cpu:0", "cuda:", "cuda:-1", "wgpu:x", "CPU"] {
            let error = name.parse::<DeviceName>().unwrap_err();
            assert_eq!(
                error,
                Error::UnknownDevice {
                    name: name.to_owned()
                }
            );
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_backend_that_was_not_built_is_an_error_and_names_the_feature() {
        let error = DeviceName::Cuda(3).open().unwrap_err();
        assert_eq!(
            error.to_string(),
            "device `cuda:3` is not in this build: compile with `--features cuda`"
        );
    }
}
