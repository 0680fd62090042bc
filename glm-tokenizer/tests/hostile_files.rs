//! Model files that lie: each is an error that names the file, and none panics.

// Clippy counts functions beside the tests as no tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_file;

use glm_tokenizer::{DecodeOptions, Error, GlmTokenizer};
use model_file::{CONTROL, Message, NORMAL, UNKNOWN};
use proptest::prelude::*;

fn small_chatglm() -> Vec<u8> {
    let charsmap = model_file::charsmap(&[(b'A', "aa"), (b'-', "")]);
    model_file::chatglm(&[("▁", -1.0), ("a", -2.0), ("ab", -2.5)], &charsmap)
}

fn small_chatglm2() -> Vec<u8> {
    model_file::chatglm2(&["ab", "▁", "a", "b"], true)
}

fn load(bytes: &[u8]) -> Result<GlmTokenizer, Error> {
    GlmTokenizer::from_bytes("some.model", bytes)
}

fn error(bytes: &[u8]) -> Error {
    let error = load(bytes).expect_err("the file should be refused");
    assert!(error.to_string().contains("some.model"), "{error}");
    error
}

/// A file may be damaged and still be a model; then it has to work without a panic.
fn use_it(bytes: &[u8]) {
    match load(bytes) {
        Ok(tokenizer) => {
            let ids = tokenizer.encode("A-ab <n>\n 你好 [gMASK]\u{0}");
            tokenizer.decode(&ids, DecodeOptions::default());
            tokenizer.encode_official("<sop> a");
            tokenizer.encode_batch(&["a", "ab ab"]);
        }
        Err(error) => assert!(error.to_string().contains("some.model"), "{error}"),
    }
}

#[test]
fn the_files_are_good_before_they_are_damaged() {
    assert_eq!(
        load(&small_chatglm()).unwrap().tokenize("A-ab"),
        ["▁", "a", "a", "ab"]
    );
    assert_eq!(load(&small_chatglm2()).unwrap().tokenize("ab"), ["▁", "ab"]);
}

#[test]
fn truncated_at_any_byte() {
    for file in [small_chatglm(), small_chatglm2()] {
        for length in 0..file.len() {
            // Cut between two fields, what is left may be a model without its last pieces.
            use_it(&file[..length]);
        }
        let cut = error(&file[..file.len() - 1]);
        assert!(matches!(cut, Error::Truncated { .. }), "{cut:?}");
    }
}

#[test]
fn every_byte_flipped() {
    for file in [small_chatglm(), small_chatglm2()] {
        for index in 0..file.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = file.clone();
                damaged[index] ^= flip;
                use_it(&damaged);
            }
        }
    }
}

#[test]
fn empty_and_foreign_files() {
    assert!(matches!(error(b""), Error::Empty { .. }));
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:5e97\nsize 2706249\n";
    assert!(matches!(error(pointer), Error::LfsPointer { .. }));
    assert!(matches!(
        error(b"PK\x03\x04 a zip file"),
        Error::Malformed { .. } | Error::Truncated { .. }
    ));
    assert!(matches!(
        error(b"{\"model_type\": \"chatglm\"}"),
        Error::Malformed { .. } | Error::Truncated { .. }
    ));
}

#[test]
fn a_length_that_points_beyond_the_file() {
    let huge = [
        0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
    ];
    let Error::Truncated {
        field,
        offset,
        expected,
        found,
        ..
    } = error(&huge)
    else {
        panic!()
    };
    assert_eq!(
        (field, offset, expected, found),
        ("the model", 0, u64::MAX, 0)
    );
    let too_long = [
        0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
    ];
    assert!(matches!(error(&too_long), Error::Malformed { .. }));
}

#[test]
fn wrong_wire_types() {
    let found = error(&Message::default().varint(1, 7).0);
    assert!(
        matches!(
            found,
            Error::WireType {
                field: "pieces",
                expected: 2,
                found: 0,
                ..
            }
        ),
        "{found:?}"
    );
    let piece = Message::default().varint(2, 7);
    let found = error(&Message::default().bytes(1, &piece.0).0);
    assert!(
        matches!(
            found,
            Error::WireType {
                field: "pieces.score",
                expected: 5,
                found: 0,
                ..
            }
        ),
        "{found:?}"
    );
    // Groups went out of use before SentencePiece was written.
    assert!(matches!(error(&[0x0b]), Error::Malformed { .. }));
}

#[test]
fn bad_pieces() {
    let with = |text: &str, score, kind| {
        let model = Message::default()
            .piece("<unk>", 0.0, UNKNOWN)
            .piece("a", -1.0, NORMAL);
        model.piece(text, score, kind).0
    };
    assert!(matches!(
        error(&with("", -1.0, NORMAL)),
        Error::BadPiece { id: 2, .. }
    ));
    assert!(matches!(
        error(&with("b", f32::NAN, NORMAL)),
        Error::BadPiece { id: 2, .. }
    ));
    assert!(matches!(
        error(&with("b", f32::NEG_INFINITY, NORMAL)),
        Error::BadPiece { id: 2, .. }
    ));
    assert!(matches!(
        error(&with("b", -1.0, 5)),
        Error::BadPiece { id: 2, .. }
    ));
    assert!(matches!(
        error(&with("b", -1.0, UNKNOWN)),
        Error::BadPiece { id: 2, .. }
    ));
    assert!(matches!(
        error(&with("<0x4>", -1.0, model_file::BYTE)),
        Error::BadPiece { id: 2, .. }
    ));
    assert!(matches!(
        error(&with(&"b".repeat(2000), -1.0, NORMAL)),
        Error::LimitExceeded { found: 2000, .. }
    ));
    let Error::DuplicatePiece {
        piece,
        first,
        second,
        ..
    } = error(&with("a", -1.0, NORMAL))
    else {
        panic!()
    };
    assert_eq!((piece.as_str(), first, second), ("a", 1, 2));
}

/// Finite, but sums of them are not, and a sum that is no number decides nothing.
#[test]
fn absurd_scores() {
    for score in [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        1.1e9,
        -1.1e9,
    ] {
        let model = model_file::chatglm(&[("a", -1.0), ("b", score)], &[]);
        let found = error(&model);
        assert!(
            matches!(found, Error::BadPiece { .. }),
            "{score}: {found:?}"
        );
    }
    for score in [-1e9, 0.0, 1e9] {
        load(&model_file::chatglm(&[("a", -1.0), ("b", score)], &[])).unwrap();
    }
}

/// A text with two ids has none, whatever kinds of pieces they are.
#[test]
fn the_same_text_twice() {
    use model_file::{BYTE, USER_DEFINED};
    for (text, first_kind, second_kind) in [
        ("a", NORMAL, NORMAL),
        ("a", NORMAL, USER_DEFINED),
        ("[gMASK]", CONTROL, CONTROL),
        ("[gMASK]", CONTROL, NORMAL),
        ("[gMASK]", USER_DEFINED, CONTROL),
        ("<0x41>", BYTE, BYTE),
        ("<0x41>", NORMAL, BYTE),
        ("<unk>", CONTROL, UNKNOWN),
        ("<unk>", NORMAL, UNKNOWN),
    ] {
        let mut model = Message::default()
            .piece("b", -1.0, NORMAL)
            .piece(text, -1.0, first_kind)
            .piece(text, -1.0, second_kind);
        if second_kind != UNKNOWN {
            model = model.piece("<unk>", 0.0, UNKNOWN);
        }
        match error(&model.0) {
            Error::DuplicatePiece {
                piece,
                first,
                second,
                ..
            } => {
                assert_eq!((piece.as_str(), first, second), (text, 1, 2));
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn more_pieces_than_any_model_has() {
    let piece = Message::default().bytes(1, b"a");
    let one = Message::default().bytes(1, &piece.0).0;
    let found = error(&one.repeat((1 << 20) + 1));
    assert!(
        matches!(
            found,
            Error::LimitExceeded {
                found: 1_048_577,
                ..
            }
        ),
        "{found:?}"
    );
    let found = error(&one.repeat(1 << 20));
    assert!(matches!(found, Error::DuplicatePiece { .. }), "{found:?}");
    let found = error(&[0x0a, 0x00].repeat(1 << 20));
    assert!(matches!(found, Error::BadPiece { id: 0, .. }), "{found:?}");
    let found = error(&vec![0; (16 << 20) + 1]);
    assert!(matches!(found, Error::LimitExceeded { .. }), "{found:?}");
}

/// Each unknown piece gives the text, so a few ids would be gigabytes.
#[test]
fn a_long_text_for_unknown_pieces() {
    let with = |length| {
        let trainer = model_file::trainer_spec(model_file::UNIGRAM, false);
        let trainer = trainer.bytes(44, "x".repeat(length).as_bytes());
        model_file::chatglm_pieces(&[("a", -1.0)])
            .bytes(2, &trainer.0)
            .0
    };
    let tokenizer = load(&with(64)).unwrap();
    assert_eq!(
        tokenizer.decode(&[0, 0], DecodeOptions::default()),
        "x".repeat(128)
    );
    let found = error(&with(5_000_000));
    assert!(
        matches!(
            found,
            Error::LimitExceeded {
                found: 5_000_000,
                limit: 64,
                ..
            }
        ),
        "{found:?}"
    );
}

#[test]
fn missing_pieces() {
    let missing = |model: Message| match error(&model.0) {
        Error::MissingPiece { piece, .. } => piece,
        other => panic!("{other:?}"),
    };
    let no_unknown = Message::default().piece("a", -1.0, NORMAL);
    assert_eq!(missing(no_unknown.clone()), "<unk>");
    let pieces = no_unknown.piece("<unk>", 0.0, UNKNOWN);
    // Without any special piece it could be the first generation's, but that has this one.
    assert_eq!(missing(pieces.clone()), "<pad>");
    let special = pieces.clone().piece("<sop>", 0.0, CONTROL);
    assert_eq!(missing(special), "[MASK]");
    let bpe = pieces
        .clone()
        .bytes(2, &model_file::trainer_spec(model_file::BPE, false).0);
    assert_eq!(missing(bpe), "</s>");
    let bytes = pieces.bytes(2, &model_file::trainer_spec(model_file::UNIGRAM, true).0);
    assert_eq!(missing(bytes), "<0x00>");
}

/// Were `[gMASK]` an ordinary piece, a user could write it.
#[test]
fn special_tokens_have_to_be_control_pieces() {
    let pieces = Message::default()
        .piece("<unk>", 0.0, UNKNOWN)
        .piece("[MASK]", 0.0, CONTROL);
    let found = error(&pieces.piece("[gMASK]", -1.0, NORMAL).0);
    assert!(matches!(found, Error::BadPiece { id: 2, .. }), "{found:?}");
}

#[test]
fn kinds_of_models_that_chatglm_does_not_use() {
    let pieces = Message::default()
        .piece("<unk>", 0.0, UNKNOWN)
        .piece("a", -1.0, NORMAL);
    let word = pieces
        .clone()
        .bytes(2, &model_file::trainer_spec(3, false).0);
    let suffix = pieces.clone().bytes(2, &Message::default().varint(24, 1).0);
    let no_escape = pieces.clone().bytes(3, &Message::default().varint(5, 0).0);
    let denormalizer = pieces
        .clone()
        .bytes(5, &Message::default().bytes(2, b"table").0);
    let user_defined_bpe = pieces
        .piece("<n>", 0.0, model_file::USER_DEFINED)
        .bytes(2, &model_file::trainer_spec(model_file::BPE, false).0);
    for model in [word, suffix, no_escape, denormalizer, user_defined_bpe] {
        let found = error(&model.0);
        assert!(matches!(found, Error::Unsupported { .. }), "{found:?}");
    }
}

#[test]
fn broken_normalisation_tables() {
    let good = model_file::charsmap(&[(b'A', "aa")]);
    let mut outside = good.clone();
    // The value unit of the only rule.
    let value = 4 + 4 * (512 + usize::from(b'A'));
    outside[value..value + 4].copy_from_slice(&(1u32 << 31 | 999).to_le_bytes());
    let mut no_value = good.clone();
    no_value[value..value + 4].fill(0);
    let mut not_utf8 = good.clone();
    let last = not_utf8.len() - 2;
    not_utf8[last] = 0xff;
    let unended = good[..good.len() - 1].to_vec();
    let mut long_trie = good.clone();
    long_trie[..4].fill(0xff);
    let mut odd_trie = good.clone();
    odd_trie[0] += 1;
    let empty_trie = b"\0\0\0\0a\0".to_vec();
    for table in [
        outside,
        no_value,
        not_utf8,
        unended,
        long_trie,
        odd_trie,
        empty_trie,
        vec![1, 2, 3],
    ] {
        let found = error(&model_file::chatglm(&[("a", -1.0)], &table));
        assert!(matches!(found, Error::Charsmap { .. }), "{found:?}");
    }
}

/// One character must not become millions, and a long text must not be looked at from each of its bytes to its end.
#[test]
fn what_normalisation_costs_has_a_limit() {
    let pieces = [("▁", -1.0), ("a", -1.0), ("x", -2.0)];
    let with = |table: &[u8]| model_file::chatglm(&pieces, table);
    let long = "x".repeat(5_000_000);
    let found = error(&with(&model_file::charsmap(&[(b'A', &long)])));
    assert!(
        matches!(
            found,
            Error::LimitExceeded {
                found: 5_000_000,
                limit: 256,
                ..
            }
        ),
        "{found:?}"
    );
    let most = "x".repeat(256);
    let tokenizer = load(&with(&model_file::charsmap(&[(b'A', &most)]))).unwrap();
    assert_eq!(tokenizer.encode("aAA").len(), 2 + 2 * 256);

    // `a` leads back to where it came from.
    let mut looping = model_file::charsmap(&[(b'-', "")]);
    let unit = 4 + 4 * (256 ^ usize::from(b'a'));
    looping[unit..unit + 4]
        .copy_from_slice(&(u32::from(b'a') << 10 | u32::from(b'a')).to_le_bytes());
    let found = error(&with(&looping));
    assert!(matches!(found, Error::Charsmap { .. }), "{found:?}");

    // Size alone is no fault: five megabytes of units that nothing leads to.
    let mut large = model_file::charsmap(&[(b'A', "xx")]);
    let replacements = large.split_off(4 + 4096);
    for index in 1024..1_250_000_u32 {
        large.extend((256 << 10 | index & 0xff).to_le_bytes());
    }
    let units = (large.len() - 4) as u32;
    large[..4].copy_from_slice(&units.to_le_bytes());
    large.extend(replacements);
    assert_eq!(
        load(&with(&large)).unwrap().tokenize("aA"),
        ["▁", "a", "x", "x"]
    );
}

#[test]
fn folders_and_files_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let found = GlmTokenizer::from_dir(dir.path()).unwrap_err();
    let message = found.to_string();
    assert!(matches!(found, Error::NotFound { .. }), "{found:?}");
    assert!(
        message.contains("ice_text.model") && message.contains(&dir.path().display().to_string())
    );
    let found = GlmTokenizer::from_dir(dir.path().join("nowhere")).unwrap_err();
    assert!(
        matches!(found, Error::Io { .. }) && found.to_string().contains("nowhere"),
        "{found:?}"
    );
    let found = GlmTokenizer::from_file(dir.path().join("no.model")).unwrap_err();
    assert!(
        matches!(found, Error::Io { .. }) && found.to_string().contains("no.model"),
        "{found:?}"
    );

    std::fs::write(dir.path().join("tokenizer.model"), small_chatglm2()).unwrap();
    assert_eq!(
        GlmTokenizer::from_dir(dir.path()).unwrap().tokenize("ab"),
        ["▁", "ab"]
    );
    std::fs::write(dir.path().join("ice_text.model"), small_chatglm()).unwrap();
    assert_eq!(
        GlmTokenizer::from_dir(dir.path()).unwrap().tokenize("ab"),
        ["▁", "ab"]
    );

    // The size is looked at before anything is read.
    let shard = std::fs::File::create(dir.path().join("ice_text.model")).unwrap();
    shard.set_len(10_000_000_000).unwrap();
    let found = GlmTokenizer::from_dir(dir.path()).unwrap_err();
    assert!(matches!(found, Error::LimitExceeded { .. }), "{found:?}");
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        use_it(&bytes);
    }

    #[test]
    fn any_normalisation_table(
        units in proptest::collection::vec(any::<u32>(), 1..300),
        replacements in any::<String>(),
    ) {
        let mut table = (units.len() as u32 * 4).to_le_bytes().to_vec();
        table.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        table.extend(replacements.as_bytes());
        table.push(0);
        use_it(&model_file::chatglm(&[("a", -1.0)], &table));
    }

    #[test]
    fn several_bytes_at_once(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut file = small_chatglm();
        for (index, byte) in changes {
            let index = index.index(file.len());
            file[index] = byte;
        }
        use_it(&file);
    }
}
