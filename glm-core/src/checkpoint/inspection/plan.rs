//! What a model will need, before it is loaded.

use serde::Serialize;

use crate::{
    checkpoint::{
        conversion::Conversion,
        files::CheckpointFiles,
        memory::available_memory,
        precision::{Forms, Precision},
        prepacked::PrepackedFile,
    },
    config::ModelConfig,
    error::{Error, Result},
    numerics::CachePrecision,
};

/// The precisions that a plan is made for.
const PRECISIONS: [Precision; 3] = [Precision::Stored, Precision::INT8, Precision::INT4];

/// Bytes of a working value, f32.
const VALUE: u64 = 4;

/// What a checkpoint would need in this machine. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Memory that is free, or that the system would give back; `None` where it does not tell.
    pub available_memory: Option<u64>,
    /// The longest sequence that the model was trained for, in tokens.
    pub max_sequence_length: usize,
    /// Keys and values of 1000 tokens, stored in f16, which is the default.
    pub cache_int16_per_1000_tokens: u64,
    /// The same in int8.
    pub cache_int8_per_1000_tokens: u64,
    /// Tokens of a prompt that are read at once, at most.
    pub tokens_at_once: usize,
    /// Working memory while that many are read.
    pub work: u64,
    /// Every precision that the checkpoint can be loaded in.
    pub precisions: Vec<PlannedPrecision>,
    /// Which of them to take: the index in `precisions`; `None` when none fits.
    pub suggested: Option<usize>,
}

/// A precision that a checkpoint can be loaded in. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedPrecision {
    /// Of the layers: a name that [`Precision`] reads.
    pub precision: String,
    /// Of embedding and head.
    pub head: String,
    /// The model in memory.
    pub weights: u64,
    /// The largest tensor as stored, which loading holds beside the model. 0 for what is mapped.
    pub loading: u64,
    /// Tokens of conversation, prompt and answer, for which there is memory with an f16 cache, at most
    /// `max_sequence_length`; 0 when the weights alone do not fit. `None` where the system does not tell its memory.
    pub longest_context: Option<usize>,
}

impl Plan {
    /// For a checkpoint folder or ggml file whose tensors were found right and are `stored` like this.
    pub(super) fn of_checkpoint(
        files: &CheckpointFiles,
        config: &ModelConfig,
        stored: Forms,
    ) -> Result<Self> {
        let mut plan = Self::without_weights(config);
        for precision in PRECISIONS {
            let forms = match Forms::of_checkpoint(files.path(), stored, precision, None, false) {
                // Codes are kept as they are.
                Err(Error::AlreadyQuantized { .. }) => continue,
                forms => forms?,
            };
            let conversion = Conversion::new(files, config, stored, forms)?;
            let planned = PlannedPrecision {
                precision: precision.to_string(),
                head: forms.head.precision().to_string(),
                weights: conversion.model_bytes(config.tie_word_embeddings()),
                loading: conversion.largest_read(),
                longest_context: None,
            };
            let is_known = plan
                .precisions
                .iter()
                .any(|known| (&known.head, known.weights) == (&planned.head, planned.weights));
            // `int4` of an INT4 checkpoint is what it is stored as.
            if !is_known {
                plan.precisions.push(planned);
            }
        }
        plan.find_contexts();
        Ok(plan)
    }

    /// For a prepacked file of so many bytes.
    pub(super) fn of_prepacked(file: &PrepackedFile, bytes: u64) -> Self {
        let mut plan = Self::without_weights(file.config());
        plan.precisions.push(PlannedPrecision {
            precision: file.forms().layers.precision().to_string(),
            head: file.forms().head.precision().to_string(),
            weights: bytes,
            loading: 0,
            longest_context: None,
        });
        plan.find_contexts();
        plan
    }

    fn without_weights(config: &ModelConfig) -> Self {
        let cache = |precision| 1000 * config.cache_bytes_per_token(precision) as u64;
        let inner = match config {
            ModelConfig::ChatGlm(_) => 2,
            ModelConfig::ChatGlm2(_) => 3, // a gate goes in, too
        } * config.inner_hidden_size();
        // Of a block, at its widest: the residual and its norm, and what goes into the activation and comes out.
        let work = VALUE * (2 * config.hidden_size() + inner) as u64;
        let tokens_at_once = config.tokens_at_once(config.max_sequence_length());
        Self {
            available_memory: available_memory(),
            max_sequence_length: config.max_sequence_length(),
            cache_int16_per_1000_tokens: cache(CachePrecision::Int16),
            cache_int8_per_1000_tokens: cache(CachePrecision::Int8),
            tokens_at_once,
            work: tokens_at_once as u64 * work,
            precisions: Vec::new(),
            suggested: None,
        }
    }

    /// Tokens of conversation that there is memory for, in so many bytes.
    fn tokens_within(&self, room: u64) -> usize {
        let at_once = self.tokens_at_once as u64;
        let cache = self.cache_int16_per_1000_tokens;
        let work = self.work * 1000 / at_once.max(1);
        let tokens = match room * 1000 / (cache + work).max(1) {
            few if few < at_once => few,
            // The memory of the first ones is used again.
            _ => room.saturating_sub(self.work) * 1000 / cache.max(1),
        };
        let tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
        tokens.min(self.max_sequence_length)
    }

    /// How far the memory goes, and which precision goes far enough.
    fn find_contexts(&mut self) {
        let Some(available) = self.available_memory else {
            return;
        };
        for index in 0..self.precisions.len() {
            let planned = &self.precisions[index];
            let fits = planned.weights + planned.loading <= available;
            let room = if fits { available - planned.weights } else { 0 };
            self.precisions[index].longest_context = Some(self.tokens_within(room));
        }
        // The most exact one with room for the longest conversation, else the one with the most room.
        let context = |index: &usize| self.precisions[*index].longest_context.unwrap_or(0);
        let whole = (0..self.precisions.len()).find(|i| context(i) == self.max_sequence_length);
        let longest = || (0..self.precisions.len()).rev().max_by_key(context);
        self.suggested = whole.or_else(longest).filter(|index| context(index) > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest context in `room` bytes is as many tokens as take no more.
    #[test]
    fn what_fits_is_counted_to_the_last_token() {
        let chatglm = r#"{"model_type": "chatglm", "vocab_size": 512, "hidden_size": 64, "num_layers": 2,
            "num_attention_heads": 4, "bos_token_id": 500, "eos_token_id": 501, "mask_token_id": 502,
            "gmask_token_id": 503, "pad_token_id": 3, "max_sequence_length": 8192}"#;
        let chatglm2 = r#"{"model_type": "chatglm", "padded_vocab_size": 512, "hidden_size": 64, "ffn_hidden_size": 160,
            "num_layers": 2, "num_attention_heads": 4, "kv_channels": 16, "multi_query_attention": true,
            "multi_query_group_num": 2, "add_qkv_bias": true, "seq_length": 8192}"#;
        for (json, at_once, work) in [
            (chatglm, 8192, 4 * (2 * 64 + 2 * 256)),
            (chatglm2, 512, 4 * (2 * 64 + 3 * 160)),
        ] {
            let config = ModelConfig::from_json("config.json", json.as_bytes()).unwrap();
            let plan = Plan::without_weights(&config);
            assert_eq!(plan.work, at_once * work);
            let cache = config.cache_bytes_per_token(CachePrecision::Int16) as u64;
            for tokens in [1, 2, 511, 512, 513, 8000, 8192] {
                let needed = tokens * cache + tokens.min(at_once) * work;
                assert_eq!(plan.tokens_within(needed) as u64, tokens, "{json}");
                assert_eq!(plan.tokens_within(needed - 1) as u64, tokens - 1, "{json}");
            }
            assert_eq!(plan.tokens_within(u64::MAX / 2000), 8192);
        }
    }
}
