//! How probable tokens are to the model: those of a given continuation, and those that it has generated.
//!
//! All of them are natural logarithms of the softmax of the model's own logits, before penalties, processors and
//! temperature, as in OpenAI's API.

use crate::{error::Result, generate::to_host, model::Model, prefix_lm::TokenId};

/// The natural logarithm of the probability of each token of `continuation` behind `prompt` and the tokens before it.
/// `exp` of minus their mean is the perplexity.
///
/// The prompt ends with `<sop>` as for generation. The tokens are read as an answer is: through the cache, with the
/// model's [`Numerics`](crate::Numerics).
///
/// # Errors
/// As [`Model::prefill`].
pub fn log_probs(model: &Model, prompt: &[TokenId], continuation: &[TokenId]) -> Result<Vec<f64>> {
    let Some((last, read)) = continuation.split_last() else {
        return Ok(Vec::new());
    };
    let (first, mut state) =
        model.prefill_with_capacity(&[prompt], prompt.len() + continuation.len())?;
    let mut logits = to_host(first)?;
    if !read.is_empty() {
        logits.extend(to_host(model.extend(&mut state, read)?)?);
    }
    let rows = logits.chunks_exact(model.vocab_size());
    let tokens = read.iter().chain([last]);
    model.check_ids(continuation)?;
    Ok(rows
        .zip(tokens)
        .map(|(row, &token)| Distribution::new(row).log_prob(token))
        .collect())
}

/// A token, and how probable the model finds it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LogProb {
    /// The token id.
    pub token: TokenId,
    /// The natural logarithm of its probability.
    pub log_prob: f64,
}

/// How probable a generated token was to the model, before penalties, processors and temperature had a say.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TokenLogProbs {
    /// Of the token itself; NaN when the model gave a NaN.
    pub log_prob: f64,
    /// The most probable tokens at its place, the most probable first and of equal ones the lower id; the chosen one may
    /// be among them. As many as [`GenerationOptions::logprobs`](super::GenerationOptions::logprobs) asks for.
    pub top: Vec<LogProb>,
}

/// The model's own view of the next token.
pub(super) struct Distribution<L> {
    logits: L,
    largest: f32,
    log_sum: f64,
}

impl<L: AsRef<[f32]>> Distribution<L> {
    /// From logits `[vocab_size]`.
    pub(super) fn new(logits: L) -> Self {
        let (largest, log_sum) = log_sum_exp(logits.as_ref());
        Self {
            logits,
            largest,
            log_sum,
        }
    }

    /// `ln softmax(logits)[token]`
    fn log_prob(&self, token: TokenId) -> f64 {
        f64::from(self.logits.as_ref()[token as usize] - self.largest) - self.log_sum
    }

    /// What is told about a chosen token, and this many most probable ones.
    pub(super) fn of_token(&self, token: TokenId, alternatives: usize) -> TokenLogProbs {
        let logits = self.logits.as_ref();
        let mut tokens: Vec<TokenId> = (0..).take(logits.len()).collect();
        let by_rank = |a: &TokenId, b: &TokenId| {
            let [a_logit, b_logit] = [a, b].map(|&token| logits[token as usize]);
            b_logit.total_cmp(&a_logit).then(a.cmp(b))
        };
        if alternatives < tokens.len() {
            tokens.select_nth_unstable_by(alternatives, by_rank);
            tokens.truncate(alternatives);
        }
        tokens.sort_unstable_by(by_rank);
        let top = tokens.into_iter().map(|token| LogProb {
            token,
            log_prob: self.log_prob(token),
        });
        TokenLogProbs {
            log_prob: self.log_prob(token),
            top: top.collect(),
        }
    }
}

/// The largest score, and the logarithm of the sum of the exponentials of all, each less the largest.
pub(super) fn log_sum_exp(scores: &[f32]) -> (f32, f64) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = scores
        .iter()
        .map(|score| f64::from(score - largest).exp())
        .sum();
    (largest, sum.ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_to_one() {
        let distribution = Distribution::new([1.0, -2.0, 0.5, 100.0, 99.0]);
        let sum: f64 = (0..5).map(|token| distribution.log_prob(token).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        let even = Distribution::new([3.0; 4]).log_prob(2);
        assert!((even - 0.25f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn the_most_probable_come_first_and_of_equal_ones_the_lower_id() {
        let distribution = Distribution::new([1.0, 3.0, 0.0, 3.0, 2.0]);
        for (alternatives, expected) in [
            (0, &[][..]),
            (1, &[1]),
            (3, &[1, 3, 4]),
            (9, &[1, 3, 4, 0, 2]),
        ] {
            let found = distribution.of_token(2, alternatives);
            let tokens: Vec<TokenId> = found.top.iter().map(|top| top.token).collect();
            assert_eq!(tokens, expected);
            assert_eq!(found.log_prob, distribution.log_prob(2));
        }
    }
}
