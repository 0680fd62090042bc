//! Batches against their prompts alone: whatever the options and the neighbours, a row is that prompt's answer, to the bit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{path::Path, sync::Arc};

use glm_core::{
    CachePrecision, Error, GenerationOptions, Model, Numerics, Precision, TokenId,
    config::ModelConfig,
    generate::{
        BatchGenerator, CancelToken, FinishReason, Generated, Generator, LogitsProcessor, Sequence,
        generate_batch, log_probs, row_seed,
    },
    random_model::random_packed,
};
use proptest::prelude::*;

const MASK: TokenId = 242;
const GMASK: TokenId = 243;
const SOP: TokenId = 240;
const EOP: TokenId = 241;

fn random_model(layers: Precision) -> Model {
    let json = format!(
        r#"{{"model_type": "chatglm", "vocab_size": 256, "hidden_size": 64, "num_layers": 3, "num_attention_heads": 2,
            "bos_token_id": {SOP}, "eos_token_id": {EOP}, "mask_token_id": {MASK}, "gmask_token_id": {GMASK},
            "pad_token_id": 3}}"#
    );
    let config = ModelConfig::from_json("config.json", json.as_bytes()).unwrap();
    random_packed(&config, layers, Precision::INT8, 11).unwrap()
}

/// The recorded checkpoint, whose weights are f16.
fn tiny() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chatglm-6b-tiny");
    glm_core::load(folder).unwrap()
}

fn rows(prompts: &[Vec<TokenId>]) -> Vec<&[TokenId]> {
    prompts.iter().map(Vec::as_slice).collect()
}

/// Every prompt alone, with the seed of its row.
fn alone(model: &Model, prompts: &[Vec<TokenId>], options: &GenerationOptions) -> Vec<Generated> {
    let seed = options.seed.unwrap();
    let prompts = prompts.iter().enumerate();
    prompts
        .map(|(row, prompt)| {
            let options = options.clone().with_seed(row_seed(seed, row));
            let mut generator = Generator::new(model, prompt, &options).unwrap();
            generator
                .by_ref()
                .for_each(|token| assert!(token.unwrap() < 640));
            generator.into_generated()
        })
        .collect()
}

/// A prompt that ends in `[gMASK] <sop>` or has a `[MASK]` in it.
fn prompts() -> impl Strategy<Value = Vec<Vec<TokenId>>> {
    let text = || prop::collection::vec(4_u32..240, 0..40);
    let prompt = prop_oneof![
        text().prop_map(|text| [text, vec![GMASK, SOP]].concat()),
        (text(), text())
            .prop_map(|(before, behind)| { [before, vec![MASK], behind, vec![SOP]].concat() }),
    ];
    prop::collection::vec(prompt, 1..6)
        .prop_flat_map(|prompts| {
            // With repetitions.
            let places = prop::collection::vec(0..prompts.len(), 1..8);
            (Just(prompts), places)
        })
        .prop_map(|(prompts, places)| places.into_iter().map(|at| prompts[at].clone()).collect())
}

fn options() -> impl Strategy<Value = GenerationOptions> {
    let sampling = (
        any::<bool>(),
        0.05..3.0,
        0.05..=1.0,
        0_usize..60,
        any::<u64>(),
    );
    let penalties = (0.7..1.5, -0.5..1.0, -0.5..1.0, 0_usize..4);
    let ends = (
        prop::collection::vec(0_u32..256, 0..30),
        0_usize..70,
        0_usize..6,
        1_usize..16,
        30_usize..100,
    );
    let rest = (
        prop::collection::vec(prop::collection::vec(0_u32..256, 1..3), 0..9),
        0_usize..6,
        prop::option::of(0_usize..5),
    );
    (sampling, penalties, ends, rest).prop_map(|(sampling, penalties, ends, rest)| {
        GenerationOptions::default()
            .with_do_sample(sampling.0)
            .with_temperature(sampling.1)
            .with_top_p(sampling.2)
            .with_top_k(sampling.3)
            .with_seed(sampling.4)
            .with_repetition_penalty(penalties.0)
            .with_presence_penalty(penalties.1)
            .with_frequency_penalty(penalties.2)
            .with_no_repeat_ngram_size(penalties.3)
            .with_eos_token_ids(ends.0)
            .with_min_length(ends.1)
            .with_min_new_tokens(ends.2.min(ends.3))
            .with_max_new_tokens(ends.3)
            .with_max_length(ends.4 + 60)
            .with_bad_words_ids(rest.0)
            .with_prompt_lookup_num_tokens(rest.1)
            .with_logprobs(rest.2)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_row_is_its_prompt_alone(
        prompts in prompts(),
        options in options(),
        precision in prop::sample::select(vec![Precision::INT4, Precision::INT8]),
        numerics in prop::sample::select(vec![
            Numerics::default(),
            Numerics::EXACT,
            Numerics::default().with_kv_cache(CachePrecision::Int8),
        ]),
    ) {
        let model = random_model(precision).with_numerics(numerics);
        let together = generate_batch(&model, &rows(&prompts), &options).unwrap();
        prop_assert_eq!(together, alone(&model, &prompts, &options));
    }
}

/// Beyond the pieces that attention cuts its keys into, and with float weights.
#[test]
fn long_and_short_rows_are_their_prompts_alone() {
    let text = |len: u32| {
        (0..len)
            .map(|i| 4 + i * 7 % 600)
            .chain([621, 624])
            .collect()
    };
    let prompts: Vec<Vec<TokenId>> = [1030, 3, 500, 17, 515].map(text).to_vec();
    let options = GenerationOptions::default()
        .with_max_new_tokens(12)
        .with_temperature(2.0)
        .with_top_p(1.0)
        .with_seed(3)
        .with_logprobs(2);
    let model = tiny();
    let together = generate_batch(&model, &rows(&prompts), &options).unwrap();
    assert_eq!(together, alone(&model, &prompts, &options));
}

#[test]
fn samples_of_one_prompt_differ_and_the_first_is_that_of_the_seed() {
    let model = tiny();
    let prompt: &[TokenId] = &[318, 584, 207, 604, 621, 624];
    let options = GenerationOptions::default()
        .with_max_new_tokens(16)
        .with_temperature(2.0)
        .with_top_p(1.0)
        .with_seed(42);
    let samples = generate_batch(&model, &[prompt; 4], &options).unwrap();
    let mut single = Generator::new(&model, prompt, &options).unwrap();
    let first: Vec<TokenId> = single.by_ref().map(Result::unwrap).collect();
    assert_eq!(samples[0].tokens, first);
    for (index, sample) in samples.iter().enumerate() {
        assert!(
            samples[..index]
                .iter()
                .all(|other| other.tokens != sample.tokens)
        );
        let again = options.clone().with_seed(sample.seed);
        let single = Generator::new(&model, prompt, &again).unwrap();
        let tokens: Vec<TokenId> = single.map(Result::unwrap).collect();
        assert_eq!(
            tokens, sample.tokens,
            "the seed that is told repeats the row"
        );
    }
    // A seed that is drawn is told, too.
    let unseeded = options.with_seed(None);
    let drawn = generate_batch(&model, &[prompt; 2], &unseeded).unwrap();
    assert_eq!(drawn[1].seed, row_seed(drawn[0].seed, 1));
}

#[test]
fn steps_have_the_tokens_of_the_open_rows() {
    let model = tiny();
    let prompts: [&[TokenId]; 3] = [&[50, 621, 624], &[60, 61, 62, 621, 624], &[70, 621, 624]];
    let options = GenerationOptions::greedy().with_max_length(11);
    let mut batch = BatchGenerator::new(&model, &prompts, &options).unwrap();
    let mut streamed = vec![Vec::new(); 3];
    for step in 0.. {
        let Some(tokens) = batch.next() else { break };
        for (row, token) in tokens.unwrap().into_iter().enumerate() {
            streamed[row].extend(token);
        }
        if step == 2 {
            batch.finish(2, FinishReason::StopString);
        }
    }
    let reasons = [0, 1, 2].map(|row| batch.finish_reason(row).unwrap());
    assert_eq!(
        reasons,
        [
            FinishReason::Length,
            FinishReason::Length,
            FinishReason::StopString
        ]
    );
    assert_eq!(streamed.iter().map(Vec::len).collect::<Vec<_>>(), [8, 6, 3]);
    let generated = batch.into_generated();
    assert!(
        generated
            .iter()
            .zip(streamed)
            .all(|(row, tokens)| row.tokens == tokens)
    );
}

#[test]
fn cancelling_ends_every_row_that_is_open() {
    let model = tiny();
    let prompts: [&[TokenId]; 2] = [&[50, 621, 624], &[60, 61, 62, 621, 624]];
    let cancel = CancelToken::new();
    let mut batch = BatchGenerator::new(&model, &prompts, &GenerationOptions::greedy())
        .unwrap()
        .with_cancel(cancel.clone());
    batch.next().unwrap().unwrap();
    batch.finish(0, FinishReason::StopString);
    cancel.cancel();
    assert!(batch.next().is_none());
    let reasons: Vec<_> = batch
        .into_generated()
        .iter()
        .map(|row| (row.tokens.len(), row.finish_reason))
        .collect();
    assert_eq!(
        reasons,
        [(1, FinishReason::StopString), (1, FinishReason::Cancelled)]
    );
}

/// Only one token is possible: 100 more than the tokens so far, and those of the answer counted once more.
#[derive(Debug)]
struct CountTokens;

impl LogitsProcessor for CountTokens {
    fn process(&self, scores: &mut [f32], sequence: Sequence<'_>) -> Result<(), Error> {
        assert!(!sequence.tokens.contains(&3), "rules see no padding");
        scores.fill(f32::NEG_INFINITY);
        scores[100 + sequence.tokens.len() + sequence.generated().len()] = 0.0;
        Ok(())
    }
}

#[test]
fn a_processor_sees_each_row_without_padding() {
    let model = tiny();
    let prompts: [&[TokenId]; 2] = [&[50, 621, 624], &[60, 61, 62, 63, 64, 65, 66, 621, 624]];
    let options = GenerationOptions::greedy().with_max_new_tokens(3);
    let mut batch = BatchGenerator::new(&model, &prompts, &options)
        .unwrap()
        .with_processor(Arc::new(CountTokens));
    let steps: Vec<Vec<Option<TokenId>>> = batch.by_ref().map(Result::unwrap).collect();
    let expected = [[103, 109], [105, 111], [107, 113]].map(|step| step.map(Some).to_vec());
    assert_eq!(steps, expected);
}

/// Refuses to go on behind four tokens.
#[derive(Debug)]
struct FailAtFour;

impl LogitsProcessor for FailAtFour {
    fn process(&self, _: &mut [f32], sequence: Sequence<'_>) -> Result<(), Error> {
        match sequence.tokens.len() {
            4 => Err(Error::NonFiniteLogits { position: 4 }),
            _ => Ok(()),
        }
    }
}

#[test]
fn an_error_ends_everything_and_leaves_what_was_written() {
    let model = tiny();
    let prompts: [&[TokenId]; 2] = [&[50, 621, 624], &[60, 61, 62, 621, 624]];
    let options = GenerationOptions::greedy().with_max_new_tokens(9);
    let mut batch = BatchGenerator::new(&model, &prompts, &options)
        .unwrap()
        .with_processor(Arc::new(FailAtFour));
    batch.next().unwrap().unwrap();
    let error = batch.next().unwrap().unwrap_err();
    assert!(matches!(error, Error::NonFiniteLogits { position: 4 }));
    assert!(batch.next().is_none());
    assert_eq!(batch.finish_reason(0), None);
    let lens: Vec<usize> = batch
        .into_generated()
        .iter()
        .map(|row| row.tokens.len())
        .collect();
    assert_eq!(lens, [1, 1]);

    let mut single = Generator::new(&model, prompts[0], &options)
        .unwrap()
        .with_processor(Arc::new(FailAtFour));
    single.next().unwrap().unwrap();
    assert!(single.next().unwrap().is_err());
    assert!(single.next().is_none());
    assert_eq!(
        (single.finish_reason(), single.generated().len()),
        (None, 1)
    );
}

#[test]
fn what_cannot_be_answered_is_refused_before_the_model_runs() {
    let model = tiny();
    let refused = |prompts: &[&[TokenId]], options: &GenerationOptions| {
        BatchGenerator::new(&model, prompts, options).unwrap_err()
    };
    let greedy = GenerationOptions::greedy();
    let good: &[TokenId] = &[50, 621, 624];
    assert!(matches!(refused(&[], &greedy), Error::Prompt { .. }));
    assert!(matches!(
        refused(&[good, &[50, 624]], &greedy),
        Error::Prompt { .. }
    ));
    assert!(matches!(
        refused(&[good, &[640, 621, 624]], &greedy),
        Error::Prompt { .. }
    ));
    let short = greedy.with_max_length(4);
    let error = refused(&[good, &[1, 2, 3, 621, 624]], &short);
    assert!(matches!(
        error,
        Error::PromptTooLong {
            tokens: 5,
            max_length: 4
        }
    ));
}

#[test]
fn log_probabilities_are_those_of_the_model_and_the_same_when_scored() {
    let model = tiny();
    let prompt: &[TokenId] = &[318, 584, 207, 604, 266, 82, 18, 324, 621, 624];
    let options = GenerationOptions::default()
        .with_max_new_tokens(15)
        .with_temperature(0.5)
        .with_repetition_penalty(1.3)
        .with_bad_words_ids(vec![vec![445]])
        .with_seed(1)
        .with_logprobs(3);
    for prompt_lookup_num_tokens in [0, 8] {
        let options = options
            .clone()
            .with_prompt_lookup_num_tokens(prompt_lookup_num_tokens);
        let mut generator = Generator::new(&model, prompt, &options).unwrap();
        while let Some(token) = generator.next() {
            token.unwrap();
            assert_eq!(generator.log_probs().len(), generator.generated().len());
        }
        let answer = generator.into_generated();
        let scored = log_probs(&model, prompt, &answer.tokens).unwrap();
        let told: Vec<f64> = answer
            .log_probs
            .iter()
            .map(|token| token.log_prob)
            .collect();
        assert_eq!(told, scored);
        // The forbidden token is the model's first choice, and is told.
        let first = &answer.log_probs[0];
        assert_eq!(first.top[0].token, 445);
        assert_ne!(answer.tokens[0], 445);
        for token in &answer.log_probs {
            assert_eq!(token.top.len(), 3);
            assert!(token.top.is_sorted_by(|a, b| a.log_prob >= b.log_prob));
            assert!(token.top[2].log_prob <= 0.0 && token.log_prob <= token.top[0].log_prob);
        }
    }
}
