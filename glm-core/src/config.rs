//! Reads `config.json`: decides which model family a checkpoint is of, and checks every number before
//! anything is sized by it.
//!
//! All generations share `model_type: "chatglm"`, so the family is told by the keys that only one of
//! them has. Key names and defaults are those of `configuration_chatglm.py` in the official repository.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

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

/// Special token ids of the published ChatGLM-6B, used where a published config leaves them out.
const PUBLISHED_MASK: usize = 130_000;
const PUBLISHED_GMASK: usize = 130_001;
const PUBLISHED_BOS: usize = 130_004;
const PUBLISHED_EOS: usize = 130_005;
const PUBLISHED_PAD: usize = 3;
const PUBLISHED_VOCAB_SIZE: usize = 130_528;

/// `bos_token_id` and vocabulary of the checkpoints published before 2023-04-06.
const FIRST_GENERATION_BOS: usize = 150_004;
const FIRST_GENERATION_VOCAB_SIZE: usize = 150_528;

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

/// The configuration of a checkpoint, by model family.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ModelConfig {
    /// ChatGLM-6B (the second generation of its checkpoints, vocabulary 130528).
    ChatGlm(ChatGlmConfig),
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

impl ModelConfig {
    /// Reads `config.json` in `dir`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and [`Error::PermissionDenied`] for the file, [`Error::Malformed`] when it is not a
    /// JSON object or larger than [`MAX_CONFIG_BYTES`], [`Error::Config`] for a key out of range,
    /// [`Error::UnsupportedModel`] for another model.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self> {
        Self::from_file(dir.as_ref().join("config.json"))
    }

    /// Reads one configuration file. Errors as [`ModelConfig::from_dir`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let mut json = Vec::new();
        file.take(MAX_CONFIG_BYTES + 1)
            .read_to_end(&mut json)
            .map_err(|e| Error::io(path, e))?;
        Self::from_json(path, &json)
    }

    /// Parses the bytes of a configuration file; `path` is only used in errors, which are those of
    /// [`ModelConfig::from_dir`].
    pub fn from_json(path: impl AsRef<Path>, json: &[u8]) -> Result<Self> {
        let path = path.as_ref();
        if json.len() as u64 > MAX_CONFIG_BYTES {
            return Err(Error::malformed(
                path,
                format!("a configuration has at most {MAX_CONFIG_BYTES} bytes"),
            ));
        }
        let values: Map<String, Value> =
            serde_json::from_slice(json).map_err(|e| Error::malformed(path, e))?;
        let keys = Keys {
            path: path.to_path_buf(),
            values,
        };
        keys.check_family()?;
        ChatGlmConfig::from_keys(&keys).map(Self::ChatGlm)
    }

    /// The text of a `config.json` that [`ModelConfig::from_json`] reads back to the same value.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] when a field that the caller changed cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        let Self::ChatGlm(config) = self;
        let write = || {
            let mut value = serde_json::to_value(config)?;
            if let Value::Object(map) = &mut value {
                map.insert("model_type".into(), "chatglm".into());
                map.insert("architectures".into(), vec!["ChatGLMModel"].into());
            }
            serde_json::to_string_pretty(&value)
        };
        write().map_err(|e: serde_json::Error| Error::malformed("config.json", e))
    }
}

impl ChatGlmConfig {
    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    fn from_keys(keys: &Keys) -> Result<Self> {
        let vocab_size = keys.size("vocab_size", MAX_VOCAB_SIZE, None)?;
        let hidden_size = keys.size("hidden_size", MAX_HIDDEN_SIZE, None)?;
        let num_attention_heads = keys.size("num_attention_heads", MAX_HIDDEN_SIZE, None)?;
        let position_encoding_2d = keys.boolean("position_encoding_2d", true)?;
        if hidden_size % num_attention_heads != 0 {
            return Err(keys.error(
                "num_attention_heads",
                format!("a divisor of hidden_size ({hidden_size})"),
            ));
        }
        // Each rotary embedding turns pairs; with 2-D positions a head holds two of them.
        let multiple = if position_encoding_2d { 4 } else { 2 };
        if (hidden_size / num_attention_heads) % multiple != 0 {
            return Err(keys.error(
                "num_attention_heads",
                format!("such that hidden_size / num_attention_heads is a multiple of {multiple}"),
            ));
        }

        // A config without the mask ids is either a published int4 one or of the first generation, which
        // `check_family` has refused; any other model has to name its ids.
        let published = vocab_size == PUBLISHED_VOCAB_SIZE;
        let token =
            |key, published_id| keys.token(key, vocab_size, published.then_some(published_id));
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
            bos_token_id: token("bos_token_id", PUBLISHED_BOS)?,
            eos_token_id: token("eos_token_id", PUBLISHED_EOS)?,
            mask_token_id: token("mask_token_id", PUBLISHED_MASK)?,
            gmask_token_id: token("gmask_token_id", PUBLISHED_GMASK)?,
            pad_token_id: keys.token("pad_token_id", vocab_size, Some(PUBLISHED_PAD))?,
            quantization_bit: keys.quantization_bit("quantization_bit")?,
            quantization_embeddings: keys.boolean("quantization_embeddings", false)?,
            tie_word_embeddings: keys.boolean("tie_word_embeddings", true)?,
            torch_dtype: keys.torch_dtype(),
            pre_seq_len: keys.optional_size("pre_seq_len", MAX_SEQUENCE_LENGTH)?,
            prefix_projection: keys.boolean("prefix_projection", false)?,
        })
    }
}

/// The keys of one file, with typed and checked access. `null` counts as absent, as in the official code.
struct Keys {
    path: PathBuf,
    values: Map<String, Value>,
}

impl Keys {
    fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// `expected` was not met by what the file says for `key`.
    fn error(&self, key: &str, expected: impl Into<String>) -> Error {
        // A hostile value can be as long as the file; a sentence should not.
        let found: String = match self.get(key) {
            None => "nothing".into(),
            Some(value) => value.to_string().chars().take(60).collect(),
        };
        Error::Config {
            path: self.path.clone(),
            key: key.into(),
            expected: expected.into(),
            found,
        }
    }

    fn unsupported(&self, found: impl Into<String>) -> Error {
        Error::UnsupportedModel {
            path: self.path.clone(),
            found: found.into(),
        }
    }

    /// `Ok` for ChatGLM-6B of the current layout.
    fn check_family(&self) -> Result<()> {
        match self.get("model_type") {
            None => {
                if self.get("architectures").is_none() && self.get("position_encoding_2d").is_none()
                {
                    return Err(self.error("model_type", "\"chatglm\""));
                }
            }
            Some(Value::String(name)) if name == "chatglm" => {}
            Some(Value::String(name)) => {
                let name: String = name.chars().take(60).collect();
                return Err(self.unsupported(format!("a model of type \"{name}\"")));
            }
            Some(_) => return Err(self.error("model_type", "a string")),
        }
        let has_any = |keys: &[&str]| keys.iter().any(|key| self.get(key).is_some());
        if has_any(&VISUALGLM_KEYS) {
            return Err(self.unsupported("a VisualGLM checkpoint (text and images)"));
        }
        if has_any(&CHATGLM2_KEYS) {
            return Err(self.unsupported("a ChatGLM2, ChatGLM3 or CodeGeeX2 checkpoint"));
        }
        let is = |key, id: usize| self.get(key).and_then(Value::as_u64) == Some(id as u64);
        if is("bos_token_id", FIRST_GENERATION_BOS) || is("vocab_size", FIRST_GENERATION_VOCAB_SIZE)
        {
            return Err(self.unsupported(
                "a first-generation checkpoint of ChatGLM-6B (published before April 2023, 150528 token ids)",
            ));
        }
        Ok(())
    }

    fn whole_number(&self, key: &str, expected: &str) -> Result<Option<usize>> {
        self.get(key)
            .map(|value| {
                value
                    .as_u64()
                    .and_then(|number| usize::try_from(number).ok())
                    .ok_or_else(|| self.error(key, expected))
            })
            .transpose()
    }

    fn optional_size(&self, key: &str, max: usize) -> Result<Option<usize>> {
        let expected = format!("a whole number from 1 to {max}");
        match self.whole_number(key, &expected)? {
            Some(number) if !(1..=max).contains(&number) => Err(self.error(key, expected)),
            number => Ok(number),
        }
    }

    fn size(&self, key: &str, max: usize, default: Option<usize>) -> Result<usize> {
        self.optional_size(key, max)?
            .or(default)
            .ok_or_else(|| self.error(key, format!("a whole number from 1 to {max}")))
    }

    fn token(&self, key: &str, vocab_size: usize, default: Option<usize>) -> Result<usize> {
        let expected = format!("a token id below vocab_size ({vocab_size})");
        self.whole_number(key, &expected)?
            .or(default)
            .filter(|id| *id < vocab_size)
            .ok_or_else(|| self.error(key, expected))
    }

    fn boolean(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.error(key, "true or false")),
        }
    }

    fn epsilon(&self, key: &str, default: f64) -> Result<f64> {
        let value = match self.get(key) {
            None => Some(default),
            Some(value) => value.as_f64(),
        };
        // Squared differences are at most of order one here; anything above 1 is a typing error. The lower
        // end must survive the conversion to f32.
        value
            .filter(|eps| (f64::from(f32::MIN_POSITIVE)..=1.0).contains(eps))
            .ok_or_else(|| self.error(key, "a positive number, at most 1"))
    }

    fn quantization_bit(&self, key: &str) -> Result<Option<QuantizationBit>> {
        match self.whole_number(key, "0, 4 or 8")? {
            None | Some(0) => Ok(None),
            Some(4) => Ok(Some(QuantizationBit::Int4)),
            Some(8) => Ok(Some(QuantizationBit::Int8)),
            Some(_) => Err(self.error(key, "0, 4 or 8")),
        }
    }

    /// Unknown names are no error: the tensors carry their types themselves.
    fn torch_dtype(&self) -> Option<TorchDtype> {
        match self.get("torch_dtype")?.as_str()? {
            "float16" => Some(TorchDtype::Float16),
            "bfloat16" => Some(TorchDtype::BFloat16),
            "float32" => Some(TorchDtype::Float32),
            _ => None,
        }
    }
}

/// The official configs write 0 for "not quantised".
#[allow(clippy::ref_option)] // The signature is serde's.
fn bits_or_zero<S: Serializer>(
    bits: &Option<QuantizationBit>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_u8(bits.map_or(0, QuantizationBit::bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// The config of the published fp16 ChatGLM-6B.
    fn published() -> Value {
        json!({
            "model_type": "chatglm", "architectures": ["ChatGLMModel"], "vocab_size": 130_528,
            "hidden_size": 4096, "inner_hidden_size": 16384, "num_layers": 28, "num_attention_heads": 32,
            "max_sequence_length": 2048, "layernorm_epsilon": 1e-5, "position_encoding_2d": true,
            "use_cache": true, "bos_token_id": 130_004, "eos_token_id": 130_005, "mask_token_id": 130_000,
            "gmask_token_id": 130_001, "pad_token_id": 3, "quantization_bit": 0, "pre_seq_len": null,
            "prefix_projection": false, "torch_dtype": "float16", "transformers_version": "4.23.1"
        })
    }

    fn parse(value: &Value) -> Result<ChatGlmConfig> {
        let ModelConfig::ChatGlm(config) =
            ModelConfig::from_json("config.json", value.to_string().as_bytes())?;
        Ok(config)
    }

    fn with(changes: &[(&str, Value)]) -> Value {
        let mut value = published();
        for (key, change) in changes {
            value[*key] = change.clone();
        }
        value
    }

    fn without(keys: &[&str]) -> Value {
        let mut value = published();
        for key in keys {
            value.as_object_mut().unwrap().remove(*key);
        }
        value
    }

    #[test]
    fn published_config_is_read() {
        let config = parse(&published()).unwrap();
        assert_eq!(config.head_dim(), 128);
        assert_eq!(
            (config.mask_token_id, config.gmask_token_id),
            (130_000, 130_001)
        );
        assert_eq!(config.quantization_bit, None);
        assert_eq!(config.torch_dtype, Some(TorchDtype::Float16));
        assert!(config.tie_word_embeddings && config.position_encoding_2d);
    }

    #[test]
    fn published_int4_config_without_mask_ids_is_read() {
        let mut value = without(&["mask_token_id", "gmask_token_id", "pad_token_id"]);
        value["quantization_bit"] = json!(4);
        let config = parse(&value).unwrap();
        assert_eq!(
            (
                config.mask_token_id,
                config.gmask_token_id,
                config.pad_token_id
            ),
            (130_000, 130_001, 3)
        );
        assert_eq!(config.quantization_bit, Some(QuantizationBit::Int4));
    }

    #[test]
    fn inner_size_defaults_to_four_times_hidden() {
        for value in [
            without(&["inner_hidden_size"]),
            with(&[("inner_hidden_size", Value::Null)]),
        ] {
            assert_eq!(parse(&value).unwrap().inner_hidden_size, 16384);
        }
    }

    #[test]
    fn other_models_are_named() {
        let found = |value: Value| match parse(&value) {
            Err(Error::UnsupportedModel { found, .. }) => found,
            other => panic!("{other:?}"),
        };
        assert!(found(with(&[("model_type", json!("llama"))])).contains("llama"));
        assert!(found(with(&[("multi_query_attention", json!(true))])).contains("ChatGLM2"));
        assert!(found(with(&[("eva_config", json!({}))])).contains("VisualGLM"));
        assert!(found(with(&[("vocab_size", json!(150_528))])).contains("first-generation"));
        assert!(found(with(&[("bos_token_id", json!(150_004))])).contains("first-generation"));
    }

    #[test]
    fn every_bad_value_names_its_key() {
        let cases = [
            ("vocab_size", json!(0)),
            ("vocab_size", json!(1_u64 << 40)),
            ("vocab_size", json!("130528")),
            ("hidden_size", json!(-4096)),
            ("hidden_size", json!(4096.5)),
            ("num_layers", json!(1e300)),
            ("num_attention_heads", json!(31)),
            ("num_attention_heads", json!(2048)),
            ("inner_hidden_size", json!(0)),
            ("max_sequence_length", json!(0)),
            ("layernorm_epsilon", json!(0)),
            ("layernorm_epsilon", json!(-1e-5)),
            ("layernorm_epsilon", json!(1e-300)),
            ("layernorm_epsilon", json!("1e-5")),
            ("position_encoding_2d", json!(1)),
            ("mask_token_id", json!(130_528)),
            ("eos_token_id", json!([130_005])),
            ("quantization_bit", json!(3)),
            ("pre_seq_len", json!(0)),
            ("tie_word_embeddings", json!("yes")),
            ("model_type", json!(7)),
        ];
        for (name, value) in cases {
            match parse(&with(&[(name, value.clone())])) {
                Err(Error::Config { key, .. }) => assert_eq!(key, name, "{value}"),
                other => panic!("{name} = {value}: {other:?}"),
            }
        }
        for name in [
            "vocab_size",
            "hidden_size",
            "num_layers",
            "num_attention_heads",
        ] {
            match parse(&without(&[name])) {
                Err(Error::Config { key, found, .. }) => {
                    assert_eq!((key.as_str(), found.as_str()), (name, "nothing"))
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        // A model with another vocabulary must name its mask ids: 130000 means nothing there.
        let other_vocabulary = json!({"model_type": "chatglm", "vocab_size": 200_000, "hidden_size": 64,
            "num_layers": 1, "num_attention_heads": 2, "bos_token_id": 1, "eos_token_id": 2});
        assert!(
            matches!(parse(&other_vocabulary), Err(Error::Config { key, .. }) if key == "mask_token_id")
        );
    }

    #[test]
    fn head_width_follows_the_position_encoding() {
        let narrow = [
            ("hidden_size", json!(64)),
            ("num_attention_heads", json!(32)),
        ];
        assert!(parse(&with(&narrow)).is_err());
        let mut one_dimensional = with(&narrow);
        one_dimensional["position_encoding_2d"] = json!(false);
        assert_eq!(parse(&one_dimensional).unwrap().head_dim(), 2);
    }

    #[test]
    fn saved_config_reads_back_equal() {
        let mut value = published();
        value["quantization_bit"] = json!(8);
        value["pre_seq_len"] = json!(128);
        value["tie_word_embeddings"] = json!(false);
        let config = ModelConfig::from_json("a", value.to_string().as_bytes()).unwrap();
        let text = config.to_json().unwrap();
        assert_eq!(
            ModelConfig::from_json("b", text.as_bytes()).unwrap(),
            config
        );
        let text: Value = serde_json::from_str(&text).unwrap();
        for key in [
            "vocab_size",
            "quantization_bit",
            "pre_seq_len",
            "torch_dtype",
            "model_type",
        ] {
            assert_eq!(text[key], value[key], "{key}");
        }
    }

    #[test]
    fn not_an_object_or_too_large_is_malformed() {
        let long = vec![b' '; usize::try_from(MAX_CONFIG_BYTES).unwrap() + 1];
        let nested = "[".repeat(100_000).into_bytes();
        for json in [
            b"".to_vec(),
            b"[]".to_vec(),
            b"{".to_vec(),
            b"\xff".to_vec(),
            nested,
            long,
        ] {
            assert!(matches!(
                ModelConfig::from_json("c", &json),
                Err(Error::Malformed { .. })
            ));
        }
    }

    proptest! {
        #[test]
        fn damaged_text_never_panics(position in 0_usize..700, byte: u8) {
            let mut text = published().to_string().into_bytes();
            if let Some(target) = text.get_mut(position) {
                *target = byte;
            }
            if let Ok(ModelConfig::ChatGlm(config)) = ModelConfig::from_json("c", &text) {
                prop_assert!(config.head_dim() > 0 && config.eos_token_id < config.vocab_size);
            }
        }
    }
}
