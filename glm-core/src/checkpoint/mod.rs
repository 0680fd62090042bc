//! From a checkpoint folder, a ggml file or a prepacked file to a model, and from each to the others ([`Converter`]).
//!
//! Everything is checked before anything large is read: `config.json`, then every tensor's name, shape and type
//! against the table in `names.rs`, then the memory that the weights will need. Only then the tensors are read, one
//! at a time, and each is kept as stored or quantised at once ([`Precision`]). What was quantised can be kept in a
//! prepacked file, which is mapped and used in place: [`LoadOptions::prepack`], [`LoadOptions::cached`].

pub(crate) mod atomic_file;
#[cfg(feature = "tensor")]
mod cache;
mod check;
mod companions;
mod content;
mod conversion;
mod converter;
pub(crate) mod files;
mod inspection;
#[cfg(feature = "tensor")]
mod load_options;
#[cfg(any(feature = "tensor", feature = "hub"))]
pub(crate) mod lock;
pub(crate) mod memory;
mod names;
#[cfg(feature = "tensor")]
mod network;
mod official;
mod precision;
mod prepacked;
pub(crate) mod progress;
mod recognition;
mod source;
mod stored_tensor;
mod tokenizer_choice;
mod unnamed_file;
mod weight;

#[cfg(feature = "tensor")]
pub use cache::{CACHE_DIR_VARIABLE, default_cache_dir};
pub use companions::refuse_overwrite;
pub use content::{Content, Verdict};
pub use converter::{Converter, Target};
pub use glm_quant::{Bits, GgmlBlock, GroupSize};

pub use files::{CheckpointFiles, TensorInfo, WeightDType, WeightFormat};
pub use inspection::{
    Inspection, Plan, PlannedPrecision, Problem, Severity, WeightFile, WeightFiles, inspect,
};
#[cfg(feature = "tensor")]
pub use load_options::{LoadOptions, load};
pub use names::{ExpectedTensor, Role, expected_tensors};
#[cfg(feature = "tensor")]
pub use official::save_f16;
pub use precision::{DEFAULT_HEAD, DEFAULT_INT4_GROUP, DEFAULT_INT8_GROUP, Precision};
#[cfg(feature = "tensor")]
pub use prepacked::save_prepacked;
pub use progress::{LoadProgress, LoadStage};
pub use recognition::Member;
pub use source::load_tokenizer;

#[cfg(feature = "tensor")]
pub(crate) use memory::available_memory;
