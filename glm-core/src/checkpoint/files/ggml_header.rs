//! What a ggml file says of its model before the tokenizer and the tensors.
//!
//! | version | 4-byte numbers behind `ggml`, the model type and the version |
//! |---|---|
//! | 1 | type, vocab_size, hidden_size, heads, layers, inner size, max length, bos, eos, pad, sep; ChatGLM2 also key-value heads |
//! | 2 | type, vocab_size, hidden_size, heads, key-value heads, layers, inner size, norm epsilon (f32), prefix length, rope theta (f32), max length, eos, pad |
//!
//! Ids that a file does not have are -1. The ids of `[MASK]`, `[gMASK]` and `<sop>` are those of the tokenizer's pieces.

use std::path::Path;

use glm_tokenizer::{Family, GlmTokenizer, Phrase, TokenId, phrase};
use serde_json::{Value, json};

use super::ggml_file::Reader;
use crate::checkpoint::content::Content;
use crate::config::{ModelConfig, ModelFamily};
use crate::error::{Error, Result};

/// What the original code computes rotary positions with; no ChatGLM-6B or ChatGLM2-6B has another.
const ROPE_THETA: f32 = 10_000.0;

/// The numbers of the header. They are checked when a configuration is made of them.
#[derive(Debug)]
pub(super) struct GgmlHeader {
    /// By chatglm.cpp's numbers CodeGeeX2 is a ChatGLM2.
    pub(super) family: ModelFamily,
    vocab_size: i32,
    hidden_size: i32,
    num_attention_heads: i32,
    num_key_value_heads: i32,
    num_layers: i32,
    inner_hidden_size: i32,
    norm_epsilon: f32,
    prefix_length: i32,
    rope_theta: f32,
    max_length: i32,
    eos_token_id: i32,
    pad_token_id: i32,
}

impl GgmlHeader {
    /// Reads what follows the magic.
    ///
    /// # Errors
    /// [`Error::UnsupportedModel`] for a model or version that is not known, [`Error::Truncated`].
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let model_type = reader.i32()?;
        let version = reader.i32()?;
        let unsupported = |found| Error::UnsupportedModel {
            path: reader.path().to_path_buf(),
            found,
        };
        let family = match model_type {
            1 => ModelFamily::ChatGlm,
            2 => ModelFamily::ChatGlm2,
            3 => return Err(unsupported(Phrase::verbatim("ChatGLM3-6B"))),
            other => {
                return Err(unsupported(phrase!(
                    "found-ggml-type",
                    "a model of chatglm.cpp's type {number}",
                    number = other
                )));
            }
        };
        match version {
            1 => Self::read_version_1(family, reader),
            2 => Self::read_version_2(family, reader),
            other => Err(unsupported(phrase!(
                "found-ggml-version",
                "a model in version {version} of chatglm.cpp's format (1 and 2 are known)",
                version = other
            ))),
        }
    }

    fn read_version_1(family: ModelFamily, reader: &mut Reader<'_>) -> Result<Self> {
        let _type_of_matrices = reader.i32()?; // Each tensor has its own.
        let mut header = Self {
            family,
            vocab_size: reader.i32()?,
            hidden_size: reader.i32()?,
            num_attention_heads: reader.i32()?,
            num_key_value_heads: 0,
            num_layers: reader.i32()?,
            inner_hidden_size: reader.i32()?,
            norm_epsilon: 1e-5,
            prefix_length: 0,
            rope_theta: ROPE_THETA,
            max_length: reader.i32()?,
            eos_token_id: {
                let _bos_token_id = reader.i32()?; // -1 in every file: the tokenizer knows it.
                reader.i32()?
            },
            pad_token_id: reader.i32()?,
        };
        let _sep_token_id = reader.i32()?;
        header.num_key_value_heads = match family {
            ModelFamily::ChatGlm2 => reader.i32()?,
            _ => header.num_attention_heads,
        };
        Ok(header)
    }

    fn read_version_2(family: ModelFamily, reader: &mut Reader<'_>) -> Result<Self> {
        let _type_of_matrices = reader.i32()?;
        // Fields are read in the order in which they are written here.
        Ok(Self {
            family,
            vocab_size: reader.i32()?,
            hidden_size: reader.i32()?,
            num_attention_heads: reader.i32()?,
            num_key_value_heads: reader.i32()?,
            num_layers: reader.i32()?,
            inner_hidden_size: reader.i32()?,
            norm_epsilon: reader.f32()?,
            prefix_length: reader.i32()?,
            rope_theta: reader.f32()?,
            max_length: reader.i32()?,
            eos_token_id: reader.i32()?,
            pad_token_id: reader.i32()?,
        })
    }

    /// The configuration, within the limits of every other one. `tokenizer` gives the SentencePiece model of the file.
    ///
    /// # Errors
    /// [`Error::UnsupportedModel`] for a prefix; [`Error::Config`]; [`Error::Tokenizer`].
    pub(super) fn config(
        &self,
        path: &Path,
        sentencepiece: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<ModelConfig> {
        let unsupported = |found| {
            Err(Error::UnsupportedModel {
                path: path.to_path_buf(),
                found,
            })
        };
        if self.prefix_length != 0 {
            return unsupported(Content::PTuningPrefix.into());
        }
        if self.rope_theta != ROPE_THETA {
            return Err(config_error(
                path,
                "rope_theta",
                Phrase::verbatim(ROPE_THETA),
                self.rope_theta,
            ));
        }

        let name = path.display().to_string();
        let tokenizer = GlmTokenizer::from_bytes(&name, &sentencepiece()?)?;
        // The token that ends an answer has no other meaning in any model of these families.
        let eos = tokenizer.special_tokens().eos;
        if self.eos_token_id != -1 && i64::from(self.eos_token_id) != i64::from(eos) {
            let expected = phrase!(
                "config-eos-of-tokenizer",
                "{eos}, as in its tokenizer, or -1",
                eos
            );
            return Err(config_error(
                path,
                "eos_token_id",
                expected,
                self.eos_token_id,
            ));
        }
        let config = match (self.family, tokenizer.family()) {
            (ModelFamily::ChatGlm, Family::ChatGlm) => self.chatglm(path, &tokenizer)?,
            (ModelFamily::ChatGlm2, Family::ChatGlm2) => self.chatglm2(&tokenizer),
            (family, _) => {
                return unsupported(phrase!(
                    "found-ggml-other-tokenizer",
                    "a {model} model with the tokenizer of another one",
                    model = family.name()
                ));
            }
        };
        ModelConfig::from_json(path, config.to_string().as_bytes())
    }

    fn chatglm(&self, path: &Path, tokenizer: &GlmTokenizer) -> Result<Value> {
        if self.num_key_value_heads != self.num_attention_heads {
            let expected = phrase!(
                "config-heads-alike",
                "as many as num_attention_heads ({heads})",
                heads = self.num_attention_heads
            );
            return Err(config_error(
                path,
                "num_key_value_heads",
                expected,
                self.num_key_value_heads,
            ));
        }
        let special = tokenizer.special_tokens();
        Ok(json!({
            "model_type": "chatglm",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "inner_hidden_size": self.inner_hidden_size,
            "num_layers": self.num_layers,
            "num_attention_heads": self.num_attention_heads,
            "max_sequence_length": self.max_length,
            "layernorm_epsilon": decimal(self.norm_epsilon),
            "position_encoding_2d": true,
            "bos_token_id": special.sop,
            "eos_token_id": id_or(self.eos_token_id, special.eos),
            "mask_token_id": special.mask,
            "gmask_token_id": special.gmask,
            "pad_token_id": id_or(self.pad_token_id, special.pad),
            "tie_word_embeddings": true,
        }))
    }

    /// The file does not say how wide a head is: all of them together are as wide as the residual, as in chatglm.cpp.
    fn chatglm2(&self, tokenizer: &GlmTokenizer) -> Value {
        let special = tokenizer.special_tokens();
        json!({
            "model_type": "chatglm",
            "padded_vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "ffn_hidden_size": self.inner_hidden_size,
            "num_layers": self.num_layers,
            "num_attention_heads": self.num_attention_heads,
            "kv_channels": self.hidden_size / self.num_attention_heads.max(1),
            "multi_query_attention": true,
            "multi_query_group_num": self.num_key_value_heads,
            "add_qkv_bias": true,
            "seq_length": self.max_length,
            "layernorm_epsilon": decimal(self.norm_epsilon),
            "eos_token_id": id_or(self.eos_token_id, special.eos),
            "pad_token_id": id_or(self.pad_token_id, special.pad),
        })
    }
}

/// An id of the header, or that of the tokenizer where it has none.
fn id_or(id: i32, piece: TokenId) -> Value {
    if id == -1 { json!(piece) } else { json!(id) }
}

fn config_error(path: &Path, key: &str, expected: Phrase, found: impl std::fmt::Display) -> Error {
    Error::Config {
        path: path.to_path_buf(),
        key: key.to_owned(),
        expected,
        found: Phrase::verbatim(found),
    }
}

/// The number as it was written before it became an f32: 1e-5, not 9.999999747378752e-6. What is no number stays a text,
/// which the configuration refuses.
fn decimal(value: f32) -> Value {
    let text = value.to_string();
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.map_or_else(|| json!(text), |number| json!(number))
}
