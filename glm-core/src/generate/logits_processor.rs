//! Rules that change the scores of the next token, by those of transformers 4.30.2.

use std::{fmt, sync::Arc};

use glm_tokenizer::{Phrase, phrase};

use super::options::{GenerationOptions, require};
use crate::{
    error::{Error, Result},
    prefix_lm::TokenId,
};

/// A rule about the next token: changes the scores before one is chosen; negative infinity forbids a token.
///
/// Options take rules for all that they are used for ([`GenerationOptions::with_processor`]), and everything that writes an
/// answer takes them for that one (`with_processor` of a [`Generator`](super::Generator), of a
/// [`StreamedReply`](crate::chat::StreamedReply) and so on).
///
/// ```no_run
/// use std::sync::Arc;
///
/// use glm_core::{Result, chat::ChatOptions, generate::{LogitsProcessor, Sequence}};
///
/// /// Answers have an even number of tokens.
/// #[derive(Debug)]
/// struct Even {
///     eos: u32,
/// }
///
/// impl LogitsProcessor for Even {
///     fn process(&self, scores: &mut [f32], sequence: Sequence<'_>) -> Result<()> {
///         if sequence.generated().len() % 2 == 1 {
///             scores[self.eos as usize] = f32::NEG_INFINITY;
///         }
///         Ok(())
///     }
/// }
///
/// let tokenizer = glm_core::load_tokenizer("chatglm2-6b")?;
/// let model = glm_core::load("chatglm2-6b")?;
/// let mut options = model.chat_options();
/// options.generation = options.generation.with_processor(Arc::new(Even { eos: model.eos_token_id() }));
/// println!("{}", model.chat_with(&tokenizer, "你好", &[], &options)?.response);
/// # Ok::<(), glm_core::Error>(())
/// ```
pub trait LogitsProcessor: fmt::Debug + Send + Sync {
    /// Changes `scores` (`[vocab_size]`): logits, or log-probabilities in a beam search.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a rule that cannot be applied, as one about ids outside the vocabulary.
    fn process(&self, scores: &mut [f32], sequence: Sequence<'_>) -> Result<()>;
}

/// Rules in the order in which they are applied. Two lists are equal if they have the same rules, not only alike ones.
#[derive(Debug, Clone, Default)]
pub struct LogitsProcessors(Vec<Arc<dyn LogitsProcessor>>);

impl LogitsProcessors {
    /// Adds a rule behind the others.
    pub fn push(&mut self, processor: Arc<dyn LogitsProcessor>) {
        self.0.push(processor);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rules.
    #[must_use]
    pub fn as_slice(&self) -> &[Arc<dyn LogitsProcessor>] {
        &self.0
    }
}

impl PartialEq for LogitsProcessors {
    fn eq(&self, other: &Self) -> bool {
        let mut pairs = self.0.iter().zip(&other.0);
        self.0.len() == other.0.len() && pairs.all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

impl FromIterator<Arc<dyn LogitsProcessor>> for LogitsProcessors {
    fn from_iter<I: IntoIterator<Item = Arc<dyn LogitsProcessor>>>(processors: I) -> Self {
        Self(processors.into_iter().collect())
    }
}

/// What stands before the next token.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Sequence<'a> {
    /// Prompt and generated tokens; in a beam search over prompts of different length, the padding before them too.
    pub tokens: &'a [TokenId],
    /// Of `tokens`, how many were not generated.
    pub prompt_len: usize,
}

impl<'a> Sequence<'a> {
    /// `tokens`, the first `prompt_len` of which were not generated: to try a rule without a model.
    #[must_use]
    pub fn new(tokens: &'a [TokenId], prompt_len: usize) -> Self {
        Self { tokens, prompt_len }
    }

    /// The tokens behind the prompt.
    #[must_use]
    pub fn generated(self) -> &'a [TokenId] {
        self.tokens.get(self.prompt_len..).unwrap_or_default()
    }
}

/// The rules that `options` ask for; a neutral option needs none. An end token must be given for those that hold it back.
pub(super) fn processors(options: &GenerationOptions) -> Vec<Arc<dyn LogitsProcessor>> {
    let mut processors: Vec<Arc<dyn LogitsProcessor>> = Vec::new();
    let eos_token_ids = options.eos_token_ids.clone().unwrap_or_default();
    if options.presence_penalty != 0.0 || options.frequency_penalty != 0.0 {
        processors.push(Arc::new(OccurrencePenalty {
            presence: options.presence_penalty as f32,
            frequency: options.frequency_penalty as f32,
        }));
    }
    if options.no_repeat_ngram_size > 0 {
        let size = options.no_repeat_ngram_size;
        processors.push(Arc::new(NoRepeatNgram { size }));
    }
    let is_end = |word: &[TokenId]| matches!(word, [id] if eos_token_ids.contains(id));
    let mut words = options.bad_words_ids.clone();
    words.retain(|word| !is_end(word));
    if !words.is_empty() {
        processors.push(Arc::new(BadWords { words }));
    }
    if options.min_length > 0 || options.min_new_tokens > 0 {
        processors.push(Arc::new(MinLength {
            min_length: options.min_length,
            min_new_tokens: options.min_new_tokens,
            eos_token_ids,
        }));
    }
    processors.extend_from_slice(options.processors.as_slice());
    processors
}

/// Lowers the score of every generated token: once for having occurred, and for each time.
#[derive(Debug)]
struct OccurrencePenalty {
    presence: f32,
    frequency: f32,
}

impl LogitsProcessor for OccurrencePenalty {
    fn process(&self, scores: &mut [f32], sequence: Sequence<'_>) -> Result<()> {
        let mut generated = sequence.generated().to_vec();
        generated.sort_unstable();
        for same in generated.chunk_by(|a, b| a == b) {
            let penalty = self.presence + self.frequency * same.len() as f32;
            *score(scores, same[0], "context")? -= penalty;
        }
        Ok(())
    }
}

/// No sequence of `size` tokens occurs twice, prompt included.
#[derive(Debug)]
struct NoRepeatNgram {
    size: usize,
}

impl LogitsProcessor for NoRepeatNgram {
    fn process(&self, scores: &mut [f32], sequence: Sequence<'_>) -> Result<()> {
        let tokens = sequence.tokens;
        let Some(start) = (tokens.len() + 1).checked_sub(self.size) else {
            return Ok(());
        };
        let beginning = &tokens[start..];
        for ngram in tokens.windows(self.size) {
            if let Some((&last, first)) = ngram.split_last()
                && first == beginning
            {
                *score(scores, last, "context")? = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }
}

/// Words that are never completed.
#[derive(Debug)]
struct BadWords {
    words: Vec<Vec<TokenId>>,
}

impl LogitsProcessor for BadWords {
    fn process(&self, scores: &mut [f32], sequence: Sequence<'_>) -> Result<()> {
        for word in &self.words {
            if let Some((&last, first)) = word.split_last()
                && sequence.tokens.ends_with(first)
            {
                *score(scores, last, "bad_words_ids")? = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }
}

/// The end is held back until there are enough tokens.
#[derive(Debug)]
struct MinLength {
    min_length: usize,
    min_new_tokens: usize,
    eos_token_ids: Vec<TokenId>,
}

impl LogitsProcessor for MinLength {
    fn process(&self, scores: &mut [f32], sequence: Sequence<'_>) -> Result<()> {
        let is_long = sequence.tokens.len() >= self.min_length;
        if is_long && sequence.generated().len() >= self.min_new_tokens {
            return Ok(());
        }
        for &id in &self.eos_token_ids {
            *score(scores, id, "eos_token_ids")? = f32::NEG_INFINITY;
        }
        Ok(())
    }
}

/// The score of a token, or the error for an id that there is none for.
fn score<'a>(scores: &'a mut [f32], id: TokenId, option: &'static str) -> Result<&'a mut f32> {
    let vocab_size = scores.len();
    scores
        .get_mut(id as usize)
        .ok_or_else(|| not_in_vocabulary(option, id, vocab_size))
}

/// The error for an id that the logits have no score for.
pub(super) fn not_in_vocabulary(option: &'static str, id: TokenId, vocab_size: usize) -> Error {
    Error::InvalidOption {
        option,
        expected: phrase!(
            "option-ids",
            "made of ids below the vocabulary size {vocab_size}",
            vocab_size
        ),
        found: Phrase::verbatim(id),
    }
}

/// An error when every token is forbidden.
pub(super) fn require_a_token(scores: &[f32]) -> Result<()> {
    let is_left = scores.iter().any(|score| *score > f32::NEG_INFINITY);
    let expected = || {
        phrase!(
            "option-a-token-left",
            "such that at least one token stays possible"
        )
    };
    require(
        is_left,
        "logits processors",
        expected,
        phrase!("option-none-left", "none left"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORBIDDEN: f32 = f32::NEG_INFINITY;

    fn processed(options: GenerationOptions, tokens: &[TokenId], prompt_len: usize) -> Vec<f32> {
        let mut scores = vec![1.0; 6];
        for processor in processors(&options) {
            let sequence = Sequence { tokens, prompt_len };
            processor.process(&mut scores, sequence).unwrap();
        }
        scores
    }

    #[test]
    fn penalties_count_what_was_generated() {
        let options = GenerationOptions {
            presence_penalty: 0.5,
            frequency_penalty: 0.25,
            ..GenerationOptions::default()
        };
        let scores = processed(options, &[0, 0, 3, 4, 3], 2);
        assert_eq!(scores, [1.0, 1.0, 1.0, 0.0, 0.25, 1.0]);
    }

    #[test]
    fn ngrams_and_words_end_where_they_would_be_complete() {
        let ngrams = |no_repeat_ngram_size, tokens: &[TokenId]| {
            let options = GenerationOptions {
                no_repeat_ngram_size,
                ..GenerationOptions::default()
            };
            processed(options, tokens, 0)
        };
        let expected = [1.0, 1.0, FORBIDDEN, 1.0, FORBIDDEN, 1.0];
        assert_eq!(ngrams(2, &[1, 2, 1, 4, 1]), expected);
        let expected = [1.0, FORBIDDEN, FORBIDDEN, 1.0, 1.0, 1.0];
        assert_eq!(ngrams(1, &[1, 2]), expected);
        assert_eq!(ngrams(4, &[1, 2]), [1.0; 6]);

        let options = GenerationOptions {
            bad_words_ids: vec![vec![1, 2, 3], vec![0], vec![9, 9, 9, 1, 2, 4], vec![5]],
            eos_token_ids: Some(vec![5]),
            ..GenerationOptions::default()
        };
        let expected = [FORBIDDEN, 1.0, 1.0, FORBIDDEN, 1.0, 1.0];
        assert_eq!(processed(options, &[1, 2], 0), expected);
    }

    #[test]
    fn ids_outside_the_vocabulary_are_refused_by_name() {
        let options = GenerationOptions {
            bad_words_ids: vec![vec![6]],
            ..GenerationOptions::default()
        };
        let sequence = Sequence {
            tokens: &[],
            prompt_len: 0,
        };
        let error = processors(&options)[0]
            .process(&mut [0.0; 6], sequence)
            .unwrap_err();
        assert!(error.to_string().contains("`bad_words_ids`"), "{error}");
        assert!(require_a_token(&[FORBIDDEN; 3]).is_err());
    }
}
