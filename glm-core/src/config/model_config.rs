//! One configuration of either family, and what both have.

use std::path::Path;

use glm_tokenizer::{Phrase, phrase};
use serde_json::Value;

use super::{
    ChatGlm2Config, ChatGlmConfig, MAX_CONFIG_BYTES, ModelFamily, QuantizationBit, TorchDtype,
    keys::Keys,
};
use crate::error::{Error, Result};
use crate::json_file;
use crate::numerics::CachePrecision;

/// Tokens of each row that are read at once where none sees what comes behind it: enough for the matrix products to be at
/// their fastest, few enough for their results not to matter beside the cache.
pub(crate) const PREFILL_CHUNK: usize = 512;

/// The configuration of a checkpoint, by model family.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ModelConfig {
    /// ChatGLM-6B, of either generation of its checkpoints.
    ChatGlm(ChatGlmConfig),
    /// ChatGLM2-6B or CodeGeeX2-6B.
    ChatGlm2(ChatGlm2Config),
}

impl From<ChatGlmConfig> for ModelConfig {
    fn from(config: ChatGlmConfig) -> Self {
        Self::ChatGlm(config)
    }
}

impl From<ChatGlm2Config> for ModelConfig {
    fn from(config: ChatGlm2Config) -> Self {
        Self::ChatGlm2(config)
    }
}

impl ModelConfig {
    /// Reads `config.json` in `dir`.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::PermissionDenied`] and [`Error::Io`] for the file, [`Error::Malformed`] when it is not a
    /// JSON object or larger than [`MAX_CONFIG_BYTES`](super::MAX_CONFIG_BYTES), [`Error::Config`] for a key out of
    /// range, [`Error::UnsupportedModel`] for another model, [`Error::Mixed`] for a vocabulary and ids of different
    /// generations.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self> {
        Self::from_file(dir.as_ref().join("config.json"))
    }

    /// Reads one configuration file. Errors as [`ModelConfig::from_dir`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::from_json(path, &json_file::read_bytes(path, MAX_CONFIG_BYTES)?)
    }

    /// Parses the bytes of a configuration file; `path` is only used in errors, which are those of
    /// [`ModelConfig::from_dir`].
    pub fn from_json(path: impl AsRef<Path>, json: &[u8]) -> Result<Self> {
        let keys = Keys::parse(path.as_ref(), json)?;
        match keys.family()? {
            ModelFamily::ChatGlm => ChatGlmConfig::from_keys(&keys).map(Self::ChatGlm),
            family @ (ModelFamily::ChatGlm2 | ModelFamily::CodeGeeX2) => {
                ChatGlm2Config::from_keys(&keys, family).map(Self::ChatGlm2)
            }
            ModelFamily::VisualGlm => Err(keys.unsupported(phrase!(
                "found-checkpoint-of",
                "a checkpoint of {model}",
                model = ModelFamily::VisualGlm.name()
            ))),
        }
    }

    /// The text of a `config.json` that [`ModelConfig::from_json`] reads back to the same value.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] when a field that the caller changed cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        let write = || {
            let mut value = match self {
                Self::ChatGlm(config) => serde_json::to_value(config)?,
                Self::ChatGlm2(config) => config.to_value()?,
            };
            if let Value::Object(map) = &mut value {
                map.insert("model_type".into(), "chatglm".into());
                map.insert("architectures".into(), vec!["ChatGLMModel"].into());
            }
            serde_json::to_string_pretty(&value)
        };
        write().map_err(|e: serde_json::Error| Error::malformed("config.json", Phrase::verbatim(e)))
    }

    /// The model that was published with such a configuration.
    pub fn family(&self) -> ModelFamily {
        match self {
            Self::ChatGlm(_) => ModelFamily::ChatGlm,
            Self::ChatGlm2(config) => config.family,
        }
    }

    /// Rows of the token embedding and of the head: ids below are valid.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::ChatGlm(config) => config.vocab_size,
            Self::ChatGlm2(config) => config.padded_vocab_size,
        }
    }

    /// Width of the residual stream.
    pub fn hidden_size(&self) -> usize {
        match self {
            Self::ChatGlm(config) => config.hidden_size,
            Self::ChatGlm2(config) => config.hidden_size,
        }
    }

    /// Width of the feed-forward layer: what its second matrix takes.
    pub fn inner_hidden_size(&self) -> usize {
        match self {
            Self::ChatGlm(config) => config.inner_hidden_size,
            Self::ChatGlm2(config) => config.ffn_hidden_size,
        }
    }

    /// Number of blocks.
    pub fn num_layers(&self) -> usize {
        match self {
            Self::ChatGlm(config) => config.num_layers,
            Self::ChatGlm2(config) => config.num_layers,
        }
    }

    /// The longest sequence the model was trained for, in tokens.
    pub fn max_sequence_length(&self) -> usize {
        match self {
            Self::ChatGlm(config) => config.max_sequence_length,
            Self::ChatGlm2(config) => config.seq_length,
        }
    }

    /// How many tokens of each row are read at once, of prompts of `len` tokens. The results of layers are of that size; only
    /// the cache grows with the prompt.
    pub fn tokens_at_once(&self, len: usize) -> usize {
        match self {
            // Each token of the context sees all of it.
            Self::ChatGlm(_) => len,
            Self::ChatGlm2(_) => len.min(PREFILL_CHUNK),
        }
    }

    /// The ids that end every prompt, `[gMASK] <sop>`; none where they stand in front.
    pub fn prompt_end(&self) -> Vec<usize> {
        match self {
            Self::ChatGlm(config) => vec![config.gmask_token_id, config.bos_token_id],
            Self::ChatGlm2(_) => Vec::new(),
        }
    }

    /// The special tokens that the configuration names and the tokenizer must have under these ids: those that are
    /// written into prompts, and the one that ends an answer.
    pub(crate) fn special_tokens(&self) -> Vec<(&'static str, usize)> {
        match self {
            Self::ChatGlm(config) => vec![
                ("<sop>", config.bos_token_id),
                ("[gMASK]", config.gmask_token_id),
                ("[MASK]", config.mask_token_id),
                ("<eop>", config.eos_token_id),
            ],
            // It names no other.
            Self::ChatGlm2(config) => vec![("</s>", config.eos_token_id)],
        }
    }

    /// The id that ends an answer.
    pub fn eos_token_id(&self) -> usize {
        match self {
            Self::ChatGlm(config) => config.eos_token_id,
            Self::ChatGlm2(config) => config.eos_token_id,
        }
    }

    /// The id that fills up shorter rows.
    pub fn pad_token_id(&self) -> usize {
        match self {
            Self::ChatGlm(config) => config.pad_token_id,
            Self::ChatGlm2(config) => config.pad_token_id,
        }
    }

    /// Ids before the first one of text: 20000 in the first generation of ChatGLM-6B.
    pub fn image_tokens(&self) -> usize {
        match self {
            Self::ChatGlm(config) => config.image_tokens(),
            Self::ChatGlm2(_) => 0,
        }
    }

    /// Width of the codes of the linear layers, if the checkpoint is stored in codes.
    pub fn quantization_bit(&self) -> Option<QuantizationBit> {
        match self {
            Self::ChatGlm(config) => config.quantization_bit,
            Self::ChatGlm2(config) => config.quantization_bit,
        }
    }

    /// Embedding and head are stored in codes too; never those of ChatGLM2.
    pub fn quantization_embeddings(&self) -> bool {
        match self {
            Self::ChatGlm(config) => config.quantization_embeddings,
            Self::ChatGlm2(_) => false,
        }
    }

    /// The head uses the embedding's weights; never that of ChatGLM2.
    pub fn tie_word_embeddings(&self) -> bool {
        match self {
            Self::ChatGlm(config) => config.tie_word_embeddings,
            Self::ChatGlm2(_) => false,
        }
    }

    /// Number of prefix slots per layer that the weights of a P-Tuning v2 checkpoint hold.
    pub fn pre_seq_len(&self) -> Option<usize> {
        match self {
            Self::ChatGlm(config) => config.pre_seq_len,
            Self::ChatGlm2(config) => config.pre_seq_len,
        }
    }

    /// Bytes that keys and values take for each token of a row.
    pub fn cache_bytes_per_token(&self, precision: CachePrecision) -> usize {
        match self {
            Self::ChatGlm(config) => config.cache_bytes_per_token(precision),
            Self::ChatGlm2(config) => config.cache_bytes_per_token(precision),
        }
    }

    /// The same model, stored in codes of this width or none; `embeddings` is of no effect in a family whose embeddings are
    /// always floats.
    #[must_use]
    pub(crate) fn with_quantization(
        mut self,
        bit: Option<QuantizationBit>,
        embeddings: bool,
    ) -> Self {
        match &mut self {
            Self::ChatGlm(config) => {
                config.quantization_bit = bit;
                config.quantization_embeddings = embeddings;
            }
            Self::ChatGlm2(config) => config.quantization_bit = bit,
        }
        self
    }

    /// The same model, saved in this precision.
    #[must_use]
    pub(crate) fn with_torch_dtype(mut self, dtype: TorchDtype) -> Self {
        match &mut self {
            Self::ChatGlm(config) => config.torch_dtype = Some(dtype),
            Self::ChatGlm2(config) => config.torch_dtype = Some(dtype),
        }
        self
    }
}
