//! The keys of one `config.json`, with typed and checked access.

use std::path::{Path, PathBuf};

use glm_tokenizer::{Phrase, phrase};
use serde_json::{Map, Value};

use super::{
    CHATGLM2_KEYS, MAX_CONFIG_BYTES, ModelFamily, PositionRules, QuantizationBit, TorchDtype,
    VISUALGLM_KEYS,
};
use crate::error::{Error, Result};
use crate::json_file;

/// The keys of one file, with typed and checked access. `null` counts as absent, as in the official code.
pub(super) struct Keys {
    pub(super) path: PathBuf,
    values: Map<String, Value>,
}

impl Keys {
    /// Parses the bytes of the file at `path`.
    pub(super) fn parse(path: &Path, json: &[u8]) -> Result<Self> {
        let values = json_file::parse(path, json, MAX_CONFIG_BYTES)?;
        Ok(Self {
            path: path.to_path_buf(),
            values,
        })
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// A text; empty when there is none.
    fn text(&self, key: &str) -> &str {
        self.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// `expected` was not met by what the file says for `key`.
    pub(super) fn error(&self, key: &str, expected: Phrase) -> Error {
        // A hostile value can be as long as the file; a sentence should not.
        let found = match self.get(key) {
            None => phrase!("config-nothing", "nothing"),
            Some(value) => {
                let value: String = value.to_string().chars().take(60).collect();
                Phrase::verbatim(value)
            }
        };
        Error::Config {
            path: self.path.clone(),
            key: key.into(),
            expected,
            found,
        }
    }

    pub(super) fn unsupported(&self, found: Phrase) -> Error {
        Error::UnsupportedModel {
            path: self.path.clone(),
            found,
        }
    }

    /// The family, by the keys that only one of them has.
    pub(super) fn family(&self) -> Result<ModelFamily> {
        match self.get("model_type") {
            None => {
                if self.get("architectures").is_none() && self.get("position_encoding_2d").is_none()
                {
                    return Err(self.error("model_type", Phrase::verbatim("\"chatglm\"")));
                }
            }
            Some(Value::String(name)) if name == "chatglm" => {}
            Some(Value::String(name)) => {
                let name: String = name.chars().take(60).collect();
                return Err(self.unsupported(phrase!(
                    "found-model-type",
                    "a model of type \"{name}\"",
                    name
                )));
            }
            Some(_) => return Err(self.error("model_type", phrase!("config-string", "a string"))),
        }
        let has_any = |keys: &[&str]| keys.iter().any(|key| self.get(key).is_some());
        // CodeGeeX2 is ChatGLM2-6B trained on code, in bf16.
        let is_codegeex2 = || {
            self.text("_name_or_path")
                .to_lowercase()
                .contains("codegeex")
                || self.text("torch_dtype") == "bfloat16"
        };
        Ok(if has_any(&VISUALGLM_KEYS) {
            ModelFamily::VisualGlm
        } else if !has_any(&CHATGLM2_KEYS) {
            ModelFamily::ChatGlm
        } else if is_codegeex2() {
            ModelFamily::CodeGeeX2
        } else {
            ModelFamily::ChatGlm2
        })
    }

    pub(super) fn whole_number(
        &self,
        key: &str,
        expected: impl Fn() -> Phrase,
    ) -> Result<Option<usize>> {
        self.get(key)
            .map(|value| {
                value
                    .as_u64()
                    .and_then(|number| usize::try_from(number).ok())
                    .ok_or_else(|| self.error(key, expected()))
            })
            .transpose()
    }

    pub(super) fn optional_size(&self, key: &str, max: usize) -> Result<Option<usize>> {
        let expected = || size_up_to(max);
        match self.whole_number(key, expected)? {
            Some(number) if !(1..=max).contains(&number) => Err(self.error(key, expected())),
            number => Ok(number),
        }
    }

    pub(super) fn size(&self, key: &str, max: usize, default: Option<usize>) -> Result<usize> {
        self.optional_size(key, max)?
            .or(default)
            .ok_or_else(|| self.error(key, size_up_to(max)))
    }

    pub(super) fn token(
        &self,
        key: &str,
        vocab_size: usize,
        default: Option<usize>,
    ) -> Result<usize> {
        let expected = || {
            phrase!(
                "config-token-id",
                "a token id below vocab_size ({vocab_size})",
                vocab_size
            )
        };
        self.whole_number(key, expected)?
            .or(default)
            .filter(|id| *id < vocab_size)
            .ok_or_else(|| self.error(key, expected()))
    }

    /// As [`Keys::token`], for an id that is `published` for this vocabulary: another one would be a token of the text.
    pub(super) fn published_token(
        &self,
        key: &str,
        vocab_size: usize,
        published: Option<usize>,
    ) -> Result<usize> {
        let found = self.token(key, vocab_size, published)?;
        match published {
            Some(id) if id != found => Err(self.error(
                key,
                phrase!(
                    "config-published-id",
                    "{id} for a vocabulary of {vocab_size}",
                    id,
                    vocab_size
                ),
            )),
            _ => Ok(found),
        }
    }

    pub(super) fn boolean(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.error(key, phrase!("config-boolean", "true or false"))),
        }
    }

    pub(super) fn epsilon(&self, key: &str, default: f64) -> Result<f64> {
        let value = match self.get(key) {
            None => Some(default),
            Some(value) => value.as_f64(),
        };
        // Squared differences are at most of order one here; anything above 1 is a typing error. The lower
        // end must survive the conversion to f32.
        value
            .filter(|eps| (f64::from(f32::MIN_POSITIVE)..=1.0).contains(eps))
            .ok_or_else(|| {
                self.error(
                    key,
                    phrase!("config-epsilon", "a positive number, at most 1"),
                )
            })
    }

    /// A factor that the official code of ChatGLM2-6B divides positions by, and that of ChatGLM3-6B multiplies another
    /// number with.
    pub(super) fn rope_ratio(&self, key: &str) -> Result<f64> {
        let ratio = self.get(key).map_or(Some(1.0), Value::as_f64);
        let ratio = ratio
            .filter(|ratio| (1.0..=1000.0).contains(ratio))
            .ok_or_else(|| {
                self.error(key, phrase!("config-rope-ratio", "a number from 1 to 1000"))
            })?;
        if ratio > 1.0
            && self
                .text("_name_or_path")
                .to_lowercase()
                .contains("chatglm3")
        {
            return Err(self.unsupported(phrase!(
                "found-chatglm3-rope-ratio",
                "a ChatGLM3-6B with a rope_ratio"
            )));
        }
        Ok(ratio)
    }

    pub(super) fn quantization_bit(&self, key: &str) -> Result<Option<QuantizationBit>> {
        let expected = || phrase!("config-bits", "0, 4 or 8");
        match self.whole_number(key, expected)? {
            None | Some(0) => Ok(None),
            Some(4) => Ok(Some(QuantizationBit::Int4)),
            Some(8) => Ok(Some(QuantizationBit::Int8)),
            Some(_) => Err(self.error(key, expected())),
        }
    }

    /// The rules of a first-generation config are told by `pad_token_id`, unless they are named.
    pub(super) fn position_rules(
        &self,
        key: &str,
        first_generation: bool,
    ) -> Result<PositionRules> {
        let value = self.get(key);
        match (first_generation, value.map(Value::as_str)) {
            (true, None) if self.get("pad_token_id").is_none() => Ok(PositionRules::Early),
            (true, None | Some(Some("late"))) => Ok(PositionRules::Late),
            (true, Some(Some("early"))) => Ok(PositionRules::Early),
            (true, _) => Err(self.error(
                key,
                phrase!("config-early-or-late", "\"early\" or \"late\""),
            )),
            (false, None | Some(Some("second_generation"))) => Ok(PositionRules::SecondGeneration),
            (false, _) => Err(self.error(
                key,
                phrase!("config-left-out", "left out for this vocabulary"),
            )),
        }
    }

    /// Unknown names are no error: the tensors carry their types themselves.
    pub(super) fn torch_dtype(&self) -> Option<TorchDtype> {
        match self.get("torch_dtype")?.as_str()? {
            "float16" => Some(TorchDtype::Float16),
            "bfloat16" => Some(TorchDtype::BFloat16),
            "float32" => Some(TorchDtype::Float32),
            _ => None,
        }
    }
}

fn size_up_to(most: usize) -> Phrase {
    phrase!("config-size", "a whole number from 1 to {most}", most)
}
