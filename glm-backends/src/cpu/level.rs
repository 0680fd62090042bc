//! Which instruction set the kernels use: found once, and lowered on request.

use std::{fmt, str::FromStr, sync::OnceLock};

/// The variable that forces a level, for tests and measurements.
const VARIABLE: &str = "GLM_CPU_LEVEL";

/// An instruction set that the kernels are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CpuLevel {
    /// Plain Rust, on every CPU: what the others are compared with.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C (2013 and later).
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and VNNI (2019 and later).
    Avx512Vnni,
    /// The same, with AMX tiles of 8-bit integers for products of many rows (2023 and later; on Linux, which lends the
    /// tiles on request). Everything else is done as at [`CpuLevel::Avx512Vnni`].
    Amx,
    /// AArch64 with the dot product extension (2018 and later).
    Neon,
}

/// Why a level cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LevelError {
    /// The name is none that this library knows.
    #[error("unknown CPU level `{name}`: expected scalar, avx2, avx512vnni, amx or neon")]
    Unknown {
        /// The name as given.
        name: String,
    },
    /// This CPU lacks the instructions.
    #[error("this CPU does not have the instructions of level `{level}`; it has {available}")]
    NotAvailable {
        /// The level as given.
        level: CpuLevel,
        /// The levels it has.
        available: String,
    },
}

impl CpuLevel {
    const ALL: [Self; 5] = [
        Self::Scalar,
        Self::Avx2,
        Self::Avx512Vnni,
        Self::Amx,
        Self::Neon,
    ];

    /// True when this CPU has the instructions.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
            Self::Amx => Self::Avx512Vnni.is_available() && amx_is_lent(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => {
                std::arch::is_aarch64_feature_detected!("neon")
                    && std::arch::is_aarch64_feature_detected!("dotprod")
                    && std::arch::is_aarch64_feature_detected!("fp16")
            }
            #[allow(unreachable_patterns)] // Levels of other architectures.
            _ => false,
        }
    }

    /// The levels of this CPU, from the slowest up.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| level.is_available())
    }

    /// The level in use: the best of this CPU, or the one that the variable `GLM_CPU_LEVEL` names. Decided at the first
    /// call.
    ///
    /// A variable that cannot be followed is ignored here; who loads a model calls [`CpuLevel::check_variable`] before.
    #[must_use]
    pub fn active() -> Self {
        static ACTIVE: OnceLock<CpuLevel> = OnceLock::new();
        *ACTIVE.get_or_init(|| match Self::check_variable() {
            Ok(Some(level)) => level,
            _ => Self::available().last().unwrap_or(Self::Scalar),
        })
    }

    /// The level that `GLM_CPU_LEVEL` asks for; `None` when it is not set.
    ///
    /// # Errors
    /// [`LevelError`] when it names no level, or one that this CPU lacks.
    pub fn check_variable() -> Result<Option<Self>, LevelError> {
        let Some(name) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let level: Self = name.to_string_lossy().parse()?;
        if level.is_available() {
            return Ok(Some(level));
        }
        let available: Vec<String> = Self::available().map(|level| level.to_string()).collect();
        Err(LevelError::NotAvailable {
            level,
            available: available.join(", "),
        })
    }
}

/// True when the CPU has AMX for 8-bit integers and the system lets this process use it. Asked once.
///
/// The tiles are 8 KiB that each switch of threads must save, so Linux gives them only to a process that asks; all of
/// its threads have them from then on. A system that does not know or save the tiles refuses.
#[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
fn amx_is_lent() -> bool {
    use std::arch::{asm, x86_64::__cpuid_count};

    const AMX_TILE: u32 = 1 << 24;
    const AMX_INT8: u32 = 1 << 25;
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;

    static LENT: OnceLock<bool> = OnceLock::new();
    *LENT.get_or_init(|| {
        let needed = AMX_TILE | AMX_INT8;
        if __cpuid_count(7, 0).edx & needed != needed {
            return false;
        }
        let mut number_and_result = ARCH_PRCTL;
        // SAFETY: this request reads and writes no memory of the process; the kernel overwrites the three registers
        // named as outputs and no other.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") number_and_result,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XFEATURE_XTILEDATA,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        number_and_result == 0
    })
}

impl fmt::Display for CpuLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512vnni",
            Self::Amx => "amx",
            Self::Neon => "neon",
        })
    }
}

impl FromStr for CpuLevel {
    type Err = LevelError;

    fn from_str(name: &str) -> Result<Self, LevelError> {
        Self::ALL
            .into_iter()
            .find(|level| level.to_string() == name)
            .ok_or_else(|| LevelError::Unknown {
                name: name.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for level in CpuLevel::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        let error = "sse9".parse::<CpuLevel>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown CPU level `sse9`: expected scalar, avx2, avx512vnni, amx or neon"
        );
    }

    #[test]
    fn the_plain_level_is_always_there_and_the_active_one_too() {
        assert_eq!(CpuLevel::available().next(), Some(CpuLevel::Scalar));
        assert!(CpuLevel::active().is_available());
    }
}
