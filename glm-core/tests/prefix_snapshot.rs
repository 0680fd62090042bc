//! What was read, in files: read back to the bit, and refused for every other model and with any damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, path::Path};

use glm_core::{
    Activations, CachePrecision, Error, GenerationOptions, LoadOptions, Model, Numerics, Precision,
    SnapshotField, TokenId, generate::Generator, prefix_cache::Prefix,
};
use proptest::prelude::*;
use tempfile::TempDir;

const PROMPT: [TokenId; 9] = [508, 510, 361, 312, 223, 391, 422, 409, 323];
/// The prompt of a tiny ChatGLM-6B.
const CONTEXT: [TokenId; 5] = [5, 6, 7, 621, 624];

fn golden(name: &str) -> Model {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    glm_core::load(golden.join(name)).unwrap()
}

fn kept(kv_cache: CachePrecision) -> Numerics {
    Numerics::default().with_kv_cache(kv_cache)
}

fn answer(model: &Model, prompt: &[TokenId], prefix: Option<Prefix>) -> (usize, Vec<TokenId>) {
    let options = GenerationOptions::greedy().with_max_new_tokens(12);
    let mut generator = Generator::new(model, prompt, &options).unwrap();
    if let Some(prefix) = prefix {
        generator = generator.with_prefix(prefix);
    }
    let cached = generator.cached_tokens();
    (cached, generator.collect::<Result<_, _>>().unwrap())
}

/// The field that is not as it should be.
fn refused(model: &Model, path: &Path) -> SnapshotField {
    match Prefix::load(model, path).unwrap_err() {
        Error::Snapshot {
            path: named,
            field,
            expected,
            found,
        } => {
            assert_eq!(named, path);
            assert_ne!(expected, found);
            field
        }
        other => panic!("another error: {other}"),
    }
}

fn saved(model: &Model, tokens: &[TokenId]) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.prefix");
    let prefix = Prefix::read(model, tokens).unwrap();
    prefix.save(model, &path).unwrap();
    (folder, path)
}

#[test]
fn what_was_saved_is_what_was_read() {
    for (name, prompt) in [
        ("chatglm2-tiny", &PROMPT[..]),
        ("chatglm2-tiny-int4", &PROMPT),
        ("codegeex2-tiny", &PROMPT[2..5]),
        ("chatglm-6b-tiny", &CONTEXT),
    ] {
        for precision in [
            CachePrecision::F32,
            CachePrecision::F16,
            CachePrecision::Int16,
            CachePrecision::Int8,
        ] {
            let model = golden(name).with_numerics(kept(precision));
            let read = Prefix::read(&model, prompt).unwrap();
            let (folder, path) = saved(&model, prompt);
            let size = fs::metadata(&path).unwrap().len() as usize;
            assert_eq!(size, read.first_tokens(prompt.len()).bytes() + 40);

            // By the same model, loaded anew.
            let again = golden(name).with_numerics(kept(precision));
            let loaded = Prefix::load(&again, &path).unwrap();
            assert_eq!(loaded.tokens(), prompt);
            let copy = folder.path().join("copy");
            loaded.save(&again, &copy).unwrap();
            assert!(fs::read(&copy).unwrap() == fs::read(&path).unwrap());

            let (cached, tokens) = answer(&again, prompt, Some(loaded));
            assert_eq!(cached, prompt.len() - 1);
            assert_eq!(tokens, answer(&model, prompt, None).1, "{name}");
        }
    }
}

#[test]
fn a_whole_answer_is_saved_too() {
    let model = golden("chatglm2-tiny");
    let mut generator = Generator::new(&model, &PROMPT, &GenerationOptions::greedy()).unwrap();
    let tokens: Vec<TokenId> = generator
        .by_ref()
        .take(20)
        .collect::<Result<_, _>>()
        .unwrap();
    let prefix = generator.into_prefix().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.prefix");
    prefix.save(&model, &path).unwrap();
    let prompt = [&PROMPT[..], &tokens, &[1, 2, 3]].concat();
    let loaded = Prefix::load(&model, &path).unwrap();
    let (cached, found) = answer(&model, &prompt, Some(loaded));
    assert_eq!(cached, PROMPT.len() + 19);
    assert_eq!(found, answer(&model, &prompt, None).1);
}

#[test]
fn another_model_or_another_way_to_compute_is_refused() {
    let model = golden("chatglm2-tiny-int4");
    let (_folder, path) = saved(&model, &PROMPT);
    for kv_cache in [CachePrecision::F32, CachePrecision::Int8] {
        let other = model.clone().with_numerics(kept(kv_cache));
        assert_eq!(refused(&other, &path), SnapshotField::Precision);
    }
    let float = Numerics::default().with_activations(Activations::Float32);
    let int8 = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chatglm2-tiny");
    let int8 = LoadOptions::default()
        .precision(Precision::INT8)
        .load(int8)
        .unwrap();
    for other in [
        model.clone().with_numerics(float),
        int8,
        golden("chatglm2-tiny"),
        // Keys and values of another size.
        golden("chatglm2-tiny-mha"),
        golden("chatglm-6b-tiny"),
    ] {
        assert_eq!(refused(&other, &path), SnapshotField::Model);
    }
    let prefix = Prefix::load(&model, &path).unwrap();
    let error = prefix.save(&golden("chatglm2-tiny"), &path).unwrap_err();
    assert!(matches!(error, Error::Prompt { .. }), "{error}");
    Prefix::load(&model, &path).unwrap();
}

#[test]
fn other_files_and_versions_are_told_apart() {
    let model = golden("chatglm2-tiny");
    let (folder, path) = saved(&model, &PROMPT);
    let whole = fs::read(&path).unwrap();
    let write = |bytes: &[u8]| fs::write(&path, bytes).unwrap();

    write("a text\n".as_bytes());
    assert_eq!(refused(&model, &path), SnapshotField::Beginning);
    write(&[&whole[..8], &2_u32.to_le_bytes(), &whole[12..]].concat());
    assert_eq!(refused(&model, &path), SnapshotField::Version);
    write(&[&whole[..24], &u64::MAX.to_le_bytes(), &whole[32..]].concat());
    assert_eq!(refused(&model, &path), SnapshotField::Length);
    let missing = Prefix::load(&model, folder.path().join("none")).unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    let message = {
        write(&whole[..whole.len() - 1]);
        Prefix::load(&model, &path).unwrap_err().to_string()
    };
    let sizes = format!("{} bytes, found {} bytes", whole.len(), whole.len() - 1);
    assert!(message.contains(&sizes), "{message}");
}

/// Everything is as it should be but the ids, with a checksum that says so too.
#[test]
fn ids_that_are_no_prompt_are_refused() {
    for (name, tokens, wrong) in [
        ("chatglm2-tiny", &PROMPT[..], 512),
        ("chatglm-6b-tiny", &CONTEXT, 5),
    ] {
        let model = golden(name);
        let (_folder, path) = saved(&model, tokens);
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.len() - 8;
        let last = 32 + 4 * (tokens.len() - 1);
        bytes[last..last + 4].copy_from_slice(&u32::to_le_bytes(wrong));
        let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        assert_eq!(refused(&model, &path), SnapshotField::Tokens);
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let model = golden("chatglm2-tiny");
    let (_folder, path) = saved(&model, &PROMPT[..2]);
    let whole = fs::read(&path).unwrap();
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        assert_eq!(refused(&model, &path), SnapshotField::Length, "{end}");
    }
    fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
    assert_eq!(refused(&model, &path), SnapshotField::Length);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_file_with_any_other_byte_is_refused(position in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let model = golden("chatglm2-tiny");
        let (_folder, path) = saved(&model, &PROMPT[..3]);
        let mut bytes = fs::read(&path).unwrap();
        let position = position.index(bytes.len());
        bytes[position] ^= flip;
        fs::write(&path, bytes).unwrap();
        let field = refused(&model, &path);
        let expected = match position {
            0..8 => SnapshotField::Beginning,
            8..12 => SnapshotField::Version,
            12..16 => SnapshotField::Precision,
            16..24 => SnapshotField::Model,
            24..32 => SnapshotField::Length,
            _ => SnapshotField::Checksum,
        };
        prop_assert_eq!(field, expected);
    }
}
