//! One question in, one answer out, with the history that both belong to.

use glm_tokenizer::{DecodeOptions, GlmTokenizer, StreamDecoder};

use crate::{
    chat::{PromptStyle, ReplyStream, ResponseRules, Turn},
    config::ModelConfig,
    error::{Error, Result},
    generate::{CancelToken, FinishReason, GenerationOptions, Generator, StopStrings},
    model::Model,
    prefix_lm::TokenId,
};

/// Tokens kept free for the answer when a long history is cut, if `max_length` allows.
const ROOM_FOR_REPLY: usize = 256;

/// How to chat. The default is that of ChatGLM-6B; [`Model::chat_options`] gives that of any model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatOptions {
    /// Length, sampling and stop strings. `max_length` is held to the model's `max_sequence_length`.
    pub generation: GenerationOptions,
    /// What is done to the model's text; [`ResponseRules::Raw`] leaves it as it is, and `None` is what the official code of
    /// the model does.
    pub response: Option<ResponseRules>,
}

/// An answer, and what became of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The answer.
    pub response: String,
    /// The history that the model saw, and this turn.
    pub history: Vec<Turn>,
    /// Oldest turns that no longer fitted and were left out, whole.
    pub dropped_turns: usize,
    /// What ended the answer.
    pub finish_reason: FinishReason,
    /// Tokens that the model read.
    pub prompt_tokens: usize,
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
        ChatOptions {
            generation,
            response: None,
        }
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

    /// [`Model::chat`] with options.
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
        self.check_tokenizer(tokenizer)?;
        let generation = self.within_its_length(options);
        generation.validate()?;
        let (dropped_turns, prompt) = fit(self.template(), tokenizer, query, history, &generation)?;
        let turns = History {
            query,
            seen: &history[dropped_turns..],
            dropped_turns,
        };
        StreamedReply::new(
            self,
            tokenizer,
            &prompt,
            &generation,
            options.response.unwrap_or(self.template().1),
            turns,
        )
    }

    /// Fills the blank in `text`: `[MASK]` for a few words, `[gMASK]` for a longer passage. Returns what belongs in
    /// its place.
    ///
    /// The official tokenizer puts a `[gMASK]` behind every text, and the model then fills that one; here a text with
    /// a blank of its own is followed by `<sop>` alone.
    ///
    /// # Errors
    /// [`Error::Prompt`] for a text without a blank, and for ChatGLM2-6B, which fills none; otherwise as [`Model::stream_chat`].
    pub fn infill(
        &self,
        tokenizer: &GlmTokenizer,
        text: &str,
        options: &ChatOptions,
    ) -> Result<String> {
        self.check_tokenizer(tokenizer)?;
        let mut prompt = tokenizer.encode_infilling(text);
        prompt.push(tokenizer.special_tokens().sop);
        if matches!(self.config(), ModelConfig::ChatGlm2(_)) {
            return Err(Error::Prompt {
                expected: "a question: only ChatGLM-6B fills blanks".to_owned(),
                tokens: prompt.len(),
            });
        }
        let generation = self.within_its_length(options);
        let turns = History {
            query: text,
            seen: &[],
            dropped_turns: 0,
        };
        let stream = StreamedReply::new(
            self,
            tokenizer,
            &prompt,
            &generation,
            options.response.unwrap_or(self.template().1),
            turns,
        )?;
        Ok(stream.run()?.response)
    }
}

impl Model {
    /// The official rounds, and the official clean-up of answers. CodeGeeX2 has those of ChatGLM2-6B.
    fn template(&self) -> (PromptStyle, ResponseRules) {
        match self.config() {
            ModelConfig::ChatGlm(_) => (PromptStyle::ChatGlm, ResponseRules::ChatGlm),
            ModelConfig::ChatGlm2(_) => (PromptStyle::ChatGlm2, ResponseRules::ChatGlm2),
        }
    }

    /// The options with `max_length` held to the length that the model was trained for.
    fn within_its_length(&self, options: &ChatOptions) -> GenerationOptions {
        let generation = options.generation.clone();
        let max_length = generation.max_length.min(self.max_sequence_length());
        GenerationOptions {
            max_length,
            ..generation
        }
    }
}

/// The prompt with as many of the newest turns as fit, and how many old ones do not.
fn fit(
    (style, _): (PromptStyle, ResponseRules),
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
    generator: Generator<'model>,
    decoder: StreamDecoder,
    stop: StopStrings,
    cleaner: ReplyStream,
    response: String,
    query: String,
    history: Vec<Turn>,
    dropped_turns: usize,
    ended: bool,
}

/// The turns that an answer belongs to.
struct History<'a> {
    query: &'a str,
    seen: &'a [Turn],
    dropped_turns: usize,
}

impl<'model> StreamedReply<'model> {
    fn new(
        model: &'model Model,
        tokenizer: &GlmTokenizer,
        prompt: &[TokenId],
        generation: &GenerationOptions,
        rules: ResponseRules,
        turns: History<'_>,
    ) -> Result<Self> {
        Ok(Self {
            generator: Generator::new(model, prompt, generation)?,
            decoder: tokenizer.stream_decoder_with(DecodeOptions::default()),
            stop: StopStrings::new(&generation.stop),
            cleaner: ReplyStream::new(rules),
            response: String::new(),
            query: turns.query.to_owned(),
            history: turns.seen.to_vec(),
            dropped_turns: turns.dropped_turns,
            ended: false,
        })
    }
    /// Lets `cancel` end the answer.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancelToken) -> Self {
        self.generator = self.generator.with_cancel(cancel);
        self
    }

    /// Oldest turns of the history that no longer fitted.
    #[must_use]
    pub fn dropped_turns(&self) -> usize {
        self.dropped_turns
    }

    /// The answer so far. Text that is still held back becomes part of it, so the pieces taken and this may differ
    /// when the iterator was not run to its end.
    #[must_use]
    pub fn into_reply(mut self) -> Reply {
        if !self.ended {
            self.generator.finish(FinishReason::Cancelled);
            let rest = self.flush();
            self.response.push_str(&rest);
        }
        let mut history = self.history;
        history.push(Turn::new(self.query, self.response.clone()));
        Reply {
            response: self.response,
            history,
            dropped_turns: self.dropped_turns,
            finish_reason: self
                .generator
                .finish_reason()
                .unwrap_or(FinishReason::Cancelled),
            prompt_tokens: self.generator.prompt_len(),
            completion_tokens: self.generator.generated().len(),
            seed: self.generator.seed(),
            invalid_scores: self.generator.invalid_scores(),
        }
    }

    /// Writes the answer to its end.
    fn run(mut self) -> Result<Reply> {
        self.by_ref().try_for_each(|piece| piece.map(drop))?;
        Ok(self.into_reply())
    }

    /// Everything still held back.
    fn flush(&mut self) -> String {
        self.ended = true;
        let decoded = self.decoder.finish();
        let mut text = self.stop.push(&decoded);
        text.push_str(&self.stop.finish());
        let mut rest = self.cleaner.push(&text);
        rest.push_str(&self.cleaner.finish());
        rest
    }
}

impl Iterator for StreamedReply<'_> {
    type Item = Result<String>;

    /// The next piece, never empty.
    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let piece = match self.generator.next() {
                Some(Err(error)) => {
                    self.ended = true;
                    return Some(Err(error));
                }
                None => self.flush(),
                Some(Ok(token)) => {
                    let text = self.stop.push(&self.decoder.push(token));
                    let piece = self.cleaner.push(&text);
                    if self.stop.matched().is_some() {
                        self.generator.finish(FinishReason::StopString);
                        piece + &self.flush()
                    } else {
                        piece
                    }
                }
            };
            if !piece.is_empty() {
                self.response.push_str(&piece);
                return Some(Ok(piece));
            }
        }
        None
    }
}
