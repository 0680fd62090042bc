//! A completion from the cursor to its end.

use std::sync::Arc;

use glm_tokenizer::phrase;
use glm_tokenizer::{GlmTokenizer, TokenId};

use super::{CodeEnd, Language, Until, prompt::fitting_prompt};
use crate::{
    config::ModelConfig,
    error::{Error, Result},
    generate::{CancelToken, FinishReason, GenerationOptions, LogitsProcessor, TextGenerator},
    model::Model,
    prefix_cache::Prefix,
    setters::setters,
};

/// Tokens of a completion that has no limit of its own, which long code leaves free.
const ROOM_FOR_COMPLETION: usize = 256;

/// A place in code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cursor<'a> {
    /// The code before the cursor: all that the model sees.
    pub before: &'a str,
    /// The code behind the cursor, which only tells [`Until::Block`] what must not be written again.
    pub after: &'a str,
    /// The language, for the tag that the model was trained with; `None` writes none.
    pub language: Option<&'static Language>,
}

impl<'a> Cursor<'a> {
    /// Behind this code, with nothing after it, in no language.
    #[must_use]
    pub fn new(before: &'a str) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }
}

setters!(Cursor<'a> {
    with_after: after = &'a str,
    with_language: language = impl Into<Option<&'static Language>>,
});

/// How to complete code.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct CodeOptions {
    /// Length, sampling and stop strings. `max_length` is held to the model's `max_sequence_length`.
    pub generation: GenerationOptions,
    /// How far the completion goes.
    pub until: Until,
}

setters!(CodeOptions {
    with_generation: generation = GenerationOptions,
    with_until: until = Until,
});

/// Greedy, as the official example (`top_k=1`), 128 tokens, to the end of the block. With `do_sample` the official
/// `demo/run_demo.py`: temperature 0.2, `top_p` 0.95, no `top_k`.
impl Default for CodeOptions {
    fn default() -> Self {
        Self {
            generation: GenerationOptions {
                max_length: 8192,
                max_new_tokens: Some(128),
                temperature: 0.2,
                top_p: 0.95,
                top_k: 0,
                ..GenerationOptions::greedy()
            },
            until: Until::default(),
        }
    }
}

/// Code that was written at a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CodeCompletion {
    /// The code.
    pub text: String,
    /// What ended it.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// How many of these were not read again, because the model knew them already.
    pub cached_tokens: usize,
    /// Tokens that the model wrote.
    pub completion_tokens: usize,
    /// Bytes at the beginning of the code that did not fit, so that the model has not seen them.
    pub omitted_bytes: usize,
    /// The seed that gives this completion again.
    pub seed: u64,
    /// NaN or infinite logits on the way: 0 with healthy weights.
    pub invalid_scores: usize,
}

impl Model {
    /// Completes the code at a cursor, for CodeGeeX2-6B, piece by piece. The pieces together are exactly the text of
    /// [`StreamedCode::into_completion`].
    ///
    /// The model sees what is before the cursor, and nothing behind it. Code that is too long loses its beginning.
    ///
    /// ```no_run
    /// use glm_core::code::{CodeOptions, Cursor, Language};
    ///
    /// let model = glm_core::load("codegeex2-6b")?;
    /// let tokenizer = glm_core::load_tokenizer("codegeex2-6b")?;
    /// let cursor = Cursor::new("# write a bubble sort function\n").with_language(Language::by_name("python"));
    /// for piece in model.stream_code(&tokenizer, &cursor, &CodeOptions::default())? {
    ///     print!("{}", piece?);
    /// }
    /// # Ok::<(), glm_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OtherTokenizer`], [`Error::InvalidOption`]; [`Error::Prompt`] for a ChatGLM-6B, which completes no code;
    /// [`Error::PromptTooLong`] when `max_length` leaves no room for a tag.
    pub fn stream_code<'model>(
        &'model self,
        tokenizer: &GlmTokenizer,
        cursor: &Cursor<'_>,
        options: &CodeOptions,
    ) -> Result<StreamedCode<'model>> {
        self.check_tokenizer(tokenizer)?;
        let generation = options.generation.within(self);
        generation.validate()?;
        if let ModelConfig::ChatGlm(_) = self.config() {
            return Err(Error::Prompt {
                expected: phrase!(
                    "prompt-no-code",
                    "a conversation: ChatGLM-6B does not complete code, CodeGeeX2-6B does"
                ),
                tokens: tokenizer.encode(cursor.before).len(),
            });
        }
        let max_length = generation.max_length;
        let room = generation.max_new_tokens.unwrap_or(ROOM_FOR_COMPLETION);
        let room = max_length - room.min(max_length / 4).max(1);
        let (prompt, omitted_bytes) =
            fitting_prompt(tokenizer, cursor.language, cursor.before, room)?;
        let end = CodeEnd::new(options.until, cursor.before, cursor.after);
        Ok(StreamedCode {
            text: TextGenerator::new(self, tokenizer, &prompt, &generation, end)?,
            omitted_bytes,
        })
    }
}

/// A completion while it is written: an iterator over pieces of code.
#[derive(Debug)]
pub struct StreamedCode<'model> {
    text: TextGenerator<'model>,
    omitted_bytes: usize,
}

impl StreamedCode<'_> {
    /// Lets `cancel` end the completion: before its next token, and in the middle of the prompt.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancelToken) -> Self {
        self.text = self.text.with_cancel(cancel);
        self
    }

    /// Adds a rule about the next token of this completion behind those of the options.
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

    /// Writes the completion to its end.
    ///
    /// # Errors
    /// Those of the iterator: what keeps the model from going on, or a rule from being applied.
    pub fn run(mut self) -> Result<CodeCompletion> {
        self.by_ref().try_for_each(|piece| piece.map(drop))?;
        Ok(self.into_completion().0)
    }

    /// The completion so far, with text that is still held back, and what the model has read, for the next one: see
    /// [`Generator::into_prefix`](crate::generate::Generator::into_prefix).
    #[must_use]
    pub fn into_completion(mut self) -> (CodeCompletion, Option<Prefix>) {
        let finish_reason = self.text.finish_reason();
        let text = self.text.take_text();
        let generator = &mut self.text.generator;
        let completion = CodeCompletion {
            text,
            finish_reason,
            prompt_tokens: generator.prompt().len(),
            cached_tokens: generator.cached_tokens(),
            completion_tokens: generator.generated().len(),
            omitted_bytes: self.omitted_bytes,
            seed: generator.seed(),
            invalid_scores: generator.invalid_scores(),
        };
        (completion, generator.take_prefix())
    }
}

impl Iterator for StreamedCode<'_> {
    type Item = Result<String>;

    /// The next piece, never empty.
    fn next(&mut self) -> Option<Self::Item> {
        self.text.next()
    }
}
