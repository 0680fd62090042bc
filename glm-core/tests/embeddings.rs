//! Embeddings against the recorded output of the official final norm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use burn::Tensor;
use glm_core::{
    Error, GlmTokenizer, LoadOptions, Model, Numerics, Precision, TokenId,
    embeddings::{EmbeddingOptions, Pooling},
    layers::Stage,
    model::PaddingSide,
};
use safetensors::SafeTensors;
use serde::Deserialize;

const POOLINGS: [Pooling; 2] = [Pooling::Mean, Pooling::Last];

#[derive(Deserialize)]
struct Expected {
    single: Vec<Single>,
}

#[derive(Deserialize)]
struct Single {
    index: usize,
    input_ids: Vec<TokenId>,
}

fn folder(name: &str) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    golden.join(name)
}

fn prompts(name: &str) -> Vec<Single> {
    let json = std::fs::read(folder(name).join("expected.json")).unwrap();
    serde_json::from_slice::<Expected>(&json).unwrap().single
}

fn embed(model: &Model, prompts: &[&[TokenId]], pooling: Pooling, normalize: bool) -> Tensor<2> {
    let options = EmbeddingOptions::default()
        .with_pooling(pooling)
        .with_normalize(normalize);
    model.embeddings(prompts, options).unwrap()
}

fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// The hidden states `[tokens, hidden_size]` as rows.
fn final_layernorm(file: &SafeTensors<'_>, index: usize) -> Vec<Vec<f32>> {
    let tensor = file
        .tensor(&format!("single.{index}.final_layernorm"))
        .unwrap();
    let width = *tensor.shape().last().unwrap();
    let (words, _) = tensor.data().as_chunks::<4>();
    let values: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    values.chunks_exact(width).map(<[f32]>::to_vec).collect()
}

#[test]
fn pooled_states_are_the_official_ones() {
    for name in ["chatglm-6b-tiny", "chatglm-6b-tiny-28layers"] {
        let model = LoadOptions::default().load(folder(name)).unwrap();
        let model = model.with_numerics(Numerics::EXACT);
        let bytes = std::fs::read(folder(name).join("expected.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut compared = 0;
        for Single { index, input_ids } in prompts(name) {
            let states = final_layernorm(&file, index);
            assert_eq!(states.len(), input_ids.len());
            let mean = |at: usize| {
                states.iter().map(|state| f64::from(state[at])).sum::<f64>() / states.len() as f64
            };
            for pooling in POOLINGS {
                let found = values(embed(&model, &[&input_ids], pooling, false));
                for (at, found) in found.into_iter().enumerate() {
                    let expected = match pooling {
                        Pooling::Mean => mean(at),
                        _ => f64::from(states.last().unwrap()[at]),
                    };
                    let error = (f64::from(found) - expected).abs();
                    assert!(
                        error <= 1e-4 + 1e-4 * expected.abs(),
                        "{found}, expected {expected}"
                    );
                    compared += 1;
                }
            }
        }
        assert!(compared >= 3 * 2 * 32, "{compared}");
    }
}

#[test]
fn a_vector_does_not_depend_on_its_neighbours_and_can_have_length_one() {
    let options = LoadOptions::default().precision(Precision::INT4);
    let quantised = options.load(folder("chatglm-6b-tiny")).unwrap();
    let float = glm_core::load(folder("chatglm-6b-tiny")).unwrap();
    let prompts = prompts("chatglm-6b-tiny");
    let rows: Vec<&[TokenId]> = prompts.iter().map(|single| &single.input_ids[..]).collect();
    for model in [float, quantised] {
        for pooling in POOLINGS {
            let together = values(embed(&model, &rows, pooling, false));
            let alone: Vec<f32> = rows
                .iter()
                .flat_map(|row| values(embed(&model, &[row], pooling, false)))
                .collect();
            assert_eq!(together, alone);
            let unit = values(embed(&model, &rows, pooling, true));
            let width = unit.len() / rows.len();
            for (unit, vector) in unit.chunks_exact(width).zip(together.chunks_exact(width)) {
                let length = vector
                    .iter()
                    .map(|x| f64::from(*x).powi(2))
                    .sum::<f64>()
                    .sqrt();
                for (unit, x) in unit.iter().zip(vector) {
                    assert!((f64::from(*unit) - f64::from(*x) / length).abs() < 1e-6);
                }
            }
        }
    }
}

/// The demonstration model, and a tiny ChatGLM2-6B.
fn with_tokenizers() -> [(GlmTokenizer, Model); 2] {
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mini-model/chatglm-mini");
    [mini, folder("ggml/chatglm2-tiny.q4_0.bin")].map(|path| {
        let tokenizer = glm_core::load_tokenizer(&path).unwrap();
        (tokenizer, glm_core::load(&path).unwrap())
    })
}

#[test]
fn texts_become_vectors_of_length_one() {
    for (tokenizer, model) in with_tokenizers() {
        let long = "a b c ".repeat(20);
        let texts = ["你好", "", "a", &long, "今天天气很好", "a", "[gMASK]"];
        let vectors = model.embed(&tokenizer, &texts).unwrap();
        assert_eq!(vectors.len(), texts.len());
        assert_eq!(vectors[2], vectors[5]);
        for (text, vector) in texts.iter().zip(&vectors) {
            let prompt = tokenizer.with_special_tokens(tokenizer.encode(text));
            assert_eq!(
                *vector,
                values(embed(&model, &[&prompt], Pooling::Mean, true))
            );
            assert_eq!(
                model.embed(&tokenizer, &[text]).unwrap(),
                std::slice::from_ref(vector)
            );
            let length: f64 = vector.iter().map(|x| f64::from(*x).powi(2)).sum();
            assert!((length - 1.0).abs() < 1e-5, "{length}");
        }
        let none: [String; 0] = [];
        assert!(model.embed(&tokenizer, &none).unwrap().is_empty());
        let last = EmbeddingOptions::default().with_pooling(Pooling::Last);
        let vectors = model.embed_with(&tokenizer, &["a"], last).unwrap();
        let prompt = tokenizer.with_special_tokens(tokenizer.encode("a"));
        assert_eq!(
            vectors[0],
            values(embed(&model, &[&prompt], Pooling::Last, false))
        );
    }
}

#[test]
fn a_text_that_does_not_fit_is_an_error_with_its_number() {
    let [(tokenizer, model), (other, _)] = with_tokenizers();
    let long = "long ".repeat(1000);
    let error = model.embed(&tokenizer, &["a", &long]).unwrap_err();
    let Error::TextTooLong {
        text: 1,
        tokens,
        max_length,
    } = error
    else {
        panic!("{error}");
    };
    assert!(tokens > max_length && max_length == model.max_sequence_length());
    let error = model.embed(&other, &["a"]).unwrap_err();
    assert!(matches!(error, Error::OtherTokenizer { .. }), "{error}");
}

/// A prompt of several chunks, by the model as it would be read without a cache.
#[test]
fn a_long_text_is_read_in_chunks() {
    let model = glm_core::load(folder("chatglm2-tiny")).unwrap();
    let prompt: Vec<TokenId> = (0..1300).map(|i| 4 + i % 200).collect();
    let layouts = model.layouts(&[&prompt]).unwrap();
    let input = model.input(&[&prompt], &layouts, PaddingSide::Left);
    let mut last = None;
    model.forward_observed(input, |stage, x| {
        if stage == Stage::FinalLayerNorm {
            last = Some(values(x.clone().squeeze_dim(0)));
        }
    });
    let states = last.unwrap();
    let width = states.len() / prompt.len();
    let found = values(embed(&model, &[&prompt], Pooling::Mean, false));
    for (at, found) in found.into_iter().enumerate() {
        let column = states.iter().skip(at).step_by(width);
        let mean = column.map(|x| f64::from(*x)).sum::<f64>() / prompt.len() as f64;
        let error = (f64::from(found) - mean).abs();
        assert!(
            error <= 1e-4 + 1e-4 * mean.abs(),
            "{found}, expected {mean}"
        );
    }
    let found = values(embed(&model, &[&prompt], Pooling::Last, false));
    for (found, expected) in found.iter().zip(&states[states.len() - width..]) {
        let error = (found - expected).abs();
        assert!(
            error <= 1e-4 + 1e-4 * expected.abs(),
            "{found}, expected {expected}"
        );
    }
}

#[test]
fn prompts_that_the_model_cannot_read_are_errors() {
    let model = glm_core::load(folder("chatglm-6b-tiny")).unwrap();
    for prompts in [&[][..], &[&[1, 2][..]], &[&[640, 621, 624]]] {
        let error = model
            .embeddings(prompts, EmbeddingOptions::default())
            .unwrap_err();
        assert!(matches!(error, Error::Prompt { .. }), "{error}");
    }
}
