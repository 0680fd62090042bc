//! Writes a model in the official folder layout, as one `model.safetensors` beside `config.json`.

use std::path::Path;

use burn::{
    nn::LayerNorm,
    tensor::{DType, FloatDType, Tensor, TensorData},
};
use safetensors::{Dtype, tensor::TensorView};

use crate::{
    checkpoint::names::{FINAL_LAYERNORM, LM_HEAD, LayerNames, WORD_EMBEDDINGS},
    config::ModelConfig,
    error::{Error, Result},
    layers::linear::GlmLinear,
    model::Model,
};

/// Saves `config.json` and `model.safetensors` (every float tensor in f16) into `dir`, which must exist. A head that
/// is the embedding is stored once. Quantised layers cannot be saved yet.
///
/// The weights are written to a file beside and renamed, so that a crash leaves the old file or the new one.
///
/// # Errors
/// [`Error::Io`] when a file cannot be written, [`Error::UnsupportedModel`] for a quantised model.
pub fn save_f16(model: &Model, dir: impl AsRef<Path>) -> Result<()> {
    let dir = dir.as_ref();
    let tensors = Tensors::of(model, dir)?;
    let path = dir.join("model.safetensors");
    let partial = dir.join("model.safetensors.partial");
    let views = tensors
        .0
        .iter()
        .map(|(name, data)| {
            let view = TensorView::new(Dtype::F16, data.shape().to_vec(), data.as_bytes())
                .map_err(|error| Error::malformed(&path, error))?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize_to_file(views, None, &partial)
        .map_err(|error| Error::malformed(&partial, error))?;
    std::fs::rename(&partial, &path).map_err(|error| Error::io(&path, error))?;

    let config_path = dir.join("config.json");
    let ModelConfig::ChatGlm(mut config) = model.config();
    config.torch_dtype = Some(crate::config::TorchDtype::Float16);
    let json = ModelConfig::ChatGlm(config).to_json()?;
    std::fs::write(&config_path, json + "\n").map_err(|error| Error::io(&config_path, error))
}

struct Tensors(Vec<(String, TensorData)>);

impl Tensors {
    fn of(model: &Model, dir: &Path) -> Result<Self> {
        let network = model.network();
        let mut tensors = Self(Vec::new());
        tensors.push(
            WORD_EMBEDDINGS.to_owned(),
            network.word_embeddings.weight.val(),
        );
        for (layer, block) in network.layers.iter().enumerate() {
            let names = LayerNames::new(layer);
            tensors.layer_norm(&names.input_layernorm, &block.input_layernorm);
            tensors.linear(
                &names.query_key_value,
                &block.attention.query_key_value,
                dir,
            )?;
            tensors.linear(&names.dense, &block.attention.dense, dir)?;
            tensors.layer_norm(
                &names.post_attention_layernorm,
                &block.post_attention_layernorm,
            );
            tensors.linear(&names.dense_h_to_4h, &block.mlp.dense_h_to_4h, dir)?;
            tensors.linear(&names.dense_4h_to_h, &block.mlp.dense_4h_to_h, dir)?;
        }
        tensors.layer_norm(FINAL_LAYERNORM, &network.final_layernorm);
        if let Some(GlmLinear::Float(head)) = &network.lm_head {
            tensors.push(LM_HEAD.to_owned(), head.weight.val());
        }
        Ok(tensors)
    }

    fn push<const D: usize>(&mut self, name: String, tensor: Tensor<D>) {
        let data = tensor.cast(FloatDType::F16).into_data();
        debug_assert_eq!(data.dtype(), DType::F16);
        self.0.push((name, data));
    }

    fn layer_norm(&mut self, module: &str, norm: &LayerNorm) {
        self.push(format!("{module}.weight"), norm.gamma.val());
        if let Some(beta) = &norm.beta {
            self.push(format!("{module}.bias"), beta.val());
        }
    }

    fn linear(&mut self, module: &str, linear: &GlmLinear, dir: &Path) -> Result<()> {
        let GlmLinear::Float(layer) = linear else {
            return Err(Error::UnsupportedModel {
                path: dir.to_path_buf(),
                found: format!("a quantised layer `{module}`, which cannot be saved as f16"),
            });
        };
        self.push(format!("{module}.weight"), layer.weight.val());
        if let Some(bias) = &layer.bias {
            self.push(format!("{module}.bias"), bias.val());
        }
        Ok(())
    }
}
