//! Whole answers against the official `generate()`: the entries `generate` of every recorded checkpoint.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use glm_core::{
    GenerationOptions, LoadOptions, Numerics, TokenId,
    generate::{FinishReason, generate_batch},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    generate: Vec<Case>,
    #[serde(default)]
    batch: Batch,
}

#[derive(Deserialize, Default)]
struct Batch {
    #[serde(default)]
    pad_lengths: Vec<usize>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    input_ids: Vec<Vec<TokenId>>,
    kwargs: Arguments,
    output_ids: Vec<Vec<TokenId>>,
}

#[derive(Deserialize)]
struct Arguments {
    max_new_tokens: Option<usize>,
    max_length: Option<usize>,
    repetition_penalty: Option<f64>,
    eos_token_id: Option<TokenId>,
}

#[test]
fn answers_alone_and_in_batches_are_the_official_ones() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let (mut cases, mut batches, mut infilled) = (0, 0, 0);
    for name in [
        "chatglm-6b-tiny",
        "chatglm-6b-tiny-28layers",
        "chatglm-6b-tiny-int4",
        "chatglm-6b-tiny-int4-qe",
        "chatglm-6b-tiny-int8",
        "chatglm-6b-tiny-no2d",
    ] {
        let folder = golden.join(name);
        let model = LoadOptions::default().load(&folder).unwrap();
        let model = model.with_numerics(Numerics::EXACT);
        let json = std::fs::read(folder.join("expected.json")).unwrap();
        let expected: Expected = serde_json::from_slice(&json).unwrap();
        for case in &expected.generate {
            let eos = case.kwargs.eos_token_id.unwrap_or(model.eos_token_id());
            let options = GenerationOptions::greedy()
                .with_max_new_tokens(case.kwargs.max_new_tokens)
                .with_max_length(case.kwargs.max_length.unwrap_or(1000))
                .with_repetition_penalty(case.kwargs.repetition_penalty.unwrap_or(1.0))
                .with_eos_token_ids(vec![eos]);
            let pads = |row: usize| match case.input_ids.len() {
                1 => 0,
                _ => expected.batch.pad_lengths[row],
            };
            let rows = case.input_ids.iter().enumerate();
            let prompts: Vec<&[TokenId]> = rows.map(|(row, ids)| &ids[pads(row)..]).collect();
            let answers = generate_batch(&model, &prompts, &options).unwrap();
            let rows = case.input_ids.iter().zip(&case.output_ids);
            for ((prompt, output), answer) in rows.zip(answers) {
                let row = [&prompt[..], &answer.tokens].concat();
                assert_eq!(row, output[..row.len()], "{name}: {}", case.name);
                let rest = &output[row.len()..];
                match answer.finish_reason {
                    // The end token, and the padding of those that have ended.
                    FinishReason::Eos => {
                        assert!(rest[0] == eos && rest[1..].iter().all(|&id| id == 3))
                    }
                    reason => assert!(rest.is_empty() && reason == FinishReason::Length),
                }
            }
            cases += 1;
            batches += usize::from(case.input_ids.len() > 1);
            infilled += usize::from(case.name.contains("mask"));
        }
    }
    assert!(
        cases >= 20 && batches >= 3 && infilled >= 2,
        "{cases} {batches} {infilled}"
    );
}
