//! From a checkpoint folder to a model.
//!
//! Everything is checked before anything large is read: `config.json`, then every tensor's name, shape and type
//! against the table in `names.rs`, then the memory that the weights will need. Only then the tensors are read, one
//! at a time, each kept in the precision it is stored in.

mod files;
mod memory;
mod names;
mod save;
mod weights;

use std::{fmt, path::Path};

use burn::tensor::Device;

use crate::{
    chatglm::{ChatGlm, GlmBlock, Mlp, SelfAttention, layer_norm},
    config::{ChatGlmConfig, ModelConfig},
    error::Result,
    layers::embedding::TokenEmbedding,
    model::Model,
};

pub use files::{CheckpointFiles, TensorInfo, WeightDType, WeightFormat};
pub use names::{ExpectedTensor, Role, expected_tensors};
pub use save::save_f16;

use names::{FINAL_LAYERNORM, LM_HEAD, LayerNames, WORD_EMBEDDINGS};
use weights::WeightReader;

/// Loads the checkpoint in `dir` on the CPU: [`LoadOptions::load`] with the defaults.
///
/// # Errors
/// As [`LoadOptions::load`].
pub fn load(dir: impl AsRef<Path>) -> Result<Model> {
    LoadOptions::default().load(dir)
}

/// How to load a checkpoint.
pub struct LoadOptions<'a> {
    device: Device,
    format: Option<WeightFormat>,
    progress: Option<Box<dyn FnMut(LoadProgress) + 'a>>,
}

/// How far loading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes of weights read so far.
    pub bytes_read: u64,
    /// Bytes of weights in all.
    pub bytes_total: u64,
}

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self {
            device: Device::flex(),
            format: None,
            progress: None,
        }
    }
}

impl fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions")
            .field("device", &self.device)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl<'a> LoadOptions<'a> {
    /// Loads onto this device; see [`crate::DeviceName`].
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Reads this format when the folder holds several. The default prefers safetensors.
    #[must_use]
    pub fn format(mut self, format: WeightFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// Calls `progress` after every tensor.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(LoadProgress) + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Loads a checkpoint folder in the official layout: `config.json` and the weights, as
    /// `model.safetensors[.index.json]` or `pytorch_model.bin[.index.json]`, float, INT8 or INT4.
    ///
    /// Float matrices stay f32, f16 or bf16 as stored; biases and norms are widened to f32. A head that equals the
    /// embedding is kept once.
    ///
    /// # Errors
    /// Every way in which the folder can be wrong is a variant of [`Error`](crate::Error) that names the file, and the tensor where
    /// there is one; [`Error::OutOfMemory`](crate::Error::OutOfMemory) when the weights would not fit.
    pub fn load(self, dir: impl AsRef<Path>) -> Result<Model> {
        let dir = dir.as_ref();
        let config = ModelConfig::from_dir(dir)?;
        let files = match self.format {
            None => CheckpointFiles::open(dir)?,
            Some(format) => CheckpointFiles::open_with_format(dir, format)?,
        };
        self.build(config, &files)
    }

    /// Loads a checkpoint that is part of the program: the bytes of its `config.json` and `model.safetensors`.
    ///
    /// # Errors
    /// As [`LoadOptions::load`]; `name` stands for the folder.
    pub fn load_from_memory(
        self,
        name: &str,
        config: &[u8],
        safetensors: &'static [u8],
    ) -> Result<Model> {
        let config = ModelConfig::from_json(Path::new(name).join("config.json"), config)?;
        let files = CheckpointFiles::from_memory(name, safetensors)?;
        self.build(config, &files)
    }

    fn build(self, config: ModelConfig, files: &CheckpointFiles) -> Result<Model> {
        let ModelConfig::ChatGlm(config) = config;
        let mut reader = WeightReader::new(files, &config, self.device.clone(), self.progress)?;
        let network = read_chatglm(&config, &mut reader)?;
        Ok(Model::new(config, network, self.device))
    }
}

/// The model in the order of its file, embedding and head first: comparing the two needs both in memory, which is
/// cheapest while nothing else is there.
fn read_chatglm(config: &ChatGlmConfig, reader: &mut WeightReader<'_, '_>) -> Result<ChatGlm> {
    let (embedding, lm_head) = reader.embedding_and_head(WORD_EMBEDDINGS, LM_HEAD)?;
    let mut layers = Vec::with_capacity(config.num_layers);
    for layer in 0..config.num_layers {
        let names = LayerNames::new(layer);
        layers.push(GlmBlock {
            input_layernorm: reader
                .layer_norm(&names.input_layernorm, blank_norm(config, reader))?,
            attention: SelfAttention {
                query_key_value: reader.linear(&names.query_key_value)?,
                dense: reader.linear(&names.dense)?,
                num_attention_heads: config.num_attention_heads,
                layer,
            },
            post_attention_layernorm: reader
                .layer_norm(&names.post_attention_layernorm, blank_norm(config, reader))?,
            mlp: Mlp {
                dense_h_to_4h: reader.linear(&names.dense_h_to_4h)?,
                dense_4h_to_h: reader.linear(&names.dense_4h_to_h)?,
            },
        });
    }
    Ok(ChatGlm {
        word_embeddings: TokenEmbedding::new(embedding),
        layers,
        final_layernorm: reader.layer_norm(FINAL_LAYERNORM, blank_norm(config, reader))?,
        lm_head,
        head_dim: config.hidden_size / config.num_attention_heads,
    })
}

fn blank_norm(config: &ChatGlmConfig, reader: &WeightReader<'_, '_>) -> burn::nn::LayerNorm {
    layer_norm(config, reader.device())
}
