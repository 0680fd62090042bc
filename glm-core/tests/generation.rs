//! Generation over the golden checkpoint: limits, cancellation, seeds, batches, threads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use burn::{Tensor, tensor::s};
use glm_core::{
    CachePrecision, Error, GenerationOptions, LoadOptions, Model, Numerics, Precision,
    generate::{CancelToken, FinishReason, Generator},
    model::DecodeState,
};

const PROMPT: [u32; 6] = [318, 584, 207, 604, 621, 624];

fn tiny() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chatglm-6b-tiny");
    glm_core::load(folder).unwrap()
}

fn chatglm2() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chatglm2-tiny");
    glm_core::load(folder).unwrap()
}

fn quantised() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chatglm-6b-tiny");
    let options = LoadOptions::default().precision(Precision::INT4);
    options.load(folder).unwrap()
}

fn run(model: &Model, options: &GenerationOptions) -> (Vec<u32>, Option<FinishReason>) {
    let mut generator = Generator::new(model, &PROMPT, options).unwrap();
    let tokens = generator.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
    (tokens, generator.finish_reason())
}

#[test]
fn both_length_limits_end_at_their_token() {
    let model = tiny();
    let greedy = GenerationOptions::greedy();
    for (max_length, max_new_tokens, expected) in
        [(10, None, 4), (100, Some(3), 3), (8, Some(7), 2)]
    {
        let options = greedy
            .clone()
            .with_max_length(max_length)
            .with_max_new_tokens(max_new_tokens);
        let (tokens, reason) = run(&model, &options);
        assert_eq!(
            (tokens.len(), reason),
            (expected, Some(FinishReason::Length))
        );
    }
    let options = greedy.with_max_length(6);
    let error = Generator::new(&model, &PROMPT, &options).unwrap_err();
    assert!(matches!(
        error,
        Error::PromptTooLong {
            tokens: 6,
            max_length: 6
        }
    ));
}

#[test]
fn a_seed_gives_the_same_tokens_again_and_another_seed_others() {
    let model = tiny();
    let options = |seed| {
        GenerationOptions::default()
            .with_seed(seed)
            .with_temperature(2.0)
            .with_top_p(1.0)
            .with_max_new_tokens(20)
    };
    assert_eq!(run(&model, &options(5)), run(&model, &options(5)));
    assert_ne!(run(&model, &options(5)), run(&model, &options(6)));

    let unseeded = options(0).with_seed(None);
    let mut first = Generator::new(&model, &PROMPT, &unseeded).unwrap();
    let tokens = first.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(
        run(&model, &options(first.seed())).0,
        tokens,
        "the seed that was drawn repeats the run"
    );
}

#[test]
fn cancelling_from_another_thread_ends_the_run() {
    let model = tiny();
    let cancel = CancelToken::new();
    let options = GenerationOptions::greedy().with_max_length(100_000);
    let mut generator = Generator::new(&model, &PROMPT, &options)
        .unwrap()
        .with_cancel(cancel.clone());
    generator.next().unwrap().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| cancel.cancel());
    });
    assert!(generator.next().is_none());
    assert_eq!(generator.finish_reason(), Some(FinishReason::Cancelled));
    assert_eq!(generator.generated().len(), 1);
}

#[test]
fn one_model_serves_conversations_on_several_threads() {
    let model = tiny();
    let options = GenerationOptions::greedy().with_max_new_tokens(12);
    let alone = run(&model, &options);
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| run(&model, &options)))
            .collect();
        for run in runs {
            assert_eq!(run.join().unwrap(), alone);
        }
    });
    let owned = model.clone();
    let moved = std::thread::spawn(move || {
        run(&owned, &GenerationOptions::greedy().with_max_new_tokens(12))
    });
    assert_eq!(moved.join().unwrap(), alone);
}

#[test]
fn ids_and_prompts_that_the_model_cannot_read_are_errors() {
    let model = tiny();
    for prompt in [
        &[][..],
        &[1, 2, 3],
        &[1, 2, 624],
        &[1, 621],
        &[640, 621, 624],
        &[u32::MAX, 621, 624],
    ] {
        let error = Generator::new(&model, prompt, &GenerationOptions::greedy()).unwrap_err();
        assert!(matches!(error, Error::Prompt { .. }), "{prompt:?}: {error}");
    }
    let (_, mut state) = model.prefill(&[&PROMPT]).unwrap();
    assert!(matches!(
        model.decode(&mut state, &[640]),
        Err(Error::Prompt { .. })
    ));
    assert!(matches!(
        model.decode(&mut state, &[1, 2]),
        Err(Error::Prompt { .. })
    ));
    assert!(matches!(model.prefill(&[]), Err(Error::Prompt { .. })));

    // A causal model reads any tokens, as long as there are some.
    let model = chatglm2();
    model.prefill(&[&[1, 2, 3]]).unwrap();
    for rows in [&[&[][..]][..], &[&[1], &[]], &[&[512]], &[]] {
        let error = model.prefill(rows).unwrap_err();
        assert!(matches!(error, Error::Prompt { .. }), "{rows:?}: {error}");
    }
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

#[test]
fn rows_of_a_left_padded_batch_equal_single_rows() {
    let model = tiny();
    let rows: [&[u32]; 4] = [
        &PROMPT,
        &[7, 621, 624],
        &[1, 620, 5, 6, 7, 8, 9, 624, 30],
        &[4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 621, 624],
    ];
    let next: [&[u32]; 2] = [&[10, 20, 30, 40], &[50, 60, 70, 80]];
    let (mut logits, mut state) = model.prefill(&rows).unwrap();
    let mut singles: Vec<(Tensor<2>, DecodeState)> = rows
        .iter()
        .map(|row| model.prefill(&[row]).unwrap())
        .collect();
    for step in 0..=next.len() {
        for (row, (alone, _)) in singles.iter().enumerate() {
            let row_logits = logits.clone().slice(s![row..row + 1, ..]);
            assert_eq!(
                values(row_logits),
                values(alone.clone()),
                "row {row} in step {step}"
            );
        }
        let Some(tokens) = next.get(step) else { break };
        logits = model.decode(&mut state, tokens).unwrap();
        for ((alone, state), token) in singles.iter_mut().zip(*tokens) {
            *alone = model.decode(state, &[*token]).unwrap();
        }
    }
}

#[test]
fn several_tokens_at_once_have_the_bits_of_one_after_the_other() {
    let tokens: Vec<u32> = (10..25).collect();
    for (model, prompt) in [
        (tiny(), &PROMPT[..]),
        (quantised(), &PROMPT),
        (chatglm2(), &PROMPT[..1]),
    ] {
        let (_, mut at_once) = model.prefill(&[prompt]).unwrap();
        let mut one_by_one = at_once.clone();
        let all = model.extend(&mut at_once, &tokens).unwrap();
        let all = all.into_data().try_to_vec::<f32>().unwrap();
        for (token, logits) in tokens.iter().zip(all.chunks_exact(model.vocab_size())) {
            let alone = model.decode(&mut one_by_one, &[*token]).unwrap();
            assert_eq!(alone.into_data().try_to_vec::<f32>().unwrap(), logits);
        }
        assert_eq!(at_once.len(), one_by_one.len());

        // What is forgotten has left no trace.
        at_once.truncate(prompt.len());
        let again = model.extend(&mut at_once, &tokens[..1]).unwrap();
        let again = again.into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(again, all[..model.vocab_size()]);
    }
    let (_, mut two_rows) = tiny().prefill(&[&PROMPT, &PROMPT]).unwrap();
    assert!(matches!(
        tiny().extend(&mut two_rows, &[1]),
        Err(Error::Prompt { .. })
    ));
    let (_, mut one_row) = tiny().prefill(&[&PROMPT]).unwrap();
    assert!(matches!(
        tiny().extend(&mut one_row, &[]),
        Err(Error::Prompt { .. })
    ));
}

/// Longer than a chunk, so that one pass is several, and read to its end in parts of any length.
#[test]
fn a_prompt_in_parts_has_the_bits_of_the_prompt_in_one() {
    let prompt: Vec<u32> = (0..1100_u32).map(|i| (i * i + 7 * i) % 500).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chatglm2-tiny");
    let quantised = LoadOptions::default().precision(Precision::INT4);
    for model in [chatglm2(), quantised.load(folder).unwrap()] {
        for kv_cache in [
            CachePrecision::F32,
            CachePrecision::F16,
            CachePrecision::Int16,
            CachePrecision::Int8,
        ] {
            let model = model
                .clone()
                .with_numerics(Numerics::default().with_kv_cache(kv_cache));
            let (logits, mut whole) = model.prefill(&[&prompt]).unwrap();
            let expected = values(logits);
            let next = values(model.decode(&mut whole, &[9]).unwrap());
            for lens in [&[1, 16, 17, 1066][..], &[512, 588], &[600, 499, 1]] {
                let (first, rest) = prompt.split_at(lens[0]);
                let (_, mut state) = model.prefill(&[first]).unwrap();
                let (mut read, mut last) = (0, Vec::new());
                for len in &lens[1..] {
                    let part = &rest[read..read + len];
                    last = values(model.append(&mut state, part).unwrap());
                    read += len;
                }
                assert_eq!(last, expected, "{lens:?} {kv_cache:?}");
                assert_eq!(state.len(), prompt.len());
                assert_eq!(values(model.decode(&mut state, &[9]).unwrap()), next);
            }
            let (_, mut state) = model.prefill(&[&prompt[..1]]).unwrap();
            let mut last = Vec::new();
            for token in &prompt[1..] {
                last = values(model.decode(&mut state, &[*token]).unwrap());
            }
            assert_eq!(last, expected, "one by one {kv_cache:?}");
        }
    }
}

/// A text that has begun to repeat itself, so that there is something to guess, rightly and wrongly.
#[test]
fn guesses_change_no_token_whatever_the_options() {
    let prompt: Vec<u32> = [[7, 8, 9, 10, 11].repeat(4), vec![621, 624]].concat();
    for model in [tiny(), quantised()] {
        for (do_sample, temperature, repetition_penalty, seed) in [
            (false, 1.0, 1.0, 0),
            (true, 0.05, 1.0, 1),
            (true, 0.3, 0.8, 2),
            (true, 1.0, 1.0, 3),
        ] {
            let options = |guess| {
                GenerationOptions::default()
                    .with_max_new_tokens(60)
                    .with_do_sample(do_sample)
                    .with_temperature(temperature)
                    .with_repetition_penalty(repetition_penalty)
                    .with_seed(seed)
                    .with_prompt_lookup_num_tokens(guess)
            };
            let generate = |guess| {
                let mut generator = Generator::new(&model, &prompt, &options(guess)).unwrap();
                let tokens = generator.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
                assert_eq!(generator.generated(), tokens);
                (
                    tokens,
                    generator.finish_reason(),
                    generator.forward_passes(),
                )
            };
            let (plain, reason, passes) = generate(0);
            assert!(passes >= plain.len());
            for guess in [1, 4, 1000] {
                let (tokens, guessed_reason, _) = generate(guess);
                assert_eq!(
                    (&tokens, guessed_reason),
                    (&plain, reason),
                    "{guess} guesses"
                );
            }
        }
    }
}

#[test]
fn right_guesses_save_passes() {
    let model = tiny();
    // Below 1 the penalty favours what was there before: the text goes round in circles.
    let options = GenerationOptions::greedy()
        .with_max_new_tokens(80)
        .with_repetition_penalty(0.05)
        .with_prompt_lookup_num_tokens(8);
    let mut generator = Generator::new(&model, &PROMPT, &options).unwrap();
    let tokens = generator.by_ref().count();
    assert!(
        3 * generator.forward_passes() < 2 * tokens,
        "{} passes for {tokens} tokens",
        generator.forward_passes()
    );
}
