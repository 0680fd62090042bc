//! Beam search and constrained greedy decoding against the official `generate()` (`golden/beam-search`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use glm_core::{
    Error, GenerationOptions, LoadOptions, Model, Numerics, TokenId,
    generate::{
        BeamSearchOptions, EarlyStopping, FinishReason, Hypothesis, beam_search, generate_batch,
    },
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The recorded models, and how far their scores are from ours at most. The reference's float32 and float64 runs differ by up
/// to 9e-5, and so may two float32 runs; those of the second model reach -129.
const MODELS: [(&str, f64); 2] = [("chatglm-6b-tiny", 1e-4), ("chatglm2-tiny", 2e-4)];

#[derive(Deserialize)]
struct Expected {
    inputs: Vec<Input>,
    beam: Vec<Case>,
    greedy: Vec<Case>,
}

#[derive(Deserialize)]
struct Input {
    input_ids: Vec<Vec<TokenId>>,
    /// The rows of `input_ids` without their padding, where they have some.
    prompts: Option<Vec<Vec<TokenId>>>,
}

#[derive(Deserialize)]
struct Case {
    input: usize,
    kwargs: Map<String, Value>,
    output_ids: Vec<Vec<TokenId>>,
    #[serde(default)]
    sequences_scores: Vec<f64>,
}

fn golden(name: &str) -> (Model, Expected) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let model = LoadOptions::default().load(golden.join(name)).unwrap();
    let expected = golden.join(format!("beam-search/{name}.json"));
    let expected = std::fs::read_to_string(expected);
    let expected = serde_json::from_str(&expected.unwrap()).unwrap();
    (model.with_numerics(Numerics::EXACT), expected)
}

impl Input {
    fn prompts(&self) -> Vec<&[TokenId]> {
        let rows = self.prompts.as_ref().unwrap_or(&self.input_ids);
        rows.iter().map(Vec::as_slice).collect()
    }
}

fn number<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// What the keyword arguments of `generate()` say in our terms, and the padding id.
fn options(kwargs: &Map<String, Value>) -> (GenerationOptions, BeamSearchOptions, TokenId) {
    let mut options = GenerationOptions::greedy()
        .with_max_length(1000)
        .with_invalid_score_token(None);
    let mut beams = BeamSearchOptions::default();
    let mut pad = None;
    for (name, value) in kwargs {
        match name.as_str() {
            "num_beams" => beams.num_beams = number(value),
            "length_penalty" => beams.length_penalty = number(value),
            "num_return_sequences" => beams.num_return_sequences = number(value),
            "early_stopping" => {
                beams.early_stopping = match value {
                    Value::Bool(true) => EarlyStopping::AtOnce,
                    Value::Bool(false) => EarlyStopping::Heuristic,
                    _ => EarlyStopping::Never,
                }
            }
            "max_length" => options.max_length = number(value),
            "max_new_tokens" => options.max_new_tokens = Some(number(value)),
            "min_length" => options.min_length = number(value),
            "min_new_tokens" => options.min_new_tokens = number(value),
            "no_repeat_ngram_size" => options.no_repeat_ngram_size = number(value),
            "repetition_penalty" => options.repetition_penalty = number(value),
            "bad_words_ids" => options.bad_words_ids = number(value),
            "pad_token_id" => pad = Some(number(value)),
            "eos_token_id" => {
                options.eos_token_ids = match value {
                    Value::Null => None, // transformers falls back on the checkpoint's own.
                    Value::Number(_) => Some(vec![number(value)]),
                    _ => Some(number(value)),
                };
            }
            _ => panic!("unknown argument {name}"),
        }
    }
    (options, beams, pad.unwrap())
}

/// The answers as `generate()` returns them: behind prompt and padding, one end token where one fits, padded.
fn official_rows(
    input: &Input,
    answers: &[Vec<Hypothesis>],
    options: &GenerationOptions,
    eos: TokenId,
    pad: TokenId,
) -> Vec<Vec<TokenId>> {
    let rows = input.input_ids.iter().zip(answers);
    let mut rows: Vec<Vec<TokenId>> = rows
        .flat_map(|(prompt, answers)| {
            answers
                .iter()
                .map(|answer| [&prompt[..], &answer.tokens[..]].concat())
        })
        .collect();
    let longest = rows.iter().map(Vec::len).max().unwrap();
    let width = options.max_length.min(longest + 1);
    for row in &mut rows {
        if row.len() < width {
            row.push(eos);
        }
        row.resize(width, pad);
    }
    rows
}

#[test]
fn beam_search_equals_the_official_one() {
    for (name, tolerance) in MODELS {
        check_beam_search(name, tolerance);
    }
}

fn check_beam_search(name: &str, tolerance: f64) {
    let (model, expected) = golden(name);
    assert!(expected.beam.len() > 200);
    for case in &expected.beam {
        let (options, beams, pad) = options(&case.kwargs);
        let input = &expected.inputs[case.input];
        let answers = beam_search(&model, &input.prompts(), &options, &beams).unwrap();
        let own_eos = || vec![model.eos_token_id()];
        let eos = options.eos_token_ids.clone().unwrap_or_else(own_eos)[0];
        let rows = official_rows(input, &answers, &options, eos, pad);
        assert_eq!(rows, case.output_ids, "{:?}", case.kwargs);
        let scores = answers.iter().flatten().map(|answer| answer.score);
        for (score, expected) in scores.zip(&case.sequences_scores) {
            assert!(
                (score - expected).abs() <= tolerance,
                "{score} {expected} {:?}",
                case.kwargs
            );
        }
        let count: usize = answers.iter().map(Vec::len).sum();
        assert_eq!(count, case.sequences_scores.len());
    }
}

/// The official batch is left-padded, and its rules see the padding; here a row is its prompt alone. The recorded answers
/// are the same both ways.
#[test]
fn constrained_greedy_equals_the_official_one() {
    for (name, _) in MODELS {
        check_constrained_greedy(name);
    }
}

fn check_constrained_greedy(name: &str) {
    let (model, expected) = golden(name);
    let (mut singles, mut batches) = (0, 0);
    for case in &expected.greedy {
        let (options, _, pad) = options(&case.kwargs);
        let input = &expected.inputs[case.input];
        let answers = generate_batch(&model, &input.prompts(), &options).unwrap();
        for ((prompt, answer), expected) in
            input.input_ids.iter().zip(answers).zip(&case.output_ids)
        {
            let row = [&prompt[..], &answer.tokens].concat();
            assert_eq!(row[..], expected[..row.len()], "{:?}", case.kwargs);
            let rest = &expected[row.len()..];
            if answer.finish_reason == FinishReason::Eos {
                let eos = options.eos_token_ids.clone();
                let eos = eos.unwrap_or_else(|| vec![model.eos_token_id()]);
                assert!(eos.contains(&rest[0]) && rest[1..].iter().all(|&id| id == pad));
            } else {
                assert!(rest.is_empty());
            }
        }
        match case.output_ids.len() {
            1 => singles += 1,
            _ => batches += 1,
        }
    }
    assert!(
        singles >= 30 && batches >= 10,
        "{singles} and {batches} cases"
    );
}

#[test]
fn prompts_of_one_length_have_the_same_answers_alone_and_together() {
    let (model, _) = golden("chatglm-6b-tiny");
    let prompts: [&[TokenId]; 2] = [&[50, 44, 451, 621, 624], &[137, 9, 486, 621, 624]];
    let options = GenerationOptions::greedy()
        .with_max_length(20)
        .with_eos_token_ids(vec![63, 113, 365, 70]);
    let beams = BeamSearchOptions::default()
        .with_num_beams(3)
        .with_num_return_sequences(3);
    let together = beam_search(&model, &prompts, &options, &beams).unwrap();
    for (prompt, expected) in prompts.iter().zip(&together) {
        let alone = beam_search(&model, &[prompt], &options, &beams).unwrap();
        assert_eq!(&alone[0], expected);
    }
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let (model, _) = golden("chatglm-6b-tiny");
    let prompt: &[TokenId] = &[50, 621, 624];
    let refused = |change: fn(&mut BeamSearchOptions)| {
        let mut beams = BeamSearchOptions::default();
        change(&mut beams);
        match beam_search(&model, &[prompt], &GenerationOptions::greedy(), &beams) {
            Err(Error::InvalidOption { option, .. }) => option,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|b| b.num_beams = 0), "num_beams");
    assert_eq!(refused(|b| b.num_beams = 1000), "num_beams");
    assert_eq!(refused(|b| b.length_penalty = f64::NAN), "length_penalty");
    assert_eq!(
        refused(|b| b.num_return_sequences = 0),
        "num_return_sequences"
    );
    assert_eq!(
        refused(|b| b.num_return_sequences = 5),
        "num_return_sequences"
    );
    let long = GenerationOptions::greedy().with_max_length(3);
    let error = beam_search(&model, &[prompt], &long, &BeamSearchOptions::default()).unwrap_err();
    assert!(matches!(error, Error::PromptTooLong { tokens: 3, .. }));
    let none = beam_search(&model, &[], &long, &BeamSearchOptions::default()).unwrap_err();
    assert!(matches!(none, Error::Prompt { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the options: no panic, and answers as many, as long and in the order that was asked for.
    #[test]
    fn answers_keep_what_any_options_promise(
        num_beams in 1_usize..6,
        returned in 1_usize..6,
        length_penalty in -3.0..3.0,
        stopping in 0_usize..3,
        eos in prop::collection::vec(0_u32..640, 0..40),
        min_new_tokens in 0_usize..8,
        no_repeat_ngram_size in 0_usize..3,
        repetition_penalty in 0.5..2.0,
        frequency_penalty in -1.0..1.0,
        bad_words_ids in prop::collection::vec(prop::collection::vec(0_u32..640, 1..3), 0..20),
        max_new_tokens in 1_usize..12,
    ) {
        let (model, _) = golden("chatglm-6b-tiny");
        let min_new_tokens = min_new_tokens.min(max_new_tokens);
        let stoppings = [EarlyStopping::AtOnce, EarlyStopping::Heuristic, EarlyStopping::Never];
        let options = GenerationOptions::greedy()
            .with_max_new_tokens(max_new_tokens)
            .with_eos_token_ids(eos.clone())
            .with_min_new_tokens(min_new_tokens)
            .with_no_repeat_ngram_size(no_repeat_ngram_size)
            .with_repetition_penalty(repetition_penalty)
            .with_frequency_penalty(frequency_penalty)
            .with_bad_words_ids(bad_words_ids.clone());
        let beams = BeamSearchOptions::default()
            .with_num_beams(num_beams)
            .with_length_penalty(length_penalty)
            .with_early_stopping(stoppings[stopping])
            .with_num_return_sequences(returned.min(num_beams));
        let prompts: [&[TokenId]; 2] = [&[50, 44, 451, 621, 624], &[9, 621, 624]];
        let answers = beam_search(&model, &prompts, &options, &beams).unwrap();
        prop_assert_eq!(answers.len(), 2);
        for answers in answers {
            prop_assert_eq!(answers.len(), beams.num_return_sequences);
            prop_assert!(answers.is_sorted_by(|a, b| a.score >= b.score));
            for answer in answers {
                prop_assert!(answer.tokens.len() <= max_new_tokens);
                prop_assert!(answer.tokens.iter().all(|id| !eos.contains(id)));
                if answer.finish_reason == FinishReason::Eos {
                    prop_assert!(answer.tokens.len() >= min_new_tokens);
                } else {
                    prop_assert_eq!(answer.tokens.len(), max_new_tokens);
                }
                if answer.score > f64::NEG_INFINITY {
                    let words = bad_words_ids.iter().filter(|word| !matches!(word[..], [id] if eos.contains(&id)));
                    for word in words {
                        prop_assert!(answer.tokens.windows(word.len()).all(|run| run != &word[..]));
                    }
                }
            }
        }
    }
}
