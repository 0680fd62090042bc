//! Where the tokens of a row stand and what they see, in either family.

use glm_tokenizer::TokenId;
use glm_tokenizer::phrase;

use crate::{
    attention_mask::Span,
    config::ModelConfig,
    error::{Error, Result},
    prefix_lm::PrefixLm,
};

/// Positions and mask of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowLayout {
    /// ChatGLM-6B: they follow from the prompt.
    PrefixLm(PrefixLm),
    /// ChatGLM2-6B: tokens are counted from 0, and each sees itself and what came before.
    Causal,
}

impl RowLayout {
    /// That of a row which begins with this prompt.
    ///
    /// # Errors
    /// As [`PrefixLm::of`]; [`Error::Prompt`] for a prompt without tokens.
    pub fn of(input_ids: &[TokenId], config: &ModelConfig) -> Result<Self> {
        match config {
            ModelConfig::ChatGlm(config) => PrefixLm::of(input_ids, config).map(Self::PrefixLm),
            ModelConfig::ChatGlm2(_) if input_ids.is_empty() => Err(Error::Prompt {
                expected: phrase!("prompt-at-least-one-token", "at least one token"),
                tokens: 0,
            }),
            ModelConfig::ChatGlm2(_) => Ok(Self::Causal),
        }
    }

    /// How many of the first tokens of a row of `len` have to be read in one pass. Those behind them can be read later, with
    /// the same result: no token before sees them, and they stand at the same place in either way.
    pub fn first_pass_len(&self, len: usize) -> usize {
        match self {
            Self::PrefixLm(row) => row.first_pass_len(len),
            Self::Causal => 0,
        }
    }

    /// Index of the blank that is being filled; `None` where there are none.
    pub fn mask_position(&self) -> Option<usize> {
        match self {
            Self::PrefixLm(row) => Some(row.mask_position()),
            Self::Causal => None,
        }
    }

    /// Position ids of the first `len` tokens of the row, for each kind of position.
    pub fn position_ids(&self, len: usize) -> Vec<Vec<usize>> {
        match self {
            Self::PrefixLm(row) => row.position_ids(len),
            Self::Causal => vec![(0..len).collect()],
        }
    }

    /// Position ids of one decoded token, the last of `len`.
    pub fn decode_position_ids(&self, len: usize) -> Vec<usize> {
        match self {
            Self::PrefixLm(row) => row.decode_position_ids(len),
            Self::Causal => vec![len - 1],
        }
    }

    /// What the tokens of the row see when it begins behind `pads` tokens of padding.
    pub fn span(&self, pads: usize) -> Span {
        match self {
            Self::PrefixLm(row) => row.span(pads),
            Self::Causal => Span {
                first: pads,
                context: pads,
            },
        }
    }
}
