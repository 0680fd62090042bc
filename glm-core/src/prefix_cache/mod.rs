//! What was read need not be read again: beginnings of prompts with their keys and values.

mod cache;
mod prefix;
mod snapshot;

pub use cache::{PrefixCache, PrefixCacheStatistics};
pub use prefix::Prefix;
