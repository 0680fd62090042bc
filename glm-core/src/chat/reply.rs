//! One question in, one answer out, with the history that both belong to.

use std::sync::Arc;

use glm_tokenizer::GlmTokenizer;

use crate::{
    chat::{PromptStyle, ReplyStream, ResponseRules, Turn},
    config::ModelConfig,
    error::{Error, Result},
    generate::{CancelToken, FinishReason, GenerationOptions, LogitsProcessor, TextGenerator},
    model::Model,
    prefix_cache::Prefix,
    prefix_lm::TokenId,
    setters::setters,
};

/// Tokens kept free for the answer when a long history is cut, if `max_length` allows.
const ROOM_FOR_REPLY: usize = 256;

/// How to chat. The default is that of ChatGLM-6B; [`Model::chat_options`] gives that of any model.
#[derive(Debug, Clone, Default, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct ChatOptions {
    /// Length, sampling and stop strings. `max_length` is held to the model's `max_sequence_length`.
    pub generation: GenerationOptions,
    /// What is done to the model's text; [`ResponseRules::Raw`] leaves it as it is, and `None` is what the official code of
    /// the model does.
    pub response: Option<ResponseRules>,
}

setters!(ChatOptions {
    with_generation: generation = GenerationOptions,
    with_response: response = impl Into<Option<ResponseRules>>,
});

impl From<GenerationOptions> for ChatOptions {
    fn from(generation: GenerationOptions) -> Self {
        Self::default().with_generation(generation)
    }
}

/// An answer, and what became of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Reply {
    /// The answer.
    pub response: String,
    /// The history that the model saw, and this turn.
    pub history: Vec<Turn>,
    /// Oldest turns that no longer fitted and were left out, whole.
    pub dropped_turns: usize,
    /// What ended the answer.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt: the history that the model saw, and the question.
    pub prompt_tokens: usize,
    /// How many of these were not read again, because the model knew them already
    /// ([`StreamedReply::with_prefix`]).
    pub cached_tokens: usize,
    /// Tokens that the model wrote.
    pub completion_tokens: usize,
    /// The seed that gives this answer again.
    pub seed: u64,
    /// NaN or infinite logits on the way: 0 with healthy weights.
    pub invalid_scores: usize,
}

impl Model {
    /// The defaults of the model's official `chat`.
    pub fn chat_options(&self) -> ChatOptions {
        let generation = match self.config() {
            ModelConfig::ChatGlm(_) => GenerationOptions::default(),
            ModelConfig::ChatGlm2(_) => GenerationOptions {
                max_length: 8192,
                temperature: 0.8,
                top_p: 0.8,
                ..GenerationOptions::default()
            },
        };
        generation.into()
    }

    /// Answers `query`, with the official defaults and the history of the conversation so far.
    ///
    /// Text never becomes a special token, whatever it spells; see [`GlmTokenizer::encode`].
    ///
    /// # Errors
    /// As [`Model::stream_chat`].
    pub fn chat(&self, tokenizer: &GlmTokenizer, query: &str, history: &[Turn]) -> Result<Reply> {
        self.chat_with(tokenizer, query, history, &self.chat_options())
    }

    /// [`Model::chat`] with options. To end it early, or with a rule of its own, run its stream:
    /// `model.stream_chat(…)?.with_cancel(cancel).run()`.
    ///
    /// # Errors
    /// As [`Model::stream_chat`].
    pub fn chat_with(
        &self,
        tokenizer: &GlmTokenizer,
        query: &str,
        history: &[Turn],
        options: &ChatOptions,
    ) -> Result<Reply> {
        self.stream_chat(tokenizer, query, history, options)?.run()
    }

    /// Answers `query` piece by piece. The pieces together are exactly the response of
    /// [`StreamedReply::into_reply`]: text that later text could still change is held back.
    ///
    /// A history that no longer fits loses its oldest turns.
    ///
    /// # Errors
    /// [`Error::OtherTokenizer`], [`Error::InvalidOption`], and [`Error::PromptTooLong`] when the question alone does not
    /// fit.
    pub fn stream_chat<'model>(
        &'model self,
        tokenizer: &GlmTokenizer,
        query: &str,
        history: &[Turn],
        options: &ChatOptions,
    ) -> Result<StreamedReply<'model>> {
        let question = self.question(tokenizer, query, history, &options.generation)?;
        Ok(StreamedReply {
            text: TextGenerator::new(
                self,
                tokenizer,
                &question.prompt,
                &question.generation,
                ReplyStream::new(self.response_rules(options)),
            )?,
            turns: question.turns,
        })
    }

    /// A question with as much of the history as fits, checked.
    pub(super) fn question(
        &self,
        tokenizer: &GlmTokenizer,
        query: &str,
        history: &[Turn],
        generation: &GenerationOptions,
    ) -> Result<Question> {
        self.check_tokenizer(tokenizer)?;
        let generation = generation.within(self);
        generation.validate()?;
        let (dropped_turns, prompt) = fit(
            PromptStyle::of(self.config()),
            tokenizer,
            query,
            history,
            &generation,
        )?;
        Ok(Question {
            prompt,
            generation,
            turns: Turns {
                query: query.to_owned(),
                seen: history[dropped_turns..].to_vec(),
                dropped: dropped_turns,
            },
        })
    }

    /// What is done to the text of an answer: as `options` say, else the official clean-up.
    pub(super) fn response_rules(&self, options: &ChatOptions) -> ResponseRules {
        options.response.unwrap_or(match self.config() {
            ModelConfig::ChatGlm(_) => ResponseRules::ChatGlm,
            ModelConfig::ChatGlm2(_) => ResponseRules::ChatGlm2,
        })
    }
}

/// What the model is asked.
pub(super) struct Question {
    pub(super) prompt: Vec<TokenId>,
    pub(super) generation: GenerationOptions,
    pub(super) turns: Turns,
}

/// The turns that an answer belongs to.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    query: String,
    /// The history that the model sees.
    seen: Vec<Turn>,
    dropped: usize,
}

impl Turns {
    /// How many turns of the history were left out, and the rest with the one that `response` completes.
    pub(super) fn complete(self, response: &str) -> (usize, Vec<Turn>) {
        let mut history = self.seen;
        history.push(Turn::new(self.query, response));
        (self.dropped, history)
    }
}

/// The prompt with as many of the newest turns as fit, and how many old ones do not.
fn fit(
    style: PromptStyle,
    tokenizer: &GlmTokenizer,
    query: &str,
    history: &[Turn],
    generation: &GenerationOptions,
) -> Result<(usize, Vec<TokenId>)> {
    let max_length = generation.max_length;
    let room = generation
        .max_new_tokens
        .unwrap_or(ROOM_FOR_REPLY)
        .min(max_length / 4)
        .max(1);
    let mut dropped = 0;
    loop {
        let text = style.build_prompt(&history[dropped..], query);
        let prompt = tokenizer.with_special_tokens(tokenizer.encode(&text));
        let needed = if dropped < history.len() { room } else { 1 };
        if prompt.len() + needed <= max_length {
            return Ok((dropped, prompt));
        }
        if dropped == history.len() {
            return Err(Error::PromptTooLong {
                tokens: prompt.len(),
                max_length,
            });
        }
        dropped += 1;
    }
}

/// An answer while it is written: an iterator over pieces of text.
#[derive(Debug)]
pub struct StreamedReply<'model> {
    pub(super) text: TextGenerator<'model>,
    turns: Turns,
}

impl StreamedReply<'_> {
    /// Lets `cancel` end the answer: before its next token, and in the middle of the prompt.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancelToken) -> Self {
        self.text = self.text.with_cancel(cancel);
        self
    }

    /// Adds a rule about the next token of this answer behind those of the options.
    #[must_use]
    pub fn with_processor(mut self, processor: Arc<dyn LogitsProcessor>) -> Self {
        self.text = self.text.with_processor(processor);
        self
    }

    /// Starts from what was read before, as [`Generator::with_prefix`](crate::generate::Generator::with_prefix). Call it
    /// before the first piece is asked for.
    #[must_use]
    pub fn with_prefix(mut self, prefix: Prefix) -> Self {
        self.text = self.text.with_prefix(prefix);
        self
    }

    /// The tokens of the prompt.
    #[must_use]
    pub fn prompt(&self) -> &[TokenId] {
        self.text.generator.prompt()
    }

    /// Oldest turns of the history that no longer fitted.
    #[must_use]
    pub fn dropped_turns(&self) -> usize {
        self.turns.dropped
    }

    /// The answer so far. Text that is still held back becomes part of it, so the pieces taken and this may differ
    /// when the iterator was not run to its end.
    #[must_use]
    pub fn into_reply(mut self) -> Reply {
        self.end()
    }

    /// As [`StreamedReply::into_reply`], with what the model has read: see
    /// [`Generator::into_prefix`](crate::generate::Generator::into_prefix).
    #[must_use]
    pub fn into_reply_and_prefix(mut self) -> (Reply, Option<Prefix>) {
        (self.end(), self.text.generator.take_prefix())
    }

    /// As [`StreamedReply::into_reply`]; nothing more is to be asked for then.
    pub(super) fn end(&mut self) -> Reply {
        let finish_reason = self.text.finish_reason();
        let response = self.text.take_text();
        let (dropped_turns, history) = std::mem::take(&mut self.turns).complete(&response);
        let generator = &self.text.generator;
        Reply {
            response,
            history,
            dropped_turns,
            finish_reason,
            prompt_tokens: generator.prompt().len(),
            cached_tokens: generator.cached_tokens(),
            completion_tokens: generator.generated().len(),
            seed: generator.seed(),
            invalid_scores: generator.invalid_scores(),
        }
    }

    /// Writes the answer to its end.
    ///
    /// # Errors
    /// What keeps the model from going on, as [`Model::prefill`] and [`Model::extend`].
    pub fn run(mut self) -> Result<Reply> {
        self.by_ref().try_for_each(|piece| piece.map(drop))?;
        Ok(self.into_reply())
    }
}

impl Iterator for StreamedReply<'_> {
    type Item = Result<String>;

    /// The next piece, never empty.
    fn next(&mut self) -> Option<Self::Item> {
        self.text.next()
    }
}
