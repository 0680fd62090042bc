//! A model that completes code, and remembers what it has read.

use glm_core::{
    GlmTokenizer, Model,
    code::{CodeCompletion, CodeOptions, Cursor},
    generate::{CancelToken, FinishReason},
    prefix_cache::PrefixCache,
};
use serde::Serialize;

use crate::error::Result;

/// Completes code, and reads of each prompt only what is new.
#[derive(Debug)]
pub(crate) struct Completer {
    model: Model,
    tokenizer: GlmTokenizer,
    read: PrefixCache,
}

impl Completer {
    /// With so many bytes for what was read.
    pub(crate) fn new(model: Model, tokenizer: GlmTokenizer, memory: usize) -> Self {
        Self {
            model,
            tokenizer,
            read: PrefixCache::new(memory),
        }
    }

    /// Completes the code at `cursor`; `give` gets it piece by piece.
    pub(crate) fn complete(
        &self,
        cursor: &Cursor<'_>,
        options: &CodeOptions,
        cancel: CancelToken,
        mut give: impl FnMut(&str) -> Result<()>,
    ) -> Result<CodeCompletion> {
        let stream = self.model.stream_code(&self.tokenizer, cursor, options)?;
        let known = self.read.find_longer(&self.model, stream.prompt(), 0);
        let stream = stream.with_cancel(cancel);
        let mut stream = match known {
            Some(prefix) => stream.with_prefix(prefix),
            None => stream,
        };
        let ended = stream.by_ref().try_for_each(|piece| give(&piece?));
        let (completion, prefix) = stream.into_completion();
        if let Some(prefix) = prefix {
            self.read.insert(&prefix);
        }
        ended.map(|()| completion)
    }
}

/// What became of a completion, in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    finish_reason: &'static str,
    prompt_tokens: usize,
    cached_tokens: usize,
    completion_tokens: usize,
    omitted_bytes: usize,
    seed: u64,
    invalid_scores: usize,
}

impl From<&CodeCompletion> for Outcome {
    fn from(completion: &CodeCompletion) -> Self {
        Self {
            finish_reason: match completion.finish_reason {
                FinishReason::Eos => "eos",
                FinishReason::StopString => "stop_string",
                FinishReason::CodeComplete => "code_complete",
                FinishReason::Length => "length",
                FinishReason::Cancelled => "cancelled",
                _ => "other",
            },
            prompt_tokens: completion.prompt_tokens,
            cached_tokens: completion.cached_tokens,
            completion_tokens: completion.completion_tokens,
            omitted_bytes: completion.omitted_bytes,
            seed: completion.seed,
            invalid_scores: completion.invalid_scores,
        }
    }
}
