//! Tokens, one at a time: prefill, then decode, as an iterator.

mod beam_search;
mod log_probs;
mod logits_processor;
mod options;
mod prompt_lookup;
mod sampler;
mod stop;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use burn::tensor::Tensor;

pub use beam_search::{BeamSearchOptions, EarlyStopping, Hypothesis, beam_search};
pub use log_probs::log_probs;
pub use logits_processor::{LogitsProcessor, Sequence};
pub use options::GenerationOptions;

use options::INVALID_SCORE_TOKEN;
pub use sampler::{Sampled, Sampler, probabilities};
pub use stop::StopStrings;

use crate::{
    error::{Error, Result},
    model::{DecodeState, Model},
    prefix_lm::TokenId,
};

/// Why generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended its reply.
    Eos,
    /// A stop string was found.
    StopString,
    /// `max_length` or `max_new_tokens` was reached.
    Length,
    /// The [`CancelToken`] was used.
    Cancelled,
}

/// Stops a generation from another thread; clones share one switch.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A switch that is off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the generation before its next token.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True once [`CancelToken::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

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
    sampler: Sampler,
    eos_token_ids: Vec<TokenId>,
    /// Prompt and chosen tokens.
    tokens: Vec<TokenId>,
    prompt_len: usize,
    /// Of `tokens`, how many the caller has.
    given_len: usize,
    max_len: usize,
    state: Option<DecodeState>,
    cancel: CancelToken,
    prompt_lookup_num_tokens: usize,
    forward_passes: usize,
    invalid_scores: usize,
    /// The end-of-reply token was chosen after the last of `tokens`.
    ended: bool,
    finish_reason: Option<FinishReason>,
}

impl<'model> Generator<'model> {
    /// Checks prompt and options; the model runs when the first token is asked for.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]; [`Error::PromptTooLong`] when `max_length` leaves no room for a single token;
    /// [`Error::Prompt`] as [`Model::layouts`].
    pub fn new(
        model: &'model Model,
        prompt: &[TokenId],
        options: &GenerationOptions,
    ) -> Result<Self> {
        let (sampler, eos_token_ids) = sampler_for(model, options, prompt.len())?;
        model.layouts(&[prompt])?;
        let max_len = options.length_limit(prompt.len())?;
        Ok(Self {
            model,
            sampler,
            eos_token_ids,
            tokens: prompt.to_vec(),
            prompt_len: prompt.len(),
            given_len: prompt.len(),
            max_len,
            state: None,
            cancel: CancelToken::new(),
            prompt_lookup_num_tokens: options.prompt_lookup_num_tokens,
            forward_passes: 0,
            invalid_scores: 0,
            ended: false,
            finish_reason: None,
        })
    }

    /// Lets `cancel` end the generation.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancelToken) -> Self {
        self.cancel = cancel;
        self
    }

    /// Adds a rule about the next token behind those of the options.
    #[must_use]
    pub fn with_processor(mut self, processor: Arc<dyn LogitsProcessor>) -> Self {
        self.sampler = self.sampler.with_processor(processor);
        self
    }

    /// What ended the generation; `None` while it goes on, and after an error.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish_reason
    }

    /// Ends the generation; the caller has found a stop string.
    pub(crate) fn finish(&mut self, reason: FinishReason) {
        self.finish_reason.get_or_insert(reason);
    }

    /// The tokens generated so far.
    #[must_use]
    pub fn generated(&self) -> &[TokenId] {
        &self.tokens[self.prompt_len..self.given_len]
    }

    /// Number of tokens in the prompt.
    #[must_use]
    pub fn prompt_len(&self) -> usize {
        self.prompt_len
    }

    /// The seed in use: given as an option, it repeats this generation.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.sampler.seed()
    }

    /// NaN or infinite logits met so far: 0 with healthy weights.
    #[must_use]
    pub fn invalid_scores(&self) -> usize {
        self.invalid_scores
    }

    /// Passes through the model so far, the prompt's included: fewer than tokens when guesses were right.
    #[must_use]
    pub fn forward_passes(&self) -> usize {
        self.forward_passes
    }

    /// Runs the model once and chooses at least one more token, or the end.
    fn step(&mut self) -> Result<()> {
        self.forward_passes += 1;
        let Some(state) = &mut self.state else {
            let capacity = self.max_len.min(self.model.max_sequence_length());
            let (logits, state) = self
                .model
                .prefill_with_capacity(&[&self.tokens], capacity)?;
            self.state = Some(state);
            self.choose(&mut to_host(logits)?)?;
            return Ok(());
        };
        let last = self.tokens.len() - 1;
        let room = self.max_len - self.tokens.len() - 1; // for guesses beside the one token that is sure to come
        let limit = self.prompt_lookup_num_tokens.min(room);
        let guess = prompt_lookup::guess(&self.tokens, limit).to_vec();
        let known_len = state.len() + 1;
        let new: Vec<TokenId> = self.tokens[last..].iter().chain(&guess).copied().collect();
        let mut logits = to_host(self.model.extend(state, &new)?)?;

        let mut guess = guess.into_iter();
        let mut right = 0;
        for logits in logits.chunks_exact_mut(self.model.vocab_size()) {
            let token = self.choose(logits)?;
            if token.is_none() || token != guess.next() {
                break;
            }
            right += 1;
        }
        if let Some(state) = &mut self.state {
            state.truncate(known_len + right);
        }
        Ok(())
    }

    /// Chooses the token after `self.tokens`; `None` for the end of the reply.
    fn choose(&mut self, logits: &mut [f32]) -> Result<Option<TokenId>> {
        let sampled = self.sampler.sample(logits, &self.tokens)?;
        self.invalid_scores += sampled.invalid_scores;
        self.ended = self.eos_token_ids.contains(&sampled.token);
        if self.ended {
            return Ok(None);
        }
        self.tokens.push(sampled.token);
        Ok(Some(sampled.token))
    }
}

impl Iterator for Generator<'_> {
    type Item = Result<TokenId>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finish_reason.is_some() {
            return None;
        }
        if self.cancel.is_cancelled() {
            self.finish(FinishReason::Cancelled);
            return None;
        }
        if self.given_len == self.tokens.len() && !self.ended {
            if self.tokens.len() >= self.max_len {
                self.finish(FinishReason::Length);
                return None;
            }
            if let Err(error) = self.step() {
                // Nothing more can come: the state is not to be trusted.
                self.max_len = 0;
                self.tokens.truncate(self.given_len);
                return Some(Err(error));
            }
        }
        let Some(token) = self.tokens.get(self.given_len) else {
            self.finish(FinishReason::Eos);
            return None;
        };
        self.given_len += 1;
        Some(Ok(*token))
    }
}

/// A sampler for answers to a prompt of `prompt_len` tokens, and the tokens that end one.
fn sampler_for(
    model: &Model,
    options: &GenerationOptions,
    prompt_len: usize,
) -> Result<(Sampler, Vec<TokenId>)> {
    let own = || vec![model.eos_token_id()];
    let eos_token_ids = options.eos_token_ids.clone().unwrap_or_else(own);
    // Token 5 of the text, as in the official code of every generation.
    let invalid_score_token = match options.invalid_score_token {
        Some(INVALID_SCORE_TOKEN) => {
            Some(INVALID_SCORE_TOKEN + model.config().image_tokens() as TokenId)
        }
        other => other,
    };
    let options = GenerationOptions {
        eos_token_ids: Some(eos_token_ids.clone()),
        invalid_score_token,
        ..options.clone()
    };
    let sampler = Sampler::new(&options)?.with_prompt_len(prompt_len);
    Ok((sampler, eos_token_ids))
}

/// Logits `[rows, vocab_size]`, in host memory.
fn to_host(logits: Tensor<2>) -> Result<Vec<f32>> {
    let failed = |reason: String| Error::Execution { reason };
    logits
        .try_into_data()
        .map_err(|error| failed(error.to_string()))?
        .try_to_vec::<f32>()
        .map_err(|error| failed(error.to_string()))
}
