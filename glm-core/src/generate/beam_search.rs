//! Beam search: the best of several continuations that are followed side by side, by the rules of transformers 4.30.2
//! (`beam_search` and `BeamSearchScorer`).
//!
//! Two of these rules surprise: processors act on log-probabilities, which nothing makes add up to one again; and the
//! length that a score is divided by counts the prompt, with its padding, but not the token that ends the answer.

use glm_tokenizer::phrase;

use super::{
    CancelToken, FinishReason, Sampler,
    log_probs::log_sum_exp,
    options::{GenerationOptions, at_least_one, require},
    sampler_for, to_host,
};
use crate::{error::Result, model::Model, prefix_lm::TokenId, setters::setters};

/// The sum that the beams beside the first one start with: at first all are the same, and only one may be chosen from.
const NOT_YET: f32 = -1e9;

/// What a caller may ask of a beam search beside [`GenerationOptions`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct BeamSearchOptions {
    /// Continuations that are followed side by side.
    pub num_beams: usize,
    /// A score is the log-probability divided by the length to this power: above 0 favours long answers, below 0 short
    /// ones.
    pub length_penalty: f64,
    /// When a prompt with enough finished answers is done.
    pub early_stopping: EarlyStopping,
    /// Answers returned for each prompt, at most `num_beams`.
    pub num_return_sequences: usize,
}

setters!(BeamSearchOptions {
    with_num_beams: num_beams = usize,
    with_length_penalty: length_penalty = f64,
    with_early_stopping: early_stopping = EarlyStopping,
    with_num_return_sequences: num_return_sequences = usize,
});

/// When a search that has `num_beams` finished answers ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum EarlyStopping {
    /// At once: `early_stopping=True`.
    AtOnce,
    /// When the best open beam, were it to end now, would not be among the answers: `early_stopping=False`.
    #[default]
    Heuristic,
    /// When no open beam can come among the answers any more: `early_stopping="never"`.
    Never,
}

impl Default for BeamSearchOptions {
    /// Four beams, and otherwise the defaults of transformers.
    fn default() -> Self {
        Self {
            num_beams: 4,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::default(),
            num_return_sequences: 1,
        }
    }
}

impl BeamSearchOptions {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption) with the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let Self {
            num_beams,
            length_penalty,
            num_return_sequences,
            ..
        } = *self;
        require(num_beams > 0, "num_beams", at_least_one, num_beams)?;
        require(
            length_penalty.is_finite(),
            "length_penalty",
            || phrase!("option-finite", "a finite number"),
            length_penalty,
        )?;
        require(
            (1..=num_beams).contains(&num_return_sequences),
            "num_return_sequences",
            || {
                phrase!(
                    "option-up-to-num-beams",
                    "from 1 to num_beams, {num_beams}",
                    num_beams
                )
            },
            num_return_sequences,
        )
    }
}

/// One answer of a beam search.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Hypothesis {
    /// The generated tokens, without the one that ended the answer.
    pub tokens: Vec<TokenId>,
    /// The log-probability of the answer, its end included, divided by the length to the power of the length penalty.
    pub score: f64,
    /// [`FinishReason::Eos`], or why the answer was still open at the end.
    pub finish_reason: FinishReason,
}

/// The best answers to each prompt, best first: `[prompts, num_return_sequences]`.
///
/// Of `options`, all holds that does not concern sampling, stop strings and prompt lookup. Limits of length count the
/// padding of shorter prompts, and rules about what was said before see it, as in transformers; a prompt alone has none.
///
/// # Errors
/// [`Error::InvalidOption`](crate::Error::InvalidOption); [`Error::PromptTooLong`](crate::Error::PromptTooLong) when
/// `max_length` leaves no room for a single token; [`Error::Prompt`](crate::Error::Prompt) as [`Model::prefill`].
pub fn beam_search(
    model: &Model,
    prompts: &[&[TokenId]],
    options: &GenerationOptions,
    beam_options: &BeamSearchOptions,
) -> Result<Vec<Vec<Hypothesis>>> {
    beam_search_until(model, prompts, options, beam_options, &CancelToken::new())
}

/// [`beam_search`] that `cancel` ends early, with the best answers so far: open ones are then
/// [cancelled](FinishReason::Cancelled). Before the first token that is one empty answer to each prompt.
///
/// # Errors
/// As [`beam_search`].
pub fn beam_search_until(
    model: &Model,
    prompts: &[&[TokenId]],
    options: &GenerationOptions,
    beam_options: &BeamSearchOptions,
    cancel: &CancelToken,
) -> Result<Vec<Vec<Hypothesis>>> {
    beam_options.validate()?;
    let num_beams = beam_options.num_beams;
    require(
        num_beams <= model.vocab_size() / 2,
        "num_beams",
        || {
            phrase!(
                "option-half-vocabulary",
                "at most half the vocabulary size {vocab_size}",
                vocab_size = model.vocab_size()
            )
        },
        num_beams,
    )?;
    let prompt_len = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
    let (mut sampler, eos_token_ids) = sampler_for(model, options, prompt_len)?;
    let max_len = options.length_limit(prompt_len)?;

    let mut searches: Vec<Search> = prompts
        .iter()
        .map(|prompt| {
            let mut padded = vec![model.pad_token_id(); prompt_len - prompt.len()];
            padded.extend_from_slice(prompt);
            Search::new(padded, beam_options, max_len)
        })
        .collect();
    // All beams of a prompt begin as what it left.
    let Some((first, mut state)) = model.prefill_until(prompts, max_len, cancel)? else {
        for search in &mut searches {
            search.beams.truncate(1);
            search.close(FinishReason::Cancelled);
        }
        return Ok(all_answers(searches, prompt_len));
    };
    let rows: Vec<usize> = (0..prompts.len() * num_beams)
        .map(|row| row / num_beams)
        .collect();
    state.select_rows(&rows);
    let mut logits: Vec<f32> = to_host(first)?
        .chunks_exact(model.vocab_size())
        .flat_map(|row| row.repeat(num_beams))
        .collect();
    let mut open: Vec<&mut Search> = searches.iter_mut().collect();
    loop {
        let mut rows = Vec::new();
        let mut still_open = Vec::new();
        let logits_of_prompts = logits.chunks_exact_mut(num_beams * model.vocab_size());
        for (place, (search, logits)) in open.into_iter().zip(logits_of_prompts).enumerate() {
            let parents = search.step(&mut sampler, logits, &eos_token_ids)?;
            if !search.is_done {
                rows.extend(parents.into_iter().map(|beam| place * num_beams + beam));
                still_open.push(search);
            }
        }
        open = still_open;
        if cancel.is_cancelled() {
            open.drain(..)
                .for_each(|search| search.close(FinishReason::Cancelled));
        }
        if open.is_empty() {
            break;
        }
        state.select_rows(&rows);
        let beams = open.iter().flat_map(|search| &search.beams);
        let tokens: Vec<TokenId> = beams
            .filter_map(|beam| beam.tokens.last().copied())
            .collect();
        logits = to_host(model.decode(&mut state, &tokens)?)?;
    }
    Ok(all_answers(searches, prompt_len))
}

fn all_answers(searches: Vec<Search>, prompt_len: usize) -> Vec<Vec<Hypothesis>> {
    let answers = searches.into_iter();
    answers.map(|search| search.answers(prompt_len)).collect()
}

/// The search for answers to one prompt.
#[derive(Debug)]
struct Search {
    options: BeamSearchOptions,
    max_len: usize,
    beams: Vec<Beam>,
    /// Finished answers, at most `num_beams`, the worst first; of two equal ones the later.
    finished: Vec<Finished>,
    is_done: bool,
}

/// A continuation that is still open.
#[derive(Debug, Clone)]
struct Beam {
    /// Padding, prompt and answer.
    tokens: Vec<TokenId>,
    /// Of the log-probabilities of the answer.
    sum: f32,
}

#[derive(Debug)]
struct Finished {
    tokens: Vec<TokenId>,
    score: f64,
    reason: FinishReason,
}

/// A next token of a beam.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    beam: usize,
    token: TokenId,
    sum: f32,
}

impl Search {
    fn new(prompt: Vec<TokenId>, options: &BeamSearchOptions, max_len: usize) -> Self {
        let mut beams = vec![
            Beam {
                tokens: prompt,
                sum: NOT_YET,
            };
            options.num_beams
        ];
        beams[0].sum = 0.0;
        Self {
            options: *options,
            max_len,
            beams,
            finished: Vec::new(),
            is_done: false,
        }
    }

    /// One token more; `logits` (`[num_beams, vocab_size]`) are used as working memory. Returns which of the beams before
    /// each beam comes from.
    fn step(
        &mut self,
        sampler: &mut Sampler,
        logits: &mut [f32],
        eos_token_ids: &[TokenId],
    ) -> Result<Vec<usize>> {
        let num_beams = self.options.num_beams;
        // As many as there may be ends among them, and a next token for each beam beside.
        let count = num_beams * (1 + eos_token_ids.len().max(1));
        let mut best = Best::new(count);
        let vocab_size = logits.len() / num_beams;
        for (index, (beam, scores)) in self
            .beams
            .iter()
            .zip(logits.chunks_exact_mut(vocab_size))
            .enumerate()
        {
            log_softmax(scores);
            sampler.process(scores, &beam.tokens)?;
            best.add(index, beam.sum, scores);
        }
        let candidates = best.candidates;
        let highest = candidates
            .first()
            .map_or(f32::MIN, |candidate| candidate.sum);
        let mut parents = Vec::with_capacity(num_beams);
        let mut beams = Vec::with_capacity(num_beams);
        for (rank, candidate) in candidates.into_iter().enumerate() {
            if beams.len() == num_beams {
                break;
            }
            let is_end = eos_token_ids.contains(&candidate.token);
            if is_end && rank >= num_beams {
                continue;
            }
            let mut tokens = self.beams[candidate.beam].tokens.clone();
            if is_end {
                self.finish(tokens, candidate.sum, FinishReason::Eos);
                continue;
            }
            tokens.push(candidate.token);
            parents.push(candidate.beam);
            beams.push(Beam {
                tokens,
                sum: candidate.sum,
            });
        }
        self.beams = beams;
        let len = self
            .beams
            .first()
            .map_or(self.max_len, |beam| beam.tokens.len());
        if self.has_enough(highest, len) {
            self.is_done = true;
        } else if len >= self.max_len {
            self.close(FinishReason::Length);
        }
        Ok(parents)
    }

    /// Ends the search: the open beams are answers as they are.
    fn close(&mut self, reason: FinishReason) {
        for beam in std::mem::take(&mut self.beams) {
            self.finish(beam.tokens, beam.sum, reason);
        }
        self.is_done = true;
    }

    fn score(&self, sum: f32, len: usize) -> f64 {
        f64::from(sum) / (len as f64).powf(self.options.length_penalty)
    }

    /// Keeps an answer if it is among the best.
    fn finish(&mut self, tokens: Vec<TokenId>, sum: f32, reason: FinishReason) {
        let score = self.score(sum, tokens.len());
        let is_full = self.finished.len() == self.options.num_beams;
        let worst = self.finished.first();
        if is_full && worst.is_none_or(|worst| score <= worst.score) {
            return;
        }
        let place = self.finished.partition_point(|other| other.score <= score);
        let finished = Finished {
            tokens,
            score,
            reason,
        };
        self.finished.insert(place, finished);
        if is_full {
            self.finished.remove(0);
        }
    }

    /// Whether no open beam need be followed: `highest` is the best sum of this step, `len` the length with its token.
    fn has_enough(&self, highest: f32, len: usize) -> bool {
        let Some(worst) = self.finished.first() else {
            return false;
        };
        if self.finished.len() < self.options.num_beams {
            return false;
        }
        let attainable_at = match self.options.early_stopping {
            EarlyStopping::AtOnce => return true,
            EarlyStopping::Never if self.options.length_penalty > 0.0 => self.max_len,
            EarlyStopping::Heuristic | EarlyStopping::Never => len,
        };
        worst.score >= self.score(highest, attainable_at)
    }

    /// The answers, best first.
    fn answers(self, prompt_len: usize) -> Vec<Hypothesis> {
        let best = self.finished.into_iter().rev();
        best.take(self.options.num_return_sequences)
            .map(|finished| Hypothesis {
                tokens: finished.tokens[prompt_len..].to_vec(),
                score: finished.score,
                finish_reason: finished.reason,
            })
            .collect()
    }
}

/// The best candidates, best first; of equal ones the first.
struct Best {
    candidates: Vec<Candidate>,
    count: usize,
}

impl Best {
    fn new(count: usize) -> Self {
        Self {
            candidates: Vec::with_capacity(count + 1),
            count,
        }
    }

    /// The next tokens of a beam whose log-probabilities add up to `sum`.
    fn add(&mut self, beam: usize, sum: f32, scores: &[f32]) {
        for (token, score) in (0..).zip(scores) {
            let sum = sum + score;
            let is_full = self.candidates.len() == self.count;
            if is_full && self.candidates.last().is_some_and(|worst| sum <= worst.sum) {
                continue;
            }
            let place = self.candidates.partition_point(|other| other.sum >= sum);
            self.candidates
                .insert(place, Candidate { beam, token, sum });
            self.candidates.truncate(self.count);
        }
    }
}

/// `scores ← ln softmax(scores)`
fn log_softmax(scores: &mut [f32]) {
    let (largest, log_sum) = log_sum_exp(scores);
    for score in scores {
        *score = (*score - largest) - log_sum as f32;
    }
}
