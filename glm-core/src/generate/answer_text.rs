//! Tokens of an answer to its text: decoded, cut at a stop string, cleaned up or cut by other rules, and final as soon as
//! it is given out.

use std::{fmt, sync::Arc};

use glm_tokenizer::{DecodeOptions, GlmTokenizer, StreamDecoder};

use super::{
    CancelToken, FinishReason, GenerationOptions, Generator, LogitsProcessor, StopStrings,
};
use crate::{error::Result, model::Model, prefix_cache::Prefix, prefix_lm::TokenId};

/// The last thing that is done to text: it makes of the pieces what it would make of the whole.
pub(crate) trait TextRules: fmt::Debug + Send + Sync {
    /// Takes the next piece and gives the text that is now certain.
    fn push(&mut self, piece: &str) -> String;

    /// There is no more text: gives what was held back.
    fn finish(&mut self) -> String;

    /// Whether the answer is complete, whatever else the model would write.
    fn is_complete(&self) -> bool {
        false
    }
}

/// The text of one answer.
#[derive(Debug)]
pub(crate) struct AnswerText {
    decoder: StreamDecoder,
    stop: StopStrings,
    rules: Box<dyn TextRules>,
    text: String,
    has_ended: bool,
}

impl AnswerText {
    pub(crate) fn new(
        tokenizer: &GlmTokenizer,
        stop: &[String],
        rules: impl TextRules + 'static,
    ) -> Self {
        Self {
            decoder: tokenizer.stream_decoder_with(DecodeOptions::default()),
            stop: StopStrings::new(stop),
            rules: Box::new(rules),
            text: String::new(),
            has_ended: false,
        }
    }

    /// Takes the next token and gives the text that is now certain.
    pub(crate) fn push(&mut self, token: TokenId) -> String {
        let decoded = self.decoder.push(token);
        let text = self.stop.push(&decoded);
        let piece = self.rules.push(&text);
        self.text.push_str(&piece);
        if self.stopped_by().is_some() {
            piece + &self.finish()
        } else {
            piece
        }
    }

    /// What in the text has ended the answer, if anything.
    pub(crate) fn stopped_by(&self) -> Option<FinishReason> {
        if self.stop.matched().is_some() {
            return Some(FinishReason::StopString);
        }
        let is_complete = self.rules.is_complete();
        is_complete.then_some(FinishReason::CodeComplete)
    }

    /// Whether all text was given out.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// There are no more tokens: gives the text that was held back.
    pub(crate) fn finish(&mut self) -> String {
        if std::mem::replace(&mut self.has_ended, true) {
            return String::new();
        }
        let mut text = self.stop.push(&self.decoder.finish());
        text.push_str(&self.stop.finish());
        let mut rest = self.rules.push(&text);
        rest.push_str(&self.rules.finish());
        self.text.push_str(&rest);
        rest
    }

    /// The whole text; nothing more is to come then.
    pub(crate) fn take_text(&mut self) -> String {
        self.finish();
        std::mem::take(&mut self.text)
    }
}

/// One answer while it is written: an iterator over pieces of text, none of them empty.
#[derive(Debug)]
pub(crate) struct TextGenerator<'model> {
    pub(crate) generator: Generator<'model>,
    text: AnswerText,
}

impl<'model> TextGenerator<'model> {
    pub(crate) fn new(
        model: &'model Model,
        tokenizer: &GlmTokenizer,
        prompt: &[TokenId],
        generation: &GenerationOptions,
        rules: impl TextRules + 'static,
    ) -> Result<Self> {
        Ok(Self {
            generator: Generator::new(model, prompt, generation)?,
            text: AnswerText::new(tokenizer, &generation.stop, rules),
        })
    }

    pub(crate) fn with_cancel(mut self, cancel: CancelToken) -> Self {
        self.generator = self.generator.with_cancel(cancel);
        self
    }

    pub(crate) fn with_processor(mut self, processor: Arc<dyn LogitsProcessor>) -> Self {
        self.generator.add_processor(processor);
        self
    }

    pub(crate) fn with_prefix(mut self, prefix: Prefix) -> Self {
        self.generator = self.generator.with_prefix(prefix);
        self
    }

    /// What ended the answer; one that was not written to its end is a cancelled one.
    pub(crate) fn finish_reason(&self) -> FinishReason {
        let reason = self.generator.finish_reason();
        reason.unwrap_or(FinishReason::Cancelled)
    }

    /// The text so far, with what was held back; nothing more is to come then.
    pub(crate) fn take_text(&mut self) -> String {
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
            if let Some(reason) = self.text.stopped_by() {
                self.generator.finish(reason);
            }
            if !piece.is_empty() {
                return Some(Ok(piece));
            }
        }
        None
    }
}
