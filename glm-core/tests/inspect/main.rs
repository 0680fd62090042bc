//! `inspect`: the right family, and the right problem, for whole and for broken folders.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../bent_checkpoint/mod.rs"]
mod bent_checkpoint;
mod kinds;
#[path = "../../../glm-tokenizer/tests/model_file/mod.rs"]
mod model_file;
mod tokenizers;
mod weights;

use std::{
    fs,
    path::{Path, PathBuf},
};

use bent_checkpoint::{bent, golden};
use glm_core::{
    Error, Precision,
    checkpoint::{Content, Inspection, LoadOptions, Member, Severity, Verdict, inspect},
    config::ModelFamily,
};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::Value;

/// A copy of a golden folder's checkpoint files.
fn copy(case: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden(case)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("expected") && !name.ends_with(".safetensors") {
            fs::copy(entry.path(), folder.path().join(name)).unwrap();
        }
    }
    folder
}

/// The only error of a folder.
fn error(inspection: &Inspection) -> &str {
    let is_error = |severity| severity == Severity::Error;
    let mut errors = inspection
        .problems
        .iter()
        .filter(|problem| is_error(problem.severity));
    let error = errors
        .next()
        .unwrap_or_else(|| panic!("no error: {inspection}"));
    assert_eq!(errors.next(), None, "{inspection}");
    assert!(!inspection.is_loadable() && inspection.plan.is_none());
    error.message.english()
}

#[test]
fn golden_folders_are_what_they_are() {
    for (case, stored, formats) in [
        ("chatglm-6b-tiny", "f16", 2),
        ("chatglm-6b-tiny-28layers", "f16", 2),
        ("chatglm-6b-tiny-no2d", "f16", 2),
        ("chatglm-6b-tiny-legacy", "f16", 1),
        ("chatglm-6b-tiny-int8", "int8", 2),
        ("chatglm-6b-tiny-int4", "int4", 2),
        ("chatglm-6b-tiny-int4-qe", "int4", 2),
    ] {
        let inspection = inspect(golden(case));
        assert!(inspection.is_loadable(), "{inspection}");
        assert_eq!(inspection.content, Content::Checkpoint);
        assert_eq!(inspection.family, Some(ModelFamily::ChatGlm));
        assert_eq!(inspection.generation, Some(2));
        assert_eq!(inspection.stored.as_deref(), Some(stored), "{case}");
        assert_eq!(inspection.weights.len(), formats, "{case}");
        // No tokenizer lies there.
        assert_eq!(inspection.problems.len(), 1);
        assert_eq!(inspection.problems[0].severity, Severity::Warning);
        assert!(
            inspection.problems[0]
                .message
                .english()
                .contains("ice_text.model")
        );
    }
}

/// What is planned is what a loaded model has.
#[test]
fn the_plan_says_what_models_take() {
    let dir = golden("chatglm-6b-tiny");
    let plan = inspect(&dir).plan.unwrap();
    let names: Vec<_> = plan
        .precisions
        .iter()
        .map(|planned| &*planned.precision)
        .collect();
    assert_eq!(names, ["stored", "int8", "int4"]);
    let model = glm_core::load(&dir).unwrap();
    assert_eq!(
        plan.cache_int16_per_1000_tokens,
        1000 * model.cache_bytes_per_token() as u64
    );
    assert_eq!(plan.max_sequence_length, 128);
    // A tiny model fits wherever tests run; the most exact precision is taken.
    assert_eq!(plan.suggested, Some(0));
    let file = tempfile::tempdir().unwrap();
    for planned in &plan.precisions {
        assert!(planned.longest_context.is_none_or(|tokens| tokens == 128));
        let path = file.path().join(&planned.precision);
        let precision: Precision = planned.precision.parse().unwrap();
        let options = LoadOptions::default().precision(precision);
        options.prepack(&dir, &path).unwrap();

        let inspection = inspect(&path);
        assert_eq!(inspection.content, Content::Prepacked);
        assert_eq!(inspection.parameters, inspect(&dir).parameters);
        let packed = inspection.plan.unwrap();
        assert_eq!(packed.precisions.len(), 1);
        assert_eq!(packed.precisions[0].head, planned.head);
        // The file has a header, and its matrices begin at pages.
        let weights = packed.precisions[0].weights;
        assert!(weights >= planned.weights && weights < planned.weights + (1 << 18));
    }
    // Codes are not quantised twice.
    let int4 = inspect(golden("chatglm-6b-tiny-int4")).plan.unwrap();
    let names: Vec<_> = int4
        .precisions
        .iter()
        .map(|planned| &*planned.precision)
        .collect();
    assert_eq!(names, ["stored", "int4"]);
}

#[test]
fn paths_without_a_model() {
    let empty = tempfile::tempdir().unwrap();
    let inspection = inspect(empty.path());
    assert_eq!(inspection.content, Content::Nothing);
    assert!(error(&inspection).contains("no checkpoint"));
    let missing = inspect(empty.path().join("nowhere"));
    assert!(error(&missing).contains("nowhere"));

    fs::write(empty.path().join("text"), "hello").unwrap();
    let text = inspect(empty.path().join("text"));
    assert_eq!(text.content, Content::Nothing);
    assert!(error(&text).contains("text"));

    fs::write(empty.path().join("ice_text.model"), "x").unwrap();
    assert_eq!(inspect(empty.path()).content, Content::Tokenizer);

    fs::copy(
        golden("chatglm-6b-tiny").join("config.json"),
        empty.path().join("config.json"),
    )
    .unwrap();
    let no_weights = inspect(empty.path());
    assert_eq!(no_weights.family, Some(ModelFamily::ChatGlm));
    assert!(error(&no_weights).contains("no checkpoint"));
}

#[test]
fn other_configurations() {
    let family = |change: fn(&mut serde_json::Map<String, Value>)| {
        let folder = bent("chatglm-6b-tiny", |_, config| change(config));
        let inspection = inspect(folder.path());
        (inspection.family, error_of_any(&inspection))
    };
    let (chatglm2, message) = family(|config| {
        config.insert("multi_query_attention".to_owned(), true.into());
    });
    assert_eq!(chatglm2, Some(ModelFamily::ChatGlm2));
    assert!(
        message.contains("the weights are of ChatGLM-6B"),
        "{message}"
    );
    let (other, message) = family(|config| {
        config.insert("model_type".to_owned(), "llama".into());
    });
    // The tensors tell.
    assert_eq!(other, Some(ModelFamily::ChatGlm));
    assert!(message.contains("llama"), "{message}");
    let (_, message) = family(|config| {
        config.insert("hidden_size".to_owned(), "64".into());
    });
    assert!(message.contains("hidden_size"), "{message}");
}

fn error_of_any(inspection: &Inspection) -> String {
    assert!(!inspection.is_loadable());
    inspection.to_string()
}

/// A folder of these files: name and content.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}
