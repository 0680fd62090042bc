//! Where the measured model comes from.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

use glm_core::{
    LoadOptions, Model, checkpoint::Precision, config::ModelConfig, random_model::random_packed,
};

use crate::Error;

/// What the name of a random model begins with.
const RANDOM: &str = "random:";

/// The sizes of the published ChatGLM-6B.
const CHATGLM_6B: &str = r#"{"model_type": "chatglm", "vocab_size": 130528, "hidden_size": 4096,
    "inner_hidden_size": 16384, "num_layers": 28, "num_attention_heads": 32, "max_sequence_length": 2048,
    "bos_token_id": 130004, "eos_token_id": 130005, "mask_token_id": 130000, "gmask_token_id": 130001,
    "pad_token_id": 3}"#;

/// A checkpoint, or random weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// A checkpoint folder or prepacked file.
    Path(PathBuf),
    /// Random weights of the size of ChatGLM-6B.
    RandomChatGlm6b,
}

impl ModelSource {
    /// Loads or makes the model on the CPU.
    ///
    /// # Errors
    /// As [`LoadOptions::load`] and [`random_packed`].
    pub fn open(&self, layers: Precision, head: Precision) -> Result<Model, Error> {
        match self {
            Self::Path(path) => Ok(LoadOptions::default()
                .precision(layers)
                .head(head)
                .load(path)?),
            Self::RandomChatGlm6b => {
                let config = ModelConfig::from_json(RANDOM, CHATGLM_6B.as_bytes())?;
                let ModelConfig::ChatGlm(config) = config else {
                    unreachable!("the sizes above are those of ChatGLM-6B");
                };
                Ok(random_packed(&config, layers, head, 1)?)
            }
        }
    }
}

impl FromStr for ModelSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.strip_prefix(RANDOM) {
            None => {
                let path: Result<_, Infallible> = text.parse();
                let Ok(path) = path;
                Ok(Self::Path(path))
            }
            Some("chatglm-6b") => Ok(Self::RandomChatGlm6b),
            Some(name) => Err(Error::UnknownRandomModel {
                name: name.to_owned(),
                reason: match name {
                    "chatglm2-6b" => "this family is not there yet",
                    _ => "no such model is known",
                },
            }),
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::RandomChatGlm6b => write!(f, "{RANDOM}chatglm-6b"),
        }
    }
}
