//! The feature `tokenizers` against the official tokenizers on golden files; see `official_fixtures.rs` for where they
//! are, and how to run these tests.

// Clippy counts functions beside the tests as no tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod official;

use glm_tokenizer::hugging_face::tokenizers::{
    Encoding, Model, PaddingParams, PaddingStrategy, Tokenizer, TruncationParams,
};
use glm_tokenizer::hugging_face::{GlmDecoder, HuggingFaceTokenizer};
use glm_tokenizer::{Family, GlmTokenizer, TokenId};
use official::{Differences, fixtures, json, json_lines, tokenizers};
use serde::Deserialize;

/// One line of the goldens. What is left out equals another field.
#[derive(Deserialize)]
struct Golden {
    text: String,
    ids: Vec<TokenId>,
    ids_special: Vec<TokenId>,
    tokens: Vec<String>,
    decoded: Option<String>,
    decoded_special: String,
    decoded_special_skip: Option<String>,
    ids_sp_only: Option<Vec<TokenId>>,
}

fn check_golden_lines(glm: &GlmTokenizer, path: &str, lines: usize) {
    let tokenizer = glm.to_hugging_face().unwrap();
    let mut verbatim = tokenizer.clone();
    verbatim.set_encode_special_tokens(true);
    let mut raw = tokenizer.clone();
    raw.with_decoder(Some(
        GlmDecoder::new(glm.clone()).clean_up_tokenization_spaces(false),
    ));

    let mut differences = Differences::default();
    let goldens = json_lines::<Golden>(path);
    let texts: Vec<&str> = goldens.iter().map(|line| line.text.as_str()).collect();
    let batch = tokenizer.encode_batch(texts, true).unwrap();
    for (line, prompt) in goldens.iter().zip(batch) {
        let text = line.text.as_str();
        differences.check(
            "ids_special in a batch",
            text,
            prompt.get_ids(),
            &line.ids_special,
        );
        let encoding = tokenizer.encode(text, false).unwrap();
        differences.check("ids", text, encoding.get_ids(), &line.ids);
        differences.check("tokens", text, encoding.get_tokens(), &line.tokens);
        let fast = tokenizer.encode_fast(text, true).unwrap();
        differences.check("ids_special", text, fast.get_ids(), &line.ids_special);
        let encoding = verbatim.encode(text, false).unwrap();
        let plain = line.ids_sp_only.as_ref().unwrap_or(&line.ids);
        differences.check("ids_sp_only", text, encoding.get_ids(), plain);
        check_offsets(&mut differences, &verbatim, text, &encoding);

        let decode = |ids: &[TokenId], skip| tokenizer.decode(ids, skip).unwrap();
        let decoded = line.decoded.clone().unwrap_or_default();
        differences.check("decoded", text, decode(&line.ids, false), decoded);
        differences.check(
            "decoded_special",
            text,
            decode(&line.ids_special, false),
            line.decoded_special.clone(),
        );
        if let Some(skip) = &line.decoded_special_skip {
            differences.check(
                "decoded_special_skip",
                text,
                decode(&line.ids_special, true),
                skip.clone(),
            );
        }
        let mut stream = raw.decode_stream(false);
        let mut streamed = String::new();
        for &id in &line.ids {
            streamed += &stream.step(id).unwrap().unwrap_or_default();
        }
        // The stream waits for what would end a half character.
        let whole = raw.decode(&line.ids, false).unwrap();
        if !whole.ends_with(char::REPLACEMENT_CHARACTER) {
            differences.check("streamed", text, streamed, whole);
        }
    }
    differences.assert_none(lines * 9);
}

/// Offsets are valid, in order, and cover all that is not dropped by itself, too.
fn check_offsets(
    differences: &mut Differences,
    tokenizer: &HuggingFaceTokenizer,
    text: &str,
    encoding: &Encoding,
) {
    let mut before = (0, 0);
    let mut covered = vec![false; text.len()];
    let mut in_order = true;
    for &(start, end) in encoding.get_offsets() {
        in_order &= text.get(start..end).is_some() && before.0 <= start && before.1 <= end;
        before = (start, end);
        covered[start..end].fill(true);
    }
    differences.check("order of offsets", text, in_order, true);
    let uncovered: String = text
        .char_indices()
        .filter(|(index, character)| {
            let alone = || {
                tokenizer
                    .get_model()
                    .tokenize(character.encode_utf8(&mut [0; 4]))
                    .unwrap()
            };
            !covered[*index] && !alone().is_empty()
        })
        .map(|(_, character)| character)
        .collect();
    differences.check("characters without a token", text, uncovered.as_str(), "");
    let in_characters = tokenizer.encode_char_offsets(text, false).unwrap();
    let mut counts = vec![0; text.len() + 1];
    for (count, (index, character)) in text.char_indices().enumerate() {
        counts[index + character.len_utf8()] = count + 1;
    }
    let offsets = encoding.get_offsets().iter();
    let expected: Vec<_> = offsets
        .map(|&(start, end)| (counts[start], counts[end]))
        .collect();
    differences.check(
        "offsets in characters",
        text,
        in_characters.get_offsets(),
        &expected,
    );
}

fn chatglm() -> GlmTokenizer {
    GlmTokenizer::from_dir(tokenizers().join("chatglm-6b")).unwrap()
}

fn chatglm2() -> GlmTokenizer {
    GlmTokenizer::from_dir(tokenizers().join("chatglm2-6b")).unwrap()
}

fn codegeex2() -> GlmTokenizer {
    GlmTokenizer::from_dir(fixtures().join("tokenizer-codegeex2")).unwrap()
}

#[test]
#[ignore = "needs the real SentencePiece files: set GLM_TEST_TOKENIZERS and run with --include-ignored"]
fn chatglm_equals_the_goldens() {
    check_golden_lines(&chatglm(), "tokenizer/chatglm-6b.jsonl", 3092);
}

#[test]
#[ignore = "needs the real SentencePiece files: set GLM_TEST_TOKENIZERS and run with --include-ignored"]
fn chatglm2_equals_the_goldens() {
    check_golden_lines(&chatglm2(), "tokenizer/chatglm2-6b.jsonl", 3092);
}

#[test]
#[ignore = "needs the real SentencePiece files: set GLM_TEST_TOKENIZERS and run with --include-ignored"]
fn codegeex2_equals_the_goldens() {
    check_golden_lines(&codegeex2(), "tokenizer/codegeex2-6b.jsonl", 1134);
}

#[test]
#[ignore = "needs the real SentencePiece files: set GLM_TEST_TOKENIZERS and run with --include-ignored"]
fn first_generation_equals_the_goldens() {
    let glm = GlmTokenizer::from_dir(fixtures().join("tokenizer-first-generation")).unwrap();
    assert_eq!(glm.family(), Family::ChatGlmFirstGeneration);
    let path = "tokenizer-first-generation/chatglm-6b-first-generation.jsonl";
    check_golden_lines(&glm, path, 306);
}

fn check_stock(glm: &GlmTokenizer, path: &str, lines: usize) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokenizer.json");
    let stock = glm.to_stock().unwrap();
    stock.save(&file, false).unwrap();
    let read = Tokenizer::from_file(&file).unwrap();
    let mut differences = Differences::default();
    for line in json_lines::<Golden>(path) {
        let text = line.text.as_str();
        for stock in [&stock, &read] {
            let encoding = stock.encode(text, false).unwrap();
            differences.check("ids", text, encoding.get_ids(), &line.ids);
            differences.check("tokens", text, encoding.get_tokens(), &line.tokens);
            let prompt = stock.encode(text, true).unwrap();
            differences.check("ids_special", text, prompt.get_ids(), &line.ids_special);
            let decoded = stock.decode(&line.ids, false).unwrap();
            differences.check(
                "decoded",
                text,
                decoded,
                line.decoded.clone().unwrap_or_default(),
            );
            let decoded = stock.decode(&line.ids_special, false).unwrap();
            differences.check(
                "decoded_special",
                text,
                decoded,
                line.decoded_special.clone(),
            );
        }
    }
    differences.assert_none(lines * 10);
}

#[test]
#[ignore = "needs the real SentencePiece files: set GLM_TEST_TOKENIZERS and run with --include-ignored"]
fn stock_tokenizers_equal_the_goldens() {
    check_stock(&chatglm2(), "tokenizer/chatglm2-6b.jsonl", 3092);
    check_stock(&codegeex2(), "tokenizer/codegeex2-6b.jsonl", 1134);
}

#[derive(Deserialize)]
struct Padding {
    batches: Vec<Batch>,
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Batch {
    texts: Vec<String>,
    kwargs: Kwargs,
    input_ids: Vec<Vec<TokenId>>,
    attention_mask: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kwargs {
    padding: serde_json::Value,
    max_length: Option<usize>,
    truncation: Option<bool>,
    pad_to_multiple_of: Option<usize>,
    add_special_tokens: Option<bool>,
}

#[derive(Deserialize)]
struct Pair {
    text: String,
    text_pair: String,
    input_ids: Vec<TokenId>,
}

fn check_padding(glm: &GlmTokenizer, path: &str) {
    let padding: Padding = json(path);
    assert!(padding.batches.len() >= 10 && padding.pairs.len() >= 3);
    let plain = glm.to_hugging_face().unwrap();
    for expected in padding.batches {
        let kwargs = expected.kwargs;
        let mut tokenizer = plain.clone();
        let strategy = match kwargs.max_length.filter(|_| kwargs.padding == "max_length") {
            Some(length) => PaddingStrategy::Fixed(length),
            None => PaddingStrategy::BatchLongest,
        };
        tokenizer.with_padding(Some(PaddingParams {
            strategy,
            pad_to_multiple_of: kwargs.pad_to_multiple_of,
            ..glm.padding_params()
        }));
        let cut = kwargs
            .max_length
            .filter(|_| kwargs.truncation == Some(true));
        let truncation = cut.map(|max_length| TruncationParams {
            max_length,
            ..TruncationParams::default()
        });
        tokenizer.with_truncation(truncation).unwrap();
        let special = kwargs.add_special_tokens.unwrap_or(true);
        let batch = tokenizer
            .encode_batch(expected.texts.clone(), special)
            .unwrap();
        let ids: Vec<_> = batch.iter().map(|row| row.get_ids().to_vec()).collect();
        assert_eq!(ids, expected.input_ids, "{:?}", expected.texts);
        // ChatGLM-6B's official mask is a square, which its model makes of the ids.
        if glm.family() == Family::ChatGlm2 {
            let mask: Vec<_> = batch.iter().map(Encoding::get_attention_mask).collect();
            assert_eq!(serde_json::json!(mask), expected.attention_mask);
        }
    }
    for pair in padding.pairs {
        let encoding = plain.encode((pair.text, pair.text_pair), true).unwrap();
        assert_eq!(encoding.get_ids(), pair.input_ids);
    }
}

#[test]
#[ignore = "needs the real SentencePiece files: set GLM_TEST_TOKENIZERS and run with --include-ignored"]
fn batches_and_pairs_are_the_official_ones() {
    check_padding(&chatglm(), "tokenizer/chatglm-6b.padding.json");
    check_padding(&chatglm2(), "tokenizer/chatglm2-6b.padding.json");
}
