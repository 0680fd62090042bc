//! A folder in which something is wrong does not pass, and the right checks say so.

#![allow(clippy::unwrap_used)] // Also in the functions that write folders.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use glm_core::checkpoint::WeightFormat;
use parity::{Error, Options, Report, check_folder};
use serde_json::Value;
use tempfile::TempDir;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../glm-core/tests/golden")
        .join(name)
}

/// A copy that may be changed.
fn copy_of(name: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn check(dir: &Path) -> Result<Report, Error> {
    let options = Options {
        format: Some(WeightFormat::Safetensors),
        ..Options::default()
    };
    check_folder(dir, &options, |_| {})
}

fn failures(report: &Report) -> BTreeSet<&str> {
    report
        .checks
        .iter()
        .filter(|check| !check.passed())
        .map(|check| check.name.as_str())
        .collect()
}

/// Changes the bytes of every tensor of a safetensors file.
fn change_tensors(path: &Path, mut change: impl FnMut(&str, &str, &mut [u8])) {
    let mut bytes = fs::read(path).unwrap();
    let (length, rest) = bytes.split_first_chunk_mut::<8>().unwrap();
    let (header, data) = rest.split_at_mut(u64::from_le_bytes(*length) as usize);
    let header: Value = serde_json::from_slice(header).unwrap();
    for (name, info) in header
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name != "__metadata__")
    {
        let offset = |index: usize| info["data_offsets"][index].as_u64().unwrap() as usize;
        change(
            name,
            info["dtype"].as_str().unwrap(),
            &mut data[offset(0)..offset(1)],
        );
    }
    fs::write(path, bytes).unwrap();
}

fn change_json(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut document = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut document);
    fs::write(path, document.to_string()).unwrap();
}

#[test]
fn one_wrong_weight_fails_its_layer_and_what_follows() {
    let copy = copy_of("chatglm-6b-tiny");
    change_tensors(&copy.path().join("model.safetensors"), |name, _, bytes| {
        if name == "transformer.layers.1.mlp.dense_h_to_4h.bias" {
            // f16 12.0, little-endian: one activation of the second layer.
            bytes[..2].copy_from_slice(&[0x00, 0x4a]);
        }
    });
    let report = check(copy.path()).unwrap();
    let failures = failures(&report);
    for stage in ["layer.1", "layer.2", "final_layernorm", "logits"] {
        let name = format!("single.0.{stage} [gmask_short]");
        assert!(failures.contains(name.as_str()), "{name}: {failures:#?}");
    }
    for stage in ["embed", "layer.0", "position_ids"] {
        let name = format!("single.0.{stage} [gmask_short]");
        assert!(!failures.contains(name.as_str()), "{name}");
    }

    // The other weight format is untouched.
    let options = Options {
        format: Some(WeightFormat::PytorchBin),
        ..Options::default()
    };
    assert!(
        check_folder(copy.path(), &options, |_| {})
            .unwrap()
            .passed()
    );
}

/// Only inputs, what they decide, and comparisons with our own results pass when every expected tensor is changed:
/// there is no tensor that is read and not compared.
#[test]
fn every_expected_tensor_is_compared() {
    let copy = copy_of("chatglm-6b-tiny");
    change_tensors(
        &copy.path().join("expected.safetensors"),
        |name, dtype, bytes| {
            if name.ends_with("input_ids") || name.ends_with("tokens") {
                return;
            }
            match dtype {
                "F32" => {
                    for value in bytes.as_chunks_mut::<4>().0 {
                        *value = (f32::from_le_bytes(*value) + 0.01).to_le_bytes();
                    }
                }
                // Positions and masks: the lowest bit of every element.
                "I64" => bytes.iter_mut().step_by(8).for_each(|byte| *byte ^= 1),
                _ => bytes.iter_mut().for_each(|byte| *byte ^= 1),
            }
        },
    );
    let report = check(copy.path()).unwrap();
    let passed: BTreeSet<&str> = report
        .checks
        .iter()
        .filter(|check| check.passed())
        .map(|check| check.quantity.as_str())
        .collect();
    let expected = [
        "batch.incremental.tokens",
        "batch.input_ids",
        "generate",
        "incremental.cached against recomputed",
        "incremental.tokens",
        "list of tensors",
    ];
    assert_eq!(passed, BTreeSet::from(expected));
}

#[test]
fn one_wrong_token_fails_its_generation() {
    let copy = copy_of("chatglm-6b-tiny");
    change_json(&copy.path().join("expected.json"), |document| {
        document["generate"][7]["output_ids"][2][25] = 1.into();
    });
    let report = check(copy.path()).unwrap();
    assert_eq!(
        failures(&report),
        BTreeSet::from(["generate [batch_greedy_eos]"])
    );
}

#[test]
fn an_argument_that_is_not_supported_is_a_failure_that_names_it() {
    let copy = copy_of("chatglm-6b-tiny");
    change_json(&copy.path().join("expected.json"), |document| {
        document["generate"][0]["kwargs"]["num_beams"] = 4.into();
    });
    let report = check(copy.path()).unwrap();
    let failed: Vec<String> = report
        .checks
        .iter()
        .filter(|check| !check.passed())
        .map(ToString::to_string)
        .collect();
    assert_eq!(failed.len(), 1);
    assert!(
        failed[0].ends_with("argument `num_beams` = 4 of generate() is not supported"),
        "{failed:?}"
    );
}

#[test]
fn a_prompt_that_is_none_fails_and_the_others_run() {
    let copy = copy_of("chatglm-6b-tiny");
    change_tensors(
        &copy.path().join("expected.safetensors"),
        |name, _, bytes| {
            if name == "single.2.input_ids" {
                // Token 0 three times: no blank, no start of an answer.
                bytes.fill(0);
            }
        },
    );
    let report = check(copy.path()).unwrap();
    assert_eq!(
        failures(&report),
        BTreeSet::from(["single.2 [gmask_one_token]"])
    );
    let left = [
        "attention_mask",
        "embed",
        "final_layernorm",
        "layer.0",
        "layer.1",
        "layer.2",
        "logits",
        "position_ids",
    ];
    assert_eq!(
        report.not_checked,
        left.map(|stage| format!("single.2.{stage}"))
    );
}

#[test]
fn wrong_quantised_codes_fail_bit_for_bit() {
    let copy = copy_of("chatglm-6b-tiny-int4");
    change_tensors(&copy.path().join("model.safetensors"), |name, _, bytes| {
        if name == "transformer.layers.0.attention.query_key_value.weight" {
            // The lowest bit of one low nibble.
            bytes[100] ^= 1;
        }
    });
    let report = check(copy.path()).unwrap();
    let failures = failures(&report);
    for kind in ["dequant_f32", "dequant_f16"] {
        let name = format!("{kind}.transformer.layers.0.attention.query_key_value.weight");
        assert!(failures.contains(name.as_str()), "{failures:#?}");
    }
}

#[test]
fn a_wrong_score_fails_its_case() {
    let copy = copy_of("sampling");
    change_tensors(
        &copy.path().join("expected.safetensors"),
        |name, _, bytes| {
            if name == "case.3.flat.probs" {
                bytes[..4].copy_from_slice(&0.5_f32.to_le_bytes());
            }
        },
    );
    assert_eq!(
        failures(&check(copy.path()).unwrap()),
        BTreeSet::from(["case.3.flat.probs"])
    );
}

#[test]
fn a_wrong_value_in_a_torch_file_fails() {
    let copy = copy_of("torch-formats");
    change_tensors(
        &copy.path().join("expected.safetensors"),
        |name, _, bytes| {
            if name == "view_transposed" {
                bytes[0] ^= 1;
            }
        },
    );
    let names = [
        "legacy.bin: view_transposed",
        "nested.bin: view_transposed",
        "zip.bin: view_transposed",
    ];
    assert_eq!(
        failures(&check(copy.path()).unwrap()),
        BTreeSet::from(names)
    );
}

#[test]
fn files_cut_short_are_errors() {
    for file in ["expected.json", "expected.safetensors"] {
        let copy = copy_of("torch-formats");
        let path = copy.path().join(file);
        let bytes = fs::read(&path).unwrap();
        // Without the newline at the end the JSON is still whole.
        let whole = bytes.trim_ascii_end().len();
        for length in (0..whole).step_by(whole / 61) {
            fs::write(&path, &bytes[..length]).unwrap();
            let error = check(copy.path()).unwrap_err().to_string();
            assert!(error.contains(file), "{length} bytes: {error}");
        }
    }
}

#[test]
fn json_of_another_form_is_an_error_that_names_the_key() {
    for (key, value) in [
        ("generate", Value::from(3)),
        ("batch", serde_json::json!({ "pad_lengths": [0, 1] })),
        ("batch", serde_json::json!({ "pad_lengths": [0, 23, 0] })),
        ("single", serde_json::json!([{ "index": -1 }])),
        ("tensors", serde_json::json!(["x"])),
    ] {
        let copy = copy_of("chatglm-6b-tiny");
        change_json(&copy.path().join("expected.json"), |document| {
            document[key] = value
        });
        let error = check(copy.path()).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
        assert!(error.to_string().contains(&format!("`{key}")), "{error}");
    }
}

#[test]
fn a_listed_prompt_without_tensors_is_an_error() {
    let copy = copy_of("chatglm-6b-tiny");
    change_json(&copy.path().join("expected.json"), |document| {
        document["single"][0]["index"] = 99.into()
    });
    let error = check(copy.path()).unwrap_err().to_string();
    assert!(error.contains("`single.99.input_ids`"), "{error}");
}
