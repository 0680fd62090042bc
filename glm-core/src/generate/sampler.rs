//! From logits to the next token, by the rules of transformers 4.30.2 and the official `chat()`.
//!
//! The steps and their order:
//!
//! 1. **repetition penalty** ([CTRL](https://arxiv.org/abs/1909.05858)): each id of the context once, a
//!    negative score times the penalty, any other divided by it;
//! 2. **invalid scores** (`InvalidScoreLogitsProcessor` of the official modeling file): one NaN or
//!    infinite score makes all of them 0, but 5e4 for one fixed token;
//! 3. the other **[`LogitsProcessor`]s**: penalties, forbidden words, minimal lengths. transformers has them before step 2,
//!    which then takes their negative infinities for a broken model;
//! 4. **temperature**: division;
//! 5. **top-k**: what is below the k-th largest score goes; ties with it stay;
//! 6. **top-p** ([nucleus sampling](https://arxiv.org/abs/1904.09751)): summed from the smallest
//!    probability up, what stays within 1 - p goes; the largest stays always;
//! 7. **softmax** and the draw. Greedy decoding takes the first maximum after step 3 instead.
//!
//! A step whose parameter is neutral (penalty 1, temperature 1, k 0, p 1) is skipped. Arithmetic is f32
//! where torch's is, with f64 running sums, as torch's `cumsum` on the CPU has them.

mod candidates;

use std::sync::Arc;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

use self::candidates::{Candidate, keep_nucleus, kth_largest, total_weight};
use super::{
    logits_processor::{LogitsProcessor, Sequence, not_in_vocabulary, processors, require_a_token},
    options::GenerationOptions,
};
use crate::{
    error::{Error, Result},
    split_mix,
};
use glm_tokenizer::phrase;

/// The score of the fallback token when scores were invalid; the others are 0.
const INVALID_SCORE: f32 = 5e4;

/// Chooses tokens. Keeps its random state and its buffers between steps, so that a step allocates
/// nothing once the first has run; use one sampler for one sequence.
#[derive(Debug, Clone)]
pub struct Sampler {
    greedy: bool,
    temperature: f32,
    top_k: usize,
    /// 1 - `top_p`, rounded as Python and torch round it.
    tail: f32,
    repetition_penalty: f32,
    invalid_score_token: Option<u32>,
    processors: Vec<Arc<dyn LogitsProcessor>>,
    /// Of the context, how many tokens were not generated.
    prompt_len: usize,
    seed: u64,
    rng: Pcg64,
    /// One bit per id: already penalised in this step.
    penalised: Vec<u64>,
    /// The largest scores seen so far, while the k-th largest is looked for.
    largest: Vec<f32>,
    /// What top-k and top-p left, by ascending id.
    candidates: Vec<Candidate>,
    /// The candidates that top-p has to look at closely, by ascending rank.
    ranked: Vec<Candidate>,
}

/// The outcome of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sampled {
    /// The chosen token id.
    pub token: u32,
    /// How many scores were NaN or infinite; if any, `token` is the fallback of
    /// [`GenerationOptions::invalid_score_token`] and not the model's choice. 0 in a healthy model.
    pub invalid_scores: usize,
}

impl Sampler {
    /// A sampler with the given options, seeded from them or else from the operating system.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] when an option is out of range, or when there is no seed and the
    /// operating system has no random numbers.
    pub fn new(options: &GenerationOptions) -> Result<Self> {
        options.validate()?;
        let seed = match options.seed {
            Some(seed) => seed,
            None => getrandom::u64().map_err(|error| Error::InvalidOption {
                option: "seed",
                expected: phrase!(
                    "option-seed",
                    "given when the operating system has no random numbers"
                ),
                found: phrase!(
                    "option-no-seed",
                    "none ({reason})",
                    reason = error.to_string()
                ),
            })?,
        };
        Ok(Self {
            greedy: options.is_greedy(),
            temperature: options.temperature as f32,
            top_k: options.top_k,
            tail: (1.0 - options.top_p) as f32,
            repetition_penalty: options.repetition_penalty as f32,
            invalid_score_token: options.invalid_score_token,
            processors: processors(options),
            prompt_len: 0,
            seed,
            rng: Pcg64::seed_from_u64(seed),
            penalised: Vec::new(),
            largest: Vec::new(),
            candidates: Vec::new(),
            ranked: Vec::new(),
        })
    }

    /// For a context whose first `prompt_len` tokens were not generated: rules about the answer alone leave them out.
    #[must_use]
    pub fn with_prompt_len(mut self, prompt_len: usize) -> Self {
        self.prompt_len = prompt_len;
        self
    }

    /// Adds a rule behind those of the options.
    pub fn add_processor(&mut self, processor: Arc<dyn LogitsProcessor>) {
        self.processors.push(processor);
    }

    /// The seed in use; given as an option, it repeats this sampler's draws.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Chooses the next token. `context` is the sequence so far, prompt included; `logits`
    /// (`[vocab_size]`) are used as working memory and hold no useful values afterwards.
    ///
    /// # Errors
    /// As [`Sampler::process`].
    pub fn sample(&mut self, logits: &mut [f32], context: &[u32]) -> Result<Sampled> {
        let invalid_scores = self.process(logits, context)?;
        let token = if self.greedy {
            argmax(logits) as u32
        } else {
            self.select(logits);
            self.draw()
        };
        Ok(Sampled {
            token,
            invalid_scores,
        })
    }

    /// Steps 1 to 3 in place, on `logits` (`[vocab_size]`). Returns how many scores were invalid.
    ///
    /// # Errors
    /// [`Error::NonFiniteLogits`] when a score is NaN or infinite and no fallback token is set;
    /// [`Error::InvalidOption`] when there are no logits, or an id of `context` or the fallback token
    /// is not below `vocab_size`, when no token is left, and as [`LogitsProcessor::process`].
    pub fn process(&mut self, logits: &mut [f32], context: &[u32]) -> Result<usize> {
        if logits.is_empty() {
            return Err(Error::InvalidOption {
                option: "logits",
                expected: phrase!("option-logits", "at least one score"),
                found: phrase!("option-none", "none"),
            });
        }
        if self.repetition_penalty != 1.0 {
            self.penalise(logits, context)?;
        }
        let invalid = logits.iter().filter(|score| !score.is_finite()).count();
        if invalid > 0 {
            let Some(token) = self.invalid_score_token else {
                return Err(Error::NonFiniteLogits {
                    position: context.len().saturating_sub(1),
                });
            };
            let vocab_size = logits.len();
            logits.fill(0.0);
            let score = logits
                .get_mut(token as usize)
                .ok_or_else(|| not_in_vocabulary("invalid_score_token", token, vocab_size))?;
            *score = INVALID_SCORE;
        } else if !self.processors.is_empty() {
            let sequence = Sequence {
                tokens: context,
                prompt_len: self.prompt_len,
            };
            for processor in &self.processors {
                processor.process(logits, sequence)?;
            }
            require_a_token(logits)?;
        }
        Ok(invalid)
    }

    /// Steps 4 to 6 in place, on processed scores (`[vocab_size]`): removed tokens get negative
    /// infinity. Does nothing when decoding is greedy, as in transformers.
    pub fn warp(&mut self, scores: &mut [f32]) {
        if self.greedy || scores.is_empty() {
            return;
        }
        self.select(scores);
        let mut kept = self.candidates.iter().peekable();
        for (id, score) in scores.iter_mut().enumerate() {
            if kept
                .next_if(|candidate| candidate.id as usize == id)
                .is_none()
            {
                *score = f32::NEG_INFINITY;
            }
        }
    }

    /// Step 1. Ids count once, however often they occur.
    fn penalise(&mut self, logits: &mut [f32], context: &[u32]) -> Result<()> {
        let vocab_size = logits.len();
        self.penalised.clear();
        self.penalised.resize(vocab_size.div_ceil(64), 0);
        for &id in context {
            let index = id as usize;
            let (Some(score), Some(word)) =
                (logits.get_mut(index), self.penalised.get_mut(index / 64))
            else {
                return Err(not_in_vocabulary("context", id, vocab_size));
            };
            let bit = 1 << (index % 64);
            if *word & bit == 0 {
                *word |= bit;
                if *score < 0.0 {
                    *score *= self.repetition_penalty;
                } else {
                    *score /= self.repetition_penalty;
                }
            }
        }
        Ok(())
    }

    /// Steps 4 to 6: divides `scores` by the temperature and leaves the tokens that survive top-k and
    /// top-p in `self.candidates`, by ascending id, with their softmax weights.
    fn select(&mut self, scores: &mut [f32]) {
        self.candidates.clear();
        let best = argmax(scores);
        let largest = scores.get(best).copied().unwrap_or(f32::NAN) / self.temperature;
        if !largest.is_finite() {
            // A temperature this small overflows f32; its limit is the greedy choice.
            self.candidates.push(Candidate::new(best, 0.0, 0.0));
            return;
        }
        if self.temperature != 1.0 {
            for score in &mut *scores {
                *score /= self.temperature;
            }
        }
        let floor = if self.top_k == 0 || self.top_k >= scores.len() {
            f32::NEG_INFINITY
        } else {
            kth_largest(scores, self.top_k, &mut self.largest)
        };
        let survivors = scores
            .iter()
            .enumerate()
            .filter(|&(_, &score)| score >= floor && score > f32::NEG_INFINITY)
            .map(|(id, &score)| Candidate::new(id, score, largest));
        self.candidates.extend(survivors);
        if self.tail > 0.0 {
            keep_nucleus(&mut self.candidates, self.tail, &mut self.ranked);
        }
    }

    /// Step 7: one draw from the candidates, each as probable as its weight says.
    fn draw(&mut self) -> u32 {
        let total = total_weight(&self.candidates);
        // 53 random bits make a uniform number in [0, 1) that f64 holds exactly.
        let uniform = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let target = uniform * total;
        let mut cumulative = 0.0;
        for candidate in &self.candidates {
            cumulative += f64::from(candidate.weight);
            if cumulative > target {
                return candidate.id;
            }
        }
        // Not reached: the sum ends at `total`, which is above `target`.
        self.candidates.last().map_or(0, |candidate| candidate.id)
    }
}

/// The seed of a row of a batch: `seed` itself for the first, and for row `i` the `i`-th number of
/// [SplitMix64](https://doi.org/10.1145/2660193.2660195) that starts there. It depends on nothing else in the batch, and
/// given as an option to a [`Generator`](super::Generator) it repeats the row.
#[must_use]
pub fn row_seed(seed: u64, row: usize) -> u64 {
    match row {
        0 => seed,
        _ => split_mix::number(seed, row as u64),
    }
}

/// Softmax of `scores` in f32; negative infinity gives 0.
#[must_use]
pub fn probabilities(scores: &[f32]) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut weights: Vec<f32> = scores
        .iter()
        .map(|score| libm::expf(score - largest))
        .collect();
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    for weight in &mut weights {
        *weight /= total as f32;
    }
    weights
}

/// The index of the first maximum, which is torch's choice too.
fn argmax(scores: &[f32]) -> usize {
    let mut best = 0;
    let mut largest = f32::NEG_INFINITY;
    for (index, &score) in scores.iter().enumerate() {
        if score > largest {
            best = index;
            largest = score;
        }
    }
    best
}
