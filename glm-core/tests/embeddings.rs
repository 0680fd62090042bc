//! Embeddings against the recorded output of the official final norm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use burn::Tensor;
use glm_core::{
    Error, LoadOptions, Model, Numerics, Precision, TokenId,
    embeddings::{EmbeddingOptions, Pooling},
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
    let options = EmbeddingOptions { pooling, normalize };
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
                        Pooling::Last => f64::from(states.last().unwrap()[at]),
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
