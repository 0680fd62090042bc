//! Tokens behind prompts: one answer, several side by side, or the best of several.

mod answer;
mod answer_text;
mod batch;
mod beam_search;
mod generator;
mod log_probs;
mod logits_processor;
mod options;
mod prompt_lookup;
mod sampler;
mod stop;

use std::fmt;

pub use crate::cancel_token::{CancelOnDrop, CancelToken};
pub use answer::Generated;
pub(crate) use answer_text::{AnswerText, TextGenerator, TextRules};
pub use batch::{BatchGenerator, generate_batch};
pub use beam_search::{
    BeamSearchOptions, EarlyStopping, Hypothesis, beam_search, beam_search_until,
};
pub use generator::Generator;
pub use log_probs::{LogProb, TokenLogProbs, log_probs};
pub use logits_processor::{LogitsProcessor, LogitsProcessors, Sequence};
pub use options::GenerationOptions;

use options::INVALID_SCORE_TOKEN;
pub use sampler::{Sampled, Sampler, probabilities, row_seed};
pub use stop::StopStrings;

use crate::{error::Result, host::to_host, model::Model, prefix_lm::TokenId};

/// Why generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model ended its reply.
    Eos,
    /// A stop string was found.
    StopString,
    /// The line or block of code that was asked for is complete: see [`code::Until`](crate::code::Until).
    CodeComplete,
    /// `max_length` or `max_new_tokens` was reached.
    Length,
    /// The [`CancelToken`] was used.
    Cancelled,
}

/// As OpenAI's API says it: `stop` for an answer that is complete, in whichever way, `length`, and `cancelled`.
impl fmt::Display for FinishReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eos | Self::StopString | Self::CodeComplete => "stop",
            Self::Length => "length",
            Self::Cancelled => "cancelled",
        })
    }
}

/// A sampler for answers to a prompt of `prompt_len` tokens, and the tokens that end one.
fn sampler_for(
    model: &Model,
    options: &GenerationOptions,
    prompt_len: usize,
) -> Result<(Sampler, Vec<TokenId>)> {
    let own = || vec![model.eos_token_id()];
    let eos_token_ids = options.eos_token_ids.clone().unwrap_or_else(own);
    // Token 5 of the text, as in the official code of every generation.
    let invalid_score_token = match options.invalid_score_token {
        Some(INVALID_SCORE_TOKEN) => {
            Some(INVALID_SCORE_TOKEN + model.config().image_tokens() as TokenId)
        }
        other => other,
    };
    let options = GenerationOptions {
        eos_token_ids: Some(eos_token_ids.clone()),
        invalid_score_token,
        ..options.clone()
    };
    let sampler = Sampler::new(&options)?.with_prompt_len(prompt_len);
    Ok((sampler, eos_token_ids))
}
