//! What a path can hold, and what can be done with it.

use std::fmt;

use glm_tokenizer::{Phrase, phrase};
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
impl From<Content> for Phrase {
    fn from(content: Content) -> Self {
        match content {
            Content::Checkpoint => phrase!("content-checkpoint", "a checkpoint"),
            Content::Ggml => phrase!("content-ggml", "a ggml file"),
            Content::Prepacked => phrase!("content-prepacked", "a prepacked file"),
            Content::Weights => phrase!("content-weights", "weights without their configuration"),
            Content::SwissArmyTransformer => phrase!(
                "content-swiss-army-transformer",
                "a checkpoint in the form of SwissArmyTransformer"
            ),
            Content::PTuningPrefix => phrase!("content-p-tuning-prefix", "a P-Tuning v2 prefix"),
            Content::ModelWithPrefix => phrase!(
                "content-model-with-prefix",
                "a whole model with a P-Tuning v2 prefix in its weights"
            ),
            Content::LoraAdapter => phrase!("content-lora-adapter", "a LoRA adapter"),
            Content::ModelWithAdapter => phrase!(
                "content-model-with-adapter",
                "a whole model with a LoRA adapter in its weights, not merged"
            ),
            Content::OtherAdapter => phrase!("content-other-adapter", "an adapter other than LoRA"),
            Content::TextEncoder => phrase!("content-text-encoder", "a text encoder"),
            Content::Collection => phrase!("content-collection", "several models"),
            Content::Tokenizer => phrase!("content-tokenizer", "a tokenizer without a model"),
            Content::PromptCache => phrase!("content-prompt-cache", "a prompt cache"),
            Content::Images => phrase!("content-images", "images"),
            Content::Data => phrase!("content-data", "data files"),
            Content::Nothing => phrase!("content-nothing", "nothing that is known"),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Phrase::from(*self).fmt(f)
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

impl From<Verdict> for Phrase {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Loads => phrase!("verdict-loads", "can be loaded"),
            Verdict::Broken => phrase!("verdict-broken", "cannot be loaded as it is"),
            Verdict::NotSupported => {
                phrase!("verdict-not-supported", "recognised, but not supported yet")
            }
            Verdict::ChooseOne => phrase!(
                "verdict-choose-one",
                "several to choose from: give one of them"
            ),
            Verdict::NotAModel => phrase!("verdict-not-a-model", "not a model"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Phrase::from(*self).fmt(f)
    }
}
