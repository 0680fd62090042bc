//! The configuration of ChatGLM2-6B and CodeGeeX2-6B.

use glm_tokenizer::{Phrase, phrase};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    MAX_HIDDEN_SIZE, MAX_INNER_HIDDEN_SIZE, MAX_LAYERS, MAX_SEQUENCE_LENGTH, MAX_VOCAB_SIZE,
    ModelFamily, QuantizationBit, TorchDtype, bits_or_zero, keys::Keys,
};
use crate::error::Result;
use crate::numerics::CachePrecision;

/// `padded_vocab_size` of every published model.
const PUBLISHED_VOCAB_SIZE: usize = 65_024;
/// `</s>` and `<unk>` of the published tokenizer, for a config that leaves them out.
const EOS_TOKEN_ID: usize = 2;
const PAD_TOKEN_ID: usize = 0;

/// Switches of the official code with their defaults, and what every published config sets them to. That is what the model
/// is; another one is refused.
const FIXED: [(&str, bool, bool); 5] = [
    ("add_bias_linear", false, false),
    ("add_qkv_bias", false, true),
    ("rmsnorm", true, true),
    ("post_layer_norm", true, true),
    ("original_rope", true, true),
];

/// What `config.json` of ChatGLM2-6B or CodeGeeX2-6B says. Field names are the file's keys.
///
/// Every number is within the limits of [`config`](super), so that products of two sizes and the number of layers fit a
/// `u64` with room to spare.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChatGlm2Config {
    /// Which of the two it is. CodeGeeX2 is told by its repository's name, or by bf16.
    #[serde(rename = "_name_or_path", serialize_with = "repository")]
    #[serde(skip_serializing_if = "is_chatglm2")]
    pub family: ModelFamily,
    /// Rows of the token embedding and of the head; more than there are tokens.
    pub padded_vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer behind its gate; the first matrix gives twice as many.
    pub ffn_hidden_size: usize,
    /// Number of blocks.
    pub num_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Values in a head. `num_attention_heads` times this need not be `hidden_size`.
    pub kv_channels: usize,
    /// Several query heads share the keys and values of a group, and the joint product lies by part; else each head has
    /// its own, and it lies by head.
    pub multi_query_attention: bool,
    /// Key and value heads of multi-query attention; divides `num_attention_heads`.
    pub multi_query_group_num: usize,
    /// The longest sequence the model was trained for, in tokens.
    pub seq_length: usize,
    /// By how much positions are divided before they turn queries and keys
    /// ([position interpolation](https://arxiv.org/abs/2306.15595)); above 1 in ChatGLM2-6B-32K only.
    pub rope_ratio: f64,
    /// Epsilon of every norm.
    pub layernorm_epsilon: f64,
    /// The residual goes on with what the norm gives, not with what it takes.
    pub apply_residual_connection_post_layernorm: bool,
    /// `</s>`, the end of an answer.
    pub eos_token_id: usize,
    /// `<unk>`, which fills up shorter rows.
    pub pad_token_id: usize,
    /// Set when the linear layers of the checkpoint are stored quantised (0 in the file: `None`).
    #[serde(serialize_with = "bits_or_zero")]
    pub quantization_bit: Option<QuantizationBit>,
    /// Precision the checkpoint was saved in. Informative: each tensor carries its own type.
    pub torch_dtype: Option<TorchDtype>,
    /// Number of prefix slots per layer of a P-Tuning v2 checkpoint.
    pub pre_seq_len: Option<usize>,
    /// The prefix goes through a two-layer network.
    pub prefix_projection: bool,
}

impl ChatGlm2Config {
    /// Groups of query heads that share keys and values; `None` when each head has its own.
    pub fn multi_query_groups(&self) -> Option<usize> {
        self.multi_query_attention
            .then_some(self.multi_query_group_num)
    }

    /// Key and value heads.
    pub fn num_key_value_heads(&self) -> usize {
        self.multi_query_groups()
            .unwrap_or(self.num_attention_heads)
    }

    /// Values of a token in the joint product of queries, keys and values.
    pub fn qkv_size(&self) -> usize {
        (self.num_attention_heads + 2 * self.num_key_value_heads()) * self.kv_channels
    }

    /// Bytes that keys and values take for each token of a row.
    pub fn cache_bytes_per_token(&self, precision: CachePrecision) -> usize {
        let per_head = precision.bytes_per_head(self.kv_channels);
        self.num_layers * self.num_key_value_heads() * 2 * per_head // keys and values
    }

    /// The keys of `config.json`, with the switches that are always the same.
    pub(super) fn to_value(&self) -> serde_json::Result<Value> {
        let mut value = serde_json::to_value(self)?;
        for (key, _, published) in FIXED {
            value[key] = published.into();
        }
        Ok(value)
    }

    pub(super) fn from_keys(keys: &Keys, family: ModelFamily) -> Result<Self> {
        for (key, default, published) in FIXED {
            if keys.boolean(key, default)? != published {
                return Err(keys.error(key, Phrase::verbatim(published)));
            }
        }
        let padded_vocab_size = keys.size("padded_vocab_size", MAX_VOCAB_SIZE, None)?;
        let hidden_size = keys.size("hidden_size", MAX_HIDDEN_SIZE, None)?;
        let num_attention_heads = keys.size("num_attention_heads", MAX_HIDDEN_SIZE, None)?;
        let kv_channels = keys.size("kv_channels", MAX_HIDDEN_SIZE, Some(128))?;
        if kv_channels % 4 != 0 {
            // Half of a head is turned, in pairs.
            return Err(keys.error(
                "kv_channels",
                phrase!("config-multiple-of-4", "a multiple of 4"),
            ));
        }
        if num_attention_heads * kv_channels > MAX_HIDDEN_SIZE {
            let most = MAX_HIDDEN_SIZE / kv_channels;
            let expected = phrase!(
                "config-heads-with-channels",
                "at most {most} with kv_channels {kv_channels}",
                most,
                kv_channels
            );
            return Err(keys.error("num_attention_heads", expected));
        }
        let multi_query_attention = keys.boolean("multi_query_attention", false)?;
        let multi_query_group_num =
            keys.size("multi_query_group_num", num_attention_heads, Some(1))?;
        if num_attention_heads % multi_query_group_num != 0 {
            return Err(keys.error(
                "multi_query_group_num",
                phrase!(
                    "config-divisor-of-heads",
                    "a divisor of num_attention_heads ({heads})",
                    heads = num_attention_heads
                ),
            ));
        }
        let token = |key, id| keys.token(key, padded_vocab_size, Some(id));
        let eos_token_id = match padded_vocab_size {
            PUBLISHED_VOCAB_SIZE => {
                keys.published_token("eos_token_id", padded_vocab_size, Some(EOS_TOKEN_ID))?
            }
            _ => token("eos_token_id", EOS_TOKEN_ID)?,
        };
        Ok(Self {
            family,
            padded_vocab_size,
            hidden_size,
            ffn_hidden_size: keys.size("ffn_hidden_size", MAX_INNER_HIDDEN_SIZE, None)?,
            num_layers: keys.size("num_layers", MAX_LAYERS, None)?,
            num_attention_heads,
            kv_channels,
            multi_query_attention,
            multi_query_group_num,
            seq_length: keys.size("seq_length", MAX_SEQUENCE_LENGTH, Some(2048))?,
            rope_ratio: keys.rope_ratio("rope_ratio")?,
            layernorm_epsilon: keys.epsilon("layernorm_epsilon", 1e-5)?,
            apply_residual_connection_post_layernorm: keys
                .boolean("apply_residual_connection_post_layernorm", false)?,
            eos_token_id,
            pad_token_id: token("pad_token_id", PAD_TOKEN_ID)?,
            quantization_bit: keys.quantization_bit("quantization_bit")?,
            torch_dtype: keys.torch_dtype(),
            pre_seq_len: keys.optional_size("pre_seq_len", MAX_SEQUENCE_LENGTH)?,
            prefix_projection: keys.boolean("prefix_projection", false)?,
        })
    }
}

/// The name under which [`ModelFamily`] knows a CodeGeeX2 again.
fn repository<S: Serializer>(
    family: &ModelFamily,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(match family {
        ModelFamily::CodeGeeX2 => "THUDM/codegeex2-6b",
        _ => "THUDM/chatglm2-6b",
    })
}

fn is_chatglm2(family: &ModelFamily) -> bool {
    *family == ModelFamily::ChatGlm2
}
