//! Which bytes of a text each token stands for.

// Clippy counts functions beside the tests as no tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_file;

use std::ops::Range;

use glm_tokenizer::GlmTokenizer;
use proptest::prelude::*;

/// Rules as in NFKC, for keys of one byte: `A` becomes two characters, `F` one of three bytes, `~` and `_` become
/// spaces, `-` goes, and `^` ends a word.
const RULES: [(u8, &str); 6] = [
    (b'A', "aa"),
    (b'F', "你"),
    (b'~', " "),
    (b'_', "  "),
    (b'-', ""),
    (b'^', "b "),
];

const PIECES: [(&str, f32); 10] = [
    ("▁", -2.0),
    ("▁a", -3.0),
    ("a", -4.0),
    ("aa", -5.0),
    ("b", -4.5),
    ("ab", -6.0),
    ("你", -8.0),
    ("你好", -9.0),
    ("a▁b", -6.5),
    (".", -5.0),
];

fn chatglm() -> GlmTokenizer {
    let model = model_file::chatglm(&PIECES, &model_file::charsmap(&RULES));
    GlmTokenizer::from_bytes("small", &model).unwrap()
}

/// Runs of unknown characters are one token here.
fn chatglm_without_bytes() -> GlmTokenizer {
    let charsmap = model_file::charsmap(&RULES);
    let model = model_file::chatglm_pieces(&PIECES)
        .bytes(2, &model_file::trainer_spec(model_file::UNIGRAM, false).0)
        .bytes(3, &model_file::normalizer_spec(&charsmap, true, true).0);
    GlmTokenizer::from_bytes("small", &model.0).unwrap()
}

fn first_generation() -> GlmTokenizer {
    let model = model_file::chatglm_first_generation(&PIECES);
    GlmTokenizer::from_bytes("small", &model).unwrap()
}

fn chatglm2(dummy_prefix: bool) -> GlmTokenizer {
    let pieces = [
        "▁▁", "aa", "ab", "▁a", "你好", "▁", "a", "b", "你", "好", ".",
    ];
    GlmTokenizer::from_bytes("small", &model_file::chatglm2(&pieces, dummy_prefix)).unwrap()
}

/// Pieces and the stretches of the text that they stand for.
fn stretches<'a>(tokenizer: &'a GlmTokenizer, text: &'a str) -> Vec<(&'a str, &'a str)> {
    let tokens = tokenizer.encode_with_offsets(text).into_iter();
    tokens
        .map(|(id, range)| (tokenizer.id_to_piece(id).unwrap(), &text[range]))
        .collect()
}

#[test]
fn stretches_of_chatglm() {
    let tokenizer = chatglm();
    for (text, expected) in [
        // The space before the text is nothing in it.
        ("你好", vec![("▁", ""), ("你好", "你好")]),
        ("ab", vec![("▁a", "a"), ("b", "b")]),
        // Spaces that became one; a space at the end that went.
        (" b a ", vec![("▁", " "), ("b", "b"), ("▁a", " a")]),
        ("a~ ~b", vec![("▁", ""), ("a▁b", "a~ ~b")]),
        // One character that became two, and two tokens that share it.
        ("bA", vec![("▁", ""), ("b", "b"), ("aa", "A")]),
        ("Ab", vec![("▁a", "A"), ("ab", "Ab")]),
        ("F好", vec![("▁", ""), ("你好", "F好")]),
        (
            "b^b",
            vec![("▁", ""), ("b", "b"), ("b", "^"), ("▁", "^"), ("b", "b")],
        ),
        // What is dropped belongs to nothing, but to a space if one comes before it.
        ("b-b", vec![("▁", ""), ("b", "b"), ("b", "b")]),
        ("b -b", vec![("▁", ""), ("b", "b"), ("▁", " -"), ("b", "b")]),
        // White space that has symbols.
        (
            "b\n\tb   .",
            vec![
                ("▁", ""),
                ("b", "b"),
                ("<n>", "\n"),
                ("<|tab|>", "\t"),
                ("b", "b"),
                ("<|blank_3|>", "   "),
                (".", "."),
            ],
        ),
        ("b<n>", vec![("▁", ""), ("b", "b"), ("<n>", "<n>")]),
        // A character of two bytes.
        (
            "bé",
            vec![("▁", ""), ("b", "b"), ("<0xC3>", "é"), ("<0xA9>", "é")],
        ),
        ("-", vec![]),
        (" ", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(stretches(&tokenizer, text), expected, "{text:?}");
    }
    let long = " ".repeat(163);
    let runs: Vec<_> = stretches(&tokenizer, &long)
        .into_iter()
        .map(|(_, run)| run.len())
        .collect();
    assert_eq!(runs, [0, 80, 80, 3]);
    assert_eq!(
        stretches(&chatglm_without_bytes(), "éèb好"),
        [("▁", ""), ("<unk>", "éè"), ("b", "b"), ("<unk>", "好")]
    );
}

#[test]
fn stretches_of_chatglm2() {
    let with_prefix = [("▁a", "a"), ("▁▁", "  "), ("你好", "你好"), ("▁", " ")];
    assert_eq!(stretches(&chatglm2(true), "a  你好 "), with_prefix);
    let without_prefix = [("a", "a"), ("▁▁", "  "), ("你好", "你好"), ("▁", " ")];
    assert_eq!(stretches(&chatglm2(false), "a  你好 "), without_prefix);
}

/// Merges the ranges that overlap: of a character with several tokens, and the tokens beside it.
fn groups(tokens: &[(u32, Range<usize>)]) -> Vec<(Vec<u32>, Range<usize>)> {
    let mut groups: Vec<(Vec<u32>, Range<usize>)> = Vec::new();
    for (id, range) in tokens {
        match groups.last_mut() {
            Some((ids, group)) if range.start < group.end => {
                ids.push(*id);
                group.end = group.end.max(range.end);
            }
            _ => groups.push((vec![*id], range.clone())),
        }
    }
    groups
}

fn is_dropped_or_space(character: char) -> bool {
    matches!(character, '-' | ' ' | '~' | '_')
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn offsets_are_in_order_and_cover_the_text(text in "([abéF好你A~_^.\u{3000}🙂\n\t-]| {1,4}|<n>){0,24}") {
        for tokenizer in [chatglm(), chatglm_without_bytes(), first_generation(), chatglm2(true), chatglm2(false)] {
            let tokens = tokenizer.encode_with_offsets(&text);
            let ids: Vec<_> = tokens.iter().map(|(id, _)| *id).collect();
            prop_assert_eq!(&ids, &tokenizer.encode(&text));
            let mut before = 0..0;
            let mut covered = vec![false; text.len()];
            for (_, range) in &tokens {
                prop_assert!(text.get(range.clone()).is_some(), "{:?}", range);
                prop_assert!(before.start <= range.start && before.end <= range.end);
                before = range.clone();
                covered[range.clone()].fill(true);
            }
            for (index, character) in text.char_indices() {
                prop_assert!(covered[index] || is_dropped_or_space(character), "{} at {}", character, index);
            }
        }
    }

    /// A stretch of the text by itself becomes the tokens that stand for it.
    #[test]
    fn a_stretch_says_what_its_tokens_say(text in "[abF好你A.-]{0,24}") {
        let tokenizer = chatglm();
        for (ids, range) in groups(&tokenizer.encode_with_offsets(&text)) {
            let pieces: Vec<_> = ids.iter().map(|&id| tokenizer.id_to_piece(id).unwrap()).collect();
            if pieces.iter().any(|piece| piece.starts_with("<0x")) {
                continue;
            }
            let said = pieces.concat();
            let alone = tokenizer.tokenize(&text[range]).concat();
            prop_assert_eq!(said.trim_start_matches('▁'), alone.trim_start_matches('▁'));
        }
    }
}
