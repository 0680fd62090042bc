//! Long prompts of ChatGLM2-6B: read in chunks, beyond the trained length too, with every precision of the cache.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use burn::tensor::{Tensor, s};
use glm_core::{Activations, CachePrecision, Model, Numerics, model::PaddingSide};

/// More than two chunks, and more than twice the 512 tokens of the configuration.
const LEN: usize = 1300;

fn golden(name: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    glm_core::load(folder).unwrap()
}

fn prompt(model: &Model) -> Vec<u32> {
    let vocab_size = model.vocab_size() as u32;
    (0..LEN as u32)
        .map(|i| (i * i + 7 * i) % vocab_size)
        .collect()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().unwrap()
}

/// The logits behind the whole prompt in one pass without cache, without chunks.
fn in_one_pass(model: &Model, prompt: &[u32]) -> Vec<f32> {
    let layouts = model.layouts(&[prompt]).unwrap();
    let input = model.input(&[prompt], &layouts, PaddingSide::Left);
    let logits = model.forward_observed(input, |_, _| {});
    values(logits.slice(s![.., -1, ..]))
}

#[test]
fn chunks_and_single_tokens_give_the_logits_of_one_pass() {
    for name in ["chatglm2-tiny", "chatglm2-tiny-mha", "codegeex2-tiny"] {
        let model = golden(name).with_numerics(Numerics::EXACT);
        let prompt = prompt(&model);
        let expected = in_one_pass(&model, &prompt);
        let (in_chunks, _) = model.prefill(&[&prompt]).unwrap();
        let (mut one_by_one, mut state) = model.prefill(&[&prompt[..1]]).unwrap();
        for token in &prompt[1..] {
            one_by_one = model.decode(&mut state, &[*token]).unwrap();
        }
        for found in [values(in_chunks), values(one_by_one)] {
            for (found, expected) in found.iter().zip(&expected) {
                let allowed = 1e-4 + 1e-4 * expected.abs();
                assert!(
                    (found - expected).abs() <= allowed,
                    "{name}: {found} {expected}"
                );
            }
        }
    }
}

/// The bounds that docs/numerics.md states.
#[test]
fn a_rounded_cache_of_a_long_prompt_is_within_its_bound() {
    for name in ["chatglm2-tiny", "chatglm2-tiny-mha", "codegeex2-tiny"] {
        let exact = golden(name).with_numerics(Numerics::EXACT);
        let prompt = prompt(&exact);
        let expected = in_one_pass(&exact, &prompt);
        for (kv_cache, bound) in [(CachePrecision::F16, 0.004), (CachePrecision::Int8, 0.05)] {
            let numerics = Numerics {
                activations: Activations::Float32,
                kv_cache,
            };
            let (found, _) = exact
                .clone()
                .with_numerics(numerics)
                .prefill(&[&prompt])
                .unwrap();
            let found = values(found);
            let square =
                |values: &mut dyn Iterator<Item = f32>| -> f32 { values.map(|x| x * x).sum() };
            let error = square(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
            let error = (error / square(&mut expected.iter().copied())).sqrt();
            let largest = found
                .iter()
                .zip(&expected)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            let rms = (square(&mut expected.iter().copied()) / expected.len() as f32).sqrt();
            eprintln!(
                "{name} {kv_cache:?}: rms {error} largest/rms {}",
                largest / rms
            );
            assert!(error > 0.0 && error < bound, "{name} {kv_cache:?}: {error}");
        }
    }
}
