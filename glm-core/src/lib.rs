#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod attention_mask;
mod cache_memory;
pub mod chat;
pub mod chatglm;
pub mod chatglm2;
pub mod checkpoint;
pub mod code;
pub mod config;
pub mod embeddings;
mod error;
pub mod generate;
mod host;
#[cfg(feature = "hub")]
pub mod hub;
pub mod kv_cache;
pub mod layers;
pub mod model;
pub mod network;
mod numerics;
pub mod prefix_cache;
pub mod prefix_lm;
mod quantize;
pub mod random_model;
pub mod row_layout;
mod split_mix;

pub use checkpoint::{LoadOptions, LoadProgress, Precision, inspect, load, load_tokenizer};
pub use error::{Error, Mix, Result, SnapshotField};
pub use generate::GenerationOptions;
pub use glm_backends::{DeviceName, cpu::CpuLevel, set_cpu_threads};
pub use glm_tokenizer::{GlmTokenizer, TokenId};
pub use model::Model;
pub use numerics::{Activations, CachePrecision, Numerics};
pub use quantize::Quantizer;

/// Compiles the example in the README of the workspace.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct WorkspaceReadme;
