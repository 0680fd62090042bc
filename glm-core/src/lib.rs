#![cfg_attr(feature = "tensor", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "tensor"),
    doc = "Checkpoints of ChatGLM-6B: read, inspect and convert them."
)]
#![forbid(unsafe_code)]

#[cfg(feature = "tensor")]
pub mod attention_mask;
#[cfg(feature = "tensor")]
mod cache_memory;
#[cfg(feature = "tensor")]
mod cancel_token;
#[cfg(feature = "tensor")]
pub mod chat;
#[cfg(feature = "tensor")]
pub mod chatglm;
#[cfg(feature = "tensor")]
pub mod chatglm2;
pub mod checkpoint;
#[cfg(feature = "tensor")]
pub mod code;
pub mod config;
#[cfg(feature = "tensor")]
pub mod embeddings;
mod error;
#[cfg(feature = "tensor")]
pub mod generate;
#[cfg(feature = "tensor")]
mod host;
#[cfg(feature = "hub")]
pub mod hub;
mod json_file;
#[cfg(feature = "tensor")]
pub mod kv_cache;
#[cfg(feature = "chinese")]
mod language;
#[cfg(feature = "tensor")]
pub mod layers;
#[cfg(feature = "tensor")]
pub mod model;
#[cfg(feature = "tensor")]
pub mod network;
mod numerics;
#[cfg(any(feature = "tensor", fuzzing))]
pub mod prefix_cache;
#[cfg(feature = "tensor")]
pub mod prefix_lm;
#[cfg(feature = "tensor")]
mod quantize;
#[cfg(feature = "tensor")]
pub mod random_model;
#[cfg(feature = "tensor")]
pub mod row_layout;
#[cfg(feature = "serde")]
mod serde_names;
mod setters;
#[cfg(feature = "tensor")]
mod split_mix;

#[cfg(feature = "tensor")]
pub use checkpoint::{LoadOptions, load};
pub use checkpoint::{LoadProgress, Precision, inspect, load_tokenizer};
pub use error::{Error, Mix, Occupied, Result, SnapshotField};
#[cfg(feature = "tensor")]
pub use generate::GenerationOptions;
#[cfg(feature = "tensor")]
pub use glm_backends::{DeviceName, set_cpu_threads};
pub use glm_backends::{
    Error as DeviceError,
    cpu::{CpuLevel, LevelError},
};
pub use glm_quant::Error as QuantError;
pub use glm_tokenizer::{
    Error as TokenizerError, GlmTokenizer, Phrase, TokenId, Value, phrase, regular_file,
};
#[cfg(feature = "hub")]
pub use hub::HubError;
#[cfg(feature = "chinese")]
pub use language::Language;
#[cfg(feature = "tensor")]
pub use model::Model;
pub use numerics::{Activations, CachePrecision, Numerics};
#[cfg(feature = "tensor")]
pub use quantize::Quantizer;

// Whose types are in signatures of this crate: to be named in the very versions that it was built with.
#[cfg(feature = "tensor")]
pub use burn::{
    self,
    tensor::{Device, Tensor},
};
pub use {glm_backends, glm_quant, glm_tokenizer};

/// Compiles the example in the README of the workspace.
#[cfg(all(doctest, feature = "tensor"))]
#[doc = include_str!("../../README.md")]
struct WorkspaceReadme;
