//! `inspect`: the right family, and the right problem, for whole and for broken folders.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bent_checkpoint;
#[path = "../../glm-tokenizer/tests/model_file/mod.rs"]
mod model_file;

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

    // Of another vocabulary: nothing can be asked with it.
    fs::write(&path, model_file::chatglm(&[("a", -1.0)], &[])).unwrap();
    let other = inspect(folder.path());
    assert!(error(&other).contains("<sop>"), "{other}");
    assert!(error(&other).contains("config.json"), "{other}");

    fs::write(&path, model_file::chatglm_first_generation(&[("a", -1.0)])).unwrap();
    assert!(error(&inspect(folder.path())).contains("first generation"));
}

/// What lies in place of a tokenizer is a problem that names it, beside every form of a model.
#[test]
fn stand_ins_of_tokenizers() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:5e97\nsize 2706249\n";
    let folder = copy("chatglm-6b-tiny");
    let packed = folder.path().join("model.glm");
    LoadOptions::default()
        .prepack(folder.path(), &packed)
        .unwrap();
    let path = folder.path().join("ice_text.model");
    let check = || {
        for model in [folder.path(), &packed] {
            let inspection = inspect(model);
            assert!(
                error(&inspection).contains("ice_text.model"),
                "{inspection}"
            );
            assert_eq!(inspection.verdict, Verdict::Broken);
            assert_eq!(inspection.tokenizer.as_deref(), Some(path.as_path()));
            let refused = glm_core::load_tokenizer(model).unwrap_err().to_string();
            assert!(refused.contains("ice_text.model"), "{refused}");
        }
    };
    for garbage in ["not a model", "", pointer, "\0\0\0\0"] {
        fs::write(&path, garbage).unwrap();
        check();
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    check();
}

/// What is no model is said to be none, before any tokenizer is looked for.
#[test]
fn files_that_are_no_models_are_named() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:5e97\nsize 1\n";
    let folder = folder(&[
        ("text.flm", b"abcd"),
        ("empty.bin", b""),
        ("empty.glm", b""),
        ("pointer.glm", pointer.as_bytes()),
        ("short.bin", b"ggml"),
        ("photo.png", PNG),
        ("adapter.safetensors", &empty_tensors(&[LORA_TENSOR])),
        ("page.glm", b"<!DOCTYPE html>"),
    ]);
    let mut seen = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let tokenizer = glm_core::load_tokenizer(&path).unwrap_err();
        assert!(!matches!(tokenizer, Error::Tokenizer(_)), "{tokenizer}");
        let model = glm_core::load(&path).unwrap_err();
        assert_eq!(tokenizer.to_string(), model.to_string());
        assert_eq!(error(&inspect(&path)), model.to_string());
        assert!(model.to_string().contains(name), "{model}");
        seen += 1;
    }
    assert_eq!(seen, 8);
}

/// A checkpoint with tokenizer files of both families beside it, and several models in one folder.
#[test]
fn tokenizers_are_chosen_by_the_model() {
    let pieces: Vec<String> = (0..615).map(|piece| format!("a{piece}")).collect();
    let pieces: Vec<(&str, f32)> = pieces.iter().map(|piece| (&**piece, -1.0)).collect();
    let folder = folder(&[
        ("ice_text.model", &model_file::chatglm(&pieces, &[])),
        ("tokenizer.model", &model_file::chatglm2(&["a"], true)),
    ]);
    let first = folder.path().join("first.glm");
    let second = folder.path().join("second.glm");
    for (case, file) in [("chatglm-6b-tiny", &first), ("chatglm2-tiny", &second)] {
        LoadOptions::default().prepack(golden(case), file).unwrap();
    }
    let together = inspect(folder.path());
    assert_eq!(together.verdict, Verdict::ChooseOne);
    assert_eq!(together.members.len(), 2);

    let tokenizer_of = |model: &Path| {
        let inspection = inspect(model);
        assert!(
            inspection.is_loadable() && inspection.problems.is_empty(),
            "{inspection}"
        );
        let loaded = glm_core::load_tokenizer(model).unwrap();
        glm_core::load(model)
            .unwrap()
            .check_tokenizer(&loaded)
            .unwrap();
        inspection.tokenizer.unwrap()
    };
    assert!(tokenizer_of(&first).ends_with("ice_text.model"));
    assert!(tokenizer_of(&second).ends_with("tokenizer.model"));
    // The same in a checkpoint folder.
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden("chatglm2-tiny").join(name), folder.path().join(name)).unwrap();
    }
    assert!(tokenizer_of(folder.path()).ends_with("tokenizer.model"));
    fs::remove_file(folder.path().join("config.json")).unwrap();

    // Names do not count: one that fits is taken.
    let [ice_text, tokenizer] =
        ["ice_text.model", "tokenizer.model"].map(|name| folder.path().join(name));
    let other = folder.path().join("other");
    for (from, to) in [
        (&ice_text, &other),
        (&tokenizer, &ice_text),
        (&other, &tokenizer),
    ] {
        fs::rename(from, to).unwrap();
    }
    assert!(tokenizer_of(&first).ends_with("tokenizer.model"));
    assert!(tokenizer_of(&second).ends_with("ice_text.model"));

    // Without a tokenizer of its own, a model is told which two files do not belong together.
    fs::remove_file(&tokenizer).unwrap();
    let inspection = inspect(&first);
    let refused = glm_core::load_tokenizer(&first).unwrap_err();
    assert_eq!(error(&inspection), refused.to_string());
    assert!(
        matches!(&refused, Error::Mixed { path, other, .. } if *path == first && *other == ice_text),
        "{refused}"
    );
    glm_core::load(&first).unwrap();
}

/// The tokenizers of ChatGLM2-6B and CodeGeeX2-6B differ in a flag, the models in what they were trained on.
#[test]
fn tokenizers_of_close_relatives_are_doubted() {
    for (case, prefix, is_right) in [
        ("chatglm2-tiny", true, true),
        ("chatglm2-tiny", false, false),
        ("codegeex2-tiny", false, true),
        ("codegeex2-tiny", true, false),
    ] {
        let folder = bent(case, |_, _| {});
        let tokenizer = model_file::chatglm2(&["a"], prefix);
        fs::write(folder.path().join("tokenizer.model"), tokenizer).unwrap();
        let inspection = inspect(folder.path());
        assert!(inspection.is_loadable(), "{inspection}");
        let said: Vec<&str> = inspection
            .problems
            .iter()
            .map(|problem| problem.message.english())
            .collect();
        match is_right {
            true => assert!(said.is_empty(), "{said:?}"),
            false => assert!(said[0].contains("tokenizer.model"), "{said:?}"),
        }
    }
}

/// Weights of training programs load, and both the page and the open files say that their names were longer.
#[test]
fn wrapped_names_are_unwrapped() {
    let expected = glm_core::checkpoint::CheckpointFiles::open(golden("chatglm-6b-tiny")).unwrap();
    for wrapper in [
        "module.",
        "base_model.model.",
        "model.",
        "_orig_mod.module.",
    ] {
        let folder = bent("chatglm-6b-tiny", |tensors, _| {
            *tensors = std::mem::take(tensors)
                .into_iter()
                .map(|(name, tensor)| (format!("{wrapper}{name}"), tensor))
                .collect();
        });
        let files = glm_core::checkpoint::CheckpointFiles::open(folder.path()).unwrap();
        assert_eq!(files.name_wrapper(), Some(wrapper));
        for tensor in expected.tensors() {
            let name = &tensor.name;
            assert_eq!(
                files.read(name).unwrap(),
                expected.read(name).unwrap(),
                "{name}"
            );
        }
        glm_core::load(folder.path()).unwrap();
        let inspection = inspect(folder.path());
        assert!(inspection.is_loadable(), "{inspection}");
        let is_said = |problem: &glm_core::checkpoint::Problem| {
            problem.severity == Severity::Warning && problem.message.english().contains(wrapper)
        };
        assert!(inspection.problems.iter().any(is_said), "{inspection}");
    }
    // A wrapper around some names is none.
    let folder = bent("chatglm-6b-tiny", |tensors, _| {
        let (name, tensor) = tensors.pop_last().unwrap();
        tensors.insert(format!("module.{name}"), tensor);
    });
    assert_eq!(inspect(folder.path()).verdict, Verdict::Broken);
}

/// The same for shards, whose index has the long names.
#[test]
fn wrapped_names_of_shards_are_unwrapped() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(golden("chatglm-6b-tiny").join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut map = serde_json::Map::new();
    let mut shards: [Vec<(String, TensorView<'_>)>; 2] = Default::default();
    for (index, (name, view)) in tensors.iter().enumerate() {
        let wrapped = format!("module.{name}");
        map.insert(wrapped.clone(), format!("{}.safetensors", index % 2).into());
        shards[index % 2].push((wrapped, view));
    }
    for (index, shard) in shards.into_iter().enumerate() {
        let path = folder.path().join(format!("{index}.safetensors"));
        safetensors::serialize_to_file(shard, None, &path).unwrap();
    }
    let index = serde_json::json!({"weight_map": map}).to_string();
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    let config = "config.json";
    fs::copy(
        golden("chatglm-6b-tiny").join(config),
        folder.path().join(config),
    )
    .unwrap();
    assert!(inspect(folder.path()).is_loadable());
    glm_core::load(folder.path()).unwrap();
}

/// A whole model that something was added to is not that model without it.
#[test]
fn models_with_an_addition_are_refused_as_what_they_are() {
    for (addition, content) in [
        (
            "transformer.prefix_encoder.embedding.weight",
            Content::ModelWithPrefix,
        ),
        (
            "transformer.layers.0.attention.query_key_value.lora_A.weight",
            Content::ModelWithAdapter,
        ),
    ] {
        let folder = bent("chatglm-6b-tiny", |tensors, config| {
            let tensor = tensors["transformer.final_layernorm.bias"].clone();
            tensors.insert(addition.to_owned(), tensor);
            config.insert("pre_seq_len".to_owned(), 8.into());
        });
        let inspection = inspect(folder.path());
        assert_eq!(inspection.content, content, "{inspection}");
        assert_eq!(inspection.verdict, Verdict::NotSupported);
        assert!(
            error(&inspection).contains("a whole model with"),
            "{inspection}"
        );
        let refused = glm_core::load(folder.path()).unwrap_err();
        assert!(
            matches!(refused, Error::UnsupportedModel { .. }),
            "{refused}"
        );
        assert_eq!(error(&inspection), refused.to_string());
    }
}

/// Forty thousand tensors that no one asked for are counted, not listed: each was compared with every other before.
#[test]
fn many_surplus_tensors_are_counted() {
    let folder = bent("chatglm-6b-tiny", |tensors, _| {
        for surplus in 0..40_000 {
            tensors.insert(format!("surplus.{surplus}"), (Dtype::F32, vec![0], vec![]));
        }
    });
    let inspection = inspect(folder.path());
    assert!(
        inspection.problems.len() < 110,
        "{}",
        inspection.problems.len()
    );
    let text = inspection.to_string();
    assert!(text.contains("39900 more tensors"), "{text}");
    assert!(text.contains("`surplus.0`"), "{text}");
}

/// The end of an answer is a token of the tokenizer like the others.
#[test]
fn an_end_that_the_tokenizer_does_not_have_is_a_problem() {
    let pieces: Vec<String> = (0..615).map(|piece| format!("a{piece}")).collect();
    let pieces: Vec<(&str, f32)> = pieces.iter().map(|piece| (&**piece, -1.0)).collect();
    for (case, name, tokenizer, token) in [
        (
            "chatglm-6b-tiny",
            "ice_text.model",
            model_file::chatglm(&pieces, &[]),
            "<eop>",
        ),
        (
            "chatglm2-tiny",
            "tokenizer.model",
            model_file::chatglm2(&["a"], true),
            "</s>",
        ),
    ] {
        let folder = bent(case, |_, config| {
            config.insert("eos_token_id".to_owned(), 77.into());
        });
        let file = folder.path().join(name);
        fs::write(&file, tokenizer).unwrap();
        let inspection = inspect(folder.path());
        let message = error(&inspection);
        for part in [token, "77", name, "config.json"] {
            assert!(message.contains(part), "{message}");
        }
        let model = glm_core::load(folder.path()).unwrap();
        let tokenizer = glm_core::load_tokenizer(folder.path()).unwrap();
        let refused = model.chat(&tokenizer, "a", &[]).unwrap_err();
        let message = refused.to_string();
        for part in [token, "77", name, &folder.path().display().to_string()] {
            assert!(message.contains(part), "{message}");
        }
        assert!(matches!(refused, Error::OtherTokenizer { .. }), "{refused}");
    }
    // In a ggml file of either version, whose tokenizer is in it. -1 stands for the tokenizer's.
    for (file, at) in [
        ("ggml/chatglm-6b-tiny.q4_0.bin", 56),
        ("ggml/chatglm-6b-tiny.q4_0-version1.bin", 44),
        ("ggml/chatglm2-tiny.q4_0.bin", 56),
        ("ggml/chatglm2-tiny.q4_0-version1.bin", 44),
    ] {
        let mut bytes = fs::read(golden(file)).unwrap();
        for (eos, is_right) in [(77_i32, false), (-1, true)] {
            bytes[at..at + 4].copy_from_slice(&eos.to_le_bytes());
            let folder = folder(&[("model.bin", &bytes)]);
            let path = folder.path().join("model.bin");
            let inspection = inspect(&path);
            assert_eq!(inspection.is_loadable(), is_right, "{inspection}");
            if !is_right {
                let refused = glm_core::load(&path).unwrap_err();
                assert!(
                    matches!(&refused, Error::Config { key, .. } if key == "eos_token_id"),
                    "{refused}"
                );
                assert_eq!(error(&inspection), refused.to_string());
            }
        }
    }
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

/// A safetensors file of empty tensors.
fn empty_tensors(names: &[&str]) -> Vec<u8> {
    let views = names
        .iter()
        .map(|name| (*name, TensorView::new(Dtype::F32, vec![0], &[]).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

const LORA_CONFIG: &[u8] =
    br#"{"peft_type": "LORA", "base_model_name_or_path": "THUDM/chatglm-6b", "r": 8}"#;
const LORA_TENSOR: &str =
    "base_model.model.transformer.layers.0.attention.query_key_value.lora_A.weight";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Whatever else lies in folders of models is known by name, and said to be no model, or not supported yet.
#[test]
fn other_kinds_of_folders_are_told_by_name() {
    let lora = empty_tensors(&[LORA_TENSOR]);
    let bert = empty_tensors(&["bert.encoder.layer.0.attention.self.query.weight"]);
    let weights = empty_tensors(&["a"]);
    use Content::*;
    use Verdict::*;
    let kinds: Vec<(
        Content,
        Verdict,
        Option<ModelFamily>,
        &str,
        tempfile::TempDir,
    )> = vec![
        (
            LoraAdapter,
            NotSupported,
            Some(ModelFamily::ChatGlm),
            "a LoRA adapter for THUDM/chatglm-6b",
            folder(&[
                ("adapter_config.json", LORA_CONFIG),
                ("adapter_model.safetensors", &lora),
            ]),
        ),
        // Half a download.
        (
            LoraAdapter,
            NotSupported,
            None,
            "a LoRA adapter for THUDM/chatglm-6b",
            folder(&[("adapter_config.json", LORA_CONFIG)]),
        ),
        (
            OtherAdapter,
            NotSupported,
            None,
            "PEFT's type IA3",
            folder(&[("adapter_config.json", br#"{"peft_type": "IA3"}"#)]),
        ),
        (
            SwissArmyTransformer,
            NotSupported,
            Some(ModelFamily::VisualGlm),
            "VisualGLMModel",
            folder(&[
                ("model_config.json", br#"{"model_class": "VisualGLMModel"}"#),
                ("latest", b"1"),
                ("1/mp_rank_00_model_states.pt", b""),
            ]),
        ),
        (
            TextEncoder,
            NotSupported,
            None,
            "\"xlm-roberta\"",
            folder(&[("config.json", br#"{"model_type": "xlm-roberta"}"#)]),
        ),
        // Without a configuration the tensors tell.
        (
            TextEncoder,
            NotSupported,
            None,
            "a text encoder",
            folder(&[("model.safetensors", &bert)]),
        ),
        (
            Collection,
            ChooseOne,
            None,
            "one, three, two.bin",
            folder(&[
                ("one/adapter_config.json", LORA_CONFIG),
                ("two.bin", b"ggml"),
                ("three/config.json", br#"{"model_type": "chatglm"}"#),
                ("three/model.safetensors", &weights),
                ("four/settings.json", b"{}"),
                ("README.md", b"two adapters"),
            ]),
        ),
        (
            Images,
            NotAModel,
            None,
            "images",
            folder(&[
                ("a.png", PNG),
                ("b", b"\xff\xd8\xff\xe0"),
                ("c.webp", b"RIFF\0\0\0\0WEBPVP8 "),
                ("README.md", b"pictures"),
            ]),
        ),
        (
            Data,
            NotAModel,
            None,
            "data files",
            folder(&[("train.json", b"{}"), ("dev.csv", b"a,b"), ("a.png", PNG)]),
        ),
        (
            Tokenizer,
            NotAModel,
            None,
            "a tokenizer without a model",
            folder(&[("tokenizer.model", b"")]),
        ),
        (
            Nothing,
            NotAModel,
            None,
            "no checkpoint",
            folder(&[("README.md", b"")]),
        ),
    ];
    for (content, verdict, family, words, folder) in kinds {
        let inspection = inspect(folder.path());
        assert_eq!(inspection.content, content, "{inspection}");
        assert_eq!(inspection.verdict, verdict, "{inspection}");
        assert_eq!(inspection.family, family, "{inspection}");
        let message = error(&inspection);
        assert!(message.contains(words), "{message}");
        let page = inspection.to_string();
        assert!(page.contains(&verdict.to_string()), "{page}");
        let members = usize::from(content == Content::Collection) * 3;
        assert_eq!(inspection.members.len(), members);
        for member in &inspection.members {
            assert!(page.contains(&member.content.to_string()), "{page}");
        }
    }
}

/// The same for what is given as a file.
#[test]
fn other_kinds_of_files_are_told_by_name() {
    let prefix = empty_tensors(&["transformer.prefix_encoder.embedding.weight"]);
    let shard =
        empty_tensors(&["transformer.encoder.layers.27.self_attention.query_key_value.weight"]);
    let tokenizer = model_file::chatglm2(&["a"], true);
    use Content::*;
    use Verdict::*;
    for (name, bytes, content, verdict, words) in [
        (
            "adapter_model.safetensors",
            &*empty_tensors(&[LORA_TENSOR]),
            LoraAdapter,
            NotSupported,
            "a LoRA adapter",
        ),
        (
            "model.safetensors",
            &prefix,
            PTuningPrefix,
            NotSupported,
            "a P-Tuning v2 prefix",
        ),
        (
            "model-00002-of-00002.safetensors",
            &shard,
            Weights,
            Broken,
            "without their configuration",
        ),
        (
            "states.safetensors",
            &empty_tensors(&["mixins.eva.a"]),
            SwissArmyTransformer,
            NotSupported,
            "SwissArmyTransformer",
        ),
        (
            "expected.safetensors",
            &empty_tensors(&["a"]),
            Data,
            NotAModel,
            "data files",
        ),
        (
            "photo.jpg",
            b"\xff\xd8\xff\xe1",
            Images,
            NotAModel,
            "images",
        ),
        ("train.jsonl", b"{}", Data, NotAModel, "data files"),
        (
            "tokenizer.model",
            &tokenizer,
            Tokenizer,
            NotAModel,
            "a tokenizer without a model",
        ),
        (
            "read.glm",
            b"GLMREAD\n1",
            PromptCache,
            NotAModel,
            "a prompt cache",
        ),
    ]
        as [(&str, &[u8], Content, Verdict, &str); 9]
    {
        let folder = folder(&[(name, bytes)]);
        let inspection = inspect(folder.path().join(name));
        assert_eq!(inspection.content, content, "{inspection}");
        assert_eq!(inspection.verdict, verdict, "{inspection}");
        let message = error(&inspection);
        assert!(
            message.contains(name) && message.contains(words),
            "{message}"
        );
    }
}

/// What the folders of the official fixtures are.
fn fixture_content(name: &str) -> Option<Content> {
    Some(match name {
        "chatglm-6b-tiny"
        | "chatglm-6b-tiny-28layers"
        | "chatglm-6b-tiny-first-generation"
        | "chatglm-6b-tiny-int4"
        | "chatglm-6b-tiny-int4-qe"
        | "chatglm-6b-tiny-int8"
        | "chatglm-6b-tiny-legacy"
        | "chatglm-6b-tiny-no2d"
        | "chatglm2-tiny"
        | "chatglm2-tiny-int4"
        | "chatglm2-tiny-int8"
        | "chatglm2-tiny-mha"
        | "codegeex2-tiny"
        | "visualglm-tiny"
        | "ggml/checkpoint-chatglm-6b-tiny"
        | "ggml/checkpoint-chatglm2-tiny" => Content::Checkpoint,
        "chatglm-6b-tiny-ptuning"
        | "chatglm-6b-tiny-ptuning-projection"
        | "chatglm2-tiny-ptuning"
        | "chatglm2-tiny-ptuning-projection" => Content::PTuningPrefix,
        "chatglm-6b-tiny-lora"
        | "chatglm-6b-tiny-lora-early"
        | "chatglm-6b-tiny-qlora"
        | "chatglm2-tiny-lora"
        | "chatglm2-tiny-qlora"
        | "chatglm-6b-tiny-lora-variants/dora"
        | "chatglm-6b-tiny-lora-variants/modules-to-save"
        | "chatglm-6b-tiny-lora-variants/bias-all"
        | "chatglm-6b-tiny-lora/adapter_model.bin"
        | "chatglm-6b-tiny-lora-early/adapter_model.bin"
        | "chatglm2-tiny-lora/adapter_model.safetensors" => Content::LoraAdapter,
        "chatglm-6b-tiny-lora-variants" | "ggml" | "bert-tiny/contriever" => Content::Collection,
        "visualglm-tiny-sat" | "visualglm-tiny-sat/1/mp_rank_00_model_states.pt" => {
            Content::SwissArmyTransformer
        }
        "bert-tiny"
        | "bert-tiny/old-names"
        | "bert-tiny/cross-encoder"
        | "bert-tiny/xlm-roberta"
        | "bert-tiny/contriever/query_encoder" => Content::TextEncoder,
        "tokenizer-codegeex2" | "tokenizer-first-generation" => Content::Tokenizer,
        "image-preprocess/images" | "image-preprocess/decoded" | "visualglm-tiny/images" => {
            Content::Images
        }
        "beam-search"
        | "bert-tiny/layouts/bge"
        | "chatglm-6b-tiny-finetune"
        | "chatglm-6b-tiny-ptuning-int4-train"
        | "chatglm2-tiny-finetune"
        | "chatglm2-tiny-ptuning-int4-train"
        | "image-preprocess"
        | "quantizer"
        | "sampling"
        | "tokenizer"
        | "torch-formats"
        | "tuning-metrics"
        | "tuning-rows" => Content::Data,
        _ => return None,
    })
}

/// Deeper paths of the fixtures that are looked at too.
const DEEPER: [&str; 17] = [
    "bert-tiny/contriever",
    "bert-tiny/contriever/query_encoder",
    "bert-tiny/cross-encoder",
    "bert-tiny/layouts/bge",
    "bert-tiny/old-names",
    "bert-tiny/xlm-roberta",
    "chatglm-6b-tiny-lora-early/adapter_model.bin",
    "chatglm-6b-tiny-lora-variants/bias-all",
    "chatglm-6b-tiny-lora-variants/dora",
    "chatglm-6b-tiny-lora-variants/modules-to-save",
    "chatglm-6b-tiny-lora/adapter_model.bin",
    "chatglm2-tiny-lora/adapter_model.safetensors",
    "ggml/checkpoint-chatglm-6b-tiny",
    "ggml/checkpoint-chatglm2-tiny",
    "image-preprocess/images",
    "visualglm-tiny-sat/1/mp_rank_00_model_states.pt",
    "visualglm-tiny/images",
];

/// Every folder of the official fixtures. One that is not known here yet has to be told apart all the same.
#[test]
#[ignore = "needs the folder of all fixtures: set GLM_TEST_FIXTURES and run with --include-ignored"]
fn fixture_folders_are_told_apart() {
    let fixtures = PathBuf::from(std::env::var_os("GLM_TEST_FIXTURES").unwrap());
    let mut names: Vec<String> = DEEPER.map(str::to_owned).to_vec();
    for entry in fs::read_dir(&fixtures).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    let mut seen = 0;
    for name in &names {
        let inspection = inspect(fixtures.join(name));
        let Some(content) = fixture_content(name) else {
            assert_ne!(inspection.content, Content::Nothing, "{inspection}");
            continue;
        };
        seen += 1;
        assert_eq!(inspection.content, content, "{inspection}");
        let path = name.strip_prefix("ggml/checkpoint-").unwrap_or(name);
        let is_for_a_model = matches!(
            content,
            Content::Checkpoint
                | Content::PTuningPrefix
                | Content::LoraAdapter
                | Content::SwissArmyTransformer
        );
        let family = match path.split('-').next().unwrap() {
            _ if !is_for_a_model => None,
            // Tensors tell the layers, and VisualGLM-6B has those of ChatGLM-6B.
            _ if path.ends_with(".pt") => Some(ModelFamily::ChatGlm),
            "chatglm" => Some(ModelFamily::ChatGlm),
            "chatglm2" => Some(ModelFamily::ChatGlm2),
            "codegeex2" => Some(ModelFamily::CodeGeeX2),
            "visualglm" => Some(ModelFamily::VisualGlm),
            other => panic!("an unknown fixture, {other}"),
        };
        assert_eq!(inspection.family, family, "{inspection}");
        let has_config = matches!(content, Content::Checkpoint | Content::PTuningPrefix);
        let generation = match family {
            Some(ModelFamily::ChatGlm) if name.contains("first-generation") => Some(1),
            Some(ModelFamily::ChatGlm) if has_config => Some(2),
            _ => None,
        };
        assert_eq!(inspection.generation, generation, "{inspection}");
        let verdict = match content {
            _ if family == Some(ModelFamily::VisualGlm) => Verdict::NotSupported,
            Content::Checkpoint => Verdict::Loads,
            Content::Collection => Verdict::ChooseOne,
            Content::Images | Content::Data | Content::Tokenizer => Verdict::NotAModel,
            _ => Verdict::NotSupported,
        };
        assert_eq!(inspection.verdict, verdict, "{inspection}");
    }
    assert!(seen >= 50, "only {seen} folders");
    let variants = inspect(fixtures.join("chatglm-6b-tiny-lora-variants")).members;
    assert_eq!(variants.len(), 8);
    let is_lora = |member: &Member| member.content == Content::LoraAdapter;
    assert!(variants.iter().all(is_lora));
}
