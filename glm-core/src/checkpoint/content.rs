//! What a path can hold, and what can be done with it.

use std::fmt;

use serde::Serialize;

/// What a folder or file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// A whole model in the official folder layout.
    Checkpoint,
    /// A model in a ggml file of chatglm.cpp.
    Ggml,
    /// A model in this crate's prepacked file.
    Prepacked,
    /// Weights of a model without the configuration that belongs to them, such as one shard.
    Weights,
    /// A model in the folder layout of SwissArmyTransformer, in which VisualGLM-6B was trained.
    SwissArmyTransformer,
    /// A P-Tuning v2 prefix for another checkpoint.
    PTuningPrefix,
    /// A whole model whose weights hold a P-Tuning v2 prefix too. Without the prefix it would be another model.
    ModelWithPrefix,
    /// A LoRA adapter for another checkpoint, as PEFT writes it.
    LoraAdapter,
    /// A whole model whose weights hold a LoRA adapter that was not merged into them.
    ModelWithAdapter,
    /// Another adapter of PEFT, such as IA³ or a prompt.
    OtherAdapter,
    /// A BERT or one of its kind: a text encoder for embeddings or for ranking.
    TextEncoder,
    /// A folder of several checkpoints, adapters or model files.
    Collection,
    /// A tokenizer without a model.
    Tokenizer,
    /// What a model has read: the file of `chat --prompt-cache` and [`Prefix::save`](crate::prefix_cache::Prefix::save).
    PromptCache,
    /// Pictures.
    Images,
    /// Texts, tables, and tensors of no model.
    Data,
    /// Nothing that is known.
    Nothing,
}

impl Content {
    /// Whether it is a model, or what makes another model of one.
    pub(super) fn is_model(self) -> bool {
        self.is_whole_model() || self.is_recognised_only() || self == Self::Weights
    }

    /// Whether it is of a kind that can be loaded.
    pub(super) fn is_whole_model(self) -> bool {
        matches!(self, Self::Checkpoint | Self::Ggml | Self::Prepacked)
    }

    /// Whether it is known by name only.
    pub(super) fn is_recognised_only(self) -> bool {
        matches!(
            self,
            Self::SwissArmyTransformer
                | Self::PTuningPrefix
                | Self::ModelWithPrefix
                | Self::LoraAdapter
                | Self::ModelWithAdapter
                | Self::OtherAdapter
                | Self::TextEncoder
        )
    }
}

/// With its article: `a LoRA adapter`.
impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checkpoint => "a checkpoint",
            Self::Ggml => "a ggml file",
            Self::Prepacked => "a prepacked file",
            Self::Weights => "weights without their configuration",
            Self::SwissArmyTransformer => "a checkpoint in the form of SwissArmyTransformer",
            Self::PTuningPrefix => "a P-Tuning v2 prefix",
            Self::ModelWithPrefix => "a whole model with a P-Tuning v2 prefix in its weights",
            Self::LoraAdapter => "a LoRA adapter",
            Self::ModelWithAdapter => {
                "a whole model with a LoRA adapter in its weights, not merged"
            }
            Self::OtherAdapter => "an adapter other than LoRA",
            Self::TextEncoder => "a text encoder",
            Self::Collection => "several models",
            Self::Tokenizer => "a tokenizer without a model",
            Self::PromptCache => "a prompt cache",
            Self::Images => "images",
            Self::Data => "data files",
            Self::Nothing => "nothing that is known",
        })
    }
}

/// What can be done with what lies at a path, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// [`load`](crate::load) takes it, as far as headers tell.
    Loads,
    /// A model that could be loaded, were it not for its problems.
    Broken,
    /// It was recognised, and cannot be used yet.
    NotSupported,
    /// Several models: one of them has to be chosen.
    ChooseOne,
    /// Not a model.
    NotAModel,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loads => "can be loaded",
            Self::Broken => "cannot be loaded as it is",
            Self::NotSupported => "recognised, but not supported yet",
            Self::ChooseOne => "several to choose from: give one of them",
            Self::NotAModel => "not a model",
        })
    }
}
