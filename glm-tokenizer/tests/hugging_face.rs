//! The feature `tokenizers` on small model files made here. What the official code says about the real files is in
//! `hugging_face_fixtures.rs`.

// Clippy counts functions beside the tests as no tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_file;

use glm_tokenizer::hugging_face::tokenizers::{
    AddedToken, Encoding, Model, PaddingParams, Tokenizer, TruncationDirection, TruncationParams,
};
use glm_tokenizer::hugging_face::{self, GlmDecoder, HuggingFaceTokenizer};
use glm_tokenizer::{Error, GlmTokenizer, TokenId};
use proptest::prelude::*;

const CHATGLM_PIECES: [(&str, f32); 8] = [
    ("▁", -2.0),
    ("▁a", -3.0),
    ("a", -4.0),
    ("b", -4.5),
    ("ab", -6.0),
    ("你", -8.0),
    ("你好", -9.0),
    (".", -5.0),
];

fn chatglm_file() -> Vec<u8> {
    let charsmap = model_file::charsmap(&[(b'A', "aa"), (b'~', " "), (b'-', "")]);
    model_file::chatglm(&CHATGLM_PIECES, &charsmap)
}

fn load(model: &[u8]) -> GlmTokenizer {
    GlmTokenizer::from_bytes("small", model).unwrap()
}

fn chatglm() -> GlmTokenizer {
    load(&chatglm_file())
}

fn first_generation() -> GlmTokenizer {
    load(&model_file::chatglm_first_generation(&CHATGLM_PIECES))
}

fn chatglm2(dummy_prefix: bool) -> GlmTokenizer {
    let pieces = [
        "▁▁", "aa", "ab", "▁a", "你好", "▁", "a", "b", "你", "好", ".",
    ];
    load(&model_file::chatglm2(&pieces, dummy_prefix))
}

fn all() -> [GlmTokenizer; 4] {
    [
        chatglm(),
        first_generation(),
        chatglm2(true),
        chatglm2(false),
    ]
}

fn encode(tokenizer: &HuggingFaceTokenizer, text: &str) -> Encoding {
    tokenizer.encode(text, false).unwrap()
}

/// The stretches of `text` that the tokens stand for.
fn stretches<'a>(encoding: &Encoding, text: &'a str) -> Vec<&'a str> {
    let offsets = encoding.get_offsets().iter();
    offsets.map(|&(start, end)| &text[start..end]).collect()
}

#[test]
fn from_a_folder_and_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ice_text.model");
    assert!(matches!(
        hugging_face::from_dir(dir.path()),
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        hugging_face::from_file(&file),
        Err(Error::Io { .. })
    ));
    std::fs::write(&file, chatglm_file()).unwrap();
    for tokenizer in [
        hugging_face::from_dir(dir.path()).unwrap(),
        hugging_face::from_file(&file).unwrap(),
    ] {
        assert_eq!(
            encode(&tokenizer, "你好ab").get_tokens(),
            ["▁", "你好", "ab"]
        );
    }
}

#[test]
fn special_tokens_in_a_text_are_found_as_officially() {
    let text = " a\u{1c} [MASK]\u{3000}<sop>\n.[gMASK]";
    let glm = chatglm();
    let mut tokenizer = glm.to_hugging_face().unwrap();
    let encoding = encode(&tokenizer, text);
    assert_eq!(encoding.get_ids(), glm.encode_official(text));
    let stretches = stretches(&encoding, text);
    assert_eq!(stretches[..6], [" a", "[MASK]", "<sop>", "", ".", "["]);

    tokenizer.set_encode_special_tokens(true);
    assert_eq!(encode(&tokenizer, text).get_ids(), glm.encode(text));
    let glm = chatglm2(true);
    let tokenizer = glm.to_hugging_face().unwrap();
    assert_eq!(encode(&tokenizer, text).get_ids(), glm.encode(text));
}

#[test]
fn offsets_count_bytes_or_characters_of_the_original() {
    let tokenizer = chatglm().to_hugging_face().unwrap();
    let text = "你好A\n~a  é ";
    let encoding = encode(&tokenizer, text);
    let expected = [
        ("▁", ""),
        ("你好", "你好"),
        ("a", "A"),
        ("a", "A"),
        ("<n>", "\n"),
        ("▁a", "~a"),
        ("<|blank_2|>", "  "),
        ("<0xC3>", "é"),
        ("<0xA9>", "é"),
    ];
    let (tokens, slices): (Vec<_>, Vec<_>) = expected.into_iter().unzip();
    assert_eq!(encoding.get_tokens(), tokens);
    assert_eq!(stretches(&encoding, text), slices);

    let in_characters = tokenizer.encode_char_offsets(text, false).unwrap();
    let characters: Vec<char> = text.chars().collect();
    let found: Vec<String> = in_characters
        .get_offsets()
        .iter()
        .map(|&(start, end)| characters[start..end].iter().collect())
        .collect();
    assert_eq!(found, slices);
}

#[test]
fn prompts_and_pairs_have_their_special_tokens() {
    for glm in all() {
        let tokenizer = glm.to_hugging_face().unwrap();
        for text in ["a 你好", "", "a[MASK]", "a[MASK]b", "[gMASK]."] {
            let ids = glm.encode_official(text);
            let prompt = tokenizer.encode(text, true).unwrap();
            assert_eq!(
                prompt.get_ids(),
                glm.with_special_tokens(ids.clone()),
                "{text}"
            );
            let special: Vec<bool> = prompt
                .get_special_tokens_mask()
                .iter()
                .map(|&mask| mask == 1)
                .collect();
            assert_eq!(
                special.iter().filter(|special| **special).count(),
                prompt.len() - ids.len()
            );
            let pair = tokenizer.encode((text, "b"), true).unwrap();
            let reply = glm.encode_official("b");
            assert_eq!(
                pair.get_ids(),
                glm.with_special_tokens_pair(ids, reply),
                "{text}"
            );
        }
    }
}

/// In the first generation `[gMASK]` becomes a token in ids only; as an added token it does in texts, too.
#[test]
fn a_blank_in_the_first_generation_takes_the_place_of_the_prompt() {
    let glm = first_generation();
    let mut tokenizer = glm.to_hugging_face().unwrap();
    tokenizer
        .add_tokens([AddedToken::from("[gMASK]", false)])
        .unwrap();
    let special = glm.special_tokens();
    let ids = tokenizer.encode("a[gMASK]", true).unwrap();
    assert_eq!(ids.get_ids()[1..], [special.gmask, special.sop]);
}

#[test]
fn batches_are_padded_on_the_left_and_cut() {
    for glm in all() {
        let mut tokenizer = glm.to_hugging_face().unwrap();
        tokenizer.with_padding(Some(glm.padding_params()));
        let texts = ["a", "a 你好 ab", ""];
        let batch = tokenizer.encode_batch(texts.to_vec(), true).unwrap();
        let expected = glm.encode_batch(&texts);
        for ((row, ids), pads) in batch
            .iter()
            .zip(&expected.input_ids)
            .zip(&expected.pad_lengths)
        {
            assert_eq!(row.get_ids(), ids);
            let mask: Vec<u32> = (0..row.len())
                .map(|index| u32::from(index >= *pads))
                .collect();
            assert_eq!(row.get_attention_mask(), mask);
        }

        tokenizer.with_padding(None::<PaddingParams>);
        let cut = TruncationParams {
            max_length: 5,
            stride: 1,
            ..TruncationParams::default()
        };
        tokenizer.with_truncation(Some(cut.clone())).unwrap();
        let text = "ab.ab.ab.";
        let all = glm.encode(text);
        let row = tokenizer.encode(text, true).unwrap();
        assert_eq!(row.get_ids(), glm.with_special_tokens(all[..3].to_vec()));
        // Each further part begins with the last token of the one before.
        let overflowing = row.get_overflowing();
        assert_eq!(
            overflowing[0].get_ids(),
            glm.with_special_tokens(all[2..5].to_vec())
        );
        let left = TruncationParams {
            direction: TruncationDirection::Left,
            ..cut
        };
        tokenizer.with_truncation(Some(left)).unwrap();
        let row = tokenizer.encode(text, true).unwrap();
        assert_eq!(
            row.get_ids(),
            glm.with_special_tokens(all[all.len() - 3..].to_vec())
        );
    }
}

#[test]
fn tokens_can_be_added_behind_the_vocabulary() {
    for glm in all() {
        let mut tokenizer = glm.to_hugging_face().unwrap();
        assert_eq!(tokenizer.get_vocab_size(true), glm.vocab_size());
        assert_eq!(
            tokenizer
                .add_tokens([AddedToken::from("<角色>", false)])
                .unwrap(),
            1
        );
        let id = glm.vocab_size() as TokenId;
        assert_eq!(tokenizer.token_to_id("<角色>"), Some(id));
        // White space beside it stays, as the crate's options say.
        let text = "a <角色>.";
        let encoding = encode(&tokenizer, text);
        assert!(encoding.get_ids().contains(&id));
        assert!(stretches(&encoding, text).contains(&"<角色>"));
        assert!(
            tokenizer
                .decode(encoding.get_ids(), false)
                .unwrap()
                .contains("<角色>")
        );
    }
}

#[test]
fn the_vocabulary_is_that_of_the_file() {
    for glm in all() {
        let tokenizer = glm.to_hugging_face().unwrap();
        let vocab = tokenizer.get_vocab(true);
        assert!(vocab.len() > 256);
        for (piece, id) in vocab {
            assert_eq!(tokenizer.id_to_token(id), Some(piece.clone()));
            assert_eq!(tokenizer.token_to_id(&piece), Some(id));
        }
        let model = tokenizer.get_model();
        assert_eq!(model.tokenizer().family(), glm.family());
        assert_eq!(model.tokenize("ab").unwrap().len(), glm.encode("ab").len());
        let dir = tempfile::tempdir().unwrap();
        assert!(
            model
                .save(dir.path(), None)
                .unwrap_err()
                .to_string()
                .contains("copy")
        );
        let mut trainer = model.get_trainer();
        let mut trained = tokenizer.clone();
        let error = trained
            .train(&mut trainer, ["a"].iter())
            .unwrap_err()
            .to_string();
        assert!(error.contains("cannot be trained"), "{error}");
    }
}

#[test]
fn words_that_were_split_before_are_encoded_one_by_one() {
    let glm = chatglm2(false);
    let tokenizer = glm.to_hugging_face().unwrap();
    let encoding = tokenizer.encode(["ab", "你好a"].as_slice(), false).unwrap();
    assert_eq!(
        encoding.get_ids(),
        [glm.encode("ab"), glm.encode("你好a")].concat()
    );
    assert_eq!(encoding.get_word_ids(), [Some(0), Some(1), Some(1)]);
    assert_eq!(encoding.get_offsets(), [(0, 2), (0, 6), (6, 7)]);
}

#[test]
fn decoding_is_the_official_one() {
    let glm = chatglm();
    let tokenizer = glm.to_hugging_face().unwrap();
    let special = glm.special_tokens();
    let ids = [
        glm.encode("a  a"),
        vec![special.gmask, special.sop, special.pad, special.unk],
    ]
    .concat();
    let decode = |skip| tokenizer.decode(&ids, skip).unwrap();
    assert_eq!(decode(false), "a  a \u{2047} ");
    assert_eq!(decode(true), "a  a");
    let dot = glm.encode("a .");
    assert_eq!(tokenizer.decode(&dot, false).unwrap(), "a.");
    let mut raw = tokenizer;
    let decoder = GlmDecoder::new(glm).clean_up_tokenization_spaces(false);
    raw.with_decoder(Some(decoder));
    assert_eq!(raw.decode(&dot, false).unwrap(), "a .");
}

#[test]
fn names_that_two_tokens_have_are_refused() {
    let glm = load(&model_file::chatglm2(&["s", "o", "p", "so", "sop"], true));
    for error in [
        glm.to_hugging_face().unwrap_err(),
        glm.to_stock().unwrap_err(),
    ] {
        assert!(
            matches!(&error, Error::AmbiguousPiece { piece, .. } if piece == "sop"),
            "{error}"
        );
    }
}

#[test]
fn a_stock_tokenizer_is_written_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokenizer.json");
    for glm in [chatglm2(true), chatglm2(false)] {
        let stock = glm.to_stock().unwrap();
        stock.save(&file, false).unwrap();
        for stock in [stock, Tokenizer::from_file(&file).unwrap()] {
            for text in [
                "",
                " ",
                "a",
                "ab  你好é.\n",
                "[gMASK]sop</s><unk><0x41>",
                "aaab 🙂",
            ] {
                let ids = glm.with_special_tokens(glm.encode(text));
                assert_eq!(stock.encode(text, true).unwrap().get_ids(), ids, "{text}");
                assert_eq!(stock.decode(&ids, false).unwrap(), text);
            }
            let pair = stock.encode(("a", "b"), true).unwrap();
            let expected = glm.with_special_tokens_pair(glm.encode("a"), glm.encode("b"));
            assert_eq!(pair.get_ids(), expected);
            assert_eq!(
                stock.token_to_id("[gMASK]"),
                Some(glm.special_tokens().gmask)
            );
        }
    }
}

#[test]
fn what_stock_parts_cannot_say_is_refused() {
    let without_bytes = model_file::chatglm2(&["a"], true);
    let without_bytes = model_file::Message(without_bytes)
        .bytes(2, &model_file::trainer_spec(model_file::BPE, false).0);
    let with_rules = model_file::Message(model_file::chatglm2(&["a"], true)).bytes(
        3,
        &model_file::normalizer_spec(&model_file::charsmap(&[(b'A', "a")]), true, false).0,
    );
    for glm in [
        chatglm(),
        first_generation(),
        load(&without_bytes.0),
        load(&with_rules.0),
    ] {
        let error = glm.to_stock().unwrap_err();
        assert!(matches!(error, Error::NotStock { .. }), "{error}");
        glm.to_hugging_face().unwrap();
    }
}

proptest! {
    /// Texts with special tokens, the white space that goes beside them, and everything that normalisation changes.
    #[test]
    fn ids_offsets_and_text_are_those_of_glm_tokenizer(
        text in "([abA你好é~.\u{3000}\u{1c}🙂\n\t-]| {1,3}|<n>|<sop>|\\[MASK\\]|</s>|\\[gMASK\\]){0,16}",
    ) {
        for glm in all() {
            let tokenizer = glm.to_hugging_face().unwrap();
            let encoding = encode(&tokenizer, &text);
            prop_assert_eq!(encoding.get_ids(), &glm.encode_official(&text));
            let mut before = (0, 0);
            for &(start, end) in encoding.get_offsets() {
                prop_assert!(text.get(start..end).is_some());
                prop_assert!(before.0 <= start && before.1 <= end);
                before = (start, end);
            }
            let in_characters = tokenizer.encode_char_offsets(text.as_str(), false).unwrap();
            let count = |at: usize| text[..at].chars().count();
            let expected: Vec<_> = encoding.get_offsets().iter().map(|&(start, end)| (count(start), count(end))).collect();
            prop_assert_eq!(in_characters.get_offsets(), expected);
            let decoded = tokenizer.decode(encoding.get_ids(), false).unwrap();
            prop_assert_eq!(decoded, glm.decode(encoding.get_ids(), Default::default()));
        }
    }

    /// The crate's stream decodes each token with the few before it; without clean-up that is the whole text in parts.
    #[test]
    fn the_stream_of_the_crate_adds_up(text in "([abA你好é~.🙂\n\t-]| {1,3}){0,16}") {
        for glm in all() {
            let mut tokenizer = glm.to_hugging_face().unwrap();
            tokenizer.with_decoder(Some(GlmDecoder::new(glm.clone()).clean_up_tokenization_spaces(false)));
            let ids = glm.encode(&text);
            let mut stream = tokenizer.decode_stream(false);
            let parts: Vec<_> = ids.iter().filter_map(|&id| stream.step(id).unwrap()).collect();
            prop_assert_eq!(parts.concat(), tokenizer.decode(&ids, false).unwrap());
        }
    }
}
