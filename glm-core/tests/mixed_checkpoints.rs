//! Files of different checkpoints in one folder: every way to mix them up has an error of its own, which names both.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bent_checkpoint;
#[path = "../../glm-tokenizer/tests/model_file/mod.rs"]
mod model_file;

use std::collections::BTreeSet;

use bent_checkpoint::{Tensors, bent};
use glm_core::{Error, Mix};
use safetensors::Dtype;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

type Config = Map<String, Value>;

const EMBEDDING: &str = "transformer.word_embeddings.weight";
const PIECES: [(&str, f32); 2] = [("▁", -2.0), ("a", -4.0)];

/// What a folder is refused for, and the message.
fn refused(folder: &TempDir, other: &str) -> (Mix, String) {
    let error = glm_core::load(folder.path()).unwrap_err();
    let message = error.to_string();
    let Error::Mixed {
        mix,
        path,
        other: found,
    } = error
    else {
        panic!("{message}")
    };
    assert_eq!(path, folder.path().join("config.json"));
    assert_eq!(found, folder.path().join(other));
    for file in [&path, &found] {
        assert!(message.contains(&file.display().to_string()), "{message}");
    }
    (mix, message)
}

/// Vocabulary and ids of a generation.
fn set_generation(config: &mut Config, first: bool) {
    for key in ["mask_token_id", "gmask_token_id", "pad_token_id"] {
        config.remove(key);
    }
    let (vocabulary, bos) = if first {
        (150_528, 150_004)
    } else {
        (130_528, 130_004)
    };
    config.insert("vocab_size".to_owned(), vocabulary.into());
    config.insert("bos_token_id".to_owned(), bos.into());
    config.insert("eos_token_id".to_owned(), (bos + 1).into());
}

/// An embedding of so many rows, of zeros.
fn set_rows(tensors: &mut Tensors, rows: usize) {
    tensors.remove("lm_head.weight");
    let embedding = (Dtype::F16, vec![rows, 64], vec![0; rows * 64 * 2]);
    tensors.insert(EMBEDDING.to_owned(), embedding);
}

fn remove(config: &mut Config, key: &str) {
    assert!(config.remove(key).is_some(), "no {key} in the config");
}

/// A sound folder of one generation, with a tokenizer file.
fn with_tokenizer(first: bool, name: &str, tokenizer: &[u8]) -> TempDir {
    let folder = bent("chatglm-6b-tiny", |tensors, config| {
        set_generation(config, first);
        set_rows(tensors, if first { 150_528 } else { 130_528 });
    });
    std::fs::write(folder.path().join(name), tokenizer).unwrap();
    folder
}

#[test]
fn every_mix_has_an_error_of_its_own() {
    let float = "chatglm-6b-tiny";
    let first_tokenizer = model_file::chatglm_first_generation(&PIECES);
    let second_tokenizer = model_file::chatglm(&PIECES, &[]);
    let chatglm2_tokenizer = model_file::chatglm2(&["a"], true);
    let weights = "model.safetensors";
    let mixes: Vec<(Mix, TempDir, &str)> = vec![
        (
            Mix::FirstVocabularySecondIds,
            bent(float, |_, config| {
                set_generation(config, true);
                config.insert("bos_token_id".to_owned(), 130_004.into());
            }),
            "config.json",
        ),
        (
            Mix::SecondVocabularyFirstIds,
            bent(float, |_, config| {
                set_generation(config, false);
                config.insert("bos_token_id".to_owned(), 150_004.into());
            }),
            "config.json",
        ),
        (
            Mix::FirstWeights,
            bent(float, |tensors, config| {
                set_generation(config, false);
                set_rows(tensors, 150_528);
            }),
            weights,
        ),
        (
            Mix::SecondWeights,
            bent(float, |tensors, config| {
                set_generation(config, true);
                set_rows(tensors, 130_528);
            }),
            weights,
        ),
        (
            Mix::ChatGlm2Weights,
            bent(float, |tensors, _| {
                let embedding = tensors.remove(EMBEDDING).unwrap();
                tensors.clear();
                let name = "transformer.encoder.layers.0.self_attention.query_key_value.weight";
                tensors.insert(name.to_owned(), embedding);
            }),
            weights,
        ),
        (
            Mix::VisualGlmWeights,
            bent(float, |tensors, _| {
                let name = "image_encoder.glm_proj.weight";
                tensors.insert(name.to_owned(), (Dtype::F16, vec![1], vec![0; 2]));
            }),
            weights,
        ),
        (
            Mix::FirstTokenizer,
            with_tokenizer(false, "ice_text.model", &first_tokenizer),
            "ice_text.model",
        ),
        (
            Mix::SecondTokenizer,
            with_tokenizer(true, "ice_text.model", &second_tokenizer),
            "ice_text.model",
        ),
        (
            Mix::ChatGlm2Tokenizer,
            with_tokenizer(false, "tokenizer.model", &chatglm2_tokenizer),
            "tokenizer.model",
        ),
        (
            Mix::ChatGlmTokenizer,
            {
                let folder = bent("chatglm2-tiny", |_, _| {});
                std::fs::write(folder.path().join("ice_text.model"), &second_tokenizer).unwrap();
                folder
            },
            "ice_text.model",
        ),
        (
            Mix::ChatGlmWeights,
            bent("chatglm2-tiny", |tensors, _| {
                let name = "transformer.layers.0.attention.query_key_value.weight";
                let embedding = tensors.remove("transformer.embedding.word_embeddings.weight");
                tensors.clear();
                tensors.insert(name.to_owned(), embedding.unwrap());
            }),
            weights,
        ),
        (
            Mix::OtherLayerCount {
                weights: 3,
                config: 4,
            },
            bent(float, |_, config| {
                config.insert("num_layers".to_owned(), 4.into());
            }),
            weights,
        ),
        (
            Mix::OtherLayerCount {
                weights: 3,
                config: 2,
            },
            bent("chatglm2-tiny-int4", |_, config| {
                config.insert("num_layers".to_owned(), 2.into());
            }),
            weights,
        ),
        (
            Mix::OtherWidth {
                weights: 64,
                config: 128,
            },
            bent(float, |_, config| {
                config.insert("hidden_size".to_owned(), 128.into());
            }),
            weights,
        ),
        (
            Mix::MissingPrefix,
            bent(float, |_, config| {
                config.insert("pre_seq_len".to_owned(), 8.into());
            }),
            weights,
        ),
        (
            Mix::FloatWeights,
            bent(float, |_, config| {
                config.insert("quantization_bit".to_owned(), 4.into());
            }),
            weights,
        ),
        (
            Mix::QuantizedWeights,
            bent("chatglm-6b-tiny-int4", |_, config| {
                remove(config, "quantization_bit")
            }),
            weights,
        ),
        (
            Mix::Int8Weights,
            bent("chatglm-6b-tiny-int8", |_, config| {
                config.insert("quantization_bit".to_owned(), 4.into());
            }),
            weights,
        ),
        (
            Mix::Int4Weights,
            bent("chatglm-6b-tiny-int4", |_, config| {
                config.insert("quantization_bit".to_owned(), 8.into());
            }),
            weights,
        ),
        (
            Mix::QuantizedEmbedding,
            bent("chatglm-6b-tiny-int4-qe", |_, config| {
                config.insert("quantization_embeddings".to_owned(), json!(false));
            }),
            weights,
        ),
        (
            Mix::FloatEmbedding,
            bent("chatglm-6b-tiny-int4", |_, config| {
                config.insert("quantization_embeddings".to_owned(), json!(true));
            }),
            weights,
        ),
    ];
    let mut messages = BTreeSet::new();
    for (expected, folder, other) in &mixes {
        let (mix, message) = refused(folder, other);
        assert_eq!(mix, *expected, "{message}");
        // The folders have names of their own; what is said of them must differ too.
        messages.insert(mix.to_string());
    }
    assert_eq!(messages.len(), mixes.len());
}

/// The same files, not mixed up.
#[test]
fn files_of_one_generation_load() {
    for (first, tokenizer) in [
        (true, model_file::chatglm_first_generation(&PIECES)),
        (false, model_file::chatglm(&PIECES, &[])),
    ] {
        let folder = with_tokenizer(first, "ice_text.model", &tokenizer);
        let model = glm_core::load(folder.path()).unwrap();
        assert_eq!(model.vocab_size(), if first { 150_528 } else { 130_528 });
    }
}

/// A tokenizer that is loaded from elsewhere is compared with the model when it is used.
#[test]
fn a_tokenizer_of_another_model_is_refused_in_chat() {
    let folder = bent("chatglm-6b-tiny", |_, _| {});
    let model = glm_core::load(folder.path()).unwrap();
    let tokenizer = model_file::chatglm2(&["a"], true);
    let tokenizer = glm_core::GlmTokenizer::from_bytes("small", &tokenizer).unwrap();
    let error = model.chat(&tokenizer, "a", &[]).unwrap_err();
    // Both are named.
    for name in ["small", &folder.path().display().to_string()] {
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(
        matches!(error, Error::OtherTokenizer { token: "<sop>", .. }),
        "{error}"
    );
    let error = model
        .infill(&tokenizer, "a[MASK]", &Default::default())
        .unwrap_err();
    assert!(matches!(error, Error::OtherTokenizer { .. }), "{error}");
}
