//! Named tensors to a network, and back.

use std::{collections::HashMap, path::PathBuf};

use burn::tensor::{AllocationProperty, DType, Device, Shape, Tensor, TensorData};
use bytes::Bytes;
use glm_backends::PackedWeight;
use glm_quant::{BLOCK_ROWS, PackedLayout};

use crate::{
    chatglm::{ChatGlm, GlmBlock, Mlp, SelfAttention},
    chatglm2::{ChatGlm2, Glm2Block, SharedKeyAttention, SwigluMlp},
    checkpoint::{
        names::{CHATGLM, CHATGLM2},
        weight::{FloatType, Weight},
    },
    config::{ChatGlm2Config, ChatGlmConfig, ModelConfig},
    error::{Error, Result},
    layers::{
        embedding::TokenEmbedding, layer_norm::LayerNorm, linear::GlmLinear, rms_norm::RmsNorm,
    },
    network::Network,
};

/// The tensors of a model on their device, until all are there.
#[derive(Debug)]
pub(super) struct Parts {
    /// Where they come from.
    path: PathBuf,
    device: Device,
    /// What their bytes lie in: memory or a file. It decides how they get to a device that is not the CPU.
    storage: AllocationProperty,
    parts: HashMap<String, Part>,
}

/// One tensor of a network, on its device.
#[derive(Debug)]
pub(super) enum Part {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
    Packed(PackedWeight),
}

impl Part {
    /// The tensor in the host's memory; on the CPU it is not copied.
    pub(super) fn weight(&self) -> Weight {
        match self {
            Self::Vector(vector) => float(vector.to_data()),
            Self::Matrix(matrix) => float(matrix.to_data()),
            Self::Packed(weight) => Weight::Packed {
                layout: *weight.layout(),
                codes: bytes_of(weight.codes().into_data()),
                scales: bytes_of(weight.scales().into_data()),
            },
        }
    }
}

/// Parameters are in one of the three types; of another type they would become f32.
fn float(data: TensorData) -> Weight {
    let (dtype, data) = match data.dtype() {
        DType::F16 => (FloatType::F16, data),
        DType::BF16 => (FloatType::Bf16, data),
        _ => (FloatType::F32, data.convert_dtype(DType::F32)),
    };
    Weight::Float {
        dtype,
        shape: data.shape().to_vec(),
        bytes: bytes_of(data),
    }
}

/// The shape of the codes of a packed matrix.
fn codes_shape(layout: &PackedLayout) -> [usize; 3] {
    [layout.row_blocks(), layout.steps(), BLOCK_ROWS]
}

/// The shape of the scales of a packed matrix.
fn scales_shape(layout: &PackedLayout) -> [usize; 3] {
    [layout.row_blocks(), layout.groups(), BLOCK_ROWS]
}

/// The bytes of a tensor's data, not copied.
fn bytes_of(data: TensorData) -> Bytes {
    struct Data(TensorData);

    impl AsRef<[u8]> for Data {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    Bytes::from_owner(Data(data))
}

/// The data of a tensor, not copied.
fn data_of(
    bytes: Bytes,
    shape: impl Into<Shape>,
    dtype: DType,
    kind: AllocationProperty,
) -> TensorData {
    let is_aligned = bytes.as_ptr().addr().is_multiple_of(dtype.size());
    let bytes = match is_aligned {
        true => burn::tensor::Bytes::from_shared(bytes, kind),
        // No allocator that is known gives such a place.
        false => burn::tensor::Bytes::from_bytes_vec(bytes.to_vec()),
    };
    TensorData::from_bytes(bytes, shape, dtype)
}

/// The tensors of a network by their names in a checkpoint, in the order of
/// [`model_tensors`](super::names::model_tensors).
pub(super) fn parts_of(network: &Network) -> Vec<(String, Part)> {
    let mut parts = PartList(Vec::new());
    match network {
        Network::ChatGlm(network) => parts.push_chatglm(network),
        Network::ChatGlm2(network) => parts.push_chatglm2(network),
    }
    parts.0
}

/// Tensors with their names, as far as they are collected.
struct PartList(Vec<(String, Part)>);

impl PartList {
    fn push_chatglm(&mut self, network: &ChatGlm) {
        self.push_embedding(CHATGLM.word_embeddings, &network.word_embeddings);
        for (layer, block) in network.layers.iter().enumerate() {
            let names = CHATGLM.layer(layer);
            let (attention, mlp) = (&block.attention, &block.mlp);
            self.push_layer_norm(&names.input_layernorm, &block.input_layernorm);
            self.push_linear(&names.query_key_value, &attention.query_key_value);
            self.push_linear(&names.dense, &attention.dense);
            self.push_layer_norm(
                &names.post_attention_layernorm,
                &block.post_attention_layernorm,
            );
            self.push_linear(&names.dense_h_to_4h, &mlp.dense_h_to_4h);
            self.push_linear(&names.dense_4h_to_h, &mlp.dense_4h_to_h);
        }
        self.push_layer_norm(CHATGLM.final_layernorm, &network.final_layernorm);
        if let Some(head) = &network.lm_head {
            self.push(CHATGLM.head.to_owned(), matrix_of(head));
        }
    }

    fn push_chatglm2(&mut self, network: &ChatGlm2) {
        self.push_embedding(CHATGLM2.word_embeddings, &network.word_embeddings);
        for (layer, block) in network.layers.iter().enumerate() {
            let names = CHATGLM2.layer(layer);
            let (attention, mlp) = (&block.self_attention, &block.mlp);
            self.push_rms_norm(&names.input_layernorm, &block.input_layernorm);
            self.push_linear(&names.query_key_value, &attention.query_key_value);
            self.push_linear(&names.dense, &attention.dense);
            self.push_rms_norm(
                &names.post_attention_layernorm,
                &block.post_attention_layernorm,
            );
            self.push_linear(&names.dense_h_to_4h, &mlp.dense_h_to_4h);
            self.push_linear(&names.dense_4h_to_h, &mlp.dense_4h_to_h);
        }
        self.push_rms_norm(CHATGLM2.final_layernorm, &network.final_layernorm);
        if let Some(head) = &network.output_layer {
            self.push(CHATGLM2.head.to_owned(), matrix_of(head));
        }
    }

    fn push(&mut self, name: String, part: Part) {
        self.0.push((name, part));
    }

    fn push_embedding(&mut self, name: &str, embedding: &TokenEmbedding) {
        let part = match embedding {
            TokenEmbedding::Float(weight) => Part::Matrix(weight.val()),
            TokenEmbedding::Packed(embedding) => Part::Packed(embedding.weight.clone()),
        };
        self.push(name.to_owned(), part);
    }

    fn push_layer_norm(&mut self, module: &str, norm: &LayerNorm) {
        self.push(format!("{module}.weight"), Part::Vector(norm.weight.val()));
        self.push(format!("{module}.bias"), Part::Vector(norm.bias.val()));
    }

    fn push_rms_norm(&mut self, module: &str, norm: &RmsNorm) {
        self.push(format!("{module}.weight"), Part::Vector(norm.weight.val()));
    }

    fn push_linear(&mut self, module: &str, linear: &GlmLinear) {
        self.push(format!("{module}.weight"), matrix_of(linear));
        let bias = match linear {
            GlmLinear::Float(layer) => &layer.bias,
            GlmLinear::Packed(layer) => &layer.bias,
        };
        if let Some(bias) = bias {
            self.push(format!("{module}.bias"), Part::Vector(bias.val()));
        }
    }
}

fn matrix_of(linear: &GlmLinear) -> Part {
    match linear {
        GlmLinear::Float(layer) => Part::Matrix(layer.weight.val()),
        GlmLinear::Packed(layer) => Part::Packed(layer.weight.clone()),
    }
}

impl Parts {
    /// `storage` is what the weights that will come lie in: [`AllocationProperty::Native`] or [`AllocationProperty::File`].
    pub(super) fn new(path: PathBuf, device: Device, storage: AllocationProperty) -> Self {
        Self {
            path,
            device,
            storage,
            parts: HashMap::new(),
        }
    }

    /// Puts a tensor on the device.
    pub(super) fn insert(&mut self, name: &str, weight: Weight) {
        let (device, storage) = (&self.device, self.storage);
        let part = match weight {
            Weight::Float {
                dtype,
                shape,
                bytes,
            } => {
                let dtype = match dtype {
                    FloatType::F32 => DType::F32,
                    FloatType::F16 => DType::F16,
                    FloatType::Bf16 => DType::BF16,
                };
                let data = data_of(bytes, shape, dtype, storage);
                // With the type said, burn takes the bytes as they are.
                if data.rank() == 1 {
                    Part::Vector(Tensor::from_data(data, (device, dtype)))
                } else {
                    Part::Matrix(Tensor::from_data(data, (device, dtype)))
                }
            }
            Weight::Packed {
                layout,
                codes,
                scales,
            } => {
                let codes = data_of(codes, codes_shape(&layout), DType::U32, storage);
                let scales = data_of(scales, scales_shape(&layout), DType::F16, storage);
                Part::Packed(PackedWeight::from_data(layout, codes, scales, device))
            }
        };
        self.parts.insert(name.to_owned(), part);
    }

    /// The network. The head is the embedding when there is no other.
    ///
    /// # Errors
    /// [`Error::MissingTensor`].
    pub(super) fn into_network(mut self, config: &ModelConfig) -> Result<Network> {
        match config {
            ModelConfig::ChatGlm(config) => self.chatglm(config).map(Network::from),
            ModelConfig::ChatGlm2(config) => self.chatglm2(config).map(Network::from),
        }
    }

    fn chatglm(&mut self, config: &ChatGlmConfig) -> Result<ChatGlm> {
        Ok(ChatGlm {
            word_embeddings: self.embedding(CHATGLM.word_embeddings)?,
            layers: (0..config.num_layers)
                .map(|layer| self.chatglm_block(config, layer))
                .collect::<Result<_>>()?,
            final_layernorm: self.layer_norm(config, CHATGLM.final_layernorm)?,
            lm_head: self.head(CHATGLM.head)?,
            head_dim: config.head_dim(),
        })
    }

    fn chatglm_block(&mut self, config: &ChatGlmConfig, layer: usize) -> Result<GlmBlock> {
        let names = CHATGLM.layer(layer);
        Ok(GlmBlock {
            input_layernorm: self.layer_norm(config, &names.input_layernorm)?,
            attention: SelfAttention {
                query_key_value: self.linear(&names.query_key_value)?,
                dense: self.linear(&names.dense)?,
                num_attention_heads: config.num_attention_heads,
                layer,
            },
            post_attention_layernorm: self.layer_norm(config, &names.post_attention_layernorm)?,
            mlp: Mlp {
                dense_h_to_4h: self.linear(&names.dense_h_to_4h)?,
                dense_4h_to_h: self.linear(&names.dense_4h_to_h)?,
            },
        })
    }

    fn chatglm2(&mut self, config: &ChatGlm2Config) -> Result<ChatGlm2> {
        Ok(ChatGlm2 {
            word_embeddings: self.embedding(CHATGLM2.word_embeddings)?,
            layers: (0..config.num_layers)
                .map(|layer| self.chatglm2_block(config, layer))
                .collect::<Result<_>>()?,
            final_layernorm: self.rms_norm(config, CHATGLM2.final_layernorm)?,
            output_layer: self.head(CHATGLM2.head)?,
            rotary_dim: config.kv_channels / 2,
            rope_ratio: config.rope_ratio,
        })
    }

    fn chatglm2_block(&mut self, config: &ChatGlm2Config, layer: usize) -> Result<Glm2Block> {
        let names = CHATGLM2.layer(layer);
        Ok(Glm2Block {
            input_layernorm: self.rms_norm(config, &names.input_layernorm)?,
            self_attention: SharedKeyAttention {
                query_key_value: self.linear(&names.query_key_value)?,
                dense: self.linear_without_bias(&names.dense)?,
                num_attention_heads: config.num_attention_heads,
                multi_query_groups: config.multi_query_groups(),
                head_dim: config.kv_channels,
                layer,
            },
            post_attention_layernorm: self.rms_norm(config, &names.post_attention_layernorm)?,
            mlp: SwigluMlp {
                dense_h_to_4h: self.linear_without_bias(&names.dense_h_to_4h)?,
                dense_4h_to_h: self.linear_without_bias(&names.dense_4h_to_h)?,
            },
            residual_post_layernorm: config.apply_residual_connection_post_layernorm,
        })
    }

    fn embedding(&mut self, name: &str) -> Result<TokenEmbedding> {
        match self.take(name)? {
            Part::Matrix(weight) => Ok(TokenEmbedding::new(weight)),
            Part::Packed(weight) => Ok(TokenEmbedding::packed(weight)),
            Part::Vector(_) => Err(self.missing(name)),
        }
    }

    fn head(&mut self, name: &str) -> Result<Option<GlmLinear>> {
        match self.parts.contains_key(name) {
            true => self.matrix(name, None).map(Some),
            false => Ok(None),
        }
    }

    fn linear_without_bias(&mut self, module: &str) -> Result<GlmLinear> {
        self.matrix(&format!("{module}.weight"), None)
    }

    fn linear(&mut self, module: &str) -> Result<GlmLinear> {
        let bias = self.vector(&format!("{module}.bias"))?;
        self.matrix(&format!("{module}.weight"), Some(bias))
    }

    fn matrix(&mut self, name: &str, bias: Option<Tensor<1>>) -> Result<GlmLinear> {
        match self.take(name)? {
            Part::Matrix(weight) => Ok(GlmLinear::float(weight, bias)),
            Part::Packed(weight) => Ok(GlmLinear::packed(weight, bias)),
            Part::Vector(_) => Err(self.missing(name)),
        }
    }

    fn layer_norm(&mut self, config: &ChatGlmConfig, module: &str) -> Result<LayerNorm> {
        let weight = self.vector(&format!("{module}.weight"))?;
        let bias = self.vector(&format!("{module}.bias"))?;
        Ok(LayerNorm::new(weight, bias, config.layernorm_epsilon))
    }

    fn rms_norm(&mut self, config: &ChatGlm2Config, module: &str) -> Result<RmsNorm> {
        let weight = self.vector(&format!("{module}.weight"))?;
        Ok(RmsNorm::new(weight, config.layernorm_epsilon))
    }

    fn vector(&mut self, name: &str) -> Result<Tensor<1>> {
        match self.take(name)? {
            Part::Vector(vector) => Ok(vector),
            _ => Err(self.missing(name)),
        }
    }

    fn take(&mut self, name: &str) -> Result<Part> {
        self.parts.remove(name).ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> Error {
        Error::MissingTensor {
            path: self.path.clone(),
            tensor: name.to_owned(),
        }
    }
}
