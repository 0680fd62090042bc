//! What was read need not be read again: beginnings of prompts with their keys and values.

#[cfg(feature = "tensor")]
mod cache;
#[cfg(feature = "tensor")]
mod prefix;
#[cfg(feature = "tensor")]
mod snapshot;
// Public to the targets of cargo-fuzz.
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
mod snapshot_file;

#[cfg(feature = "tensor")]
pub use cache::{PrefixCache, PrefixCacheStatistics};
#[cfg(feature = "tensor")]
pub use prefix::Prefix;
#[cfg(fuzzing)]
pub use snapshot_file::SnapshotFile;
