//! What a token may look at and where it stands: the prefix-LM mask and the 2-D positions of ChatGLM-6B
//! (`get_masks` and `get_position_ids` of the official `modeling_chatglm.py`).
//!
//! ```text
//! ids            写 一 首 诗 [gMASK] <sop> 春 风 …
//! position       0  1  2  3    4      4    4  4      the place of the blank, from <sop> on
//! block position 0  0  0  0    0      1    2  3      the place inside the answer
//!                └─ everyone sees all ──┘ └─ sees what came before
//! ```

use crate::{
    attention_mask::Span,
    config::ChatGlmConfig,
    error::{Error, Result},
};

/// Token ids, as the tokenizer gives them.
pub use glm_tokenizer::TokenId;

/// Positions and mask of one sequence, found from its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixLm {
    /// Number of tokens before the first `<sop>`: seen by every query.
    context_length: usize,
    /// Index of the blank that is being filled.
    mask_position: usize,
    /// The blank is `[gMASK]`.
    uses_gmask: bool,
    two_dimensional: bool,
}

impl PrefixLm {
    /// Reads the prompt: where `<sop>` is, and which blank it fills. With `[gMASK]` and `[MASK]` both present the
    /// first `[gMASK]` counts, as in the official model.
    ///
    /// # Errors
    /// [`Error::Prompt`] for a prompt without `<sop>`, or without a blank.
    pub fn of(input_ids: &[TokenId], config: &ChatGlmConfig) -> Result<Self> {
        let find = |id: usize| input_ids.iter().position(|&token| token as usize == id);
        let missing = |expected: &str| Error::Prompt {
            expected: expected.to_owned(),
            tokens: input_ids.len(),
        };
        let context_length =
            find(config.bos_token_id).ok_or_else(|| missing("<sop> where the answer starts"))?;
        let gmask = find(config.gmask_token_id);
        let mask_position = gmask
            .or_else(|| find(config.mask_token_id))
            .ok_or_else(|| missing("[gMASK] or [MASK], the blank to fill"))?;
        Ok(Self {
            context_length,
            mask_position,
            uses_gmask: gmask.is_some(),
            two_dimensional: config.position_encoding_2d,
        })
    }

    /// Position ids of the first `len` tokens of the sequence: `[position, block position]`, or `[position]` for a
    /// model without 2-D positions.
    pub fn position_ids(&self, len: usize) -> Vec<Vec<usize>> {
        let answer = |index: usize| index >= self.context_length;
        if self.two_dimensional {
            let position = |i| if answer(i) { self.mask_position } else { i };
            let block_position = |i| {
                if answer(i) {
                    i - self.context_length + 1
                } else {
                    0
                }
            };
            vec![
                (0..len).map(position).collect(),
                (0..len).map(block_position).collect(),
            ]
        } else {
            let position = |i| {
                if answer(i) && !self.uses_gmask {
                    self.mask_position
                } else {
                    i
                }
            };
            vec![(0..len).map(position).collect()]
        }
    }

    /// Position ids of one decoded token, the last of `len`.
    ///
    /// Without 2-D positions the official code gives every decoded token the blank's position, also with `[gMASK]`,
    /// where [`PrefixLm::position_ids`] counts on: there cached decoding differs from a full forward, officially.
    pub fn decode_position_ids(&self, len: usize) -> Vec<usize> {
        if self.two_dimensional {
            vec![self.mask_position, len - self.context_length]
        } else {
            vec![self.mask_position]
        }
    }

    /// What the tokens of the sequence see when it begins behind `pads` tokens of padding.
    pub fn span(&self, pads: usize) -> Span {
        Span {
            first: pads,
            context: pads + self.context_length,
        }
    }
}
