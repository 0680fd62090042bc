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
    pub cache_f16_per_1000_tokens: u64,
    /// The same in int8.
    pub cache_int8_per_1000_tokens: u64,
    /// Working memory of 1000 tokens while a prompt is read.
    pub work_per_1000_tokens: u64,
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
        // Of a block, at its widest: the residual and its norm, and what goes into the activation and comes out.
        let work = VALUE * (2 * config.hidden_size() + 2 * config.inner_hidden_size()) as u64;
        Self {
            available_memory: available_memory(),
            max_sequence_length: config.max_sequence_length(),
            cache_f16_per_1000_tokens: cache(CachePrecision::F16),
            cache_int8_per_1000_tokens: cache(CachePrecision::Int8),
            work_per_1000_tokens: 1000 * work,
            precisions: Vec::new(),
            suggested: None,
        }
    }

    /// How far the memory goes, and which precision goes far enough.
    fn find_contexts(&mut self) {
        let Some(available) = self.available_memory else {
            return;
        };
        let per_1000 = self.cache_f16_per_1000_tokens + self.work_per_1000_tokens;
        for planned in &mut self.precisions {
            let fits = planned.weights + planned.loading <= available;
            let room = if fits { available - planned.weights } else { 0 };
            let tokens = usize::try_from(room * 1000 / per_1000.max(1)).unwrap_or(usize::MAX);
            planned.longest_context = Some(tokens.min(self.max_sequence_length));
        }
        // The most exact one with room for the longest conversation, else the one with the most room.
        let context = |index: &usize| self.precisions[*index].longest_context.unwrap_or(0);
        let whole = (0..self.precisions.len()).find(|i| context(i) == self.max_sequence_length);
        let longest = || (0..self.precisions.len()).rev().max_by_key(context);
        self.suggested = whole.or_else(longest).filter(|index| context(index) > 0);
    }
}
