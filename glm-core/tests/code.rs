//! Completions of code: the official prompts, and the text of a small CodeGeeX2.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use glm_core::{
    Error, GlmTokenizer, Model, TokenId,
    code::{CodeCompletion, CodeEnd, CodeOptions, Cursor, Language, Until, code_prompt},
    generate::{FinishReason, Generator},
    prefix_cache::Prefix,
};
use proptest::prelude::*;
use serde::Deserialize;

#[path = "support/codegeex2.rs"]
mod codegeex2;

#[derive(Deserialize)]
struct Golden {
    prompt: String,
    input_ids: Vec<TokenId>,
}

/// Prompts as people write them, with the ids of the official tokenizer. One names Go in the comment of Python.
#[test]
#[ignore = "needs the tokenizer fixtures: set GLM_TEST_FIXTURES and run with --include-ignored"]
fn prompts_and_ids_are_the_official_ones() {
    let fixtures = std::env::var_os("GLM_TEST_FIXTURES").expect("GLM_TEST_FIXTURES must be set");
    let fixtures = PathBuf::from(fixtures);
    let tokenizer = GlmTokenizer::from_dir(fixtures.join("tokenizer-codegeex2")).unwrap();
    let json = std::fs::read(fixtures.join("tokenizer/codegeex2-6b.prompts.json")).unwrap();
    let goldens: Vec<Golden> = serde_json::from_slice(&json).unwrap();
    assert!(!goldens.is_empty());
    let mut tags = 0;
    for Golden { prompt, input_ids } in goldens {
        let (tag, code) = prompt.split_once('\n').unwrap();
        let name = tag.split_once("language: ").unwrap().1;
        let language = Language::by_name(name).unwrap();
        if language.tag() == tag {
            assert_eq!(code_prompt(Some(language), code), prompt);
            tags += 1;
        }
        assert_eq!(code_prompt(Some(language), &prompt), prompt);
        let ids = tokenizer.with_special_tokens(tokenizer.encode(&prompt));
        assert_eq!(ids, input_ids, "{prompt:?}");
    }
    assert!(tags >= 3, "{tags}");
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn load() -> (GlmTokenizer, Model) {
    let folder = codegeex2::folder(&golden());
    let tokenizer = glm_core::load_tokenizer(folder.path()).unwrap();
    (tokenizer, glm_core::load(folder.path()).unwrap())
}

/// A completion, its pieces, and what was read for it.
fn complete(
    (tokenizer, model): &(GlmTokenizer, Model),
    cursor: &Cursor<'_>,
    options: &CodeOptions,
    prefix: Option<Prefix>,
) -> (CodeCompletion, Vec<String>, Prefix) {
    let mut stream = model.stream_code(tokenizer, cursor, options).unwrap();
    if let Some(prefix) = prefix {
        stream = stream.with_prefix(prefix);
    }
    let pieces: Result<Vec<_>, _> = stream.by_ref().collect();
    let (completion, prefix) = stream.into_completion();
    (completion, pieces.unwrap(), prefix.unwrap())
}

fn options(until: Until, max_new_tokens: usize) -> CodeOptions {
    let mut options = CodeOptions::default().with_until(until);
    options.generation.max_new_tokens = Some(max_new_tokens);
    options
}

fn code() -> impl Strategy<Value = String> {
    let pieces = vec![
        "def f(x):",
        "\n",
        "    ",
        "return",
        "{",
        "}",
        "x",
        "你",
        " = ",
    ];
    let code = prop::collection::vec(prop::sample::select(pieces), 0..12);
    code.prop_map(|pieces| pieces.concat())
}

#[test]
fn streamed_pieces_are_the_text_of_the_model_cut_where_it_ends() {
    let both = load();
    let (tokenizer, model) = &both;
    let reasons = RefCell::new(Vec::new());
    let config = ProptestConfig::with_cases(24);
    proptest!(config, |(
        before in code(),
        after in code(),
        until in prop::sample::select(vec![Until::Line, Until::Block, Until::End]),
        named in any::<bool>(),
        seed in any::<u64>(),
    )| {
        let language = Language::by_name("python").filter(|_| named);
        let cursor = Cursor::new(&before).with_after(&after).with_language(language);
        let mut options = options(until, 40);
        options.generation.do_sample = true;
        options.generation.temperature = 2.0;
        options.generation.seed = Some(seed);
        let (completion, pieces, _) = complete(&both, &cursor, &options, None);
        prop_assert_eq!(pieces.concat(), &*completion.text);
        prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));

        // The same in one go.
        let prompt = code_prompt(language, &before);
        let prompt = tokenizer.with_special_tokens(tokenizer.encode(&prompt));
        let tokens: Result<Vec<_>, _> =
            Generator::new(model, &prompt, &options.generation).unwrap().collect();
        let tokens = tokens.unwrap();
        let whole = tokenizer.decode(&tokens, Default::default());
        let mut end = CodeEnd::new(until, &before, &after);
        let cut = end.push(&whole) + &end.finish();
        prop_assert_eq!(&completion.text, &cut);
        prop_assert_eq!(completion.seed, seed);
        prop_assert!(completion.completion_tokens <= tokens.len());
        reasons.borrow_mut().push(completion.finish_reason);
    });
    for reason in [FinishReason::CodeComplete, FinishReason::Length] {
        assert!(reasons.borrow().contains(&reason), "{reason:?}");
    }
}

#[test]
fn what_was_read_is_not_read_again_and_changes_nothing() {
    let both = load();
    let language = Language::by_name("rust");
    let options = options(Until::End, 8);
    let mut prefix = None;
    let mut before = "fn main() {\n".to_owned();
    for typed in ["", "    let x", " = 1;", "\n"] {
        before += typed;
        let cursor = Cursor::new(&before).with_language(language);
        let (plain, ..) = complete(&both, &cursor, &options, None);
        let known = prefix.is_some();
        let (again, _, read) = complete(&both, &cursor, &options, prefix);
        assert_eq!(plain.cached_tokens, 0);
        assert_eq!(again.text, plain.text);
        assert_eq!(again.cached_tokens > 0, known);
        // All but what was typed, and a piece that grew at the seam.
        let new = again.prompt_tokens - again.cached_tokens;
        assert!(!known || new <= typed.len() + 2, "{new} after {typed:?}");
        prefix = Some(read);
    }
}

#[test]
fn long_code_loses_its_beginning_in_steps() {
    let both = load();
    let language = Language::by_name("python");
    let options = options(Until::End, 8);
    let tag = both.0.encode("# language: Python\n");
    let mut before = String::new();
    let (mut cuts, mut prompts) = (Vec::new(), Vec::new());
    for line in 0..60 {
        before += &format!("x{line} = {line}\n");
        let cursor = Cursor::new(&before).with_language(language);
        let stream = both.1.stream_code(&both.0, &cursor, &options).unwrap();
        prompts.push(stream.prompt().to_vec());
        let (completion, _) = stream.into_completion();
        let cut = completion.omitted_bytes;
        assert!(cut == 0 || before[..cut].ends_with('\n'), "{cut}");
        let prompt = prompts.last().unwrap();
        assert!(prompt.len() + 8 <= both.1.max_sequence_length());
        assert_eq!(prompt[2..2 + tag.len()], tag);
        let text = both.0.decode(&prompt[2 + tag.len()..], Default::default());
        assert_eq!(text, before[cut..]);
        cuts.push(cut);
    }
    assert!(cuts.is_sorted());
    assert!(cuts[59] > 0);
    cuts.dedup();
    assert!(
        cuts.len() < 12,
        "few cuts, so that prompts begin alike: {cuts:?}"
    );
}

#[test]
fn a_chatglm_6b_completes_no_code() {
    let file = golden().join("ggml/chatglm-6b-tiny.q8_0.bin");
    let tokenizer = glm_core::load_tokenizer(&file).unwrap();
    let model = glm_core::load(&file).unwrap();
    let cursor = Cursor::new("def f");
    let refused = model.stream_code(&tokenizer, &cursor, &CodeOptions::default());
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::Prompt { .. }));
    assert!(error.to_string().contains("CodeGeeX2-6B"), "{error}");
}

#[test]
fn a_tag_that_does_not_fit_is_refused() {
    let (tokenizer, model) = load();
    let cursor = Cursor::default().with_language(Language::by_name("python"));
    let mut options = CodeOptions::default();
    options.generation.max_length = 10;
    let error = model
        .stream_code(&tokenizer, &cursor, &options)
        .unwrap_err();
    assert!(matches!(error, Error::PromptTooLong { .. }), "{error}");
}
