//! From every form of a checkpoint to every other: the same model where nothing is lost, codes never others unasked, and a
//! target that is usable as it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bent_checkpoint;

use std::{
    fs,
    path::{Path, PathBuf},
};

use bent_checkpoint::{bent, golden};

use glm_core::{
    Error, GlmTokenizer, LoadOptions, Model, Precision,
    checkpoint::{
        Bits, CheckpointFiles, Converter, GroupSize, LoadStage, Target, WeightDType, WeightFormat,
        save_f16,
    },
    config::ModelConfig,
    load_tokenizer,
};

const STORED: Target = Target::Prepacked {
    layers: Precision::Stored,
    head: None,
};
const INT8: Target = Target::Official(Bits::Eight);
const INT4: Target = Target::Official(Bits::Four);

/// Checkpoints by what their layers hold.
const FLOAT: [&str; 6] = [
    "chatglm-6b-tiny",
    "chatglm-6b-tiny-no2d",
    "chatglm-6b-tiny-legacy",
    "ggml/chatglm-6b-tiny.f16.bin",
    "chatglm2-tiny-mha",
    "ggml/chatglm2-tiny.f16.bin",
];
const CODES: [(&str, Bits); 5] = [
    ("chatglm-6b-tiny-int8", Bits::Eight),
    ("chatglm-6b-tiny-int4", Bits::Four),
    ("chatglm-6b-tiny-int4-qe", Bits::Four),
    ("chatglm2-tiny-int8", Bits::Eight),
    ("chatglm2-tiny-int4", Bits::Four),
];
const BLOCKS: [(&str, &str); 5] = [
    ("ggml/chatglm-6b-tiny.q4_0.bin", "int4-g32"),
    ("ggml/chatglm-6b-tiny.q4_0-version1.bin", "int4-g32"),
    ("ggml/chatglm-6b-tiny.q8_0.bin", "int8-g32"),
    ("ggml/chatglm2-tiny.q4_0.bin", "int4-g32"),
    ("ggml/chatglm2-tiny.q8_0.bin", "int8-g32"),
];

fn precision(name: &str) -> Precision {
    name.parse().unwrap()
}

fn prepacked(layers: &str) -> Target {
    Target::Prepacked {
        layers: precision(layers),
        head: None,
    }
}

/// Logits and greedy tokens show any difference; the ids are in every vocabulary here.
fn logits(model: &Model) -> Vec<f32> {
    let mut prompt = vec![18, 284, 207];
    if let ModelConfig::ChatGlm(config) = model.config() {
        prompt.extend([config.gmask_token_id as u32, config.bos_token_id as u32]);
    }
    let (logits, _) = model.prefill(&[&prompt]).unwrap();
    logits.into_data().try_to_vec().unwrap()
}

fn loaded(path: impl AsRef<Path>) -> Vec<f32> {
    logits(&glm_core::load(path).unwrap())
}

/// A new place for what `target` writes.
struct Output {
    folder: tempfile::TempDir,
}

impl Output {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn convert(&self, source: impl AsRef<Path>, target: Target, name: &str) -> PathBuf {
        let output = self.path(name);
        convert(source, target, &output).unwrap();
        output
    }
}

fn convert(source: impl AsRef<Path>, target: Target, output: &Path) -> Result<Vec<PathBuf>, Error> {
    Converter::default().convert(source, target, output)
}

fn same_tensors(a: &Path, b: &Path) {
    let [a, b] = [a, b].map(|path| CheckpointFiles::open(path).unwrap());
    let is_left_out = |name: &str| name.ends_with("inv_freq") || name.starts_with("lm_head");
    for (a, b) in [(&a, &b), (&b, &a)] {
        for info in a.tensors().filter(|info| !is_left_out(&info.name)) {
            let other = b.get(&info.name).expect(&info.name);
            assert_eq!((info.dtype, &info.shape), (other.dtype, &other.shape));
            assert_eq!(
                a.read(&info.name).unwrap(),
                b.read(&info.name).unwrap(),
                "{}",
                info.name
            );
        }
    }
}

// ---- Nothing is lost ---------------------------------------------------------------------------------------

#[test]
fn floats_stay_the_same_model() {
    for source in FLOAT {
        let output = Output::new();
        let original = loaded(golden(source));
        let folder = output.convert(golden(source), Target::Safetensors, "f16");
        assert_eq!(loaded(&folder), original, "{source}");
        let file = output.convert(golden(source), STORED, "model.glm");
        assert_eq!(loaded(&file), original, "{source}");
        // And back.
        let again = output.convert(&file, Target::Safetensors, "again");
        assert_eq!(loaded(&again), original, "{source}");
        same_tensors(&folder, &again);
    }
}

/// Only the configuration of ChatGLM-6B can say that embedding and head are one.
#[test]
fn a_head_equal_to_the_embedding_is_written_where_the_folder_needs_it() {
    for (case, embedding, head) in [
        (
            "chatglm-6b-tiny",
            "transformer.word_embeddings.weight",
            "lm_head.weight",
        ),
        (
            "chatglm2-tiny",
            "transformer.embedding.word_embeddings.weight",
            "transformer.output_layer.weight",
        ),
    ] {
        let source = bent(case, |tensors, config| {
            config.insert("tie_word_embeddings".to_owned(), false.into());
            let copy = tensors[embedding].clone();
            tensors.insert(head.to_owned(), copy);
        });
        let output = Output::new();
        let original = loaded(source.path());
        let file = output.convert(source.path(), STORED, "model.glm");
        for (from, name) in [(source.path(), "of-folder"), (&file, "of-file")] {
            let folder = output.convert(from, Target::Safetensors, name);
            assert_eq!(loaded(&folder), original, "{case}, {name}");
            let files = CheckpointFiles::open(&folder).unwrap();
            assert_eq!(files.read(head).unwrap(), files.read(embedding).unwrap());
        }
        let codes = output.convert(source.path(), INT4, "codes");
        let of_file = output.convert(&file, INT4, "codes-of-file");
        assert_eq!(loaded(codes), loaded(of_file), "{case}");

        let saved = output.path("saved");
        fs::create_dir(&saved).unwrap();
        save_f16(&glm_core::load(&file).unwrap(), &saved).unwrap();
        assert_eq!(loaded(&saved), original, "{case}, saved");
    }
}

#[test]
fn floats_become_the_codes_of_loading_with_a_precision() {
    for source in FLOAT {
        let output = Output::new();
        let file = output.convert(golden(source), STORED, "stored.glm");
        for (target, layers, head) in [
            (INT8, "int8-row", "stored"),
            (INT4, "int4-row", "stored"),
            (prepacked("int4"), "int4-g128", "int8-g128"),
            (prepacked("int8-g32"), "int8-g32", "int8-g128"),
        ] {
            let options = LoadOptions::default().precision(precision(layers));
            let options = options.head(precision(head));
            let expected = logits(&options.load(golden(source)).unwrap());
            for (from, name) in [(golden(source), "a"), (file.clone(), "b")] {
                let path = output.path(&format!("{name}-{layers}"));
                convert(from, target, &path).unwrap();
                assert_eq!(loaded(&path), expected, "{source} to {layers}");
            }
        }
    }
}

#[test]
fn official_codes_are_kept_to_the_bit() {
    for (source, bits) in CODES {
        let output = Output::new();
        let original = loaded(golden(source));
        let folder = output.convert(golden(source), Target::Official(bits), "folder");
        same_tensors(&folder, &golden(source));
        assert_eq!(loaded(&folder), original, "{source}");
        let file = output.convert(golden(source), STORED, "model.glm");
        assert_eq!(loaded(&file), original, "{source}");
        let again = output.convert(&file, Target::Official(bits), "again");
        same_tensors(&again, &golden(source));
        assert_eq!(loaded(&again), original, "{source}");
    }
}

#[test]
fn blocks_are_kept_to_the_bit_in_a_prepacked_file() {
    for (source, name) in BLOCKS {
        let output = Output::new();
        let original = loaded(golden(source));
        for target in [STORED, prepacked(name)] {
            let file = output.path(&format!("{target:?}.glm"));
            convert(golden(source), target, &file).unwrap();
            assert_eq!(loaded(&file), original, "{source}");
            let again = output.path("again.glm");
            Converter::default()
                .overwrite(true)
                .convert(&file, target, &again)
                .unwrap();
            assert_eq!(fs::read(&again).unwrap(), fs::read(&file).unwrap());
        }
    }
}

#[test]
fn a_dequantised_folder_holds_the_weights_rounded_to_halves() {
    let sources = CODES.iter().map(|(source, _)| source);
    for source in sources.chain(BLOCKS.iter().map(|(source, _)| source)) {
        let output = Output::new();
        let folder = output.convert(golden(source), Target::Safetensors, "f16");
        let files = CheckpointFiles::open(&folder).unwrap();
        assert!(files.tensors().all(|info| info.dtype == WeightDType::F16));
        let config = ModelConfig::from_dir(&folder).unwrap();
        assert_eq!(config.quantization_bit(), None);
        assert!(!config.quantization_embeddings());

        let name = match config {
            ModelConfig::ChatGlm(_) => "transformer.layers.1.mlp.dense_4h_to_h.weight",
            _ => "transformer.encoder.layers.1.mlp.dense_4h_to_h.weight",
        };
        let found = halves(&files.read(name).unwrap());
        assert_eq!(found, weights(source, name), "{source}");
        // The way through a prepacked file is the same one.
        let file = output.convert(golden(source), STORED, "model.glm");
        let again = output.convert(&file, Target::Safetensors, "again");
        same_tensors(&folder, &again);
    }
}

fn halves(bytes: &[u8]) -> Vec<glm_quant::half::f16> {
    let (pairs, _) = bytes.as_chunks::<2>();
    let half = |&pair: &[u8; 2]| glm_quant::half::f16::from_le_bytes(pair);
    pairs.iter().map(half).collect()
}

/// The dequantised weights of a matrix, found without the converter.
fn weights(source: &str, name: &str) -> Vec<glm_quant::half::f16> {
    let half = |&value: &f32| glm_quant::half::f16::from_f32(value);
    if golden(source).is_file() {
        let files = CheckpointFiles::open_file(golden(source)).unwrap();
        let bytes = files.read(name).unwrap();
        let (values, _) = bytes.as_chunks();
        let values: Vec<f32> = values.iter().map(|&v| f32::from_le_bytes(v)).collect();
        return values.iter().map(half).collect();
    }
    // Recorded by the official unpacker.
    let expected = golden(source).join("expected.safetensors");
    let expected = CheckpointFiles::open_file(expected).unwrap();
    halves(&expected.read(&format!("dequant_f16.{name}")).unwrap())
}

// ---- What would be lost ------------------------------------------------------------------------------------

#[test]
fn codes_become_others_only_when_that_is_asked_for() {
    let q4_0 = golden("ggml/chatglm-6b-tiny.q4_0.bin");
    let output = Output::new();
    let groups = output.convert(golden("chatglm-6b-tiny"), prepacked("int4"), "groups.glm");
    for (source, target) in [
        (golden("chatglm-6b-tiny-int8"), INT4),
        (golden("chatglm-6b-tiny-int4"), INT8),
        (golden("chatglm-6b-tiny-int4"), prepacked("int4-g32")),
        (golden("chatglm-6b-tiny-int4-qe"), INT8),
        (q4_0.clone(), INT4),
        (q4_0, prepacked("int8")),
        (groups.clone(), INT4),
        (groups, prepacked("int4-g32")),
    ] {
        let path = output.path("out");
        let error = convert(&source, target, &path).unwrap_err();
        assert!(
            matches!(&error, Error::AlreadyQuantized { path, .. } if *path == source),
            "{error}"
        );
        assert!(!path.exists());

        let converter = Converter::default().requantize(true);
        converter.convert(&source, target, &path).unwrap();
        let model = glm_core::load(&path).unwrap();
        assert_ne!(logits(&model), loaded(&source));
        match fs::metadata(&path).unwrap().is_dir() {
            true => fs::remove_dir_all(&path).unwrap(),
            false => fs::remove_file(&path).unwrap(),
        }
    }
}

#[test]
fn requantised_codes_are_those_of_the_dequantised_weights() {
    // q8_0 to INT4, and the same by way of what it stands for.
    let source = golden("ggml/chatglm-6b-tiny.q8_0.bin");
    let name = "transformer.layers.0.attention.dense.weight";
    let output = Output::new();
    let folder = output.path("int4");
    Converter::default()
        .requantize(true)
        .convert(&source, INT4, &folder)
        .unwrap();
    let files = CheckpointFiles::open_file(&source).unwrap();
    let bytes = files.read(name).unwrap();
    let (values, _) = bytes.as_chunks();
    let weights: Vec<f32> = values.iter().map(|&v| f32::from_le_bytes(v)).collect();
    let expected = glm_quant::Int4Matrix::quantize_f32(64, 64, &weights).unwrap();
    let saved = CheckpointFiles::open(&folder).unwrap();
    assert_eq!(saved.read(name).unwrap(), expected.packed());
}

#[test]
fn weights_beyond_half_precision_are_refused() {
    let output = Output::new();
    let source = output.path("source");
    fs::create_dir(&source).unwrap();
    let case = golden("chatglm-6b-tiny");
    fs::copy(case.join("config.json"), source.join("config.json")).unwrap();
    let bytes = fs::read(case.join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    // Everything in f32, and one weight that only f32 holds.
    let mut wide: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, view) in tensors.iter() {
        let values = halves(view.data()).into_iter();
        let mut bytes: Vec<u8> = values.flat_map(|v| v.to_f32().to_le_bytes()).collect();
        if name == "transformer.final_layernorm.bias" {
            bytes[..4].copy_from_slice(&7e4_f32.to_le_bytes());
        }
        wide.push((name.to_owned(), view.shape().to_vec(), bytes));
    }
    let views = wide.iter().map(|(name, shape, bytes)| {
        let dtype = safetensors::Dtype::F32;
        let view = safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes);
        (name, view.unwrap())
    });
    let file = source.join("model.safetensors");
    safetensors::serialize_to_file(views, None, &file).unwrap();
    let error = convert(&source, Target::Safetensors, &output.path("f16")).unwrap_err();
    assert!(
        matches!(&error, Error::OfficialLayout { tensor, .. } if tensor.ends_with("norm.bias")),
        "{error}"
    );
    assert_eq!(fs::read_dir(output.path("f16")).unwrap().count(), 0);
}

// ---- What goes along ---------------------------------------------------------------------------------------

#[test]
fn a_ggml_file_brings_its_tokenizer() {
    let source = golden("ggml/chatglm-6b-tiny.q4_0.bin");
    let output = Output::new();
    let expected = load_tokenizer(&source).unwrap();
    let is_same = |tokenizer: &GlmTokenizer| {
        assert_eq!(tokenizer.special_tokens(), expected.special_tokens());
        assert_eq!(
            tokenizer.encode("bade luno?"),
            expected.encode("bade luno?")
        );
    };
    let folder = output.convert(&source, Target::Safetensors, "f16");
    is_same(&GlmTokenizer::from_dir(&folder).unwrap());
    is_same(&load_tokenizer(&folder).unwrap());
    let file = output.convert(&source, STORED, "model.glm");
    is_same(&load_tokenizer(&file).unwrap());

    // Another tokenizer beside the file is not touched, and that is said before anything is written.
    fs::write(output.path("ice_text.model"), "another").unwrap();
    let second = output.path("second.glm");
    let error = convert(&source, STORED, &second).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    assert!(!second.exists());
}

#[test]
fn settings_and_other_keys_of_a_folder_go_along() {
    let output = Output::new();
    let source = output.path("source");
    fs::create_dir(&source).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden("chatglm-6b-tiny-int4").join(name), source.join(name)).unwrap();
    }
    fs::write(source.join("ice_text.model"), "tokenizer").unwrap();
    fs::write(source.join("generation_config.json"), "{}").unwrap();
    fs::write(source.join("secret.txt"), "no").unwrap();
    let folder = output.convert(&source, Target::Safetensors, "f16");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read("ice_text.model"), "tokenizer");
    assert_eq!(read("generation_config.json"), "{}");
    let config: serde_json::Value = serde_json::from_str(&read("config.json")).unwrap();
    assert_eq!(config["quantization_bit"], 0);
    assert_eq!(
        config["auto_map"]["AutoConfig"],
        "configuration_chatglm.ChatGLMConfig"
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
}

// ---- Care --------------------------------------------------------------------------------------------------

#[test]
fn the_source_is_never_overwritten() {
    let output = Output::new();
    let source = output.convert(golden("chatglm-6b-tiny"), Target::Safetensors, "source");
    let weights = source.join("model.safetensors");
    let before = fs::read(&weights).unwrap();
    let file = output.convert(&source, STORED, "model.glm");
    let renamed = source.join("renamed").join("..");
    fs::create_dir(source.join("renamed")).unwrap();
    for (from, target, to) in [
        (&source, INT4, &source),
        (&source, INT4, &renamed),
        (&source, STORED, &weights),
        (&source, STORED, &source.join("config.json")),
        (&file, STORED, &file),
    ] {
        let converter = Converter::default().overwrite(true);
        let error = converter.convert(from, target, to).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error}");
    }
    assert_eq!(fs::read(&weights).unwrap(), before);

    // Anything else only when told to.
    let taken = output.path("taken");
    fs::write(&taken, "something").unwrap();
    let error = convert(&source, STORED, &taken).unwrap_err();
    assert!(matches!(error, Error::Exists { path, .. } if path == taken));
    let converter = Converter::default().overwrite(true);
    converter.convert(&source, STORED, &taken).unwrap();
    glm_core::load(&taken).unwrap();
}

#[test]
fn what_was_written_is_read_again() {
    let output = Output::new();
    let mut stages = Vec::new();
    Converter::default()
        .progress(|progress| stages.push(progress))
        .convert(golden("chatglm-6b-tiny"), INT8, output.path("int8"))
        .unwrap();
    let of = |stage| {
        stages
            .iter()
            .filter(move |progress| progress.stage == stage)
    };
    for stage in [LoadStage::Converting, LoadStage::Verifying] {
        let last = of(stage).next_back().unwrap();
        assert_eq!(last.bytes_read, last.bytes_total);
    }
    let mut verified = false;
    Converter::default()
        .verify(false)
        .progress(|progress| verified |= progress.stage == LoadStage::Verifying)
        .convert(golden("chatglm-6b-tiny"), STORED, output.path("model.glm"))
        .unwrap();
    assert!(!verified);
}

#[test]
fn a_target_that_cannot_be_written_is_named() {
    let output = Output::new();
    let path = output.path("file");
    fs::write(&path, "").unwrap();
    for target in [Target::Safetensors, STORED] {
        let inside = path.join("inside");
        let error = convert(golden("chatglm-6b-tiny"), target, &inside).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
    }
    let error = convert("nowhere", STORED, &output.path("x")).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn every_format_of_a_folder_is_a_source() {
    let output = Output::new();
    for (format, name) in [
        (WeightFormat::Safetensors, "a"),
        (WeightFormat::PytorchBin, "b"),
    ] {
        Converter::default()
            .format(format)
            .convert(golden("chatglm-6b-tiny"), INT4, output.path(name))
            .unwrap();
    }
    same_tensors(&output.path("a"), &output.path("b"));
    let group = Some(GroupSize::Row);
    let bits = Bits::Four;
    let expected = LoadOptions::default()
        .precision(Precision::Quantized { bits, group })
        .head(Precision::Stored)
        .load(golden("chatglm-6b-tiny"))
        .unwrap();
    assert_eq!(loaded(output.path("b")), logits(&expected));
}
