//! Quantising while loading: the same codes as the quantiser's own, from every float type, never twice; and the official
//! layout of what was quantised.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use glm_core::{
    Error, GenerationOptions, LoadOptions, Model, Quantizer,
    checkpoint::{
        Bits, CheckpointFiles, Converter, LoadStage, Precision, Target, WeightDType, save_f16,
    },
    config::ModelConfig,
    generate::Generator,
    model::PaddingSide,
};
use glm_quant::{Int4Matrix, Int8Matrix, half::f16};

const DENSE: &str = "transformer.layers.1.attention.dense.weight";
const FLOAT: [&str; 5] = [
    "chatglm-6b-tiny",
    "chatglm-6b-tiny-no2d",
    "chatglm-6b-tiny-legacy",
    "chatglm2-tiny",
    "codegeex2-tiny",
];

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(case)
}

fn precision(name: &str) -> Precision {
    name.parse().unwrap()
}

fn load(case: &str, name: &str) -> Result<Model, Error> {
    LoadOptions::default()
        .precision(precision(name))
        .load(golden(case))
}

fn halves(bytes: &[u8]) -> Vec<f16> {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs.iter().map(|&pair| f16::from_le_bytes(pair)).collect()
}

/// The logits after a prompt.
fn logits(model: &Model) -> Vec<f32> {
    let prompt: &[u32] = match model.config() {
        ModelConfig::ChatGlm(_) => &[318, 584, 207, 604, 621, 624],
        _ => &[318, 184, 207],
    };
    let (logits, _) = model.prefill(&[prompt]).unwrap();
    logits.into_data().try_to_vec().unwrap()
}

fn continuation(model: &Model) -> Vec<u32> {
    let options = GenerationOptions::greedy().with_max_new_tokens(6);
    Generator::new(model, &[318, 584, 207, 604, 621, 624], &options)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// How far two results are apart, as a part of the first.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| a - b));
    difference / norm(&mut a.iter().copied())
}

#[test]
fn finer_precisions_are_closer_to_the_original() {
    for case in FLOAT {
        let original = logits(&load(case, "stored").unwrap());
        let far = |name: &str, head: &str| {
            let model = LoadOptions::default()
                .precision(precision(name))
                .head(precision(head))
                .load(golden(case))
                .unwrap();
            distance(&original, &logits(&model))
        };
        let [int8, int4] = ["int8-g32", "int4-g32"].map(|name| far(name, "stored"));
        assert!(int8 > 0.0 && int8 < 0.05, "{case}: int8 is {int8} away");
        assert!(int4 > int8 && int4 < 0.5, "{case}: int4 is {int4} away");
        let head = far("stored", "int8");
        assert!(
            head > 0.0 && head < 0.05,
            "{case}: an int8 head is {head} away"
        );
    }
}

#[test]
fn a_model_in_memory_gets_the_codes_of_loading_or_better_ones() {
    for case in FLOAT {
        let original = load(case, "stored").unwrap();
        let quantize = |quantizer| {
            let model = original.clone();
            let head = Some(Precision::Stored);
            model.quantize(Precision::INT4, head, quantizer, |_, _| {})
        };
        let rounded = quantize(Quantizer::RoundToNearest).unwrap();
        let loaded = LoadOptions::default()
            .precision(Precision::INT4)
            .head(Precision::Stored)
            .load(golden(case))
            .unwrap();
        assert_eq!(logits(&rounded), logits(&loaded), "{case}");

        let row: Vec<u32> = match original.config() {
            ModelConfig::ChatGlm(_) => (0..200).chain([621, 624]).chain(200..400).collect(),
            _ => (0..400).collect(),
        };
        let calibration = std::slice::from_ref(&row);
        let calibrated = quantize(Quantizer::Gptq { calibration }).unwrap();
        // On the text that it was calibrated with it is the closer one.
        let wanted = all_logits(&original, &row);
        let [calibrated, rounded] =
            [calibrated, rounded].map(|model| distance(&wanted, &all_logits(&model, &row)));
        assert!(calibrated < rounded, "{case}: {calibrated} {rounded}");
    }
}

/// The logits behind every token of a row.
fn all_logits(model: &Model, row: &[u32]) -> Vec<f32> {
    let rows = [row];
    let input = model.input(&rows, &model.layouts(&rows).unwrap(), PaddingSide::Left);
    let logits = model.forward_observed(input, |_, _| {});
    logits.into_data().try_to_vec().unwrap()
}

#[test]
fn row_codes_are_those_of_the_official_quantiser() {
    let source = CheckpointFiles::open(golden("chatglm-6b-tiny")).unwrap();
    let weights = halves(&source.read(DENSE).unwrap());
    let &[rows, cols] = source.get(DENSE).unwrap().shape.as_slice() else {
        panic!("no matrix")
    };
    for (name, bits, expected) in [
        (
            "int8-row",
            Bits::Eight,
            Int8Matrix::quantize_f16(rows, cols, &weights)
                .unwrap()
                .codes()
                .iter()
                .map(|code| code.cast_unsigned())
                .collect::<Vec<u8>>(),
        ),
        (
            "int4-row",
            Bits::Four,
            Int4Matrix::quantize_f16(rows, cols, &weights)
                .unwrap()
                .packed()
                .to_vec(),
        ),
    ] {
        let model = LoadOptions::default()
            .precision(precision(name))
            .head(Precision::Stored)
            .load(golden("chatglm-6b-tiny"))
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        Converter::default()
            .convert(golden("chatglm-6b-tiny"), Target::Official(bits), &folder)
            .unwrap();
        let saved = CheckpointFiles::open(folder.path()).unwrap();
        assert_eq!(saved.get(DENSE).unwrap().dtype, WeightDType::I8);
        assert_eq!(saved.read(DENSE).unwrap(), expected, "{name}");
        // The folder is one that this library and others load.
        let again = glm_core::load(folder.path()).unwrap();
        assert_eq!(logits(&again), logits(&model), "{name}");
    }
}

#[test]
fn codes_are_kept_and_never_quantised_again() {
    for (case, same, others) in [
        (
            "chatglm-6b-tiny-int8",
            ["stored", "int8", "int8-row"],
            ["int4", "int4-row", "int8-g32", "int8-g128"],
        ),
        (
            "chatglm-6b-tiny-int4",
            ["stored", "int4", "int4-row"],
            ["int8", "int8-row", "int4-g32", "int4-g128"],
        ),
    ] {
        let load_with_stored_head = |name: &str| {
            LoadOptions::default()
                .precision(precision(name))
                .head(Precision::Stored)
                .load(golden(case))
        };
        let original = logits(&load_with_stored_head("stored").unwrap());
        for name in same {
            assert_eq!(
                logits(&load_with_stored_head(name).unwrap()),
                original,
                "{name}"
            );
        }
        for name in others {
            let error = load_with_stored_head(name).unwrap_err();
            assert!(
                matches!(&error, Error::AlreadyQuantized { path, asked, .. }
                    if *path == golden(case) && *asked == precision(name)),
                "{case} as {name}: {error}"
            );
        }
        // Embedding and head are float there, and can become codes.
        let packed_head = load(case, same[1]).unwrap();
        assert!(distance(&original, &logits(&packed_head)) > 0.0);
    }
}

#[test]
fn a_quantised_model_is_not_saved_as_floats() {
    let folder = tempfile::tempdir().unwrap();
    let model = load("chatglm-6b-tiny-int8", "stored").unwrap();
    assert!(matches!(
        save_f16(&model, folder.path()),
        Err(Error::OfficialLayout { .. })
    ));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_float_model_is_saved_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let model = load("chatglm-6b-tiny-no2d", "stored").unwrap();
    save_f16(&model, folder.path()).unwrap();
    assert_eq!(
        logits(&glm_core::load(folder.path()).unwrap()),
        logits(&model)
    );
}

#[test]
fn every_format_gives_the_same_codes() {
    for (case, format) in [
        (
            "chatglm-6b-tiny",
            glm_core::checkpoint::WeightFormat::PytorchBin,
        ),
        (
            "chatglm-6b-tiny",
            glm_core::checkpoint::WeightFormat::Safetensors,
        ),
    ] {
        let model = LoadOptions::default()
            .precision(Precision::INT4)
            .format(format)
            .load(golden(case))
            .unwrap();
        assert_eq!(
            continuation(&model),
            continuation(&load(case, "int4").unwrap()),
            "{format:?}"
        );
    }
}

#[test]
fn progress_says_that_weights_are_quantised() {
    let mut last = None;
    LoadOptions::default()
        .precision(Precision::INT8)
        .progress(|progress| last = Some(progress))
        .load(golden("chatglm-6b-tiny"))
        .unwrap();
    let last = last.unwrap();
    assert_eq!(last.stage, LoadStage::Quantizing);
    assert_eq!(last.bytes_read, last.bytes_total);
}
