//! Training: the gradient of every parameter against differences of what the kernels of inference compute.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Device, Gradients, Tensor, TensorData},
};
use glm_core::{
    CachePrecision, Model, TokenId, config::ModelConfig, kv_cache::KvCache, model::PaddingSide,
    network::Network,
};

const CHATGLM: &str = r#"{"model_type": "chatglm", "vocab_size": 40, "hidden_size": 16, "inner_hidden_size": 24,
    "num_layers": 2, "num_attention_heads": 2, "bos_token_id": 31, "eos_token_id": 32, "mask_token_id": 33,
    "gmask_token_id": 30, "pad_token_id": 3}"#;

const CHATGLM2: &str = r#"{"model_type": "chatglm", "padded_vocab_size": 40, "hidden_size": 16, "ffn_hidden_size": 24,
    "num_layers": 2, "num_attention_heads": 4, "kv_channels": 8, "multi_query_attention": true,
    "multi_query_group_num": 2, "seq_length": 64, "add_qkv_bias": true}"#;

/// Two rows of different length, as in a batch of training.
const ROWS: [&[TokenId]; 2] = [&[5, 6, 7, 8, 30, 31, 9, 10], &[5, 11, 30, 31, 12]];

/// Of weights under which every parameter matters.
const SEED: u64 = 2;

/// How far a parameter is moved to either side.
const STEP: f32 = 1e-2;

/// Reproducible numbers between -1 and 1 that follow no simple pattern.
fn wave<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (1..=count)
        .map(|index| (index as f32 * 78.233 + seed as f32 * 12.9898).sin())
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Moves parameters: that of one number, or all.
struct Move {
    number: Option<usize>,
    by: f32,
    seen: usize,
}

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let number = self.seen;
        self.seen += 1;
        if self.number.is_some_and(|wanted| wanted != number) {
            return param;
        }
        param.map(|value| {
            let direction = wave(value.dims(), number, &value.device());
            value + direction * self.by
        })
    }
}

fn moved(network: &Network, number: Option<usize>, by: f32) -> Network {
    let seen = 0;
    network.clone().map(&mut Move { number, by, seen })
}

/// What moving each parameter changes, by its gradient.
struct Slopes<'a> {
    gradients: &'a Gradients,
    found: Vec<f32>,
}

impl ModuleVisitor for Slopes<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients).expect("a gradient");
        let direction = wave(gradient.dims(), self.found.len(), &gradient.device());
        self.found
            .push((gradient * direction).sum().into_scalar::<f32>());
    }
}

/// All logits, each with its own weight.
fn weighted_logits(network: &Network, config: &ModelConfig, device: &Device) -> Tensor<3> {
    let model = Model::new(config.clone(), network.clone(), device.clone());
    let layouts = model.layouts(&ROWS).unwrap();
    let input = model.input(&ROWS, &layouts, PaddingSide::Right);
    let hidden_states = network.hidden_states(
        input.input_ids,
        input.position_ids,
        &input.attention_mask,
        &mut KvCache::new(config.num_layers(), CachePrecision::F32, 0),
        |_, _| {},
    );
    let logits = network.logits(hidden_states);
    let weights = wave(logits.dims(), 1000, device);
    logits * weights
}

fn value(network: &Network, config: &ModelConfig, device: &Device) -> f64 {
    let logits = weighted_logits(network, config, device).into_data();
    let logits = logits.try_to_vec::<f32>().unwrap();
    logits.iter().map(|&x| f64::from(x)).sum()
}

fn check(config: &str) {
    let config = ModelConfig::from_json("config.json", config.as_bytes()).unwrap();
    let device = Device::flex();
    device.seed(SEED);
    // Far enough from where training starts that nothing is nearly zero, nor nearly linear.
    let network = moved(&Network::random(&config, &device), None, 0.5);

    let tracking = device.clone().autodiff();
    let trained = Network::random(&config, &tracking).load_record(network.clone().into_record());
    let sum = weighted_logits(&trained, &config, &tracking).sum();
    let gradients = &sum.backward();
    let found = Vec::new();
    let mut slopes = Slopes { gradients, found };
    trained.visit(&mut slopes);

    assert!(slopes.found.len() > 15, "{} parameters", slopes.found.len());
    for (number, &found) in slopes.found.iter().enumerate() {
        let at = |by| value(&moved(&network, Some(number), by), &config, &device);
        let expected = (at(STEP) - at(-STEP)) / f64::from(2.0 * STEP);
        assert!(
            expected.abs() > 0.02,
            "parameter {number} does nothing: {expected}"
        );
        let tolerance = 0.01 * expected.abs() + 0.004;
        assert!(
            (f64::from(found) - expected).abs() < tolerance,
            "parameter {number}: {found}, not {expected}"
        );
    }
}

/// One test, because the random weights come from one seeded generator.
#[test]
fn every_gradient_is_a_slope() {
    check(CHATGLM);
    check(CHATGLM2);
    // Keys and values of each head.
    check(&CHATGLM2.replace(
        r#""multi_query_attention": true"#,
        r#""multi_query_attention": false, "apply_residual_connection_post_layernorm": true"#,
    ));
}
