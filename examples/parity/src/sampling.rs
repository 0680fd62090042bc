//! The sampler against transformers' processors and warpers.

use glm_core::{
    TokenId,
    generate::{GenerationOptions, Sampler, probabilities},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    array::Array,
    check::{Outcome, PROBABILITIES, Recorder, close, equal},
    error::Result,
    expected::Expected,
};

/// An entry of `cases` in `expected.json`: one parameter set on one vector of logits.
#[derive(Deserialize)]
struct Case {
    /// Index in `order`.
    case: usize,
    /// Name of the logits.
    logits: String,
    /// Tokens that are left at the end.
    kept: usize,
    argmax: TokenId,
    max_prob: f32,
}

/// An entry of `order` in `expected.json`.
#[derive(Deserialize)]
struct Parameters {
    index: usize,
    params: Map<String, Value>,
}

/// Runs every case.
pub(crate) fn check(expected: &Expected, recorder: &mut Recorder<'_>) -> Result<()> {
    let prompt: Vec<TokenId> = expected.json("prompt")?;
    if expected.has("prompt") {
        // Both files have it; a difference would be a fault of the set, not of the sampler.
        let (found, [_]) = expected.token_ids("prompt")?;
        recorder.record(
            "prompt",
            "prompt",
            equal(&Array::vector(prompt.clone()), &found),
        );
    }
    let order: Vec<Parameters> = expected.json("order")?;
    let cases: Vec<Case> = expected.json("cases")?;
    for case in &cases {
        let name = format!("case.{}.{}", case.case, case.logits);
        let parameters = order
            .iter()
            .find(|parameters| parameters.index == case.case)
            .ok_or_else(|| {
                expected.malformed(format!("`order` has no entry {} for `cases`", case.case))
            })?;
        match options(&parameters.params) {
            Ok(options) => check_case(expected, case, &name, &prompt, &options, recorder)?,
            Err(reason) => recorder.record(&name, "parameters", Outcome::Failed(reason)),
        }
    }
    Ok(())
}

fn check_case(
    expected: &Expected,
    case: &Case,
    name: &str,
    prompt: &[TokenId],
    options: &GenerationOptions,
    recorder: &mut Recorder<'_>,
) -> Result<()> {
    let mut sampler = Sampler::new(options)?;
    let logits = expected.floats(&format!("logits.{}", case.logits))?;

    let mut scores = logits.clone();
    sampler.process(&mut scores.values, prompt)?;
    // The fixture leaves the tensor out where the processors have changed nothing.
    let processed = format!("{name}.after_processors");
    let wanted = match expected.has(&processed) {
        true => expected.floats(&processed)?,
        false => logits.clone(),
    };
    recorder.record(
        &processed,
        "after_processors",
        close(&scores, &wanted, PROBABILITIES),
    );

    let processed = scores.clone();
    sampler.warp(&mut scores.values);
    let found = Array {
        shape: scores.shape.clone(),
        values: probabilities(&scores.values),
    };
    for (part, found) in [("scores", &scores), ("probs", &found)] {
        let wanted = expected.floats(&format!("{name}.{part}"))?;
        // Which of several equal scores top-p removes is not defined: equal ones are compared as a set.
        let outcome = close(
            &by_score(found, &processed),
            &by_score(&wanted, &processed),
            PROBABILITIES,
        );
        recorder.record(format!("{name}.{part}"), part, outcome);
    }

    let mut failures = Vec::new();
    let kept = scores
        .values
        .iter()
        .filter(|score| **score > f32::NEG_INFINITY)
        .count();
    if kept != case.kept {
        failures.push(format!("{kept} tokens are left, expected {}", case.kept));
    }
    let largest = found.values.iter().copied().fold(0.0, f32::max);
    if (f64::from(largest) - f64::from(case.max_prob)).abs() > PROBABILITIES.absolute {
        failures.push(format!(
            "the largest probability is {largest}, expected {}",
            case.max_prob
        ));
    }
    let greedy = options.clone().with_do_sample(false);
    let chosen = Sampler::new(&greedy)?
        .sample(&mut logits.values.clone(), prompt)?
        .token;
    let score = |token: TokenId| processed.values.get(token as usize);
    if chosen != case.argmax && score(chosen) != score(case.argmax) {
        failures.push(format!(
            "the most probable token is {chosen}, expected {}",
            case.argmax
        ));
    }
    let outcome = match failures.is_empty() {
        true => Outcome::Equal { values: 3 },
        false => Outcome::Failed(failures.join("; ")),
    };
    recorder.record(
        format!("{name} kept, max_prob, argmax"),
        "kept, max_prob, argmax",
        outcome,
    );
    Ok(())
}

/// The options of a parameter set; what it leaves out is neutral, but for `top_k`, whose default in transformers is 50.
fn options(params: &Map<String, Value>) -> std::result::Result<GenerationOptions, String> {
    let mut options = GenerationOptions::greedy()
        .with_temperature(1.0)
        .with_top_p(1.0)
        // Nothing is drawn here; a fixed seed needs no random numbers of the system.
        .with_seed(0);
    for (name, value) in params {
        let refuse = || format!("parameter `{name}` = {value} is not supported");
        let number = || value.as_f64().ok_or_else(refuse);
        match name.as_str() {
            "do_sample" => options.do_sample = value.as_bool().ok_or_else(refuse)?,
            "temperature" => options.temperature = number()?,
            "top_p" => options.top_p = number()?,
            "top_k" => {
                let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
                options.top_k = count.ok_or_else(refuse)?;
            }
            "repetition_penalty" => options.repetition_penalty = number()?,
            _ => return Err(refuse()),
        }
    }
    options.validate().map_err(|error| error.to_string())?;
    Ok(options)
}

/// The values in the order of the tokens' scores before warping, equal scores by value: the order of tokens when no two
/// scores are equal, and independent of which of several equal ones was removed.
fn by_score(values: &Array<f32>, scores: &Array<f32>) -> Array<f32> {
    if values.values.len() != scores.values.len() {
        return values.clone();
    }
    let mut pairs: Vec<(f32, f32)> = scores
        .values
        .iter()
        .copied()
        .zip(values.values.iter().copied())
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    Array {
        shape: values.shape.clone(),
        values: pairs.into_iter().map(|(_, value)| value).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_scores_may_change_places() {
        let scores = Array::vector(vec![2.0, 1.0, 1.0]);
        let removed = f32::NEG_INFINITY;
        let ordered = |values: [f32; 3]| by_score(&Array::vector(values.to_vec()), &scores).values;
        assert_eq!(ordered([2.0, removed, 1.0]), ordered([2.0, 1.0, removed]));
        assert_ne!(ordered([removed, 1.0, 2.0]), ordered([2.0, 1.0, removed]));
    }
}
