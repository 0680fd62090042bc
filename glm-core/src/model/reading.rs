//! Prompts and tokens on their way through the model: prefill, append, decode and extend.

use std::{convert::Infallible, ops::ControlFlow};

use burn::tensor::{Tensor, s};
use glm_tokenizer::TokenId;
use glm_tokenizer::phrase;

use super::{DecodeState, Model, ModelInput, PaddingSide};
use crate::{
    cancel_token::CancelToken,
    config::PREFILL_CHUNK,
    error::{Error, Result},
    layers::Stage,
};

impl Model {
    /// Reads the prompts and returns the logits of the token after each: `[batch, vocab_size]`, f32. Shorter rows are
    /// padded on the left, which changes no row's result.
    ///
    /// # Errors
    /// [`Error::Prompt`] for no prompt at all, for an id that is not below `vocab_size`, and as
    /// [`RowLayout::of`](crate::row_layout::RowLayout::of).
    pub fn prefill(&self, prompts: &[&[TokenId]]) -> Result<(Tensor<2>, DecodeState)> {
        self.prefill_with_capacity(prompts, 0)
    }

    /// As [`Model::prefill`], for rows that are expected to become `capacity` tokens long, padding included: the cache
    /// makes room for them once. It grows beyond when need be.
    ///
    /// # Errors
    /// As [`Model::prefill`].
    pub fn prefill_with_capacity(
        &self,
        prompts: &[&[TokenId]],
        capacity: usize,
    ) -> Result<(Tensor<2>, DecodeState)> {
        let (mut state, input) = self.unread(prompts, capacity)?;
        let chunk = self.config.tokens_at_once(input.len());
        let never = |_, _: &_| ControlFlow::<Infallible>::Continue(());
        let ControlFlow::Continue(logits) = self.last_logits(input, chunk, &mut state, never);
        Ok((logits, state))
    }

    /// As [`Model::prefill_with_capacity`], given up as soon as `cancel` is used: `None` then. Long prompts take seconds or
    /// minutes; `cancel` is looked at before every layer.
    ///
    /// # Errors
    /// As [`Model::prefill`].
    pub fn prefill_until(
        &self,
        prompts: &[&[TokenId]],
        capacity: usize,
        cancel: &CancelToken,
    ) -> Result<Option<(Tensor<2>, DecodeState)>> {
        let (logits, state) = self.read_until(prompts, capacity, cancel)?;
        Ok(logits.map(|logits| (logits, state)))
    }

    /// As [`Model::prefill_until`], with what was read before `cancel` was used.
    pub(crate) fn read_until(
        &self,
        prompts: &[&[TokenId]],
        capacity: usize,
        cancel: &CancelToken,
    ) -> Result<(Option<Tensor<2>>, DecodeState)> {
        let (mut state, input) = self.unread(prompts, capacity)?;
        let chunk = self.config.tokens_at_once(input.len());
        let logits = self.last_logits(input, chunk, &mut state, break_when(cancel));
        Ok((logits.continue_value(), state))
    }

    /// The state of rows before their prompts are read, and the prompts.
    fn unread(&self, prompts: &[&[TokenId]], capacity: usize) -> Result<(DecodeState, ModelInput)> {
        let layouts = self.layouts(prompts)?;
        let input = self.input(prompts, &layouts, PaddingSide::Left);
        let len = input.len();
        let state = DecodeState {
            rows: layouts,
            pad_lengths: prompts.iter().map(|row| len - row.len()).collect(),
            len: 0,
            cache: self.new_cache(capacity.max(len)),
            model: self.identity,
        };
        Ok((state, input))
    }

    /// Reads more tokens of a single row, any number of them, and returns the logits of the token behind the last:
    /// `[1, vocab_size]`, f32. So a conversation goes on where its cache ends.
    ///
    /// # Errors
    /// As [`Model::extend`].
    pub fn append(&self, state: &mut DecodeState, tokens: &[TokenId]) -> Result<Tensor<2>> {
        self.check_continuation(state, tokens)?;
        let input = self.continuation(state, tokens);
        let never = |_, _: &_| ControlFlow::<Infallible>::Continue(());
        let ControlFlow::Continue(logits) = self.last_logits(input, PREFILL_CHUNK, state, never);
        Ok(logits)
    }

    /// As [`Model::append`], given up as soon as `cancel` is used: `None` then, and `state` knows the tokens that were read
    /// before.
    ///
    /// # Errors
    /// As [`Model::extend`].
    pub fn append_until(
        &self,
        state: &mut DecodeState,
        tokens: &[TokenId],
        cancel: &CancelToken,
    ) -> Result<Option<Tensor<2>>> {
        self.check_continuation(state, tokens)?;
        let input = self.continuation(state, tokens);
        let logits = self.last_logits(input, PREFILL_CHUNK, state, break_when(cancel));
        Ok(logits.continue_value())
    }

    /// Reads one more token per row and returns the logits of the next: `[batch, vocab_size]`, f32.
    ///
    /// # Errors
    /// [`Error::Prompt`] for an id that is not below `vocab_size`, or not one token per row.
    pub fn decode(&self, state: &mut DecodeState, tokens: &[TokenId]) -> Result<Tensor<2>> {
        if tokens.len() != state.rows.len() {
            return Err(Error::Prompt {
                expected: phrase!(
                    "prompt-token-per-row",
                    "one token for each of {rows} rows",
                    rows = state.rows.len()
                ),
                tokens: tokens.len(),
            });
        }
        self.check_ids(tokens)?;
        let logits = self.step(state, tokens);
        Ok(logits.squeeze_dim(1)) // [batch, vocab_size]
    }

    /// Reads several more tokens of a single row at once and returns the logits behind each of them:
    /// `[tokens, vocab_size]`, f32. On the CPU they are the same bits as those of [`Model::decode`] with one token after
    /// the other.
    ///
    /// # Errors
    /// [`Error::Prompt`] for an id that is not below `vocab_size`, for no token, and for a state of several rows.
    pub fn extend(&self, state: &mut DecodeState, tokens: &[TokenId]) -> Result<Tensor<2>> {
        self.check_continuation(state, tokens)?;
        let logits = self.step(state, tokens);
        Ok(logits.squeeze_dim(0)) // [tokens, vocab_size]
    }

    fn check_continuation(&self, state: &DecodeState, tokens: &[TokenId]) -> Result<()> {
        if tokens.is_empty() || state.rows.len() != 1 {
            return Err(Error::Prompt {
                expected: phrase!(
                    "prompt-single-row",
                    "at least one token for a single row, not {rows} rows",
                    rows = state.rows.len()
                ),
                tokens: tokens.len(),
            });
        }
        self.check_ids(tokens)
    }

    /// The next tokens of every row, as many for each, row after row: logits `[batch, new, vocab_size]`.
    fn step(&self, state: &mut DecodeState, tokens: &[TokenId]) -> Tensor<3> {
        let input = self.continuation(state, tokens);
        let hidden_states = self.hidden_states(input, &mut state.cache);
        state.len += tokens.len() / state.rows.len();
        self.network.logits(hidden_states)
    }

    /// The tensors of a pass over the next tokens of every row, as many for each, row after row.
    fn continuation(&self, state: &DecodeState, tokens: &[TokenId]) -> ModelInput {
        let batch = state.rows.len();
        let new = tokens.len() / batch;
        let mut position_ids = Vec::new(); // [batch, kinds, new]
        for (row, pads) in state.rows.iter().zip(&state.pad_lengths) {
            let ends = state.len + 1 - pads..=state.len + new - pads;
            let positions: Vec<Vec<usize>> = ends.map(|len| row.decode_position_ids(len)).collect();
            for kind in 0..positions[0].len() {
                position_ids.extend(positions.iter().map(|position| position[kind] as i64));
            }
        }
        let kinds = position_ids.len() / tokens.len();
        let ids = tokens.iter().map(|&id| i64::from(id)).collect();
        ModelInput {
            input_ids: self.int_tensor(ids, [batch, new]),
            position_ids: self.int_tensor(position_ids, [batch, kinds, new]),
            attention_mask: state.attention_mask(),
        }
    }

    /// A pass over `chunk` tokens of every row at a time, whose last position alone goes through the head:
    /// `[batch, vocab_size]`. When `observe` breaks it off, `state` knows the chunks before.
    fn last_logits<B>(
        &self,
        input: ModelInput,
        chunk: usize,
        state: &mut DecodeState,
        mut observe: impl FnMut(Stage, &Tensor<3>) -> ControlFlow<B>,
    ) -> ControlFlow<B, Tensor<2>> {
        let len = input.len();
        let mut start = 0;
        loop {
            let end = len.min(start + chunk);
            let hidden_states = self.network.try_hidden_states(
                input.input_ids.clone().slice(s![.., start..end]),
                input.position_ids.clone().slice(s![.., .., start..end]),
                &input.attention_mask,
                &mut state.cache,
                &mut observe,
            )?;
            state.len += end - start;
            if end == len {
                let last = hidden_states.slice(s![.., -1, ..]); // [batch, 1, hidden_size]
                let logits = self.network.logits(last).squeeze_dim(1); // [batch, vocab_size]
                return ControlFlow::Continue(logits);
            }
            start = end;
        }
    }
}

/// Breaks a pass off before its next layer once `cancel` was used.
fn break_when(cancel: &CancelToken) -> impl FnMut(Stage, &Tensor<3>) -> ControlFlow<()> {
    move |_, _| match cancel.is_cancelled() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}
