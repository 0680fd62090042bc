//! Long prompts of ChatGLM2-6B: read in chunks, beyond the trained length too, with every precision of the cache.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use burn::tensor::{Tensor, s};
use glm_core::{Activations, CachePrecision, Model, Numerics, model::PaddingSide};

/// More than two chunks, and more than twice the 512 tokens that the configurations give as trained for.
const LEN: u32 = 1300;

const MODELS: [&str; 3] = ["chatglm2-tiny", "chatglm2-tiny-mha", "codegeex2-tiny"];

/// A model that rounds nothing but its cache, and a prompt for it.
fn model_and_prompt(name: &str, kv_cache: CachePrecision) -> (Model, Vec<u32>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let model = glm_core::load(folder.join(name)).unwrap();
    let vocab_size = model.vocab_size() as u32;
    let prompt = (0..LEN).map(|i| (i * i + 7 * i) % vocab_size).collect();
    let numerics = Numerics::default()
        .with_activations(Activations::Float32)
        .with_kv_cache(kv_cache);
    (model.with_numerics(numerics), prompt)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// The logits behind the prompt in one pass, without cache and without chunks.
fn in_one_pass(model: &Model, prompt: &[u32]) -> Vec<f32> {
    let layouts = model.layouts(&[prompt]).unwrap();
    let input = model.input(&[prompt], &layouts, PaddingSide::Left);
    let logits = model.forward_observed(input, |_, _| {});
    values(logits.slice(s![.., -1, ..]))
}

#[test]
fn chunks_and_single_tokens_give_the_logits_of_one_pass() {
    for name in MODELS {
        let (model, prompt) = model_and_prompt(name, CachePrecision::F32);
        let (in_chunks, _) = model.prefill(&[&prompt]).unwrap();
        let (mut one_by_one, mut state) = model.prefill(&[&prompt[..1]]).unwrap();
        for token in &prompt[1..] {
            one_by_one = model.decode(&mut state, &[*token]).unwrap();
        }
        let expected = in_one_pass(&model, &prompt);
        for found in [values(in_chunks), values(one_by_one)] {
            for (found, expected) in found.iter().zip(&expected) {
                let allowed = 1e-4 + 1e-4 * expected.abs();
                let error = (found - expected).abs();
                assert!(error <= allowed, "{name}: {found} for {expected}");
            }
        }
    }
}

/// The bounds are those of docs/numerics.md.
#[test]
fn a_rounded_cache_of_a_long_prompt_is_within_its_bound() {
    for name in MODELS {
        for (kv_cache, bound) in [
            (CachePrecision::F16, 0.004),
            (CachePrecision::Int16, 0.004),
            (CachePrecision::Int8, 0.05),
        ] {
            let (model, prompt) = model_and_prompt(name, kv_cache);
            let expected = in_one_pass(&model, &prompt);
            let (found, _) = model.prefill(&[&prompt]).unwrap();
            let errors = values(found).into_iter().zip(&expected);
            let largest = errors.map(|(found, expected)| (found - expected).abs());
            let largest = largest.fold(0.0, f32::max);
            let squares: f32 = expected.iter().map(|value| value * value).sum();
            let share = largest / (squares / expected.len() as f32).sqrt();
            assert!(0.0 < share && share < bound, "{name} {kv_cache:?}: {share}");
        }
    }
}
