//! Blanks in a text against filling them by hand, one `Generator` after the other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../glm-tokenizer/tests/model_file/mod.rs"]
mod model_file;

use std::path::{Path, PathBuf};

use glm_core::{
    Error, GenerationOptions, GlmTokenizer, Model,
    chat::{ChatOptions, ResponseRules, process_response},
    config::PositionRules,
    generate::{CancelToken, FinishReason, Generator, row_seed},
};

fn mini() -> (GlmTokenizer, Model) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mini-model/chatglm-mini");
    (
        GlmTokenizer::from_dir(&folder).unwrap(),
        glm_core::load(folder).unwrap(),
    )
}

fn options(do_sample: bool) -> ChatOptions {
    ChatOptions::default().with_generation(
        GenerationOptions::default()
            .with_do_sample(do_sample)
            .with_temperature(1.5)
            .with_seed(9)
            .with_max_new_tokens(6),
    )
}

/// What belongs in the model's next blank of `text`.
fn piece(
    tokenizer: &GlmTokenizer,
    model: &Model,
    text: &str,
    options: &ChatOptions,
    seed: u64,
) -> String {
    let mut prompt = tokenizer.encode_infilling(text);
    prompt.push(tokenizer.special_tokens().sop);
    let generation = options.generation.clone().with_seed(seed);
    let tokens: Vec<u32> = Generator::new(model, &prompt, &generation)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    process_response(
        &tokenizer.decode(&tokens, Default::default()),
        ResponseRules::ChatGlm,
    )
}

#[test]
fn every_blank_is_filled_in_the_order_of_the_model() {
    let (tokenizer, model) = mini();
    for (text, order) in [
        ("今天[MASK]天气", &["[MASK]"][..]),
        ("a [gMASK]", &["[gMASK]"]),
        ("[sMASK] 你好", &["[sMASK]"]),
        (
            "法国的首都是 [MASK]，日本的首都是 [MASK] 。",
            &["[MASK]", "[MASK]"],
        ),
        (
            "[sMASK] one [MASK] two [gMASK] three [MASK]",
            &["[gMASK]", "[MASK]", "[MASK]", "[sMASK]"],
        ),
    ] {
        for do_sample in [false, true] {
            let options = options(do_sample);
            let mut expected = text.to_owned();
            for (index, name) in order.iter().enumerate() {
                let piece = piece(&tokenizer, &model, &expected, &options, row_seed(9, index));
                assert!(!piece.contains("MASK]"));
                expected = expected.replacen(name, &piece, 1);
            }
            let infilled = model.infill(&tokenizer, text, &options).unwrap();
            assert_eq!(infilled.text, expected);
            assert_eq!(infilled.seed, 9);
            let blanks: Vec<usize> = infilled.pieces.iter().map(|piece| piece.blank).collect();
            assert_eq!(blanks, (0..order.len()).collect::<Vec<_>>());
            let mut rest = infilled.text.as_str();
            for piece in &infilled.pieces {
                let (_, behind) = rest.split_once(piece.text.as_str()).unwrap();
                rest = behind;
            }
        }
    }
}

#[test]
fn streamed_pieces_are_what_is_filled_in() {
    let (tokenizer, model) = mini();
    let text = "a [MASK] b [gMASK] c";
    let options = options(true);
    let mut stream = model.stream_infill(&tokenizer, text, &options).unwrap();
    let mut texts = [String::new(), String::new()];
    for piece in stream.by_ref() {
        let (blank, piece) = piece.unwrap();
        assert!(!piece.is_empty());
        texts[blank].push_str(&piece);
    }
    let streamed = stream.into_infilled();
    let found = streamed.pieces.iter().map(|piece| piece.text.as_str());
    assert!(found.eq(&texts));
    assert_eq!(streamed, model.infill(&tokenizer, text, &options).unwrap());
}

#[test]
fn what_was_not_reached_keeps_its_blank() {
    let (tokenizer, model) = mini();
    let cancel = CancelToken::new();
    let mut stream = model
        .stream_infill(&tokenizer, "a [MASK] b [gMASK] c", &options(false))
        .unwrap()
        .with_cancel(cancel.clone());
    let (blank, first) = stream.next().unwrap().unwrap();
    assert_eq!(blank, 1);
    cancel.cancel();
    let rest: Vec<String> = stream.by_ref().map(|piece| piece.unwrap().1).collect();
    let infilled = stream.into_infilled();
    let filled = first + &rest.concat();
    assert_eq!(infilled.text, format!("a [MASK] b {filled} c"));
    assert_eq!(infilled.pieces.len(), 1);
    assert_eq!(infilled.pieces[0].finish_reason, FinishReason::Cancelled);

    let stream = model.stream_infill(&tokenizer, "a [MASK]", &options(false));
    let untouched = stream.unwrap().into_infilled();
    assert_eq!(untouched.text, "a [MASK]");
}

#[test]
fn a_text_without_a_blank_is_an_error() {
    let (tokenizer, model) = mini();
    let error = model
        .infill(&tokenizer, "no blank", &options(false))
        .unwrap_err();
    assert!(matches!(error, Error::Prompt { .. }), "{error}");
    assert!(error.to_string().contains("[sMASK]"), "{error}");
    let long = "天气".repeat(2000) + "[MASK]";
    let error = model
        .infill(&tokenizer, &long, &options(false))
        .unwrap_err();
    assert!(matches!(error, Error::PromptTooLong { .. }), "{error}");
}

/// The ids of `</s> <sop>` and of the blanks, which the first generation has too.
#[test]
fn the_first_generation_ends_a_text_behind_its_last_blank() {
    let pieces = [("▁", -2.0), ("a", -4.0)];
    for (file, ends) in [
        (model_file::chatglm_first_generation(&pieces), true),
        (model_file::chatglm(&pieces, &[]), false),
    ] {
        let tokenizer = GlmTokenizer::from_bytes("small", &file).unwrap();
        let special = tokenizer.special_tokens();
        for blank in ["[MASK]", "[gMASK]", "[sMASK]"] {
            let Some((_, id)) = special.masks().into_iter().find(|(name, _)| *name == blank) else {
                assert_eq!(blank, "[sMASK]");
                continue;
            };
            let prompt =
                |text: &str| tokenizer.with_start_of_piece(tokenizer.encode_infilling(text));
            assert!(prompt(&format!("a{blank}")).ends_with(&[id, special.sop]));
            let behind = prompt(&format!("{blank}a"));
            let text_end = behind[behind.len() - 2];
            assert_eq!(behind.last(), Some(&special.sop));
            assert_eq!(text_end != *tokenizer.encode("a").last().unwrap(), ends);
        }
    }
}

#[test]
fn a_sentence_blank_stands_where_a_word_blank_would_and_is_the_last_choice() {
    const MASK: u32 = 620;
    const GMASK: u32 = 621;
    const SMASK: u32 = 622;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chatglm-6b-tiny");
    let model = glm_core::load(folder).unwrap();
    for rules in [
        PositionRules::SecondGeneration,
        PositionRules::Late,
        PositionRules::Early,
    ] {
        let model = model.clone().with_position_rules(rules);
        let layout = |row: &[u32]| model.layouts(&[row]).unwrap().remove(0);
        assert_eq!(
            layout(&[5, SMASK, 6, 624]),
            layout(&[5, MASK, 6, 624]),
            "{rules:?}"
        );
        for other in [MASK, GMASK] {
            assert_eq!(
                layout(&[SMASK, 6, other, 624]),
                layout(&[5, 6, other, 624]),
                "{rules:?}"
            );
        }
    }
}

/// Where the real tokenizer is: a text with blanks gives the ids that it gives as a whole.
#[test]
#[ignore = "needs the real tokenizer: set GLM_TEST_TOKENIZERS and run with --include-ignored"]
fn ids_of_the_real_tokenizer() {
    let folder = std::env::var_os("GLM_TEST_TOKENIZERS").expect("GLM_TEST_TOKENIZERS must be set");
    let tokenizer = GlmTokenizer::from_dir(PathBuf::from(folder).join("chatglm-6b")).unwrap();
    let ids = tokenizer.with_start_of_piece(tokenizer.encode_infilling("我喜欢[MASK]和 [sMASK]"));
    assert_eq!(
        ids.iter()
            .filter(|id| [130_000, 130_002].contains(*id))
            .count(),
        2
    );
    assert_eq!(ids[ids.len() - 2..], [130_002, 130_004]);
}
