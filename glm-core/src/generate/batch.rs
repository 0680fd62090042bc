//! Answers to several prompts side by side: every pass through the model reads the weights once for all of them.

use std::sync::Arc;

use glm_tokenizer::phrase;

use super::{
    CancelToken, FinishReason, LogitsProcessor,
    answer::{Answer, Generated},
    options::GenerationOptions,
    sampler::row_seed,
    to_host,
};
use crate::{
    error::{Error, Result},
    model::{DecodeState, Model},
    prefix_lm::TokenId,
};

/// Answers every prompt. Each answer is, token for token, what a [`Generator`](super::Generator) gives for its prompt alone with
/// the seed of its row; see [`BatchGenerator`].
///
/// Several answers to one prompt (`num_return_sequences`) are a batch that has the prompt several times; it is read once.
///
/// ```no_run
/// use glm_core::generate::{GenerationOptions, generate_batch};
///
/// let model = glm_core::load("chatglm-6b")?;
/// let prompt: &[u32] = &[5, 74874, 130001, 130004]; // 你好 [gMASK] <sop>
/// let options = GenerationOptions::default().with_seed(7);
/// for answer in generate_batch(&model, &[prompt; 4], &options)? {
///     println!("{:?}: {:?}", answer.finish_reason, answer.tokens);
/// }
/// # Ok::<(), glm_core::Error>(())
/// ```
///
/// # Errors
/// As [`BatchGenerator::new`] and its iterator.
pub fn generate_batch(
    model: &Model,
    prompts: &[&[TokenId]],
    options: &GenerationOptions,
) -> Result<Vec<Generated>> {
    BatchGenerator::new(model, prompts, options)?.run()
}

/// Generates the tokens after several prompts: an iterator whose items have the next token of each prompt, `None` for
/// one whose answer has ended. It goes on until all have; an answer that has ended takes no more time.
///
/// A row does not depend on its neighbours: on the CPU it has, to the bit, the logits of its prompt alone (but for
/// weights in f32, whose product burn sums in another order for another number of rows), and it draws from random numbers
/// of its own. The first row has the seed of the options, and row `i` the `i`-th number of
/// [SplitMix64](https://doi.org/10.1145/2660193.2660195) behind it ([`row_seed`]). Limits of length count each prompt
/// without padding.
///
/// Prompts are read one by one, each different one once; then all take their steps together, the shorter padded on the
/// left. [`GenerationOptions::prompt_lookup_num_tokens`] changes nothing here.
#[derive(Debug)]
pub struct BatchGenerator<'model> {
    model: &'model Model,
    /// One for each prompt.
    answers: Vec<Answer>,
    /// The answers that the rows of `state` belong to.
    rows: Vec<usize>,
    state: Option<DecodeState>,
    cancel: CancelToken,
    has_failed: bool,
}

impl<'model> BatchGenerator<'model> {
    /// Checks prompts and options; the model runs when the first tokens are asked for.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]; [`Error::PromptTooLong`] when `max_length` leaves no room for a single token behind a
    /// prompt; [`Error::Prompt`] as [`Model::prefill`].
    pub fn new(
        model: &'model Model,
        prompts: &[&[TokenId]],
        options: &GenerationOptions,
    ) -> Result<Self> {
        let Some((first, others)) = prompts.split_first() else {
            return Err(Error::Prompt {
                expected: phrase!("prompt-at-least-one", "at least one prompt"),
                tokens: 0,
            });
        };
        let mut answers = vec![Answer::new(model, first, options)?];
        let seed = answers[0].sampler.seed();
        for (row, prompt) in (1..).zip(others) {
            let options = GenerationOptions {
                seed: Some(row_seed(seed, row)),
                ..options.clone()
            };
            answers.push(Answer::new(model, prompt, &options)?);
        }
        Ok(Self {
            model,
            rows: (0..answers.len()).collect(),
            answers,
            state: None,
            cancel: CancelToken::new(),
            has_failed: false,
        })
    }

    /// Lets `cancel` end all answers: before their next tokens, and in the middle of a prompt.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancelToken) -> Self {
        self.cancel = cancel;
        self
    }

    /// Adds a rule about the next token of every row behind those of the options.
    #[must_use]
    pub fn with_processor(mut self, processor: Arc<dyn LogitsProcessor>) -> Self {
        for answer in &mut self.answers {
            answer.sampler.add_processor(Arc::clone(&processor));
        }
        self
    }

    /// Ends the answer of a row, because a stop string was found in it or nobody wants it any more. Does nothing to one
    /// that has ended.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn finish(&mut self, row: usize, reason: FinishReason) {
        self.answers[row].finish(reason);
    }

    /// What ended the answer of a row; `None` while it goes on, and after an error.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn finish_reason(&self, row: usize) -> Option<FinishReason> {
        self.answers[row].finish_reason
    }

    /// The answers as far as they were written, one for each prompt. One that has not ended counts as cancelled.
    #[must_use]
    pub fn into_generated(self) -> Vec<Generated> {
        let answers = self.answers.into_iter();
        answers.map(Answer::into_generated).collect()
    }

    /// Writes all answers to their ends.
    ///
    /// # Errors
    /// Those of the iterator: what keeps the model from going on, or a rule from being applied.
    pub fn run(mut self) -> Result<Vec<Generated>> {
        self.by_ref().try_for_each(|step| step.map(drop))?;
        Ok(self.into_generated())
    }

    /// The next token of every open row; none when the prompts were cancelled.
    fn step(&mut self) -> Result<Vec<Option<TokenId>>> {
        let mut tokens = vec![None; self.answers.len()];
        let mut logits = match &mut self.state {
            None => match self.prefill()? {
                Some(logits) => logits,
                None => {
                    self.finish_all(FinishReason::Cancelled);
                    return Ok(tokens);
                }
            },
            Some(state) => {
                let last = |&row: &usize| self.answers[row].tokens.last().copied();
                let last: Vec<TokenId> = self.rows.iter().filter_map(last).collect();
                to_host(self.model.decode(state, &last)?)?
            }
        };
        let logits = logits.chunks_exact_mut(self.model.vocab_size());
        for (&row, logits) in self.rows.iter().zip(logits) {
            let answer = &mut self.answers[row];
            tokens[row] = answer.choose(logits)?;
            if answer.ended {
                answer.finish(FinishReason::Eos);
            } else if answer.is_full() {
                answer.finish(FinishReason::Length);
            }
        }
        Ok(tokens)
    }

    /// Reads the prompts of the open rows, each different one once: the logits behind them, row after row; `None` when they
    /// were cancelled.
    fn prefill(&mut self) -> Result<Option<Vec<f32>>> {
        let open = || self.rows.iter().map(|&row| &self.answers[row]);
        let longest = open().map(|answer| answer.prompt_len).max().unwrap_or(0);
        let new = open()
            .map(|answer| answer.max_len - answer.prompt_len)
            .max();
        let new = new.unwrap_or(0).min(self.model.max_sequence_length());
        let mut different: Vec<&[TokenId]> = Vec::new();
        let mut places = Vec::with_capacity(self.rows.len());
        for prompt in open().map(Answer::prompt) {
            let place = different.iter().position(|other| *other == prompt);
            places.push(place.unwrap_or(different.len()));
            if place.is_none() {
                different.push(prompt);
            }
        }
        let (mut logits, mut states) = (Vec::new(), Vec::new());
        for prompt in different {
            let Some((next, state)) = self.model.prefill_until(&[prompt], 0, &self.cancel)? else {
                return Ok(None);
            };
            logits.push(to_host(next)?);
            states.push(state);
        }
        let mut state = DecodeState::side_by_side(states, longest + new);
        state.select_rows(&places);
        self.state = Some(state);
        let logits = places.iter().map(|&place| logits[place].as_slice());
        Ok(Some(logits.collect::<Vec<_>>().concat()))
    }

    fn finish_all(&mut self, reason: FinishReason) {
        for answer in &mut self.answers {
            answer.finish(reason);
        }
    }

    /// Takes the rows whose answers have ended out of the pass.
    fn leave_ended(&mut self) {
        let is_open = |place: &usize| self.answers[self.rows[*place]].finish_reason.is_none();
        let open: Vec<usize> = (0..self.rows.len()).filter(is_open).collect();
        if open.len() == self.rows.len() {
            return;
        }
        if let Some(state) = &mut self.state {
            state.select_rows(&open);
        }
        self.rows = open.into_iter().map(|place| self.rows[place]).collect();
    }
}

impl Iterator for BatchGenerator<'_> {
    type Item = Result<Vec<Option<TokenId>>>;

    /// Never nothing but `None`.
    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        if self.cancel.is_cancelled() {
            self.finish_all(FinishReason::Cancelled);
        }
        self.leave_ended();
        if self.rows.is_empty() {
            return None;
        }
        let step = self.step();
        match &step {
            Ok(tokens) if tokens.iter().all(Option::is_none) => None,
            Ok(_) => Some(step),
            Err(_) => {
                // Nothing more can come: the state is not to be trusted.
                self.has_failed = true;
                Some(step)
            }
        }
    }
}
