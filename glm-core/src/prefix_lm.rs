//! What a token may look at and where it stands: the prefix-LM mask and the 2-D positions of ChatGLM-6B
//! (`get_masks` and `get_position_ids` of the official `modeling_chatglm.py`).
//!
//! ```text
//! ids            写 一 首 诗 [gMASK] <sop> 春 风 …
//! position       0  1  2  3    4      4    4  4      the place of the blank, from <sop> on
//! block position 0  0  0  0    0      1    2  3      the place inside the answer
//!                └─ everyone sees all ──┘ └─ sees what came before
//! ```

use glm_tokenizer::phrase;

use crate::{
    attention_mask::Span,
    config::{ChatGlmConfig, PositionRules},
    error::{Error, Result},
};

/// Token ids, as the tokenizer gives them.
pub use glm_tokenizer::TokenId;

/// Positions and mask of one sequence, found from its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixLm {
    /// Number of tokens before the first `<sop>`.
    context_length: usize,
    /// Number of tokens that every query sees: `context_length` but for [`PositionRules::Early`].
    seen_by_all: usize,
    /// Index of the blank that is being filled.
    mask_position: usize,
    /// Whether tokens from `<sop>` on stand where the blank stands, when they are read with the prompt.
    answer_at_mask: bool,
    two_dimensional: bool,
}

impl PrefixLm {
    /// Reads the prompt: where `<sop>` is, and which blank it fills. With `[gMASK]` and `[MASK]` both present the
    /// first `[gMASK]` counts, and in the first generation the first `[MASK]`, as in the official models. A `[sMASK]`,
    /// which these do not look for, counts when there is no other blank.
    ///
    /// # Errors
    /// [`Error::Prompt`] for a prompt without `<sop>`, or without a blank.
    pub fn of(input_ids: &[TokenId], config: &ChatGlmConfig) -> Result<Self> {
        let find = |id: usize| input_ids.iter().position(|&token| token as usize == id);
        let missing = |expected| Error::Prompt {
            expected,
            tokens: input_ids.len(),
        };
        let context_length = find(config.bos_token_id)
            .ok_or_else(|| missing(phrase!("prompt-sop", "<sop> where the answer starts")))?;
        let rules = config.position_rules;
        let (mask, gmask) = (find(config.mask_token_id), find(config.gmask_token_id));
        let uses_gmask = match rules {
            PositionRules::SecondGeneration => gmask.is_some(),
            PositionRules::Early | PositionRules::Late => mask.is_none() && gmask.is_some(),
        };
        let mask_position = if uses_gmask { gmask } else { mask }
            .or_else(|| find(config.smask_token_id()))
            .ok_or_else(|| {
                missing(phrase!(
                    "prompt-blank",
                    "[gMASK], [MASK] or [sMASK], the blank to fill"
                ))
            })?;
        let two_dimensional = config.position_encoding_2d;
        Ok(Self {
            context_length,
            seen_by_all: match rules {
                PositionRules::Early => input_ids.len() - 1,
                PositionRules::Late | PositionRules::SecondGeneration => context_length,
            },
            mask_position,
            answer_at_mask: !uses_gmask || two_dimensional && rules != PositionRules::Early,
            two_dimensional,
        })
    }

    /// Index of the blank that is being filled.
    pub fn mask_position(&self) -> usize {
        self.mask_position
    }

    /// Position ids of the first `len` tokens of the sequence: `[position, block position]`, or `[position]` for a
    /// model without 2-D positions.
    pub fn position_ids(&self, len: usize) -> Vec<Vec<usize>> {
        let position = |index| match index >= self.context_length && self.answer_at_mask {
            true => self.mask_position,
            false => index,
        };
        let block_position = |index: usize| (index + 1).saturating_sub(self.context_length);
        let mut positions = vec![(0..len).map(position).collect()];
        if self.two_dimensional {
            positions.push((0..len).map(block_position).collect());
        }
        positions
    }

    /// Position ids of one decoded token, the last of `len`.
    ///
    /// The official code gives every decoded token the blank's position, also where [`PrefixLm::position_ids`] counts on
    /// behind `[gMASK]`: without 2-D positions and with [`PositionRules::Early`] cached decoding differs from a full
    /// forward, officially.
    pub fn decode_position_ids(&self, len: usize) -> Vec<usize> {
        if self.two_dimensional {
            vec![self.mask_position, len - self.context_length]
        } else {
            vec![self.mask_position]
        }
    }

    /// How many of the first tokens of a sequence of `len` have to be read in one pass, as
    /// [`RowLayout::first_pass_len`](crate::row_layout::RowLayout::first_pass_len): the context, or all where decoded
    /// tokens stand elsewhere.
    pub fn first_pass_len(&self, len: usize) -> usize {
        if self.answer_at_mask {
            self.seen_by_all.min(len)
        } else {
            len
        }
    }

    /// What the tokens of the sequence see when it begins behind `pads` tokens of padding.
    pub fn span(&self, pads: usize) -> Span {
        Span {
            first: pads,
            context: pads + self.seen_by_all,
        }
    }
}
