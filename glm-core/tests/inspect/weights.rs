//! Weights: broken, missing, of other names, more than there should be.

use super::*;

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
