//! The beginning of a row that a model has read.

use crate::{
    error::Result,
    model::{DecodeState, Model},
    prefix_lm::TokenId,
    row_layout::RowLayout,
};

/// Tokens that a model has read, with their keys and values: what need not be read again.
///
/// What can be reused is decided by token ids alone, and by how the model sees a row
/// ([`RowLayout::first_pass_len`]): of ChatGLM2-6B any beginning, of ChatGLM-6B the whole context or nothing.
#[derive(Debug, Clone)]
pub struct Prefix {
    pub(super) tokens: Vec<TokenId>,
    pub(super) state: DecodeState,
}

impl Prefix {
    /// Has the model read these tokens; for ChatGLM-6B a whole prompt, up to its `<sop>`.
    ///
    /// # Errors
    /// As [`Model::prefill`].
    pub fn read(model: &Model, tokens: &[TokenId]) -> Result<Self> {
        let (_, state) = model.prefill(&[tokens])?;
        Ok(Self::new(tokens.to_vec(), state))
    }

    /// The tokens of a single row that `state` knows, and maybe more.
    pub(crate) fn new(mut tokens: Vec<TokenId>, state: DecodeState) -> Self {
        tokens.truncate(state.len());
        Self { tokens, state }
    }

    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Bytes of tokens, keys and values in memory, room for more included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.tokens) + self.state.cache().reserved_bytes()
    }

    /// How many tokens of `prompt` the model need not read again. Never all of them: the logits behind a prompt come from
    /// reading its last token.
    ///
    /// Zero for another model, and for a clone that was given other [`Numerics`](crate::Numerics).
    #[must_use]
    pub fn reusable_len(&self, model: &Model, prompt: &[TokenId]) -> usize {
        let Ok(layout) = RowLayout::of(prompt, model.config()) else {
            return 0;
        };
        let len = common_len(&self.tokens, prompt).min(prompt.len() - 1);
        if self.state.is_of(model, &layout) && len >= layout.first_pass_len(prompt.len()) {
            len
        } else {
            0
        }
    }

    /// A copy of the first `len` tokens, or of all when there are fewer. It costs as much as those tokens have bytes.
    #[must_use]
    pub fn first_tokens(&self, len: usize) -> Self {
        Self::new(self.tokens.clone(), self.state.first_tokens(len))
    }

    /// Whether `other` serves every prompt that this one serves.
    pub(super) fn is_beginning_of(&self, other: &Self) -> bool {
        self.state.is_like(&other.state) && other.tokens.starts_with(&self.tokens)
    }

    /// The state behind what can be reused of `prompt`, if that is anything.
    pub(crate) fn into_state(mut self, model: &Model, prompt: &[TokenId]) -> Option<DecodeState> {
        let len = self.reusable_len(model, prompt);
        self.state.truncate(len);
        (len > 0).then_some(self.state)
    }
}

/// How many tokens both begin with.
fn common_len(a: &[TokenId], b: &[TokenId]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
