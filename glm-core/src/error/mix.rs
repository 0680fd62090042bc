//! Files of different checkpoints in one folder.

use std::fmt;

use glm_tokenizer::{Phrase, phrase};

/// How the files of a folder contradict each other. Downloads of different dates were mixed, or a file was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mix {
    /// In config.json, the vocabulary of the first generation and the token ids of the second.
    FirstVocabularySecondIds,
    /// In config.json, the vocabulary of the second generation and the token ids of the first.
    SecondVocabularyFirstIds,
    /// Weights of the first generation beside a configuration of the second.
    FirstWeights,
    /// Weights of the second generation beside a configuration of the first.
    SecondWeights,
    /// Weights of ChatGLM2-6B, or of its successors, beside a configuration of ChatGLM-6B.
    ChatGlm2Weights,
    /// Weights of ChatGLM-6B beside a configuration of ChatGLM2-6B or a successor.
    ChatGlmWeights,
    /// Weights with an image encoder beside a configuration without one.
    VisualGlmWeights,
    /// A tokenizer of the first generation beside a model of the second.
    FirstTokenizer,
    /// A tokenizer of the second generation beside a model of the first.
    SecondTokenizer,
    /// A tokenizer of ChatGLM2-6B, or of its successors, beside a model of ChatGLM-6B.
    ChatGlm2Tokenizer,
    /// A tokenizer of ChatGLM-6B beside a model of ChatGLM2-6B or a successor.
    ChatGlmTokenizer,
    /// A configuration with a P-Tuning v2 prefix beside weights without one.
    MissingPrefix,
    /// Weights with more or fewer layers than the configuration says.
    OtherLayerCount {
        /// Layers in the weights.
        weights: usize,
        /// `num_layers` of the configuration.
        config: usize,
    },
    /// Weights of another width than the configuration says.
    OtherWidth {
        /// Columns of the embedding.
        weights: usize,
        /// `hidden_size` of the configuration.
        config: usize,
    },
    /// Weights that are not quantised beside a configuration that says that they are.
    FloatWeights,
    /// Quantised weights beside a configuration that does not say so.
    QuantizedWeights,
    /// INT8 weights beside a configuration that says INT4.
    Int8Weights,
    /// INT4 weights beside a configuration that says INT8.
    Int4Weights,
    /// A quantised embedding beside a configuration that does not say so.
    QuantizedEmbedding,
    /// An embedding that is not quantised beside a configuration that says that it is.
    FloatEmbedding,
}

impl From<Mix> for Phrase {
    fn from(mix: Mix) -> Self {
        match mix {
            Mix::OtherLayerCount { weights, config } => phrase!(
                "mix-other-layer-count",
                "the weights have {weights} layers, the configuration says `num_layers` {config}; take both from one \
                 model, and check that all files were downloaded",
                weights,
                config
            ),
            Mix::OtherWidth { weights, config } => phrase!(
                "mix-other-width",
                "the weights are {weights} wide, the configuration says `hidden_size` {config}; take both from one \
                 model",
                weights,
                config
            ),
            Mix::FirstVocabularySecondIds => phrase!(
                "mix-first-vocabulary-second-ids",
                "vocab_size is that of the first generation (150528), bos_token_id that of the second (130004); take \
                 the config.json that was published with the weights"
            ),
            Mix::SecondVocabularyFirstIds => phrase!(
                "mix-second-vocabulary-first-ids",
                "vocab_size is that of the second generation (130528), bos_token_id that of the first (150004); take \
                 the config.json that was published with the weights"
            ),
            Mix::FirstWeights => phrase!(
                "mix-first-weights",
                "the weights are of the first generation (150528 ids), the configuration is of the second (130528); \
                 take both from one revision"
            ),
            Mix::SecondWeights => phrase!(
                "mix-second-weights",
                "the weights are of the second generation (130528 ids), the configuration is of the first (150528); \
                 take both from one revision"
            ),
            Mix::ChatGlm2Weights => phrase!(
                "mix-chatglm2-weights",
                "the weights are of ChatGLM2-6B or a successor, the configuration is of ChatGLM-6B",
            ),
            Mix::ChatGlmWeights => phrase!(
                "mix-chatglm-weights",
                "the weights are of ChatGLM-6B, the configuration is of ChatGLM2-6B or a successor",
            ),
            Mix::VisualGlmWeights => phrase!(
                "mix-visualglm-weights",
                "the weights are of VisualGLM-6B, the configuration is of ChatGLM-6B"
            ),
            Mix::FirstTokenizer => phrase!(
                "mix-first-tokenizer",
                "the tokenizer is of the first generation, whose text begins at id 20000, the model is of the second; \
                 take ice_text.model from the revision of the weights"
            ),
            Mix::SecondTokenizer => phrase!(
                "mix-second-tokenizer",
                "the tokenizer is of the second generation, whose text begins at id 0, the model is of the first; \
                 take ice_text.model from the revision of the weights"
            ),
            Mix::ChatGlm2Tokenizer => phrase!(
                "mix-chatglm2-tokenizer",
                "the tokenizer is of ChatGLM2-6B or a successor, the model is ChatGLM-6B; its file is ice_text.model",
            ),
            Mix::ChatGlmTokenizer => phrase!(
                "mix-chatglm-tokenizer",
                "the tokenizer is of ChatGLM-6B, the model is ChatGLM2-6B or a successor; its file is tokenizer.model",
            ),
            Mix::MissingPrefix => phrase!(
                "mix-missing-prefix",
                "the configuration says `pre_seq_len`, which is the length of a P-Tuning v2 prefix, the weights hold \
                 no prefix; take the config.json of the model, or remove the key to use the model without a prefix"
            ),
            Mix::FloatWeights => phrase!(
                "mix-float-weights",
                "the configuration says `quantization_bit`, the weights are not quantised; take the config.json of \
                 the fp16 model"
            ),
            Mix::QuantizedWeights => phrase!(
                "mix-quantized-weights",
                "the weights are quantised, the configuration does not say so (`quantization_bit`); take the \
                 config.json that was published with them"
            ),
            Mix::Int8Weights => phrase!(
                "mix-int8-weights",
                "the configuration says INT4, the weights are INT8"
            ),
            Mix::Int4Weights => phrase!(
                "mix-int4-weights",
                "the configuration says INT8, the weights are INT4"
            ),
            Mix::QuantizedEmbedding => phrase!(
                "mix-quantized-embedding",
                "the embedding is quantised, the configuration does not say so (`quantization_embeddings`)",
            ),
            Mix::FloatEmbedding => phrase!(
                "mix-float-embedding",
                "the configuration says `quantization_embeddings`, the embedding is not quantised",
            ),
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Phrase::from(*self).fmt(f)
    }
}
