//! The names, shapes and order of the tensors in a ChatGLM-6B checkpoint: one table, which loading checks files
//! against and saving writes.
//!
//! | checkpoint name | field | shape |
//! |---|---|---|
//! | `transformer.word_embeddings.weight` | `word_embeddings.weight` | `[vocab_size, hidden_size]` |
//! | `transformer.layers.N.input_layernorm.{weight,bias}` | `layers[N].input_layernorm` | `[hidden_size]` |
//! | `transformer.layers.N.attention.query_key_value.{weight,bias}` | `layers[N].attention.query_key_value` | `[3 hidden_size, hidden_size]` |
//! | `transformer.layers.N.attention.dense.{weight,bias}` | `layers[N].attention.dense` | `[hidden_size, hidden_size]` |
//! | `transformer.layers.N.post_attention_layernorm.{weight,bias}` | `layers[N].post_attention_layernorm` | `[hidden_size]` |
//! | `transformer.layers.N.mlp.dense_h_to_4h.{weight,bias}` | `layers[N].mlp.dense_h_to_4h` | `[inner_hidden_size, hidden_size]` |
//! | `transformer.layers.N.mlp.dense_4h_to_h.{weight,bias}` | `layers[N].mlp.dense_4h_to_h` | `[hidden_size, inner_hidden_size]` |
//! | `transformer.final_layernorm.{weight,bias}` | `final_layernorm` | `[hidden_size]` |
//! | `lm_head.weight` | `lm_head`, or the embedding when equal | `[vocab_size, hidden_size]` |
//!
//! A quantised linear layer has `weight` in i8 (`[out, in]`, or `[out, in / 2]` for INT4) and `weight_scale` in f16
//! (`[out]`); with `quantization_embeddings`, so have the embedding and the head. `attention.rotary_emb.inv_freq` of every layer is recomputed, not read.

use crate::config::{ChatGlmConfig, QuantizationBit};

pub(crate) const WORD_EMBEDDINGS: &str = "transformer.word_embeddings.weight";
pub(crate) const LM_HEAD: &str = "lm_head.weight";
pub(crate) const FINAL_LAYERNORM: &str = "transformer.final_layernorm";

/// Tensors that older checkpoints carry and that are recomputed.
const RECOMPUTED_SUFFIX: &str = ".attention.rotary_emb.inv_freq";

/// What a tensor is used for, which decides the types it may be stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A float matrix, kept as stored.
    Matrix,
    /// A float vector, widened to f32.
    Vector,
    /// Codes of a quantised matrix.
    Codes,
    /// Scales of a quantised matrix.
    Scales,
}

/// One tensor that the checkpoint must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedTensor {
    /// Its name in the file.
    pub name: String,
    /// Its shape in the file, rows first.
    pub shape: Vec<usize>,
    /// What it is used for.
    pub role: Role,
}

/// The module names of block `layer`.
#[derive(Debug)]
pub(crate) struct LayerNames {
    pub(crate) input_layernorm: String,
    pub(crate) query_key_value: String,
    pub(crate) dense: String,
    pub(crate) post_attention_layernorm: String,
    pub(crate) dense_h_to_4h: String,
    pub(crate) dense_4h_to_h: String,
}

impl LayerNames {
    pub(crate) fn new(layer: usize) -> Self {
        let name = |module: &str| format!("transformer.layers.{layer}.{module}");
        Self {
            input_layernorm: name("input_layernorm"),
            query_key_value: name("attention.query_key_value"),
            dense: name("attention.dense"),
            post_attention_layernorm: name("post_attention_layernorm"),
            dense_h_to_4h: name("mlp.dense_h_to_4h"),
            dense_4h_to_h: name("mlp.dense_4h_to_h"),
        }
    }
}

/// Every tensor of a checkpoint with this configuration, `lm_head.weight` last.
pub fn expected_tensors(config: &ChatGlmConfig) -> Vec<ExpectedTensor> {
    let ChatGlmConfig {
        hidden_size,
        inner_hidden_size,
        ..
    } = *config;
    let mut table = Table {
        quantization: config.quantization_bit,
        tensors: Vec::new(),
    };
    table.embedding(config, WORD_EMBEDDINGS);
    for layer in 0..config.num_layers {
        let names = LayerNames::new(layer);
        table.layer_norm(&names.input_layernorm, hidden_size);
        table.linear(&names.query_key_value, 3 * hidden_size, hidden_size);
        table.linear(&names.dense, hidden_size, hidden_size);
        table.layer_norm(&names.post_attention_layernorm, hidden_size);
        table.linear(&names.dense_h_to_4h, inner_hidden_size, hidden_size);
        table.linear(&names.dense_4h_to_h, hidden_size, inner_hidden_size);
    }
    table.layer_norm(FINAL_LAYERNORM, hidden_size);
    table.embedding(config, LM_HEAD);
    table.tensors
}

/// Every tensor of a model with this configuration, whatever its matrices are stored as: [`Role::Matrix`] with the shape
/// `[out, in]` of the numbers, and [`Role::Vector`]. `lm_head.weight` last.
pub(crate) fn model_tensors(config: &ChatGlmConfig) -> Vec<ExpectedTensor> {
    expected_tensors(&ChatGlmConfig {
        quantization_bit: None,
        ..config.clone()
    })
}

/// True for tensors that the model recomputes instead of reading.
pub(crate) fn is_recomputed(name: &str) -> bool {
    name.ends_with(RECOMPUTED_SUFFIX)
}

/// The block that a tensor belongs to.
pub(crate) fn layer_of(name: &str) -> Option<usize> {
    let rest = name.strip_prefix("transformer.layers.")?;
    rest.split('.').next()?.parse().ok()
}

struct Table {
    quantization: Option<QuantizationBit>,
    tensors: Vec<ExpectedTensor>,
}

impl Table {
    fn push(&mut self, name: String, shape: Vec<usize>, role: Role) {
        self.tensors.push(ExpectedTensor { name, shape, role });
    }

    fn layer_norm(&mut self, module: &str, size: usize) {
        self.push(format!("{module}.weight"), vec![size], Role::Vector);
        self.push(format!("{module}.bias"), vec![size], Role::Vector);
    }

    fn embedding(&mut self, config: &ChatGlmConfig, weight: &str) {
        let (rows, columns) = (config.vocab_size, config.hidden_size);
        if config.quantization_embeddings {
            self.matrix(weight.to_owned(), rows, columns);
        } else {
            self.push(weight.to_owned(), vec![rows, columns], Role::Matrix);
        }
    }

    fn linear(&mut self, module: &str, output: usize, input: usize) {
        self.matrix(format!("{module}.weight"), output, input);
        self.push(format!("{module}.bias"), vec![output], Role::Vector);
    }

    fn matrix(&mut self, weight: String, output: usize, input: usize) {
        let scale = format!("{weight}_scale");
        match self.quantization {
            None => self.push(weight, vec![output, input], Role::Matrix),
            Some(QuantizationBit::Int8) => {
                self.push(weight, vec![output, input], Role::Codes);
                self.push(scale, vec![output], Role::Scales);
            }
            Some(QuantizationBit::Int4) => {
                self.push(weight, vec![output, input / 2], Role::Codes);
                self.push(scale, vec![output], Role::Scales);
            }
        }
    }
}
