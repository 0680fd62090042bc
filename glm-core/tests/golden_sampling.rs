//! The sampler against transformers 4.30.2 with the official `InvalidScoreLogitsProcessor`
//! (`golden/sampling`: 13 parameter sets on 9 logit vectors), and its draws against what they promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::path::PathBuf;

use glm_core::generate::{GenerationOptions, Sampler, probabilities};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde::Deserialize;

const TOLERANCE: f32 = 1e-6;

#[derive(Deserialize)]
struct Expected {
    prompt: Vec<u32>,
    cases: Vec<Case>,
    order: Vec<Parameters>,
}

#[derive(Deserialize)]
struct Case {
    case: usize,
    logits: String,
    /// Tokens with a finite score at the end.
    kept: usize,
    argmax: u32,
    max_prob: f32,
}

#[derive(Deserialize)]
struct Parameters {
    params: HashMap<String, serde_json::Value>,
}

fn golden(file: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/sampling");
    PathBuf::from(folder).join(file)
}

/// The options of a parameter set; what it leaves out is neutral, as transformers' defaults are.
fn options(parameters: &Parameters) -> GenerationOptions {
    let mut options = GenerationOptions::default()
        .with_temperature(1.0)
        .with_top_p(1.0)
        .with_top_k(50)
        .with_repetition_penalty(1.0)
        .with_seed(0);
    for (name, value) in &parameters.params {
        match name.as_str() {
            "do_sample" => options.do_sample = value.as_bool().unwrap(),
            "temperature" => options.temperature = value.as_f64().unwrap(),
            "top_p" => options.top_p = value.as_f64().unwrap(),
            "top_k" => options.top_k = value.as_u64().unwrap() as usize,
            "repetition_penalty" => options.repetition_penalty = value.as_f64().unwrap(),
            _ => panic!("unknown parameter {name}"),
        }
    }
    options
}

fn floats(tensors: &SafeTensors, name: &str) -> Option<Vec<f32>> {
    let tensor = tensors.tensor(name).ok()?;
    assert_eq!(tensor.dtype(), safetensors::Dtype::F32, "{name}");
    let (values, rest) = tensor.data().as_chunks::<4>();
    assert!(rest.is_empty());
    Some(
        values
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect(),
    )
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (id, (found, expected)) in found.iter().zip(expected).enumerate() {
        let close = found == expected || (found - expected).abs() <= TOLERANCE;
        assert!(close, "{what}, id {id}: {found} instead of {expected}");
    }
}

#[test]
fn all_cases_of_the_official_pipeline() {
    let expected = std::fs::read(golden("expected.json")).unwrap();
    let expected: Expected = serde_json::from_slice(&expected).unwrap();
    let bytes = std::fs::read(golden("expected.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(expected.cases.len(), 117);

    for case in &expected.cases {
        let name = format!("case.{}.{}", case.case, case.logits);
        let mut sampler = Sampler::new(&options(&expected.order[case.case])).unwrap();
        let logits = floats(&tensors, &format!("logits.{}", case.logits)).unwrap();

        let mut scores = logits.clone();
        let invalid = sampler.process(&mut scores, &expected.prompt).unwrap();
        let faulty = ["nan", "posinf", "neginf"].contains(&case.logits.as_str());
        assert_eq!(invalid > 0, faulty, "{name}");
        // Left out of the file where nothing changed.
        let after_processors = floats(&tensors, &format!("{name}.after_processors"));
        assert_close(&scores, after_processors.as_ref().unwrap_or(&logits), &name);

        sampler.warp(&mut scores);
        let found = probabilities(&scores);
        let expected_scores = floats(&tensors, &format!("{name}.scores")).unwrap();
        let expected_probs = floats(&tensors, &format!("{name}.probs")).unwrap();
        let kept = scores
            .iter()
            .filter(|score| **score > f32::NEG_INFINITY)
            .count();
        assert_eq!(kept, case.kept, "{name}");
        let max_prob = found.iter().copied().fold(0.0, f32::max);
        assert_close(&[max_prob], &[case.max_prob], &name);
        assert_close(&scores, &expected_scores, &name);
        assert_close(&found, &expected_probs, &name);

        // The drawn token is one of those kept; the greedy one is the official argmax.
        let sampled = sampler
            .sample(&mut logits.clone(), &expected.prompt)
            .unwrap();
        assert_eq!(sampled.invalid_scores, invalid, "{name}");
        if case.kept == 1 || !options(&expected.order[case.case]).do_sample {
            assert_eq!(sampled.token, case.argmax, "{name}");
        } else {
            assert!(expected_probs[sampled.token as usize] > 0.0, "{name}");
        }
    }
}

/// The order above, each step on the whole vector and with a full stable sort.
fn naive(logits: &[f32], context: &[u32], options: &GenerationOptions) -> Vec<f32> {
    let mut scores = logits.to_vec();
    for (id, score) in scores.iter_mut().enumerate() {
        if context.contains(&(id as u32)) {
            let penalty = options.repetition_penalty as f32;
            *score = if *score < 0.0 {
                *score * penalty
            } else {
                *score / penalty
            };
        }
    }
    if scores.iter().any(|score| !score.is_finite()) {
        scores.fill(0.0);
        scores[options.invalid_score_token.unwrap() as usize] = 5e4;
    }
    for score in &mut scores {
        *score /= options.temperature as f32;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].partial_cmp(&scores[b]).unwrap());
    if options.top_k > 0 {
        let kth = scores[order[order.len() - options.top_k.min(order.len())]];
        for score in scores.iter_mut().filter(|score| **score < kth) {
            *score = f32::NEG_INFINITY;
        }
    }
    if options.top_p < 1.0 {
        let probabilities = probabilities(&scores);
        let mut cumulative = 0.0_f64;
        for &id in &order[..order.len() - 1] {
            cumulative += f64::from(probabilities[id]);
            if cumulative as f32 <= (1.0 - options.top_p) as f32 {
                scores[id] = f32::NEG_INFINITY;
            }
        }
    }
    scores
}

/// Wide, flat (so that the bounds of top-k and top-p lie among many similar scores), and full of ties;
/// one in ten holds an invalid score.
fn scores() -> impl Strategy<Value = Vec<f32>> {
    let score = prop_oneof![
        Just((-20.0_f32..20.0).boxed()),
        Just((-1.0_f32..1.0).boxed()),
        Just((-4_i8..4).prop_map(|score| f32::from(score) / 4.0).boxed()),
        Just(prop_oneof![Just(0.0_f32), Just(-0.0)].boxed()),
    ];
    let scores = score.prop_flat_map(|score| prop::collection::vec(score, 6..2000));
    let invalid = prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
    let spoil = prop::option::weighted(0.1, (any::<prop::sample::Index>(), invalid));
    (scores, spoil).prop_map(|(mut scores, spoil)| {
        if let Some((index, invalid)) = spoil {
            *index.get_mut(&mut scores) = invalid;
        }
        scores
    })
}

prop_compose! {
    fn sampling_options()(
        temperature in prop_oneof![Just(1.0), 0.05..2.0],
        top_p in prop_oneof![Just(1.0), 0.001..1.0],
        top_k in prop_oneof![Just(0_usize), Just(1), 2_usize..100, Just(5000)],
        repetition_penalty in prop_oneof![Just(1.0), 0.5..2.0],
        seed in any::<u64>(),
    ) -> GenerationOptions {
        GenerationOptions::default()
            .with_temperature(temperature)
            .with_top_p(top_p)
            .with_top_k(top_k)
            .with_repetition_penalty(repetition_penalty)
            .with_seed(seed)
    }
}

proptest! {
    #[test]
    fn equals_the_naive_pipeline(
        logits in scores(),
        context in prop::collection::vec(0_u32..6, 0..8),
        options in sampling_options(),
    ) {
        let expected = naive(&logits, &context, &options);
        let mut sampler = Sampler::new(&options).unwrap();
        // Twice, so that buffers left over from a step cannot leak into the next.
        for _ in 0..2 {
            let mut scores = logits.clone();
            sampler.process(&mut scores, &context).unwrap();
            sampler.warp(&mut scores);
            prop_assert_eq!(&scores, &expected);
            let sampled = sampler.sample(&mut logits.clone(), &context).unwrap();
            prop_assert!(expected[sampled.token as usize] > f32::NEG_INFINITY);
        }
    }

    #[test]
    fn greedy_takes_the_first_maximum(logits in scores()) {
        let mut sampler = Sampler::new(&GenerationOptions::greedy()).unwrap();
        let sampled = sampler.sample(&mut logits.clone(), &[]).unwrap();
        if sampled.invalid_scores > 0 {
            prop_assert_eq!(sampled.token, 5);
        } else {
            let chosen = logits[sampled.token as usize];
            prop_assert!(logits.iter().all(|score| *score <= chosen));
            prop_assert!(logits[..sampled.token as usize].iter().all(|score| *score < chosen));
        }
    }

    /// Also numbers that overflow on the way, and a temperature that no f32 holds.
    #[test]
    fn extreme_numbers_give_a_token(
        logits in prop::collection::vec(any::<f32>(), 6..100),
        temperature in prop_oneof![Just(1e-300), Just(1e-38), Just(1e300), 0.0..1e-30],
        options in sampling_options(),
    ) {
        let options = options.with_temperature(temperature);
        let mut sampler = Sampler::new(&options).unwrap();
        let sampled = sampler.sample(&mut logits.clone(), &[0, 1]).unwrap();
        prop_assert!((sampled.token as usize) < logits.len());
    }
}

/// 40 draws from 1000 logits that every platform computes alike.
fn draws(seed: Option<u64>) -> (u64, Vec<u32>) {
    let options = GenerationOptions::default().with_seed(seed);
    let mut sampler = Sampler::new(&options).unwrap();
    let logits: Vec<f32> = (0_u16..1000)
        .map(|id| f32::from((id * 37) % 101) / 16.0)
        .collect();
    let tokens = (0..40)
        .map(|_| sampler.sample(&mut logits.clone(), &[]).unwrap().token)
        .collect();
    (sampler.seed(), tokens)
}

#[test]
fn a_seed_repeats_its_draws() {
    let (seed, tokens) = draws(Some(42));
    assert_eq!(seed, 42);
    assert_eq!(draws(Some(42)).1, tokens);
    assert_ne!(draws(Some(43)).1, tokens);
    // Written down, so that no release of this crate or of its generator changes them unnoticed.
    assert_eq!(tokens[..8], [262, 262, 797, 595, 969, 434, 232, 595]);
}

#[test]
fn a_seed_of_the_system_is_told_and_can_be_repeated() {
    let (seed, tokens) = draws(None);
    assert_eq!(draws(Some(seed)).1, tokens);
    assert_ne!(draws(None).0, seed, "two seeds of 64 bits");
}

/// Pearson's chi-square statistic of 200,000 draws with the seed 1.
#[test]
fn draws_follow_the_probabilities() {
    let options = GenerationOptions::default()
        .with_temperature(1.3)
        .with_top_p(0.9)
        .with_top_k(20)
        .with_seed(1);
    let mut sampler = Sampler::new(&options).unwrap();
    let logits: Vec<f32> = (0_u8..64).map(|id| f32::from(id % 23) / 5.0).collect();
    let mut scores = logits.clone();
    sampler.warp(&mut scores);
    let expected = probabilities(&scores);

    let draws = 200_000;
    let mut counts = vec![0_u32; logits.len()];
    let mut working = logits.clone();
    for _ in 0..draws {
        working.copy_from_slice(&logits);
        let sampled = sampler.sample(&mut working, &[]).unwrap();
        counts[sampled.token as usize] += 1;
    }
    let mut chi_square = 0.0;
    let mut degrees = -1;
    for (count, probability) in counts.iter().zip(&expected) {
        if *probability == 0.0 {
            assert_eq!(*count, 0);
            continue;
        }
        let mean = f64::from(draws) * f64::from(*probability);
        chi_square += (f64::from(*count) - mean).powi(2) / mean;
        degrees += 1;
    }
    assert_eq!(degrees, 18);
    // The 0.999 quantile of the distribution with 18 degrees of freedom.
    assert!(chi_square < 42.312, "chi-square {chi_square}");
}

#[test]
fn without_a_fallback_token_invalid_logits_are_an_error() {
    let options = GenerationOptions::greedy().with_invalid_score_token(None);
    let mut sampler = Sampler::new(&options).unwrap();
    let error = sampler
        .sample(&mut [0.0, f32::NAN], &[1, 0, 1])
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("NaN or infinite logits at position 2"),
        "{error}"
    );
    assert_eq!(sampler.sample(&mut [0.0, 1.0], &[]).unwrap().token, 1);
}

#[test]
fn what_does_not_fit_the_vocabulary_is_an_error() {
    let options = GenerationOptions::default().with_repetition_penalty(1.1);
    let mut sampler = Sampler::new(&options).unwrap();
    let message = |result: glm_core::Result<_>| -> String {
        result
            .map(|sampled: glm_core::generate::Sampled| sampled.token)
            .unwrap_err()
            .to_string()
    };
    let error = message(sampler.sample(&mut [0.0, 1.0], &[0, 2]));
    assert_eq!(
        error,
        "option `context` must be made of ids below the vocabulary size 2, found 2"
    );
    let error = message(sampler.sample(&mut [0.0, f32::NAN], &[]));
    assert_eq!(
        error,
        "option `invalid_score_token` must be made of ids below the vocabulary size 2, found 5"
    );
    let error = message(sampler.sample(&mut [], &[]));
    assert_eq!(
        error,
        "option `logits` must be at least one score, found none"
    );
}
