//! ggml files of chatglm.cpp: every tensor as its converter wrote it, the model as the official code computes it from the
//! same weights, and every kind of damage an error that names the file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use glm_core::{
    Error, GenerationOptions, GlmTokenizer, LoadOptions, Model, Numerics, Precision,
    checkpoint::{CheckpointFiles, GgmlBlock, WeightDType, WeightFormat},
    config::ModelConfig,
    generate::Generator,
    load_tokenizer,
    model::PaddingSide,
};
use glm_quant::half::f16;
use proptest::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// One of each family.
const MODELS: [&str; 2] = ["chatglm-6b-tiny", "chatglm2-tiny"];

/// Tolerance of the reference data.
const TOLERANCE: f32 = 1e-4;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ggml")
}

fn q4_0() -> PathBuf {
    golden().join("chatglm-6b-tiny.q4_0.bin")
}

/// `NAME.expected.json`.
#[derive(Deserialize)]
struct Expected {
    config: serde_json::Value,
    tokenizer: Vec<Encoding>,
    files: Vec<ExpectedFile>,
}

#[derive(Deserialize)]
struct Encoding {
    text: String,
    ids: Vec<u32>,
    ids_special: Vec<u32>,
}

#[derive(Deserialize)]
struct ExpectedFile {
    file: String,
    r#type: String,
    tensors: Vec<ExpectedTensor>,
    prompts: Vec<Prompt>,
}

#[derive(Deserialize)]
struct ExpectedTensor {
    name: String,
    r#type: i32,
    shape: Vec<usize>,
    bytes: u64,
    sha256: String,
    sum: f64,
    abs_sum: f64,
    first: Vec<f32>,
    last: Vec<f32>,
}

#[derive(Deserialize)]
struct Prompt {
    index: usize,
    input_ids: Vec<u32>,
    greedy_16: Vec<u32>,
}

fn expected(dir: &Path, name: &str) -> (Expected, CheckpointFiles) {
    let json = fs::read(dir.join(format!("{name}.expected.json"))).unwrap();
    let tensors = dir.join(format!("{name}.expected.safetensors"));
    let tensors = CheckpointFiles::open_file(tensors).unwrap();
    (serde_json::from_slice(&json).unwrap(), tensors)
}

fn floats(files: &CheckpointFiles, name: &str) -> Vec<f32> {
    let bytes = files.read(name).unwrap();
    match files.get(name).unwrap().dtype {
        WeightDType::F32 => {
            let (values, _) = bytes.as_chunks();
            values
                .iter()
                .map(|&value| f32::from_le_bytes(value))
                .collect()
        }
        WeightDType::F16 => {
            let (values, _) = bytes.as_chunks();
            let value = |&value: &[u8; 2]| f16::from_le_bytes(value).to_f32();
            values.iter().map(value).collect()
        }
        other => panic!("{name} is {other}"),
    }
}

fn check_tensors(files: &CheckpointFiles, file: &ExpectedFile, whole: &CheckpointFiles) {
    assert_eq!(files.format(), WeightFormat::Ggml);
    assert_eq!(files.tensors().count(), file.tensors.len(), "{}", file.file);
    for tensor in &file.tensors {
        let name = &tensor.name;
        let info = files.get(name).unwrap();
        let at = format!("{}: {name}", file.file);
        assert_eq!(info.shape, tensor.shape, "{at}");
        assert_eq!(info.stored_len(), tensor.bytes, "{at}");
        let block = match tensor.r#type {
            2 => Some(GgmlBlock::Q4_0),
            3 => Some(GgmlBlock::Q4_1),
            6 => Some(GgmlBlock::Q5_0),
            7 => Some(GgmlBlock::Q5_1),
            8 => Some(GgmlBlock::Q8_0),
            _ => None,
        };
        assert_eq!(info.blocks, block, "{at}");
        let stored = files.read_stored(name).unwrap();
        let digest: String = Sha256::digest(stored)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(digest, tensor.sha256, "{at}");

        let values = floats(files, name);
        assert_eq!(values[..4], tensor.first, "{at}");
        assert_eq!(values[values.len() - 4..], tensor.last, "{at}");
        let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
        let abs_sum: f64 = values.iter().map(|&value| f64::from(value.abs())).sum();
        let bound = 1e-9 * tensor.abs_sum;
        assert!((sum - tensor.sum).abs() <= bound, "{at}: {sum}");
        assert!((abs_sum - tensor.abs_sum).abs() <= bound, "{at}: {abs_sum}");
        let key = format!("{}.{name}", file.r#type);
        if whole.get(&key).is_some() {
            assert_eq!(values, floats(whole, &key), "{at}");
        }
    }
}

/// `[seq, vocab_size]`.
fn logits(model: &Model, ids: &[u32]) -> Vec<f32> {
    let rows = [ids];
    let input = model.input(&rows, &model.layouts(&rows).unwrap(), PaddingSide::Left);
    let logits = model.forward_observed(input, |_, _| {});
    logits.into_data().try_to_vec().unwrap()
}

fn continuation(model: &Model, ids: &[u32]) -> Vec<u32> {
    let options = GenerationOptions::greedy().with_max_new_tokens(16);
    let ids = Generator::new(model, ids, &options).unwrap();
    ids.collect::<Result<_, _>>().unwrap()
}

fn check_model(path: &Path, file: &ExpectedFile, expected: &CheckpointFiles) {
    let model = glm_core::load(path).unwrap().with_numerics(Numerics::EXACT);
    for prompt in &file.prompts {
        let at = format!("{}, prompt {}", file.file, prompt.index);
        let wanted = format!("{}.logits.{}.logits", file.r#type, prompt.index);
        let wanted = floats(expected, &wanted);
        let found = logits(&model, &prompt.input_ids);
        // Of some prompts the last positions alone are recorded.
        for (found, wanted) in found[found.len() - wanted.len()..].iter().zip(&wanted) {
            let bound = TOLERANCE + TOLERANCE * wanted.abs();
            assert!(
                (found - wanted).abs() <= bound,
                "{at}: {found} for {wanted}"
            );
        }
        assert_eq!(
            continuation(&model, &prompt.input_ids),
            prompt.greedy_16,
            "{at}"
        );
    }
}

fn check_config(path: &Path, expected: &serde_json::Value) {
    let files = CheckpointFiles::open_file(path).unwrap();
    let config = files.embedded_config().unwrap().unwrap();
    let mut expected = expected.clone();
    // A ggml file does not say what it was made of.
    expected.as_object_mut().unwrap().remove("torch_dtype");
    let json = serde_json::to_vec(&expected).unwrap();
    let wanted = ModelConfig::from_json("config.json", &json).unwrap();
    assert_eq!(config, wanted, "{}", path.display());
}

fn check_tokenizer(tokenizer: &GlmTokenizer, expected: &[Encoding]) {
    for case in expected {
        let ids = tokenizer.encode_official(&case.text);
        assert_eq!(ids, case.ids, "{:?}", case.text);
        assert_eq!(tokenizer.with_special_tokens(ids), case.ids_special);
    }
}

fn check_files(dir: &Path, name: &str) {
    let (expected, tensors) = expected(dir, name);
    for file in &expected.files {
        let path = dir.join(&file.file);
        check_tensors(&CheckpointFiles::open_file(&path).unwrap(), file, &tensors);
        check_config(&path, &expected.config);
        check_tokenizer(&load_tokenizer(&path).unwrap(), &expected.tokenizer);
        check_model(&path, file, &tensors);
    }
}

#[test]
fn a_file_is_the_model_that_the_official_code_computes() {
    for name in MODELS {
        check_files(&golden(), name);
    }
}

fn fixtures() -> PathBuf {
    let folder = std::env::var_os("GLM_TEST_FIXTURES").expect("GLM_TEST_FIXTURES must be set");
    PathBuf::from(folder).join("ggml")
}

#[test]
#[ignore = "needs all ggml fixtures: set GLM_TEST_FIXTURES and run with --include-ignored"]
fn every_type_is_the_model_that_the_official_code_computes() {
    for name in MODELS {
        check_files(&fixtures(), name);
    }
}

// ---- Precisions --------------------------------------------------------------------------------------------

fn load(file: &str, precision: &str) -> Result<Model, Error> {
    LoadOptions::default()
        .precision(precision.parse().unwrap())
        .load(golden().join(file))
}

#[test]
fn blocks_keep_their_codes_and_floats_can_be_quantised() {
    let prompt = [5, 508, 301, 304];
    for (file, same, others) in [
        (
            "chatglm-6b-tiny.q4_0.bin",
            ["int4", "int4-g32"],
            ["int8", "int4-row"],
        ),
        (
            "chatglm-6b-tiny.q8_0.bin",
            ["int8", "int8-g32"],
            ["int4", "int8-g128"],
        ),
    ] {
        let stored = logits(&load(file, "stored").unwrap(), &prompt);
        for precision in same {
            assert_eq!(logits(&load(file, precision).unwrap(), &prompt), stored);
        }
        for precision in others {
            assert!(matches!(
                load(file, precision),
                Err(Error::AlreadyQuantized { .. })
            ));
        }
    }
    let quantised = load("chatglm-6b-tiny.f16.bin", "int4").unwrap();
    let stored = load("chatglm-6b-tiny.f16.bin", "stored").unwrap();
    assert_ne!(logits(&quantised, &prompt), logits(&stored, &prompt));
}

#[test]
fn a_quantised_file_is_kept_in_the_cache() {
    let cache = tempfile::tempdir().unwrap();
    let load = || {
        LoadOptions::default()
            .precision(Precision::INT8)
            .cached_in(cache.path())
            .load(golden().join("chatglm-6b-tiny.f16.bin"))
            .unwrap()
    };
    let models = || {
        let names = fs::read_dir(cache.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".glm")).count()
    };
    let first = logits(&load(), &[5, 508, 301, 304]);
    assert_eq!(models(), 1);
    assert_eq!(logits(&load(), &[5, 508, 301, 304]), first);
    assert_eq!(models(), 1);
}

// ---- Damage ------------------------------------------------------------------------------------------------

/// Offset of the model type, of the version, and of the length of the tokenizer in a file of version 2.
const MODEL_TYPE: usize = 4;
const VERSION: usize = 8;
const TOKENIZER: usize = 64;

/// The file with its 4-byte number at `offset` changed.
fn bent(offset: usize, value: i32) -> Vec<u8> {
    let mut bytes = fs::read(q4_0()).unwrap();
    bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    bytes
}

/// Opens the bytes as a file, reads its tensors and makes a model of it.
fn open(bytes: &[u8]) -> Result<Model, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.bin");
    fs::write(&path, bytes).unwrap();
    let files = CheckpointFiles::open_file(&path)?;
    for info in files.tensors() {
        assert_eq!(files.read(&info.name)?.len() as u64, info.byte_len());
    }
    glm_core::load(&path)
}

fn message(bytes: &[u8]) -> String {
    let error = open(bytes).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("model.bin"), "{message}");
    message
}

/// Offset of the first tensor's header.
fn first_tensor() -> usize {
    let bytes = fs::read(q4_0()).unwrap();
    let length = i32::from_le_bytes(bytes[TOKENIZER..TOKENIZER + 4].try_into().unwrap());
    TOKENIZER + 4 + length as usize
}

#[test]
fn other_models_and_versions_are_named() {
    assert!(message(&bent(MODEL_TYPE, 3)).contains("ChatGLM3-6B"));
    assert!(message(&bent(MODEL_TYPE, 1024)).contains("type 1024"));
    assert!(message(&bent(VERSION, 3)).contains("version 3"));
    assert!(message(b"GGUF\x03\0\0\0").contains("GGUF"));
    assert!(message(&bent(TOKENIZER - 16, 0x7fc0_0000)).contains("rope_theta"));
    assert!(message(&bent(TOKENIZER - 20, 8)).contains("P-Tuning"));
    // As a model its tokenizer is of another family, or none.
    assert!(message(&bent(first_tensor() - 4, -1)).contains("model.bin"));
}

#[test]
fn numbers_of_the_header_have_the_limits_of_every_configuration() {
    for (offset, value, key) in [
        (16, -5, "vocab_size"),
        (16, i32::MAX, "vocab_size"),
        (20, 0, "hidden_size"),
        (24, 7, "num_key_value_heads"),
        (32, 1 << 30, "num_layers"),
        (40, 0x7fc0_0000, "layernorm_epsilon"), // NaN
        (40, 0x4000_0000, "layernorm_epsilon"), // 2
        (52, 0, "max_sequence_length"),
        (56, 100_000, "eos_token_id"),
        (60, -7, "pad_token_id"),
    ] {
        let message = message(&bent(offset, value));
        assert!(message.contains(key), "{offset}: {message}");
    }
    // Ids that are not there are those of the pieces.
    open(&bent(56, -1)).unwrap();
    open(&bent(60, -1)).unwrap();
    for layers in [2, 4] {
        let message = message(&bent(32, layers));
        assert!(
            message.contains("model.bin contradicts itself"),
            "{message}"
        );
        assert!(message.contains("have 3 layers"), "{message}");
        assert!(
            message.contains(&format!("`num_layers` {layers}")),
            "{message}"
        );
    }
}

#[test]
fn a_tensor_that_lies_is_found_out() {
    let first = first_tensor();
    let name = "transformer.word_embeddings.weight".len();
    let (dims, rows, cols) = (first + 4 + name, first + 8 + name, first + 12 + name);
    for length in [0, -1, (64 << 20) + 1, i32::MAX] {
        assert!(message(&bent(TOKENIZER, length)).contains("its tokenizer"));
    }
    for length in [0, -1, 257, i32::MAX] {
        assert!(message(&bent(first, length)).contains("the name"));
    }
    for count in [0, -1, 5, i32::MAX] {
        assert!(message(&bent(dims, count)).contains("extents"));
    }
    for extent in [0, -1] {
        assert!(message(&bent(rows, extent)).contains("extents"));
    }
    assert!(message(&bent(rows, i32::MAX)).contains("truncated"));
    assert!(message(&bent(cols, 33)).contains("no whole blocks"));
    for kind in [-1, 4, 5, 9, 99] {
        let message = message(&bent(cols + 4, kind));
        assert!(
            message.contains(&format!("ggml's type {kind}")) && message.contains("word_embeddings"),
            "{message}"
        );
    }
    // Four extents whose product is beyond any number.
    let mut bytes = fs::read(q4_0()).unwrap();
    bytes.truncate(rows);
    bytes[dims..].copy_from_slice(&4_i32.to_le_bytes());
    bytes.extend([i32::MAX; 4].map(i32::to_le_bytes).concat());
    bytes.extend(2_i32.to_le_bytes());
    assert!(message(&bytes).contains("too large"));
    // A name that is no text, and one that occurs twice.
    let mut bytes = fs::read(q4_0()).unwrap();
    bytes[first + 4] = 0xff;
    assert!(message(&bytes).contains("no text"));
    let whole = fs::read(q4_0()).unwrap();
    let mut twice = whole.clone();
    twice.extend(&whole[whole.len() - last_tensor_bytes(&whole)..]);
    assert!(message(&twice).contains("final_layernorm.bias"));
    // A scale that is infinite.
    let mut bytes = fs::read(q4_0()).unwrap();
    let data = (cols + 8).next_multiple_of(16);
    bytes[data..data + 2].copy_from_slice(&0x7c00_u16.to_le_bytes());
    assert!(message(&bytes).contains("NaN or infinite"));
}

/// Bytes of the last tensor with its header, which begins at a multiple of 16 here.
fn last_tensor_bytes(file: &[u8]) -> usize {
    let name = b"transformer.final_layernorm.bias";
    let at = file.windows(name.len()).rposition(|window| window == name);
    file.len() - (at.unwrap() - 4)
}

#[test]
fn matrices_of_two_types_are_refused() {
    // The second matrix of a layer as q8_0: fewer rows, so that the bytes still fit, but the type is found first.
    let mut bytes = fs::read(q4_0()).unwrap();
    let name = b"transformer.layers.0.attention.dense.weight";
    let at = bytes.windows(name.len()).position(|window| window == name);
    let kind = at.unwrap() + name.len() + 12;
    assert_eq!(bytes[kind], 2);
    bytes[kind] = 3;
    bytes[kind - 8..kind - 4].copy_from_slice(&64_i32.to_le_bytes());
    // 64 rows of two blocks: 18 bytes each before, 20 now.
    let data = (kind + 4).next_multiple_of(16);
    let extra = vec![0; 64 * 2 * 2];
    bytes.splice(data..data, extra);
    let message = message(&bytes);
    assert!(
        message.contains("attention.dense.weight") && message.contains("q4_1"),
        "{message}"
    );
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let whole = fs::read(q4_0()).unwrap();
    let (head, tail) = (0..200, first_tensor()..whole.len());
    for length in head.chain(tail.step_by(97)) {
        let error = open(&whole[..length]).unwrap_err();
        let cut = matches!(error, Error::Truncated { .. } | Error::MissingTensor { .. });
        // Of less than four bytes nothing tells what they are.
        assert!(cut || length < 4, "{length}: {error}");
    }
    assert!(open(&[&whole[..], &[0; 3]].concat()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_end_in_a_result(bytes: Vec<u8>, version in 1..3_i32) {
        let start = [&b"ggml"[..], &1_i32.to_le_bytes(), &version.to_le_bytes()].concat();
        prop_assert!(open(&[&start[..], &bytes].concat()).is_err());
    }

    #[test]
    fn a_bent_file_ends_in_a_result(
        changes in prop::collection::vec((0_usize..4000, any::<u8>()), 1..4),
        length: prop::sample::Index,
        cut: bool,
    ) {
        thread_local!(static FILE: (usize, Vec<u8>) = (first_tensor(), fs::read(q4_0()).unwrap()));
        let mut bytes = FILE.with(|(_, file)| file.clone());
        let first = FILE.with(|(first, _)| *first);
        for (at, byte) in changes {
            // The header, and the headers of the first tensors.
            let at = if at < 80 { at } else { first + at - 80 };
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        let _ = open(&bytes);
    }
}
