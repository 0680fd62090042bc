//! The names, shapes and order of the tensors in a checkpoint: one table for each family, which loading checks files
//! against and saving writes.
//!
//! ChatGLM-6B:
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
//!
//! ChatGLM2-6B and CodeGeeX2-6B, where `qkv_size` is that of all queries, keys and values:
//!
//! | checkpoint name | field | shape |
//! |---|---|---|
//! | `transformer.embedding.word_embeddings.weight` | `word_embeddings.weight` | `[padded_vocab_size, hidden_size]` |
//! | `transformer.encoder.layers.N.input_layernorm.weight` | `layers[N].input_layernorm` | `[hidden_size]` |
//! | `transformer.encoder.layers.N.self_attention.query_key_value.{weight,bias}` | `layers[N].self_attention.query_key_value` | `[qkv_size, hidden_size]` |
//! | `transformer.encoder.layers.N.self_attention.dense.weight` | `layers[N].self_attention.dense` | `[hidden_size, num_attention_heads kv_channels]` |
//! | `transformer.encoder.layers.N.post_attention_layernorm.weight` | `layers[N].post_attention_layernorm` | `[hidden_size]` |
//! | `transformer.encoder.layers.N.mlp.dense_h_to_4h.weight` | `layers[N].mlp.dense_h_to_4h` | `[2 ffn_hidden_size, hidden_size]` |
//! | `transformer.encoder.layers.N.mlp.dense_4h_to_h.weight` | `layers[N].mlp.dense_4h_to_h` | `[hidden_size, ffn_hidden_size]` |
//! | `transformer.encoder.final_layernorm.weight` | `final_layernorm` | `[hidden_size]` |
//! | `transformer.output_layer.weight` | `output_layer` | `[padded_vocab_size, hidden_size]` |
//!
//! `transformer.rotary_pos_emb.inv_freq` is recomputed.

use crate::config::{ChatGlm2Config, ChatGlmConfig, ModelConfig, QuantizationBit};

/// Tensors that checkpoints carry and that are recomputed end like this.
const RECOMPUTED_SUFFIXES: [&str; 2] = [
    ".attention.rotary_emb.inv_freq",
    "transformer.rotary_pos_emb.inv_freq",
];

/// What the tensors and modules of a family are called.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) word_embeddings: &'static str,
    pub(crate) final_layernorm: &'static str,
    pub(crate) head: &'static str,
    /// Before the number of a block.
    pub(crate) layers: &'static str,
    attention: &'static str,
}

/// The names of ChatGLM-6B.
pub(crate) const CHATGLM: Names = Names {
    word_embeddings: "transformer.word_embeddings.weight",
    final_layernorm: "transformer.final_layernorm",
    head: "lm_head.weight",
    layers: "transformer.layers.",
    attention: "attention",
};

/// The names of ChatGLM2-6B.
pub(crate) const CHATGLM2: Names = Names {
    word_embeddings: "transformer.embedding.word_embeddings.weight",
    final_layernorm: "transformer.encoder.final_layernorm",
    head: "transformer.output_layer.weight",
    layers: "transformer.encoder.layers.",
    attention: "self_attention",
};

impl Names {
    /// Those of the family of `config`.
    pub(crate) fn of(config: &ModelConfig) -> &'static Self {
        match config {
            ModelConfig::ChatGlm(_) => &CHATGLM,
            ModelConfig::ChatGlm2(_) => &CHATGLM2,
        }
    }

    /// Those of block `layer`.
    pub(crate) fn layer(&self, layer: usize) -> LayerNames {
        let name = |module: &str| format!("{}{layer}.{module}", self.layers);
        let attention = |module: &str| name(&format!("{}.{module}", self.attention));
        LayerNames {
            input_layernorm: name("input_layernorm"),
            query_key_value: attention("query_key_value"),
            dense: attention("dense"),
            post_attention_layernorm: name("post_attention_layernorm"),
            dense_h_to_4h: name("mlp.dense_h_to_4h"),
            dense_4h_to_h: name("mlp.dense_4h_to_h"),
        }
    }
}

/// True for the token embedding of any family.
pub(crate) fn is_embedding(name: &str) -> bool {
    [&CHATGLM, &CHATGLM2]
        .iter()
        .any(|names| name == names.word_embeddings)
}

/// True for the head of any family, and for its scales.
pub(crate) fn is_head(name: &str) -> bool {
    let weight = name.strip_suffix("_scale").unwrap_or(name);
    [&CHATGLM, &CHATGLM2]
        .iter()
        .any(|names| weight == names.head)
}

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

/// Every tensor of a checkpoint with this configuration, the head last.
pub fn expected_tensors(config: &ModelConfig) -> Vec<ExpectedTensor> {
    let mut table = Table {
        quantization: config.quantization_bit(),
        tensors: Vec::new(),
    };
    match config {
        ModelConfig::ChatGlm(config) => table.chatglm(config),
        ModelConfig::ChatGlm2(config) => table.chatglm2(config),
    }
    table.tensors
}

/// Every tensor of a model with this configuration, whatever its matrices are stored as: [`Role::Matrix`] with the shape
/// `[out, in]` of the numbers, and [`Role::Vector`]. The head last.
pub(crate) fn model_tensors(config: &ModelConfig) -> Vec<ExpectedTensor> {
    let embeddings = config.quantization_embeddings();
    expected_tensors(&config.clone().with_quantization(None, embeddings))
}

/// True for tensors that the model recomputes instead of reading.
pub(crate) fn is_recomputed(name: &str) -> bool {
    RECOMPUTED_SUFFIXES
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

/// The block that a tensor belongs to.
pub(crate) fn layer_of(name: &str) -> Option<usize> {
    let mut families = [&CHATGLM, &CHATGLM2].into_iter();
    let rest = families.find_map(|names| name.strip_prefix(names.layers))?;
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

    fn chatglm(&mut self, config: &ChatGlmConfig) {
        let ChatGlmConfig {
            hidden_size,
            inner_hidden_size,
            ..
        } = *config;
        self.chatglm_embedding(config, CHATGLM.word_embeddings);
        for layer in 0..config.num_layers {
            let names = CHATGLM.layer(layer);
            self.layer_norm(&names.input_layernorm, hidden_size);
            self.linear(&names.query_key_value, 3 * hidden_size, hidden_size);
            self.linear(&names.dense, hidden_size, hidden_size);
            self.layer_norm(&names.post_attention_layernorm, hidden_size);
            self.linear(&names.dense_h_to_4h, inner_hidden_size, hidden_size);
            self.linear(&names.dense_4h_to_h, hidden_size, inner_hidden_size);
        }
        self.layer_norm(CHATGLM.final_layernorm, hidden_size);
        self.chatglm_embedding(config, CHATGLM.head);
    }

    fn chatglm2(&mut self, config: &ChatGlm2Config) {
        let ChatGlm2Config {
            padded_vocab_size,
            hidden_size,
            ffn_hidden_size,
            ..
        } = *config;
        let embedding = vec![padded_vocab_size, hidden_size];
        let attention_size = config.num_attention_heads * config.kv_channels;
        self.push(
            CHATGLM2.word_embeddings.to_owned(),
            embedding.clone(),
            Role::Matrix,
        );
        for layer in 0..config.num_layers {
            let names = CHATGLM2.layer(layer);
            self.vector(&names.input_layernorm, "weight", hidden_size);
            self.linear(&names.query_key_value, config.qkv_size(), hidden_size);
            self.matrix(&names.dense, hidden_size, attention_size);
            self.vector(&names.post_attention_layernorm, "weight", hidden_size);
            self.matrix(&names.dense_h_to_4h, 2 * ffn_hidden_size, hidden_size);
            self.matrix(&names.dense_4h_to_h, hidden_size, ffn_hidden_size);
        }
        self.vector(CHATGLM2.final_layernorm, "weight", hidden_size);
        self.push(CHATGLM2.head.to_owned(), embedding, Role::Matrix);
    }

    fn vector(&mut self, module: &str, kind: &str, size: usize) {
        self.push(format!("{module}.{kind}"), vec![size], Role::Vector);
    }

    fn layer_norm(&mut self, module: &str, size: usize) {
        self.vector(module, "weight", size);
        self.vector(module, "bias", size);
    }

    fn chatglm_embedding(&mut self, config: &ChatGlmConfig, weight: &str) {
        let (rows, columns) = (config.vocab_size, config.hidden_size);
        if config.quantization_embeddings {
            self.weight(weight.to_owned(), rows, columns);
        } else {
            self.push(weight.to_owned(), vec![rows, columns], Role::Matrix);
        }
    }

    fn linear(&mut self, module: &str, output: usize, input: usize) {
        self.matrix(module, output, input);
        self.vector(module, "bias", output);
    }

    /// A linear layer without a bias.
    fn matrix(&mut self, module: &str, output: usize, input: usize) {
        self.weight(format!("{module}.weight"), output, input);
    }

    fn weight(&mut self, weight: String, output: usize, input: usize) {
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
