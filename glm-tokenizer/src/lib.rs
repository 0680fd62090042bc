#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod aligned_text;
mod bpe;
mod charsmap;
mod clean_up;
mod error;
mod first_generation;
#[cfg(feature = "tokenizers")]
pub mod hugging_face;
mod normalizer;
mod padded_batch;
mod phrase;
mod piece_trie;
mod pipeline;
mod protobuf;
pub mod regular_file;
mod sentencepiece_file;
mod special_tokens;
mod stream_decoder;
mod tokenizer;
mod tokenizer_file;
mod unigram;
mod vocabulary;
mod whitespace;

pub use error::Error;
pub use padded_batch::{AttentionMask, BatchOptions, PaddedBatch, PositionIds};
pub use phrase::{Phrase, Value};
pub use special_tokens::SpecialTokens;
pub use stream_decoder::StreamDecoder;
pub use tokenizer::{DecodeOptions, GlmTokenizer};
pub use tokenizer_file::TokenizerFile;

/// Index of a token in the vocabulary and of its row in the embedding.
pub type TokenId = u32;

/// Model families, as far as their tokenizers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// ChatGLM-6B: a Unigram model with its special tokens among the pieces (`ice_text.model`).
    ChatGlm,
    /// ChatGLM-6B as published until April 2023, with 150,528 ids: a Unigram model whose special tokens are added to its
    /// pieces, behind 20,000 image tokens (`ice_text.model`).
    ChatGlmFirstGeneration,
    /// ChatGLM2-6B and CodeGeeX2: a BPE model with its special tokens after the pieces (`tokenizer.model`).
    ChatGlm2,
}

impl Family {
    /// ChatGLM-6B of either generation.
    pub(crate) fn is_chatglm(self) -> bool {
        matches!(self, Self::ChatGlm | Self::ChatGlmFirstGeneration)
    }

    /// The id of the first piece.
    pub(crate) fn id_offset(self) -> TokenId {
        match self {
            Self::ChatGlmFirstGeneration => first_generation::IMAGE_TOKENS,
            Self::ChatGlm | Self::ChatGlm2 => 0,
        }
    }
}
