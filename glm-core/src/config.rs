//! Reads `config.json`: decides which model family a checkpoint is of, and checks every number before
//! anything is sized by it.
//!
//! All generations share `model_type: "chatglm"`, so the family is told by the keys that only one of
//! them has. Key names and defaults are those of `configuration_chatglm.py` in the official repository.

mod chatglm2;
mod keys;
mod model_config;
#[cfg(test)]
mod tests;

use std::path::Path;

use glm_tokenizer::phrase;
use serde::{Serialize, Serializer};

use crate::error::{Error, Mix, Result};
use crate::json_file;
use crate::numerics::CachePrecision;
use keys::Keys;

pub use chatglm2::ChatGlm2Config;
pub use model_config::ModelConfig;
#[cfg(feature = "tensor")]
pub(crate) use model_config::PREFILL_CHUNK;

/// Largest `config.json` that is read, in bytes. The official ones have less than 2 kB.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Largest accepted `vocab_size`.
pub const MAX_VOCAB_SIZE: usize = 1 << 20;
/// Largest accepted `hidden_size`.
pub const MAX_HIDDEN_SIZE: usize = 1 << 16;
/// Largest accepted `inner_hidden_size`.
pub const MAX_INNER_HIDDEN_SIZE: usize = 1 << 20;
/// Largest accepted `num_layers`.
pub const MAX_LAYERS: usize = 1 << 10;
/// Largest accepted `max_sequence_length` and `pre_seq_len`.
pub const MAX_SEQUENCE_LENGTH: usize = 1 << 20;

/// Ids of a generation of published checkpoints, used where a published config leaves them out.
#[derive(Debug)]
pub(crate) struct PublishedIds {
    pub(crate) vocab_size: usize,
    mask: usize,
    gmask: usize,
    bos: usize,
    eos: usize,
    pad: usize,
}

/// Published from 2023-04-06 on.
pub(crate) const SECOND_GENERATION: PublishedIds = PublishedIds {
    vocab_size: 130_528,
    mask: 130_000,
    gmask: 130_001,
    bos: 130_004,
    eos: 130_005,
    pad: 3,
};

/// Published before; the official code has the mask ids as constants.
pub(crate) const FIRST_GENERATION: PublishedIds = PublishedIds {
    vocab_size: 150_528,
    mask: 150_000,
    gmask: 150_001,
    bos: 150_004,
    eos: 150_005,
    pad: 20_003,
};

/// Ids of images, which come before those of text in the first generation.
const IMAGE_TOKENS: usize = 20_000;

/// Keys that only the configs of ChatGLM2 and its successors have.
const CHATGLM2_KEYS: [&str; 5] = [
    "multi_query_attention",
    "ffn_hidden_size",
    "padded_vocab_size",
    "kv_channels",
    "rmsnorm",
];
/// Keys that only VisualGLM's config has.
const VISUALGLM_KEYS: [&str; 3] = ["eva_config", "qformer_config", "image_length"];

/// The model families that share `model_type: "chatglm"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum ModelFamily {
    /// ChatGLM-6B.
    #[serde(rename = "ChatGLM-6B")]
    ChatGlm,
    /// ChatGLM2-6B, or a successor that is configured alike.
    #[serde(rename = "ChatGLM2-6B")]
    ChatGlm2,
    /// CodeGeeX2-6B.
    #[serde(rename = "CodeGeeX2-6B")]
    CodeGeeX2,
    /// VisualGLM-6B.
    #[serde(rename = "VisualGLM-6B")]
    VisualGlm,
}

impl ModelFamily {
    /// The family of the checkpoint in `dir`, whether or not it can be loaded.
    ///
    /// # Errors
    /// As [`ModelConfig::from_dir`], but for numbers and ids.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self> {
        let path = dir.as_ref().join("config.json");
        Keys::parse(&path, &json_file::read_bytes(&path, MAX_CONFIG_BYTES)?)?.family()
    }

    /// The name of the published model.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChatGlm => "ChatGLM-6B",
            Self::ChatGlm2 => "ChatGLM2-6B",
            Self::CodeGeeX2 => "CodeGeeX2-6B",
            Self::VisualGlm => "VisualGLM-6B",
        }
    }
}

/// What `config.json` of ChatGLM-6B says. Field names are the file's keys.
///
/// Every number is within the limits of this module, so that products of two sizes and the number of
/// layers fit a `u64` with room to spare.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChatGlmConfig {
    /// Rows of the token embedding and of the head.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer; four times `hidden_size` unless given.
    pub inner_hidden_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// The longest sequence the model was trained for, in tokens.
    pub max_sequence_length: usize,
    /// Epsilon of every layer normalisation.
    pub layernorm_epsilon: f64,
    /// Two position ids per token (position, block position) instead of one.
    pub position_encoding_2d: bool,
    /// `<sop>`, the start of the answer.
    pub bos_token_id: usize,
    /// `<eop>`, the end of the answer.
    pub eos_token_id: usize,
    /// `[MASK]`, a short blank to fill.
    pub mask_token_id: usize,
    /// `[gMASK]`, the blank at the end that an answer fills.
    pub gmask_token_id: usize,
    /// `<pad>`.
    pub pad_token_id: usize,
    /// How positions and mask follow from the ids. In files of the first generation the key is this crate's own and
    /// optional; see [`PositionRules`].
    #[serde(skip_serializing_if = "PositionRules::is_second_generation")]
    pub position_rules: PositionRules,
    /// Set when the linear layers of the checkpoint are stored quantised (0 in the file: `None`).
    #[serde(serialize_with = "bits_or_zero")]
    pub quantization_bit: Option<QuantizationBit>,
    /// The token embedding is stored quantised too, and the head shares it.
    pub quantization_embeddings: bool,
    /// The head uses the embedding's weights.
    pub tie_word_embeddings: bool,
    /// Precision the checkpoint was saved in. Informative: each tensor carries its own type.
    pub torch_dtype: Option<TorchDtype>,
    /// Number of prefix slots per layer of a P-Tuning v2 checkpoint.
    pub pre_seq_len: Option<usize>,
    /// The prefix goes through a two-layer network.
    pub prefix_projection: bool,
}

/// How the official code places the tokens of a prompt, which it changed twice. The weights are the same, so either rule
/// of the first generation gives good answers; they differ in the last digits of the logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PositionRules {
    /// First generation until 2023-03-30 (revision 2460dc2): `[MASK]` is filled before `[gMASK]`, a prompt with `[gMASK]`
    /// has its positions counted on through `<sop>`, and all of a prompt but its last token is context. For a
    /// `config.json` without `pad_token_id`, a key that was added on 2023-03-29.
    Early,
    /// First generation from 2023-03-31 to 2023-04-06 (revisions 11c270c to 72985e8): `[MASK]` is filled before `[gMASK]`;
    /// the rest as ever since.
    Late,
    /// Second generation: `[gMASK]` is filled before `[MASK]`.
    #[serde(rename = "second_generation")]
    SecondGeneration,
}

impl PositionRules {
    /// What the official code before 2023-04-06 does is wanted.
    pub fn is_first_generation(self) -> bool {
        !self.is_second_generation()
    }

    #[allow(clippy::trivially_copy_pass_by_ref)] // The signature is serde's.
    fn is_second_generation(&self) -> bool {
        *self == Self::SecondGeneration
    }
}

/// Width of the stored codes of a quantised checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuantizationBit {
    /// Two codes in a byte.
    Int4,
    /// One code in a byte.
    Int8,
}

impl QuantizationBit {
    /// Bits per code: 4 or 8.
    pub fn bits(self) -> u8 {
        match self {
            Self::Int4 => 4,
            Self::Int8 => 8,
        }
    }
}

/// `torch_dtype` of a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TorchDtype {
    /// IEEE half precision.
    Float16,
    /// bfloat16.
    BFloat16,
    /// IEEE single precision.
    Float32,
}

impl ChatGlmConfig {
    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Bytes that keys and values take for each token of a row.
    pub fn cache_bytes_per_token(&self, precision: CachePrecision) -> usize {
        let per_head = precision.bytes_per_head(self.head_dim());
        self.num_layers * self.num_attention_heads * 2 * per_head // keys and values
    }

    /// A checkpoint as published until April 2023, with image tokens before those of text.
    pub fn is_first_generation(&self) -> bool {
        self.vocab_size == FIRST_GENERATION.vocab_size
    }

    /// `[sMASK]`, a blank for sentences: the id behind `[gMASK]` in every published vocabulary. The official code has no
    /// name for it.
    pub fn smask_token_id(&self) -> usize {
        self.gmask_token_id + 1
    }

    /// Ids before the first one of text: 20000 in the first generation.
    pub fn image_tokens(&self) -> usize {
        match self.is_first_generation() {
            true => IMAGE_TOKENS,
            false => 0,
        }
    }

    fn from_keys(keys: &Keys) -> Result<Self> {
        let vocab_size = keys.size("vocab_size", MAX_VOCAB_SIZE, None)?;
        let hidden_size = keys.size("hidden_size", MAX_HIDDEN_SIZE, None)?;
        let num_attention_heads = keys.size("num_attention_heads", MAX_HIDDEN_SIZE, None)?;
        let position_encoding_2d = keys.boolean("position_encoding_2d", true)?;
        if hidden_size % num_attention_heads != 0 {
            return Err(keys.error(
                "num_attention_heads",
                phrase!(
                    "config-divisor-of-hidden-size",
                    "a divisor of hidden_size ({hidden_size})",
                    hidden_size
                ),
            ));
        }
        // Each rotary embedding turns pairs; with 2-D positions a head holds two of them.
        let multiple = if position_encoding_2d { 4 } else { 2 };
        if (hidden_size / num_attention_heads) % multiple != 0 {
            return Err(keys.error(
                "num_attention_heads",
                phrase!(
                    "config-head-size",
                    "such that hidden_size / num_attention_heads is a multiple of {multiple}",
                    multiple
                ),
            ));
        }

        // A config without the mask ids is a published one; any other model has to name its ids.
        let published = [SECOND_GENERATION, FIRST_GENERATION]
            .into_iter()
            .find(|published| published.vocab_size == vocab_size);
        let token = |key, id: fn(&PublishedIds) -> usize| {
            keys.published_token(key, vocab_size, published.as_ref().map(id))
        };
        let pad = published.as_ref().unwrap_or(&SECOND_GENERATION).pad;
        check_generation(keys, vocab_size)?;
        Ok(Self {
            vocab_size,
            hidden_size,
            inner_hidden_size: keys.size(
                "inner_hidden_size",
                MAX_INNER_HIDDEN_SIZE,
                Some(4 * hidden_size),
            )?,
            num_layers: keys.size("num_layers", MAX_LAYERS, None)?,
            num_attention_heads,
            max_sequence_length: keys.size(
                "max_sequence_length",
                MAX_SEQUENCE_LENGTH,
                Some(2048),
            )?,
            layernorm_epsilon: keys.epsilon("layernorm_epsilon", 1e-5)?,
            position_encoding_2d,
            bos_token_id: token("bos_token_id", |published| published.bos)?,
            eos_token_id: token("eos_token_id", |published| published.eos)?,
            mask_token_id: token("mask_token_id", |published| published.mask)?,
            gmask_token_id: token("gmask_token_id", |published| published.gmask)?,
            pad_token_id: keys.token("pad_token_id", vocab_size, Some(pad))?,
            position_rules: keys
                .position_rules("position_rules", vocab_size == FIRST_GENERATION.vocab_size)?,
            quantization_bit: keys.quantization_bit("quantization_bit")?,
            quantization_embeddings: keys.boolean("quantization_embeddings", false)?,
            tie_word_embeddings: keys.boolean("tie_word_embeddings", true)?,
            torch_dtype: keys.torch_dtype(),
            pre_seq_len: keys.optional_size("pre_seq_len", MAX_SEQUENCE_LENGTH)?,
            prefix_projection: keys.boolean("prefix_projection", false)?,
        })
    }
}

/// Whether vocabulary and ids of a config are of one generation: a file of one beside a file of the other is how most
/// gibberish comes about.
fn check_generation(keys: &Keys, vocab_size: usize) -> Result<()> {
    let bos = keys.token("bos_token_id", usize::MAX, Some(0))?;
    let mix = match (vocab_size, bos) {
        (size, bos) if size == FIRST_GENERATION.vocab_size && bos == SECOND_GENERATION.bos => {
            Mix::FirstVocabularySecondIds
        }
        (size, bos) if size == SECOND_GENERATION.vocab_size && bos == FIRST_GENERATION.bos => {
            Mix::SecondVocabularyFirstIds
        }
        _ => return Ok(()),
    };
    Err(Error::Mixed {
        mix,
        path: keys.path.clone(),
        other: keys.path.clone(),
    })
}

/// The official configs write 0 for "not quantised".
#[allow(clippy::ref_option)] // The signature is serde's.
fn bits_or_zero<S: Serializer>(
    bits: &Option<QuantizationBit>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_u8(bits.map_or(0, QuantizationBit::bits))
}
