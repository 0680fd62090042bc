//! `inspect`: the right family, and the right problem, for whole and for broken folders.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bent_checkpoint;
#[path = "../../glm-tokenizer/tests/model_file/mod.rs"]
mod model_file;

use std::{fs, path::Path};

use bent_checkpoint::{bent, golden};
use glm_core::{
    Precision,
    checkpoint::{Content, Inspection, LoadOptions, Severity, inspect},
    config::ModelFamily,
};
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
    &error.message
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
        assert!(inspection.problems[0].message.contains("ice_text.model"));
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
fn broken_weight_files() {
    let shard = "pytorch_model-00002-of-00003.bin";
    let folder = copy("chatglm-6b-tiny");
    assert!(inspect(folder.path()).is_loadable());
    let path = folder.path().join(shard);

    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(error(&inspect(folder.path())).contains(shard));

    fs::write(
        &path,
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    )
    .unwrap();
    assert!(error(&inspect(folder.path())).contains("git-lfs"));

    fs::remove_file(&path).unwrap();
    let inspection = inspect(folder.path());
    let message = error(&inspection);
    assert!(
        message.contains(shard) && message.contains("missing shard"),
        "{message}"
    );
    let files = &inspection.weights[0].files;
    assert!(
        files
            .iter()
            .any(|file| file.name == shard && file.bytes.is_none())
    );

    let index = folder.path().join("pytorch_model.bin.index.json");
    fs::write(index, "{").unwrap();
    assert!(error(&inspect(folder.path())).contains("index.json"));
}

#[test]
fn every_problem_is_listed() {
    let folder = bent("chatglm-6b-tiny", |tensors, _| {
        tensors.remove("transformer.layers.1.mlp.dense_h_to_4h.bias");
        tensors.remove("transformer.layers.2.attention.dense.weight");
        let stray = tensors["transformer.final_layernorm.bias"].clone();
        tensors.insert("transformer.extra".to_owned(), stray);
        if let Some((_, shape, _)) =
            tensors.get_mut("transformer.layers.0.mlp.dense_h_to_4h.weight")
        {
            shape.reverse();
        }
    });
    let inspection = inspect(folder.path());
    let text = inspection.to_string();
    assert_eq!(inspection.problems.len(), 5, "{text}");
    for name in [
        "dense_h_to_4h.bias",
        "2.attention.dense.weight",
        "transformer.extra",
        "0.mlp.dense_h_to_4h",
    ] {
        assert!(text.contains(name), "{text}");
    }
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

#[test]
fn tokenizers() {
    let folder = copy("chatglm-6b-tiny");
    let path = folder.path().join("ice_text.model");
    // As many pieces as make <sop> the 624th.
    let pieces: Vec<String> = (0..615).map(|piece| format!("a{piece}")).collect();
    let pieces: Vec<(&str, f32)> = pieces.iter().map(|piece| (&**piece, -1.0)).collect();
    fs::write(&path, model_file::chatglm(&pieces, &[])).unwrap();
    let good = inspect(folder.path());
    assert!(good.is_loadable() && good.problems.is_empty(), "{good}");
    assert_eq!(good.tokenizer.as_deref(), Some(path.as_path()));

    // Of another vocabulary: in the way of chatting, not of loading.
    fs::write(&path, model_file::chatglm(&[("a", -1.0)], &[])).unwrap();
    let other = inspect(folder.path());
    assert!(other.is_loadable());
    assert!(other.problems[0].message.contains("<sop>"), "{other}");

    fs::write(&path, model_file::chatglm_first_generation(&[("a", -1.0)])).unwrap();
    assert!(error(&inspect(folder.path())).contains("first generation"));
    // So is a damaged one.
    fs::write(&path, "not a model").unwrap();
    let damaged = inspect(folder.path());
    assert!(damaged.is_loadable());
    assert_eq!(damaged.problems[0].severity, Severity::Warning);
}

#[test]
fn ggml_files() {
    let file = golden("ggml/chatglm-6b-tiny.q4_0.bin");
    let inspection = inspect(&file);
    assert!(
        inspection.is_loadable() && inspection.problems.is_empty(),
        "{inspection}"
    );
    assert_eq!(inspection.content, Content::Ggml);
    assert_eq!(inspection.stored.as_deref(), Some("q4_0"));
    // Of the codes that it has, and no others.
    let plan = inspection.plan.unwrap();
    assert_eq!(plan.precisions.len(), 1);
    assert_eq!(plan.precisions[0].head, "int4-g32");

    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.bin");
    let whole = fs::read(&file).unwrap();
    fs::write(&cut, &whole[..whole.len() - 1]).unwrap();
    let inspection = inspect(&cut);
    assert_eq!(inspection.content, Content::Nothing);
    assert!(error(&inspection).contains("cut.bin"));
}

/// Every folder of the official fixtures.
#[test]
#[ignore = "needs the folder of all fixtures: set GLM_TEST_FIXTURES and run with --include-ignored"]
fn fixture_folders_are_told_apart() {
    let fixtures = std::env::var_os("GLM_TEST_FIXTURES").unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(fixtures).unwrap() {
        let dir = entry.unwrap().path();
        if !dir.is_dir() {
            continue;
        }
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        let inspection = inspect(&dir);
        let content = match name.as_str() {
            _ if name.contains("ptuning") => Content::PTuningPrefix,
            _ if name.contains("lora") => Content::LoraAdapter,
            _ if dir.join("config.json").exists() => Content::Checkpoint,
            _ if has_tokenizer(&dir) => Content::Tokenizer,
            _ => Content::Nothing,
        };
        assert_eq!(inspection.content, content, "{inspection}");
        let family = match name.split('-').next().unwrap() {
            _ if !dir.join("config.json").exists() => None,
            "chatglm" => Some(ModelFamily::ChatGlm),
            "chatglm2" => Some(ModelFamily::ChatGlm2),
            "codegeex2" => Some(ModelFamily::CodeGeeX2),
            "visualglm" => Some(ModelFamily::VisualGlm),
            other => panic!("an unknown fixture, {other}"),
        };
        assert_eq!(inspection.family, family, "{inspection}");
        let generation = match family {
            Some(ModelFamily::ChatGlm) if name.contains("first-generation") => Some(1),
            Some(ModelFamily::ChatGlm) => Some(2),
            _ => None,
        };
        assert_eq!(inspection.generation, generation, "{inspection}");
        seen += 1;
    }
    assert!(seen >= 25, "only {seen} folders");
}

fn has_tokenizer(dir: &Path) -> bool {
    ["ice_text.model", "tokenizer.model"]
        .iter()
        .any(|name| dir.join(name).exists())
}
