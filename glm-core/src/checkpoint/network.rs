//! Named tensors to a network, and back.

use std::{collections::HashMap, path::PathBuf};

use burn::tensor::{Device, Tensor};
use glm_backends::PackedWeight;

use crate::{
    chatglm::{ChatGlm, GlmBlock, Mlp, SelfAttention},
    checkpoint::{
        names::{FINAL_LAYERNORM, LM_HEAD, LayerNames, WORD_EMBEDDINGS},
        weight::Weight,
    },
    config::ChatGlmConfig,
    error::{Error, Result},
    layers::{embedding::TokenEmbedding, layer_norm::LayerNorm, linear::GlmLinear},
};

/// The tensors of a model on their device, until all are there.
#[derive(Debug)]
pub(super) struct Parts {
    /// Where they come from.
    path: PathBuf,
    device: Device,
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
            Self::Vector(vector) => Weight::Float(vector.to_data()),
            Self::Matrix(matrix) => Weight::Float(matrix.to_data()),
            Self::Packed(weight) => Weight::Packed {
                layout: *weight.layout(),
                codes: weight.codes().into_data(),
                scales: weight.scales().into_data(),
            },
        }
    }
}

/// The tensors of a network by their names in a checkpoint, in the order of
/// [`model_tensors`](super::names::model_tensors).
pub(super) fn parts_of(network: &ChatGlm) -> Vec<(String, Part)> {
    let mut parts = Vec::new();
    parts.push((
        WORD_EMBEDDINGS.to_owned(),
        match &network.word_embeddings {
            TokenEmbedding::Float(weight) => Part::Matrix(weight.val()),
            TokenEmbedding::Packed(embedding) => Part::Packed(embedding.weight.clone()),
        },
    ));
    for (layer, block) in network.layers.iter().enumerate() {
        let names = LayerNames::new(layer);
        push_layer_norm(&mut parts, &names.input_layernorm, &block.input_layernorm);
        push_linear(
            &mut parts,
            &names.query_key_value,
            &block.attention.query_key_value,
        );
        push_linear(&mut parts, &names.dense, &block.attention.dense);
        push_layer_norm(
            &mut parts,
            &names.post_attention_layernorm,
            &block.post_attention_layernorm,
        );
        push_linear(&mut parts, &names.dense_h_to_4h, &block.mlp.dense_h_to_4h);
        push_linear(&mut parts, &names.dense_4h_to_h, &block.mlp.dense_4h_to_h);
    }
    push_layer_norm(&mut parts, FINAL_LAYERNORM, &network.final_layernorm);
    if let Some(head) = &network.lm_head {
        parts.push((LM_HEAD.to_owned(), matrix_of(head)));
    }
    parts
}

fn push_layer_norm(parts: &mut Vec<(String, Part)>, module: &str, norm: &LayerNorm) {
    parts.push((format!("{module}.weight"), Part::Vector(norm.weight.val())));
    parts.push((format!("{module}.bias"), Part::Vector(norm.bias.val())));
}

fn push_linear(parts: &mut Vec<(String, Part)>, module: &str, linear: &GlmLinear) {
    parts.push((format!("{module}.weight"), matrix_of(linear)));
    let bias = match linear {
        GlmLinear::Float(layer) => &layer.bias,
        GlmLinear::Packed(layer) => &layer.bias,
    };
    if let Some(bias) = bias {
        parts.push((format!("{module}.bias"), Part::Vector(bias.val())));
    }
}

fn matrix_of(linear: &GlmLinear) -> Part {
    match linear {
        GlmLinear::Float(layer) => Part::Matrix(layer.weight.val()),
        GlmLinear::Packed(layer) => Part::Packed(layer.weight.clone()),
    }
}

impl Parts {
    pub(super) fn new(path: PathBuf, device: Device) -> Self {
        Self {
            path,
            device,
            parts: HashMap::new(),
        }
    }

    /// Puts a tensor on the device.
    pub(super) fn insert(&mut self, name: &str, weight: Weight) {
        let device = &self.device;
        let part = match weight {
            Weight::Float(data) => {
                let dtype = data.dtype();
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
            } => Part::Packed(PackedWeight::from_data(layout, codes, scales, device)),
        };
        self.parts.insert(name.to_owned(), part);
    }

    /// The network. The head is the embedding when there is no other.
    ///
    /// # Errors
    /// [`Error::MissingTensor`].
    pub(super) fn into_network(mut self, config: &ChatGlmConfig) -> Result<ChatGlm> {
        let word_embeddings = match self.take(WORD_EMBEDDINGS)? {
            Part::Matrix(weight) => TokenEmbedding::new(weight),
            Part::Packed(weight) => TokenEmbedding::packed(weight),
            Part::Vector(_) => return Err(self.missing(WORD_EMBEDDINGS)),
        };
        let lm_head = match self.parts.contains_key(LM_HEAD) {
            true => Some(self.matrix(LM_HEAD, None)?),
            false => None,
        };
        let layers = (0..config.num_layers)
            .map(|layer| self.block(config, layer))
            .collect::<Result<_>>()?;
        Ok(ChatGlm {
            word_embeddings,
            layers,
            final_layernorm: self.layer_norm(config, FINAL_LAYERNORM)?,
            lm_head,
            head_dim: config.head_dim(),
        })
    }

    fn block(&mut self, config: &ChatGlmConfig, layer: usize) -> Result<GlmBlock> {
        let names = LayerNames::new(layer);
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
