//! Both families on small model files made here. What the official code says about the real files is
//! in `official_fixtures.rs`.

// Clippy counts functions beside the tests as no tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_file;

use glm_tokenizer::{AttentionMask, DecodeOptions, Family, GlmTokenizer, PositionIds, TokenId};
use proptest::prelude::*;

const RAW: DecodeOptions = DecodeOptions {
    skip_special_tokens: false,
    clean_up_tokenization_spaces: false,
};

const CHATGLM_PIECES: [(&str, f32); 15] = [
    ("▁", -2.0),
    ("▁a", -3.0),
    ("a", -4.0),
    ("aa", -5.0),
    ("b", -4.5),
    ("ab", -6.0),
    ("▁hello", -7.0),
    ("你", -8.0),
    ("你好", -9.0),
    (".", -5.0),
    ("<", -9.0),
    ("n", -9.0),
    (">", -9.0),
    ("'", -9.0),
    ("t", -9.0),
];

fn chatglm() -> GlmTokenizer {
    let model = model_file::chatglm(&CHATGLM_PIECES, &[]);
    GlmTokenizer::from_bytes("small", &model).unwrap()
}

fn first_generation() -> GlmTokenizer {
    let model = model_file::chatglm_first_generation(&CHATGLM_PIECES);
    GlmTokenizer::from_bytes("small", &model).unwrap()
}

fn chatglm2(dummy_prefix: bool) -> GlmTokenizer {
    let pieces = [
        "▁▁", "aa", "ab", "▁a", "abc", "你好", "▁", "a", "b", "c", "你", "好", ".",
    ];
    GlmTokenizer::from_bytes("small", &model_file::chatglm2(&pieces, dummy_prefix)).unwrap()
}

fn all() -> [GlmTokenizer; 4] {
    [
        chatglm(),
        first_generation(),
        chatglm2(true),
        chatglm2(false),
    ]
}

#[test]
fn unigram_takes_the_best_sum() {
    // -3 - 5 for ▁a aa beats -2 - 5 - 4 for ▁ aa a; "ab" (-6) beats "a" "b" (-8.5).
    assert_eq!(chatglm().tokenize("aaa"), ["▁a", "aa"]);
    assert_eq!(chatglm().tokenize("你好ab"), ["▁", "你好", "ab"]);
}

#[test]
fn bpe_merges_by_score_then_from_the_left() {
    assert_eq!(chatglm2(false).tokenize("aaab"), ["aa", "ab"]);
    assert_eq!(chatglm2(false).tokenize("aaaaa"), ["aa", "aa", "a"]);
    // "▁" "a" "b": "ab" has the better score than "▁a", and "abc" needs it.
    assert_eq!(chatglm2(true).tokenize("abc"), ["▁", "abc"]);
    // A piece is made from any two parts: "x" of "xy" need not be a piece.
    let bytes = model_file::chatglm2(&["xy", "y"], false);
    assert_eq!(
        GlmTokenizer::from_bytes("small", &bytes)
            .unwrap()
            .tokenize("xy"),
        ["xy"]
    );
}

#[test]
fn pieces_and_ids_are_each_others_inverse() {
    for tokenizer in all() {
        let ids = 0..tokenizer.vocab_size() as TokenId;
        let mut known = 0;
        for id in ids {
            if let Some(piece) = tokenizer.id_to_piece(id) {
                assert_eq!(tokenizer.piece_to_id(piece), Some(id), "{piece}");
                known += 1;
            }
        }
        assert!(known > 256);
        assert_eq!(tokenizer.piece_to_id("no piece"), None);
        let gmask = Some(tokenizer.special_tokens().gmask);
        assert_eq!(tokenizer.piece_to_id("[gMASK]"), gmask);
    }
}

#[test]
fn what_is_no_piece_becomes_bytes() {
    for tokenizer in [chatglm(), chatglm2(true)] {
        assert_eq!(tokenizer.tokenize("é")[1..], ["<0xC3>", "<0xA9>"]);
        let text = "<0x41>";
        assert_eq!(tokenizer.decode(&tokenizer.encode(text), RAW), text);
    }
}

#[test]
fn without_byte_fallback_a_run_of_unknown_text_is_one_token() {
    let model = model_file::chatglm_pieces(&[("▁", -1.0), ("a", -2.0)])
        .bytes(2, &model_file::trainer_spec(model_file::UNIGRAM, false).0);
    let tokenizer = GlmTokenizer::from_bytes("small", &model.0).unwrap();
    assert_eq!(tokenizer.tokenize("éèaü"), ["▁", "<unk>", "a", "<unk>"]);
    assert_eq!(
        tokenizer.decode(&tokenizer.encode("éa"), RAW),
        " \u{2047} a"
    );
}

#[test]
fn white_space_has_symbols_in_chatglm() {
    let text = "a\n\tb   a";
    let pieces = ["▁a", "<n>", "<|tab|>", "b", "<|blank_3|>", "a"];
    assert_eq!(chatglm().tokenize(text), pieces);
    assert_eq!(chatglm().decode(&chatglm().encode(text), RAW), text);
    let long = " ".repeat(163);
    assert_eq!(
        chatglm().tokenize(&long),
        ["▁", "<|blank_80|>", "<|blank_80|>", "<|blank_3|>"]
    );
    assert_eq!(chatglm().decode(&chatglm().encode(&long), RAW), long);
    // Single spaces at the ends go, as SentencePiece removes extra white space.
    assert_eq!(chatglm().tokenize(" a "), ["▁a"]);
    assert_eq!(chatglm().encode(" "), Vec::<TokenId>::new());
}

#[test]
fn chatglm2_keeps_white_space_as_it_is() {
    let tokenizer = chatglm2(true);
    assert_eq!(tokenizer.tokenize(" a "), ["▁▁", "a", "▁"]);
    assert_eq!(
        tokenizer.decode(&tokenizer.encode("  a\n\t "), RAW),
        "  a\n\t "
    );
    assert_eq!(chatglm2(false).tokenize("a a"), ["a", "▁a"]);
    assert_eq!(
        chatglm2(false).decode(&chatglm2(false).encode(" a"), RAW),
        " a"
    );
}

#[test]
fn compiled_rules_rewrite_text() {
    // ‘A’ → "aa", ‘-’ → nothing, ‘_’ → a space, which is then an extra one.
    let charsmap = model_file::charsmap(&[(b'A', "aa"), (b'-', ""), (b'_', " ")]);
    let pieces = [("▁", -1.0), ("a", -2.0), ("b", -2.0)];
    let tokenizer =
        GlmTokenizer::from_bytes("small", &model_file::chatglm(&pieces, &charsmap)).unwrap();
    assert_eq!(tokenizer.tokenize("A-b"), ["▁", "a", "a", "b"]);
    assert_eq!(tokenizer.tokenize("__b_ _a_"), ["▁", "b", "▁", "a"]);
    assert_eq!(tokenizer.encode("-"), Vec::<TokenId>::new());
    // User-defined pieces pass untouched.
    assert_eq!(tokenizer.tokenize("a\nb"), ["▁", "a", "<n>", "b"]);
}

#[test]
fn special_ids_come_from_the_file() {
    let special = chatglm().special_tokens().clone();
    let id = |name: &str| {
        (0..)
            .find(|&id| chatglm().id_to_piece(id) == Some(name))
            .unwrap()
    };
    assert_eq!(chatglm().family(), Family::ChatGlm);
    assert_eq!(
        (special.mask, special.gmask, special.smask),
        (id("[MASK]"), id("[gMASK]"), Some(id("[sMASK]")))
    );
    assert_eq!(
        (special.sop, special.eop, special.eos),
        (id("<sop>"), id("<eop>"), id("<eop>"))
    );
    assert_eq!((special.pad, special.unk), (3, 0));

    let tokenizer = chatglm2(true);
    let pieces = 3 + 256 + 13;
    let special = tokenizer.special_tokens();
    assert_eq!(tokenizer.family(), Family::ChatGlm2);
    assert_eq!(
        (special.mask, special.gmask, special.smask),
        (pieces, pieces + 1, Some(pieces + 2))
    );
    assert_eq!(
        (special.sop, special.eop, special.eos),
        (pieces + 3, pieces + 4, 2)
    );
    assert_eq!(tokenizer.vocab_size(), pieces as usize + 5);
    assert_eq!(tokenizer.id_to_piece(special.sop), Some("sop"));
    assert_eq!(tokenizer.id_to_piece(pieces + 5), None);
}

/// What a user writes is text; what a program asks for by name is a token.
#[test]
fn only_the_named_functions_make_special_tokens() {
    let tokenizer = chatglm();
    let special = tokenizer.special_tokens().clone();
    let text = "a[gMASK]<sop> [MASK]b";
    let plain = tokenizer.encode(text);
    for id in [special.mask, special.gmask, special.sop] {
        assert!(!plain.contains(&id));
    }
    assert_eq!(tokenizer.decode(&plain, RAW), text);

    let official = tokenizer.encode_official(text);
    assert!(official.contains(&special.sop) && official.contains(&special.mask));
    assert!(!official.contains(&special.gmask));
    let infilling = tokenizer.encode_infilling(text);
    assert!(infilling.contains(&special.gmask) && infilling.contains(&special.mask));
    assert!(!infilling.contains(&special.sop));

    let tokenizer = chatglm2(true);
    assert_eq!(tokenizer.encode_official(text), tokenizer.encode(text));
    assert!(
        tokenizer
            .encode_infilling(text)
            .contains(&tokenizer.special_tokens().gmask)
    );
}

#[test]
fn special_tokens_stand_where_the_family_puts_them() {
    let tokenizer = chatglm();
    let special = tokenizer.special_tokens().clone();
    assert_eq!(
        tokenizer.with_special_tokens(vec![7]),
        [7, special.gmask, special.sop]
    );
    assert_eq!(
        tokenizer.with_special_tokens_pair(vec![7], vec![8]),
        [7, special.gmask, special.sop, 8, special.eop]
    );
    let tokenizer = chatglm2(true);
    let special = tokenizer.special_tokens().clone();
    assert_eq!(
        tokenizer.with_special_tokens(vec![7]),
        [special.gmask, special.sop, 7]
    );
    assert_eq!(
        tokenizer.with_special_tokens_pair(vec![7], vec![8]),
        [special.gmask, special.sop, 7, 8, special.eos]
    );
}

/// The same ids behind the image tokens, whoever stores the special pieces.
#[test]
fn the_first_generation_has_higher_ids() {
    let (first, second) = (first_generation(), chatglm());
    assert_eq!(first.family(), Family::ChatGlmFirstGeneration);
    for text in ["a hello\n你好  界 .", "a\t<|blank_3|> [MASK]b", "</s>", ""] {
        let shifted: Vec<_> = second.encode(text).iter().map(|id| id + 20_000).collect();
        assert_eq!(first.encode(text), shifted);
        assert_eq!(
            first.decode(&shifted, DecodeOptions::default()),
            first.decode(&shifted, RAW)
        );
        assert_eq!(
            first.decode(&shifted, RAW),
            second.decode(&second.encode(text), RAW)
        );
    }
    assert_eq!(first.decode(&[0, 19_999], RAW), "");
    assert_eq!(first.id_to_piece(19_999), None);
}

/// A blank in the text takes the place of `[gMASK]`, and `</s>` ends what goes on behind it.
#[test]
fn the_first_generation_fills_the_blank_of_the_text() {
    let tokenizer = first_generation();
    let special = tokenizer.special_tokens().clone();
    let end_of_text = tokenizer.encode_official("</s>")[0];
    for blank in [special.mask, special.gmask] {
        assert_eq!(
            tokenizer.with_special_tokens(vec![20_007, blank]),
            [20_007, blank, special.sop]
        );
        assert_eq!(
            tokenizer.with_special_tokens(vec![blank, 20_007]),
            [blank, 20_007, end_of_text, special.sop]
        );
    }
    assert_eq!(
        tokenizer.with_special_tokens(vec![20_007]),
        [20_007, special.gmask, special.sop]
    );
}

#[test]
fn batches_are_padded_on_the_left() {
    let tokenizer = chatglm();
    let special = tokenizer.special_tokens().clone();
    let batch = tokenizer.pad_left(&[
        vec![special.gmask, special.sop],
        vec![9, 9, special.gmask, special.sop, 9],
    ]);
    assert_eq!(batch.pad_lengths, [3, 0]);
    assert_eq!(
        batch.input_ids[0],
        [
            special.pad,
            special.pad,
            special.pad,
            special.gmask,
            special.sop
        ]
    );
    let AttentionMask::PrefixLm(masked) = &batch.attention_mask else {
        panic!("{batch:?}")
    };
    // gMASK, the only context, sees itself; sop sees both; pads see nothing.
    let shape = |row: &Vec<bool>| {
        row.iter()
            .map(|&masked| if masked { '#' } else { '.' })
            .collect::<String>()
    };
    assert_eq!(
        masked[0].iter().map(shape).collect::<Vec<_>>(),
        ["#####", "#####", "#####", "###.#", "###.."]
    );
    assert_eq!(
        masked[1].iter().map(shape).collect::<Vec<_>>(),
        ["...##", "...##", "...##", "....#", "....."]
    );
    let PositionIds::TwoDimensional(positions) = &batch.position_ids else {
        panic!("{batch:?}")
    };
    assert_eq!(positions[0], [vec![0, 0, 0, 0, 0], vec![0, 0, 0, 0, 1]]);
    assert_eq!(positions[1], [vec![0, 1, 2, 2, 2], vec![0, 0, 0, 1, 2]]);

    let batch = chatglm2(true).pad_left(&[vec![9], vec![9, 9]]);
    assert_eq!(
        batch.attention_mask,
        AttentionMask::Tokens(vec![vec![false, true], vec![true, true]])
    );
    assert_eq!(
        batch.position_ids,
        PositionIds::OneDimensional(vec![vec![0, 0], vec![0, 1]])
    );
    assert_eq!(
        chatglm2(true).encode_batch(&[]).input_ids,
        Vec::<Vec<TokenId>>::new()
    );
}

#[test]
fn decoding_cleans_up_in_chatglm_only() {
    let text = "a .";
    assert_eq!(
        chatglm().decode(&chatglm().encode(text), DecodeOptions::default()),
        "a."
    );
    assert_eq!(chatglm().decode(&chatglm().encode(text), RAW), text);
    assert_eq!(
        chatglm2(true).decode(&chatglm2(true).encode(text), DecodeOptions::default()),
        text
    );
}

#[test]
fn a_stream_gives_whole_characters_only() {
    for tokenizer in all() {
        let mut decoder = tokenizer.stream_decoder();
        let prefix = tokenizer.encode("").len();
        let pieces: Vec<String> = tokenizer.encode("界")[prefix..]
            .iter()
            .map(|&id| decoder.push(id))
            .collect();
        assert_eq!(pieces.concat(), "界");
        assert_eq!(pieces.last().unwrap(), "界");
        assert_eq!(decoder.finish(), "");

        // Half a character, then the end: one U+FFFD for each byte.
        let bytes = tokenizer.encode("界");
        let half = &bytes[..bytes.len() - 1];
        assert_eq!(
            half.iter().map(|&id| decoder.push(id)).collect::<String>(),
            ""
        );
        assert_eq!(decoder.finish(), "\u{fffd}\u{fffd}");
        // And the decoder starts anew.
        assert_eq!(
            decoder.push(*tokenizer.encode("a").last().unwrap()).trim(),
            "a"
        );
    }
}

#[test]
fn ids_outside_the_vocabulary_are_ignored() {
    for tokenizer in all() {
        let mut ids = tokenizer.encode("你好");
        ids.push(TokenId::MAX);
        ids.push(tokenizer.vocab_size() as TokenId);
        assert_eq!(tokenizer.decode(&ids, RAW), "你好");
    }
}

#[test]
fn clones_are_shared_between_threads() {
    fn assert_send_sync<T: Send + Sync + Clone + 'static>() {}
    assert_send_sync::<GlmTokenizer>();
    assert_send_sync::<glm_tokenizer::StreamDecoder>();
}

proptest! {
    /// BPE files change nothing in a text, so it comes back, whatever it is.
    #[test]
    fn any_text_survives_chatglm2(text in any::<String>(), dummy_prefix in any::<bool>()) {
        let tokenizer = chatglm2(dummy_prefix);
        // U+2581 is how a space is written inside.
        let expected = text.replace('▁', " ");
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text), RAW), expected);
    }

    /// Without rules, ChatGLM-6B changes nothing but single spaces at the ends of the text and U+2581.
    #[test]
    fn text_survives_chatglm(text in "[^▁<]*") {
        let tokenizer = chatglm();
        let symbols = text.starts_with("  ") || text.ends_with("  ");
        prop_assume!(!symbols);
        let expected = text.trim_matches(' ');
        prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text), RAW), expected);
    }

    #[test]
    fn user_text_never_makes_a_special_token(text in "(\\[g?MASK\\]|<[se]op>|<pad>|<unk>|sop|a| |<n>|é|<0x41>){0,8}") {
        for tokenizer in all() {
            let special = tokenizer.special_tokens().clone();
            let forbidden = [special.mask, special.gmask, special.sop, special.eop, special.eos, special.pad, special.unk];
            for id in tokenizer.encode(&text) {
                prop_assert!(!forbidden.contains(&id), "{id}");
            }
        }
    }

    #[test]
    fn streaming_equals_decoding_the_whole(
        ids in proptest::collection::vec(0u32..400, 0..40),
        skip_special_tokens in any::<bool>(),
        clean_up_tokenization_spaces in any::<bool>(),
    ) {
        let options = DecodeOptions { skip_special_tokens, clean_up_tokenization_spaces };
        for tokenizer in all() {
            // The first piece is <unk>.
            let first = tokenizer.special_tokens().unk;
            let ids: Vec<_> = ids.iter().map(|id| id + first).collect();
            let mut decoder = tokenizer.stream_decoder_with(options);
            let mut streamed: String = ids.iter().map(|&id| decoder.push(id)).collect();
            streamed.push_str(&decoder.finish());
            prop_assert_eq!(streamed, tokenizer.decode(&ids, options));
        }
    }
}
