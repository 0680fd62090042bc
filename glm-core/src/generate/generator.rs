//! Tokens one at a time: prefill, then decode, as an iterator.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::{
    CancelToken, FinishReason, LogitsProcessor,
    answer::{Answer, Generated},
    log_probs::TokenLogProbs,
    options::GenerationOptions,
    prompt_lookup, to_host,
};
use crate::{
    error::Result,
    model::{DecodeState, Model},
    prefix_cache::Prefix,
    prefix_lm::TokenId,
};

/// Generates the tokens after a prompt. The end-of-reply token is not among them; [`Generator::finish_reason`] tells
/// what ended the run.
///
/// ```no_run
/// use glm_core::generate::{GenerationOptions, Generator};
///
/// let model = glm_core::load("chatglm-6b")?;
/// let prompt = [5, 74874, 130001, 130004]; // 你好 [gMASK] <sop>
/// for token in Generator::new(&model, &prompt, &GenerationOptions::default())? {
///     println!("{}", token?);
/// }
/// # Ok::<(), glm_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Generator<'model> {
    model: &'model Model,
    answer: Answer,
    /// Of the tokens of the answer, how many the caller has, the prompt included.
    given_len: usize,
    /// What the model has read; `None` before the first pass.
    state: Option<DecodeState>,
    cached_tokens: usize,
    cancel: CancelToken,
    prompt_lookup_num_tokens: usize,
    forward_passes: usize,
    has_failed: bool,
}

impl<'model> Generator<'model> {
    /// Checks prompt and options; the model runs when the first token is asked for.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption); [`Error::PromptTooLong`](crate::Error::PromptTooLong) when
    /// `max_length` leaves no room for a single token; [`Error::Prompt`](crate::Error::Prompt) as [`Model::layouts`].
    pub fn new(
        model: &'model Model,
        prompt: &[TokenId],
        options: &GenerationOptions,
    ) -> Result<Self> {
        Ok(Self {
            model,
            answer: Answer::new(model, prompt, options)?,
            given_len: prompt.len(),
            state: None,
            cached_tokens: 0,
            cancel: CancelToken::new(),
            prompt_lookup_num_tokens: options.prompt_lookup_num_tokens,
            forward_passes: 0,
            has_failed: false,
        })
    }

    /// Starts from what was read before, as far as the prompt begins with it: see [`Prefix::reusable_len`]. The tokens
    /// are those of a generation that reads everything. Call it before the first token is asked for.
    ///
    /// They are the same to the bit where a row of a product does not depend on the other rows, as in [`Model::extend`]:
    /// on the CPU with quantised and half precision weights.
    #[must_use]
    pub fn with_prefix(mut self, prefix: Prefix) -> Self {
        self.state = prefix.into_state(self.model, self.answer.prompt());
        self.cached_tokens = self.state.as_ref().map_or(0, DecodeState::len);
        self
    }

    /// Lets `cancel` end the generation: before its next token, and in the middle of the prompt.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancelToken) -> Self {
        self.set_cancel(cancel);
        self
    }

    pub(crate) fn set_cancel(&mut self, cancel: CancelToken) {
        self.cancel = cancel;
    }

    /// Adds a rule about the next token behind those of the options.
    #[must_use]
    pub fn with_processor(mut self, processor: Arc<dyn LogitsProcessor>) -> Self {
        self.add_processor(processor);
        self
    }

    pub(crate) fn add_processor(&mut self, processor: Arc<dyn LogitsProcessor>) {
        self.answer.sampler.add_processor(processor);
    }

    /// Generates to the end.
    ///
    /// # Errors
    /// Those of the iterator: what keeps the model from going on, or a rule from being applied.
    pub fn run(mut self) -> Result<Generated> {
        self.by_ref().try_for_each(|token| token.map(drop))?;
        Ok(self.into_generated())
    }

    /// What ended the generation; `None` while it goes on, and after an error.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.answer.finish_reason
    }

    /// Ends the generation; the caller has found a stop string.
    pub(crate) fn finish(&mut self, reason: FinishReason) {
        self.answer.finish(reason);
    }

    /// The tokens generated so far.
    #[must_use]
    pub fn generated(&self) -> &[TokenId] {
        &self.answer.tokens[self.answer.prompt_len..self.given_len]
    }

    /// How probable the model found each of [`Generator::generated`], if [`GenerationOptions::logprobs`] asked for it.
    #[must_use]
    pub fn log_probs(&self) -> &[TokenLogProbs] {
        let len = self.generated().len();
        self.answer.log_probs.get(..len).unwrap_or_default()
    }

    /// The answer as far as it was given out; one that has not ended counts as cancelled.
    #[must_use]
    pub fn into_generated(mut self) -> Generated {
        self.forget_guesses();
        self.answer.into_generated()
    }

    /// What the model has read, for the next generation: prompt and answer, but for the last token of it; less when it was
    /// cancelled before. After an error, what came in [`Generator::with_prefix`]; `None` if that is nothing.
    #[must_use]
    pub fn into_prefix(mut self) -> Option<Prefix> {
        self.take_prefix()
    }

    /// As [`Generator::into_prefix`]; nothing more is to be generated then.
    pub(crate) fn take_prefix(&mut self) -> Option<Prefix> {
        let mut state = self.state.take()?;
        if self.has_failed {
            state.truncate(self.cached_tokens);
        }
        (!state.is_empty()).then(|| Prefix::new(self.answer.tokens.clone(), state))
    }

    /// The tokens of the prompt.
    #[must_use]
    pub fn prompt(&self) -> &[TokenId] {
        self.answer.prompt()
    }

    /// How many tokens of the prompt came from [`Generator::with_prefix`].
    #[must_use]
    pub fn cached_tokens(&self) -> usize {
        self.cached_tokens
    }

    /// The seed in use: given as an option, it repeats this generation.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.answer.sampler.seed()
    }

    /// NaN or infinite logits met so far: 0 with healthy weights.
    #[must_use]
    pub fn invalid_scores(&self) -> usize {
        self.answer.invalid_scores
    }

    /// Passes through the model so far, the prompt's included: fewer than tokens when guesses were right.
    #[must_use]
    pub fn forward_passes(&self) -> usize {
        self.forward_passes
    }

    /// Runs the model once and chooses at least one more token, or the end.
    fn step(&mut self) -> Result<()> {
        self.forward_passes += 1;
        let answer = &mut self.answer;
        let state = match &mut self.state {
            Some(state) if answer.tokens.len() > answer.prompt_len => state,
            known => {
                match read_prompt(self.model, known, answer, &self.cancel)? {
                    Some(logits) => {
                        answer.choose(&mut to_host(logits)?)?;
                    }
                    None => answer.finish(FinishReason::Cancelled),
                }
                return Ok(());
            }
        };
        let last = answer.tokens.len() - 1;
        let room = answer.max_len - answer.tokens.len() - 1; // for guesses beside the one token that is sure to come
        let limit = self.prompt_lookup_num_tokens.min(room);
        let guess = prompt_lookup::guess(&answer.tokens, limit).to_vec();
        let known_len = state.len() + 1;
        let new: Vec<TokenId> = answer.tokens[last..]
            .iter()
            .chain(&guess)
            .copied()
            .collect();
        let mut logits = to_host(self.model.extend(state, &new)?)?;

        let mut guess = guess.into_iter();
        let mut right = 0;
        for logits in logits.chunks_exact_mut(self.model.vocab_size()) {
            let token = answer.choose(logits)?;
            if token.is_none() || token != guess.next() {
                break;
            }
            right += 1;
        }
        state.truncate(known_len + right);
        Ok(())
    }

    /// Drops the tokens that the caller does not have yet.
    fn forget_guesses(&mut self) {
        self.answer.tokens.truncate(self.given_len);
        let len = self.given_len - self.answer.prompt_len;
        self.answer.log_probs.truncate(len);
    }
}

/// Reads what is not yet known of the prompt: the logits behind it, `[1, vocab_size]`; `None` when `cancel` was used.
fn read_prompt(
    model: &Model,
    known: &mut Option<DecodeState>,
    answer: &Answer,
    cancel: &CancelToken,
) -> Result<Option<Tensor<2>>> {
    if let Some(state) = known {
        let new = &answer.prompt()[state.len()..];
        return model.append_until(state, new, cancel);
    }
    let capacity = answer.max_len.min(model.max_sequence_length());
    let (logits, state) = model.read_until(&[answer.prompt()], capacity, cancel)?;
    *known = Some(state);
    Ok(logits)
}

impl Iterator for Generator<'_> {
    type Item = Result<TokenId>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed || self.answer.finish_reason.is_some() {
            return None;
        }
        if self.cancel.is_cancelled() {
            self.finish(FinishReason::Cancelled);
            return None;
        }
        if self.given_len == self.answer.tokens.len() && !self.answer.ended {
            if self.answer.is_full() {
                self.finish(FinishReason::Length);
                return None;
            }
            if let Err(error) = self.step() {
                // Nothing more can come: the state is not to be trusted.
                self.has_failed = true;
                self.forget_guesses();
                return Some(Err(error));
            }
        }
        let Some(token) = self.answer.tokens.get(self.given_len) else {
            self.finish(FinishReason::Eos);
            return None;
        };
        self.given_len += 1;
        Some(Ok(*token))
    }
}
