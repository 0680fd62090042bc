#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod chat;
pub mod chatglm;
pub mod checkpoint;
pub mod config;
mod error;
pub mod generate;
pub mod kv_cache;
pub mod layers;
pub mod model;
pub mod prefix_lm;

pub use checkpoint::{LoadOptions, LoadProgress, load};
pub use error::{Error, Result};
pub use generate::GenerationOptions;
pub use glm_backends::{DeviceName, set_cpu_threads};
pub use glm_tokenizer::{GlmTokenizer, TokenId};
pub use model::Model;

/// Compiles the example in the README of the workspace.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct WorkspaceReadme;
