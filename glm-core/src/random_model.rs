//! Models of any size with random packed weights, and caches of any length, made in memory in about the time that it
//! takes to write them: to measure speed where no checkpoint is at hand, and behind texts that take long to read. What is
//! said then means nothing, but every number on the way is of the size that it has in a trained model.

use burn::tensor::{Device, Tensor};
use glm_backends::PackedWeight;
use glm_quant::{Bits, PackedMatrix, half::f16};
use glm_tokenizer::{Phrase, phrase};
use rayon::prelude::*;

use crate::{
    chatglm::{ChatGlm, GlmBlock, Mlp, SelfAttention},
    chatglm2::{ChatGlm2, Glm2Block, SharedKeyAttention, SwigluMlp},
    checkpoint::Precision,
    config::{ChatGlm2Config, ChatGlmConfig, ModelConfig},
    error::{Error, Result},
    layers::{
        embedding::TokenEmbedding, layer_norm::LayerNorm, linear::GlmLinear, rms_norm::RmsNorm,
    },
    model::{DecodeState, Model},
    network::Network,
    prefix_lm::TokenId,
    split_mix,
};

/// Standard deviation of the weights, as in a model before its training.
const STD: f32 = 0.02;

/// Words that are filled at a time.
const CHUNK: usize = 1 << 16;

/// Most tokens that [`prefill_with_copies`] reads.
const READ: usize = 512;

/// A model on the CPU whose matrices are uniform random codes, with scales that give the weights a standard deviation
/// of 0.02; norms are one, biases zero. The head of ChatGLM-6B is its embedding, that of ChatGLM2-6B a matrix of its own.
///
/// The same `seed` gives the same model, whatever the number of threads.
///
/// # Errors
/// [`Error::InvalidOption`] for [`Precision::Stored`]: nothing is stored anywhere.
pub fn random_packed(
    config: &ModelConfig,
    layers: Precision,
    head: Precision,
    seed: u64,
) -> Result<Model> {
    let mut random = RandomLayers {
        precision: layers,
        head,
        seed,
        device: Device::flex(),
    };
    let network: Network = match config {
        ModelConfig::ChatGlm(config) => random.chatglm(config)?.into(),
        ModelConfig::ChatGlm2(config) => random.chatglm2(config)?.into(),
    };
    Ok(Model::new(config.clone(), network, random.device))
}

/// As [`Model::prefill_with_capacity`] of one prompt, in no more time than it takes to read 512 tokens: of a longer prompt
/// only the last ones are read, and their keys and values stand for all, again and again.
///
/// # Errors
/// As [`Model::prefill`].
///
/// # Panics
/// If `capacity` is less than the length of the prompt.
pub fn prefill_with_copies(
    model: &Model,
    prompt: &[TokenId],
    capacity: usize,
) -> Result<(Tensor<2>, DecodeState)> {
    let layouts = model.layouts(&[prompt])?;
    let last = &prompt[prompt.len().saturating_sub(READ)..];
    let (logits, state) = model.prefill(&[last])?;
    let cache = state.cache().repeated(prompt.len(), capacity);
    Ok((logits, DecodeState::of_row(model, layouts[0], cache)))
}

/// What the layers of a model are made of.
struct RandomLayers {
    precision: Precision,
    /// Of embedding and head.
    head: Precision,
    /// Of the last matrix.
    seed: u64,
    device: Device,
}

impl RandomLayers {
    fn chatglm(&mut self, config: &ChatGlmConfig) -> Result<ChatGlm> {
        let (hidden_size, inner) = (config.hidden_size, config.inner_hidden_size);
        let device = self.device.clone();
        let layer_norm = || LayerNorm::ones(hidden_size, config.layernorm_epsilon, &device);
        let word_embeddings = self.embedding(config.vocab_size, hidden_size)?;
        let layers = (0..config.num_layers).map(|layer| {
            Ok(GlmBlock {
                input_layernorm: layer_norm(),
                attention: SelfAttention {
                    query_key_value: self.linear(3 * hidden_size, hidden_size)?,
                    dense: self.linear(hidden_size, hidden_size)?,
                    num_attention_heads: config.num_attention_heads,
                    layer,
                },
                post_attention_layernorm: layer_norm(),
                mlp: Mlp {
                    dense_h_to_4h: self.linear(inner, hidden_size)?,
                    dense_4h_to_h: self.linear(hidden_size, inner)?,
                },
            })
        });
        Ok(ChatGlm {
            word_embeddings,
            layers: layers.collect::<Result<_>>()?,
            final_layernorm: layer_norm(),
            lm_head: None,
            head_dim: config.head_dim(),
        })
    }

    fn chatglm2(&mut self, config: &ChatGlm2Config) -> Result<ChatGlm2> {
        let (hidden_size, ffn) = (config.hidden_size, config.ffn_hidden_size);
        let (heads, head_dim) = (config.num_attention_heads, config.kv_channels);
        let device = self.device.clone();
        let norm = || {
            let weight = Tensor::ones([hidden_size], &device);
            RmsNorm::new(weight, config.layernorm_epsilon)
        };
        let word_embeddings = self.embedding(config.padded_vocab_size, hidden_size)?;
        let layers = (0..config.num_layers).map(|layer| {
            Ok(Glm2Block {
                input_layernorm: norm(),
                self_attention: SharedKeyAttention {
                    query_key_value: self.linear(config.qkv_size(), hidden_size)?,
                    dense: self.linear_without_bias(hidden_size, heads * head_dim)?,
                    num_attention_heads: heads,
                    multi_query_groups: config.multi_query_groups(),
                    head_dim,
                    layer,
                },
                post_attention_layernorm: norm(),
                mlp: SwigluMlp {
                    dense_h_to_4h: self.linear_without_bias(2 * ffn, hidden_size)?,
                    dense_4h_to_h: self.linear_without_bias(hidden_size, ffn)?,
                },
                residual_post_layernorm: config.apply_residual_connection_post_layernorm,
            })
        });
        let layers = layers.collect::<Result<_>>()?;
        let head = self.matrix(config.padded_vocab_size, hidden_size, self.head)?;
        Ok(ChatGlm2 {
            word_embeddings,
            layers,
            final_layernorm: norm(),
            output_layer: Some(GlmLinear::packed(head, None)),
            rotary_dim: head_dim / 2,
            rope_ratio: config.rope_ratio,
        })
    }

    fn embedding(&mut self, rows: usize, cols: usize) -> Result<TokenEmbedding> {
        self.matrix(rows, cols, self.head)
            .map(TokenEmbedding::packed)
    }

    fn linear(&mut self, rows: usize, cols: usize) -> Result<GlmLinear> {
        let bias = Tensor::zeros([rows], &self.device);
        let weight = self.matrix(rows, cols, self.precision)?;
        Ok(GlmLinear::packed(weight, Some(bias)))
    }

    fn linear_without_bias(&mut self, rows: usize, cols: usize) -> Result<GlmLinear> {
        let weight = self.matrix(rows, cols, self.precision)?;
        Ok(GlmLinear::packed(weight, None))
    }

    fn matrix(&mut self, rows: usize, cols: usize, precision: Precision) -> Result<PackedWeight> {
        self.seed = split_mix::number(self.seed, 1);
        random_matrix(rows, cols, precision, self.seed, &self.device)
    }
}

fn random_matrix(
    rows: usize,
    cols: usize,
    precision: Precision,
    seed: u64,
    device: &Device,
) -> Result<PackedWeight> {
    let Some(layout) = precision.layout(rows, cols) else {
        return Err(Error::InvalidOption {
            option: "precision",
            expected: phrase!("option-codes", "one of codes for a random model"),
            found: Phrase::verbatim(precision),
        });
    };
    let mut codes = vec![0u32; layout.words()];
    codes
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(index, chunk)| {
            let start = split_mix::number(seed ^ index as u64, 1);
            let (pairs, rest) = chunk.as_chunks_mut::<2>();
            for (index, pair) in pairs.iter_mut().enumerate() {
                let bits = split_mix::number(start.wrapping_add(index as u64), 1);
                *pair = [bits as u32, (bits >> 32) as u32];
            }
            for word in rest {
                *word = start as u32;
            }
        });
    let scales = vec![f16::from_f32(STD / code_deviation(layout.bits)); layout.scales()];
    let matrix = PackedMatrix::new(layout, codes, scales).map_err(|source| Error::Quantize {
        path: "a random model".into(),
        tensor: format!("[{rows}, {cols}]"),
        source,
    })?;
    Ok(PackedWeight::from_matrix(matrix, device))
}

/// Standard deviation of codes of which each is as likely as any other.
fn code_deviation(bits: Bits) -> f32 {
    let values = 2 * bits.offset();
    (((values * values - 1) as f32) / 12.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::ModelConfig, layers::Stage};

    fn config() -> ModelConfig {
        let json = r#"{"model_type": "chatglm", "vocab_size": 512, "hidden_size": 128, "num_layers": 28,
            "num_attention_heads": 4, "bos_token_id": 500, "eos_token_id": 501, "mask_token_id": 502,
            "gmask_token_id": 503, "pad_token_id": 3}"#;
        ModelConfig::from_json("config.json", json.as_bytes()).unwrap()
    }

    fn chatglm2_config() -> ModelConfig {
        let json = r#"{"model_type": "chatglm", "padded_vocab_size": 512, "hidden_size": 128, "ffn_hidden_size": 160,
            "num_layers": 4, "num_attention_heads": 4, "kv_channels": 32, "multi_query_attention": true,
            "multi_query_group_num": 2, "seq_length": 256, "rmsnorm": true, "add_qkv_bias": true,
            "add_bias_linear": false, "post_layer_norm": true, "original_rope": true, "eos_token_id": 2}"#;
        ModelConfig::from_json("config.json", json.as_bytes()).unwrap()
    }

    fn deviation(values: &Tensor<3>) -> f32 {
        values
            .clone()
            .powf_scalar(2.0)
            .mean()
            .sqrt()
            .into_scalar::<f32>()
    }

    #[test]
    fn hidden_states_and_logits_stay_of_ordinary_size_through_all_layers() {
        for precision in [Precision::INT4, Precision::INT8] {
            let model = random_packed(&config(), precision, precision, 1).unwrap();
            let rows: [&[u32]; 1] = [&[5, 6, 7, 8, 503, 500]];
            let layouts = model.layouts(&rows).unwrap();
            let input = model.input(&rows, &layouts, crate::model::PaddingSide::Left);
            let mut seen = 0;
            let logits = model.forward_observed(input, |stage, x| {
                let deviation = deviation(x);
                seen += 1;
                match stage {
                    Stage::Embedding => assert!((0.015..0.025).contains(&deviation)),
                    // The normalised input times α, 7.48, and what attention or the feed-forward layer adds.
                    Stage::Layer(_) => assert!((7.0..9.0).contains(&deviation), "{deviation}"),
                    Stage::FinalLayerNorm => assert!((0.9..1.1).contains(&deviation)),
                }
            });
            assert_eq!(seen, 30);
            // √128 · 0.02 for a width of 128.
            let deviation = deviation(&logits);
            assert!((0.15..0.35).contains(&deviation), "{deviation}");
        }
    }

    #[test]
    fn a_seed_gives_one_model_and_another_seed_another() {
        for config in [config(), chatglm2_config()] {
            let logits = |seed| {
                let model = random_packed(&config, Precision::INT4, Precision::INT8, seed).unwrap();
                let (logits, _) = model.prefill(&[&[5, 503, 500]]).unwrap();
                logits.into_data()
            };
            assert_eq!(logits(1), logits(1));
            assert_ne!(logits(1), logits(2));
        }
    }

    #[test]
    fn the_second_family_gives_logits_of_ordinary_size() {
        let model = random_packed(&chatglm2_config(), Precision::INT4, Precision::INT4, 1).unwrap();
        let (logits, _) = model.prefill(&[&[5, 6, 7, 8]]).unwrap();
        // √128 · 0.02 for a width of 128, behind a norm.
        let deviation = deviation(&logits.unsqueeze());
        assert!((0.15..0.35).contains(&deviation), "{deviation}");
    }

    #[test]
    fn copies_stand_for_what_is_not_read() {
        for (config, end) in [(config(), &[503, 500][..]), (chatglm2_config(), &[])] {
            let model = random_packed(&config, Precision::INT4, Precision::INT4, 1).unwrap();
            for len in [3, READ, READ + 1, 2 * READ + 100] {
                let text = (0..len - end.len()).map(|index| (index % 499) as u32);
                let prompt: Vec<u32> = text.chain(end.iter().copied()).collect();
                let (logits, mut state) = prefill_with_copies(&model, &prompt, len + 1).unwrap();
                let (expected, mut read) = model.prefill(&[&prompt]).unwrap();
                assert_eq!((state.len(), state.cache().len()), (len, len));
                let next = |state| model.decode(state, &[7]).unwrap().into_data();
                let (next, expected_next) = (next(&mut state), next(&mut read));
                assert_eq!(state.len(), len + 1);
                let is_read = len <= READ;
                assert_eq!(logits.into_data() == expected.into_data(), is_read, "{len}");
                assert_eq!(next == expected_next, is_read, "{len}");
                let reserved = (len + 1) * model.cache_bytes_per_token();
                assert_eq!(state.cache().reserved_bytes(), reserved);
            }
        }
    }

    #[test]
    fn a_stored_precision_is_refused() {
        let error = random_packed(&config(), Precision::Stored, Precision::INT8, 1).unwrap_err();
        assert!(error.to_string().contains("precision"), "{error}");
    }
}
