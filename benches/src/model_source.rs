//! Where the measured model comes from.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

use glm_core::{
    LoadOptions, Model, checkpoint::Precision, config::ModelConfig, random_model::random_packed,
};

use crate::Error;

/// What the name of a random model begins with.
const RANDOM: &str = "random:";

/// A published model: random weights can be made of its size.
#[derive(Debug, PartialEq, Eq)]
pub struct Published {
    name: &'static str,
    /// Its `config.json`, as far as sizes and switches go.
    config: &'static str,
}

const PUBLISHED: [Published; 4] = [
    Published {
        name: "chatglm-6b",
        config: r#"{"model_type": "chatglm", "vocab_size": 130528, "hidden_size": 4096, "inner_hidden_size": 16384,
            "num_layers": 28, "num_attention_heads": 32, "max_sequence_length": 2048, "bos_token_id": 130004,
            "eos_token_id": 130005, "mask_token_id": 130000, "gmask_token_id": 130001, "pad_token_id": 3}"#,
    },
    Published {
        name: "chatglm2-6b",
        config: r#"{"model_type": "chatglm", "padded_vocab_size": 65024, "hidden_size": 4096,
            "ffn_hidden_size": 13696, "num_layers": 28, "num_attention_heads": 32, "kv_channels": 128,
            "multi_query_attention": true, "multi_query_group_num": 2, "seq_length": 32768, "add_bias_linear": false,
            "add_qkv_bias": true, "rmsnorm": true, "post_layer_norm": true, "original_rope": true}"#,
    },
    Published {
        name: "chatglm2-6b-32k",
        config: r#"{"model_type": "chatglm", "padded_vocab_size": 65024, "hidden_size": 4096,
            "ffn_hidden_size": 13696, "num_layers": 28, "num_attention_heads": 32, "kv_channels": 128,
            "multi_query_attention": true, "multi_query_group_num": 2, "seq_length": 32768, "rope_ratio": 50,
            "add_bias_linear": false, "add_qkv_bias": true, "rmsnorm": true, "post_layer_norm": true,
            "original_rope": true}"#,
    },
    Published {
        name: "codegeex2-6b",
        config: r#"{"model_type": "chatglm", "_name_or_path": "THUDM/codegeex2-6b", "padded_vocab_size": 65024,
            "hidden_size": 4096, "ffn_hidden_size": 13696, "num_layers": 28, "num_attention_heads": 32,
            "kv_channels": 128, "multi_query_attention": true, "multi_query_group_num": 2, "seq_length": 8192,
            "add_bias_linear": false, "add_qkv_bias": true, "rmsnorm": true, "post_layer_norm": true,
            "original_rope": true, "torch_dtype": "bfloat16"}"#,
    },
];

/// A checkpoint, or random weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// A checkpoint folder or prepacked file.
    Path(PathBuf),
    /// Random weights of the size of a published model.
    Random(&'static Published),
}

impl ModelSource {
    /// What is taken when no precision is asked for: a random model has nothing stored.
    #[must_use]
    pub fn default_precision(&self) -> Precision {
        match self {
            Self::Path(_) => Precision::Stored,
            Self::Random(_) => Precision::INT4,
        }
    }

    /// Precision of layers and of embedding and head, with the defaults filled in.
    #[must_use]
    pub fn precisions(
        &self,
        layers: Option<Precision>,
        head: Option<Precision>,
    ) -> (Precision, Precision) {
        let layers = layers.unwrap_or(self.default_precision());
        (layers, head.unwrap_or(layers.default_head()))
    }

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
            Self::Random(model) => {
                let config = ModelConfig::from_json(RANDOM, model.config.as_bytes())?;
                Ok(random_packed(&config, layers, head, 1)?)
            }
        }
    }
}

impl FromStr for ModelSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let Some(name) = text.strip_prefix(RANDOM) else {
            let path: Result<_, Infallible> = text.parse();
            let Ok(path) = path;
            return Ok(Self::Path(path));
        };
        let found = PUBLISHED.iter().find(|model| model.name == name);
        found
            .map(Self::Random)
            .ok_or_else(|| Error::UnknownRandomModel {
                name: name.to_owned(),
                known: PUBLISHED
                    .map(|model| format!("{RANDOM}{}", model.name))
                    .join(", "),
            })
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Random(model) => write!(f, "{RANDOM}{}", model.name),
        }
    }
}
