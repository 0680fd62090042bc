//! How probable a text is to the model: the log-probability of each token of a given continuation.

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
        .map(|(row, &token)| log_softmax(row, token as usize))
        .collect())
}

fn log_softmax(logits: &[f32], index: usize) -> f64 {
    let (largest, log_sum) = log_sum_exp(logits);
    f64::from(logits[index] - largest) - log_sum
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
        let logits = [1.0, -2.0, 0.5, 100.0, 99.0];
        let sum: f64 = (0..5).map(|index| log_softmax(&logits, index).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        let even = log_softmax(&[3.0; 4], 2);
        assert!((even - 0.25f64.ln()).abs() < 1e-12);
    }
}
