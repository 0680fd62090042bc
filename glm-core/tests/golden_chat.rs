//! Prompts and answer clean-up against what the official code of ChatGLM-6B and ChatGLM2-6B gave
//! (`chat()` and `process_response()`, run with the real tokenizers).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;

use glm_core::{
    GlmTokenizer, TokenId,
    chat::{PromptStyle, ReplyStream, ResponseRules, Turn, process_response},
};
use glm_tokenizer::DecodeOptions;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    chat: Vec<Chat>,
    /// Raw text and processed text.
    process_response: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Chat {
    query: String,
    history: Vec<Turn>,
    prompt: String,
    /// The prompt's tokens, special ones included.
    input_ids: Vec<TokenId>,
    /// A reply's tokens, end token included, and its text as `chat()` returned it.
    reply_ids: Vec<TokenId>,
    response: String,
}

/// `NAME.chat.json` of the tokenizer fixtures: in `$GLM_TEST_FIXTURES`, or else in the folder `fixtures`
/// beside `$GLM_TEST_TOKENIZERS`.
fn golden(name: &str) -> Golden {
    let fixtures = std::env::var_os("GLM_TEST_FIXTURES")
        .map(PathBuf::from)
        .or_else(|| {
            Some(PathBuf::from(std::env::var_os("GLM_TEST_TOKENIZERS")?).join("../fixtures"))
        })
        .expect("GLM_TEST_FIXTURES or GLM_TEST_TOKENIZERS must be set");
    let path = fixtures.join("tokenizer").join(format!("{name}.chat.json"));
    let json = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&json).unwrap()
}

fn check(name: &str, style: PromptStyle, rules: ResponseRules) {
    let golden = golden(name);
    let folder = std::env::var_os("GLM_TEST_TOKENIZERS").expect("GLM_TEST_TOKENIZERS must be set");
    let tokenizer = GlmTokenizer::from_dir(PathBuf::from(folder).join(name)).unwrap();
    assert!(!golden.chat.is_empty() && !golden.process_response.is_empty());
    for chat in &golden.chat {
        assert_eq!(style.build_prompt(&chat.history, &chat.query), chat.prompt);
        // `chat` reads user text with `encode`; none of these texts spells a special token.
        assert_eq!(
            tokenizer.with_special_tokens(tokenizer.encode(&chat.prompt)),
            chat.input_ids
        );
        let (end, reply) = chat.reply_ids.split_last().unwrap();
        assert_eq!(*end, tokenizer.special_tokens().eos);
        let mut decoder = tokenizer.stream_decoder_with(DecodeOptions::default());
        let mut stream = ReplyStream::new(rules);
        let mut response = String::new();
        for id in reply {
            response.push_str(&stream.push(&decoder.push(*id)));
        }
        response.push_str(&stream.push(&decoder.finish()));
        response.push_str(&stream.finish());
        assert_eq!(response, chat.response);
    }
    for (raw, processed) in &golden.process_response {
        assert_eq!(&process_response(raw, rules), processed, "{raw:?}");
        let mut stream = ReplyStream::new(rules);
        let mut streamed: String = raw
            .chars()
            .map(|c| stream.push(c.encode_utf8(&mut [0; 4])))
            .collect();
        streamed.push_str(&stream.finish());
        assert_eq!(&streamed, processed, "{raw:?} by character");
    }
}

#[test]
#[ignore = "needs the tokenizer fixtures: set GLM_TEST_TOKENIZERS and run with --include-ignored"]
fn chatglm_6b() {
    check("chatglm-6b", PromptStyle::ChatGlm, ResponseRules::ChatGlm);
}

#[test]
#[ignore = "needs the tokenizer fixtures: set GLM_TEST_TOKENIZERS and run with --include-ignored"]
fn chatglm2_6b() {
    check(
        "chatglm2-6b",
        PromptStyle::ChatGlm2,
        ResponseRules::ChatGlm2,
    );
}
