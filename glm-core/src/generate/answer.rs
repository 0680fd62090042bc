//! One answer while it is written: what chooses its tokens, and what ends it. A [`Generator`](super::Generator) writes one,
//! a [`BatchGenerator`](super::BatchGenerator) several.

use super::{
    FinishReason, Sampler,
    log_probs::{Distribution, TokenLogProbs},
    options::GenerationOptions,
    sampler_for,
};
use crate::{error::Result, model::Model, prefix_lm::TokenId};

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) sampler: Sampler,
    eos_token_ids: Vec<TokenId>,
    /// Prompt and chosen tokens.
    pub(super) tokens: Vec<TokenId>,
    pub(super) prompt_len: usize,
    /// Length of `tokens` at which the answer ends.
    pub(super) max_len: usize,
    /// How many alternatives to tell beside each token, if the log-probabilities are asked for.
    logprobs: Option<usize>,
    /// Of each chosen token.
    pub(super) log_probs: Vec<TokenLogProbs>,
    pub(super) invalid_scores: usize,
    /// The end-of-reply token was chosen after the last of `tokens`.
    pub(super) ended: bool,
    pub(super) finish_reason: Option<FinishReason>,
}

/// An answer that was written.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Generated {
    /// The generated tokens, without the one that ended the answer.
    pub tokens: Vec<TokenId>,
    /// What ended the answer.
    pub finish_reason: FinishReason,
    /// Of each token, if [`GenerationOptions::logprobs`] asked for them.
    pub log_probs: Vec<TokenLogProbs>,
    /// The seed that gives this answer again, also without the others of its batch.
    pub seed: u64,
    /// NaN or infinite logits on the way: 0 with healthy weights.
    pub invalid_scores: usize,
}

impl Answer {
    /// Checks prompt and options.
    pub(super) fn new(
        model: &Model,
        prompt: &[TokenId],
        options: &GenerationOptions,
    ) -> Result<Self> {
        let (sampler, eos_token_ids) = sampler_for(model, options, prompt.len())?;
        model.layouts(&[prompt])?;
        Ok(Self {
            sampler,
            eos_token_ids,
            tokens: prompt.to_vec(),
            prompt_len: prompt.len(),
            max_len: options.length_limit(prompt.len())?,
            logprobs: options.logprobs,
            log_probs: Vec::new(),
            invalid_scores: 0,
            ended: false,
            finish_reason: None,
        })
    }

    pub(super) fn prompt(&self) -> &[TokenId] {
        &self.tokens[..self.prompt_len]
    }

    /// Chooses the token behind `self.tokens`; `None` for the end of the reply.
    pub(super) fn choose(&mut self, logits: &mut [f32]) -> Result<Option<TokenId>> {
        // Before the sampler, which works in place.
        let distribution = self.logprobs.map(|_| Distribution::new(logits.to_vec()));
        let sampled = self.sampler.sample(logits, &self.tokens)?;
        self.invalid_scores += sampled.invalid_scores;
        self.ended = self.eos_token_ids.contains(&sampled.token);
        if self.ended {
            return Ok(None);
        }
        self.tokens.push(sampled.token);
        if let (Some(distribution), Some(alternatives)) = (distribution, self.logprobs) {
            self.log_probs
                .push(distribution.of_token(sampled.token, alternatives));
        }
        Ok(Some(sampled.token))
    }

    /// Whether no more tokens may come.
    pub(super) fn is_full(&self) -> bool {
        self.tokens.len() >= self.max_len
    }

    /// The first reason counts.
    pub(super) fn finish(&mut self, reason: FinishReason) {
        self.finish_reason.get_or_insert(reason);
    }

    /// What there is; an answer that is still open is a cancelled one.
    pub(super) fn into_generated(mut self) -> Generated {
        Generated {
            tokens: self.tokens.split_off(self.prompt_len),
            finish_reason: self.finish_reason.unwrap_or(FinishReason::Cancelled),
            log_probs: self.log_probs,
            seed: self.sampler.seed(),
            invalid_scores: self.invalid_scores,
        }
    }
}
