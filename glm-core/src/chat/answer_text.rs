//! Tokens of an answer to its text: decoded, cut at a stop string, cleaned up, and final as soon as it is given out.

use glm_tokenizer::{DecodeOptions, GlmTokenizer, StreamDecoder};

use crate::{
    chat::{ReplyStream, ResponseRules},
    error::Result,
    generate::{CancelToken, FinishReason, GenerationOptions, Generator, StopStrings},
    model::Model,
    prefix_lm::TokenId,
};

/// The text of one answer.
#[derive(Debug)]
pub(super) struct AnswerText {
    decoder: StreamDecoder,
    stop: StopStrings,
    cleaner: ReplyStream,
    text: String,
    has_ended: bool,
}

impl AnswerText {
    pub(super) fn new(tokenizer: &GlmTokenizer, stop: &[String], rules: ResponseRules) -> Self {
        Self {
            decoder: tokenizer.stream_decoder_with(DecodeOptions::default()),
            stop: StopStrings::new(stop),
            cleaner: ReplyStream::new(rules),
            text: String::new(),
            has_ended: false,
        }
    }

    /// Takes the next token and gives the text that is now certain.
    pub(super) fn push(&mut self, token: TokenId) -> String {
        let decoded = self.decoder.push(token);
        let text = self.stop.push(&decoded);
        let piece = self.cleaner.push(&text);
        self.text.push_str(&piece);
        if self.is_stopped() {
            piece + &self.finish()
        } else {
            piece
        }
    }

    /// Whether a stop string has ended the answer.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.matched().is_some()
    }

    /// Whether all text was given out.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// There are no more tokens: gives the text that was held back.
    pub(super) fn finish(&mut self) -> String {
        if std::mem::replace(&mut self.has_ended, true) {
            return String::new();
        }
        let mut text = self.stop.push(&self.decoder.finish());
        text.push_str(&self.stop.finish());
        let mut rest = self.cleaner.push(&text);
        rest.push_str(&self.cleaner.finish());
        self.text.push_str(&rest);
        rest
    }

    /// The whole text; nothing more is to come then.
    pub(super) fn take_text(&mut self) -> String {
        self.finish();
        std::mem::take(&mut self.text)
    }
}

/// One answer while it is written: an iterator over pieces of text, none of them empty.
#[derive(Debug)]
pub(super) struct TextGenerator<'model> {
    pub(super) generator: Generator<'model>,
    text: AnswerText,
}

impl<'model> TextGenerator<'model> {
    pub(super) fn new(
        model: &'model Model,
        tokenizer: &GlmTokenizer,
        prompt: &[TokenId],
        generation: &GenerationOptions,
        rules: ResponseRules,
    ) -> Result<Self> {
        Ok(Self {
            generator: Generator::new(model, prompt, generation)?,
            text: AnswerText::new(tokenizer, &generation.stop, rules),
        })
    }

    pub(super) fn with_cancel(mut self, cancel: CancelToken) -> Self {
        self.generator = self.generator.with_cancel(cancel);
        self
    }

    /// What ended the answer; one that was not written to its end is a cancelled one.
    pub(super) fn finish_reason(&self) -> FinishReason {
        let reason = self.generator.finish_reason();
        reason.unwrap_or(FinishReason::Cancelled)
    }

    /// The text so far, with what was held back; nothing more is to come then.
    pub(super) fn take_text(&mut self) -> String {
        self.text.take_text()
    }
}

impl Iterator for TextGenerator<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.text.has_ended() {
            let piece = match self.generator.next() {
                Some(Ok(token)) => self.text.push(token),
                Some(Err(error)) => {
                    self.text.finish();
                    return Some(Err(error));
                }
                None => self.text.finish(),
            };
            if self.text.is_stopped() {
                self.generator.finish(FinishReason::StopString);
            }
            if !piece.is_empty() {
                return Some(Ok(piece));
            }
        }
        None
    }
}
