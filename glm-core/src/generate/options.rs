//! What a caller may ask of generation. The defaults are those of the official `chat()` of ChatGLM-6B.
//!
//! `chat()` itself passes only `max_length`, `do_sample`, `top_p` and `temperature`; the rest comes from
//! the defaults of transformers' `GenerationConfig`. That is why `top_k` is 50 although no official
//! file says so, and why other ports of the model, which leave it off, give other text.

use std::sync::Arc;

use glm_tokenizer::{Phrase, Value, phrase};

use super::logits_processor::{LogitsProcessor, LogitsProcessors};
use crate::{
    error::{Error, Result},
    model::Model,
    setters::setters,
};

/// The id that takes all probability when the model gives NaN or infinite logits
/// (`InvalidScoreLogitsProcessor` of the official modeling file, checkpoints with 130,528 ids).
pub(super) const INVALID_SCORE_TOKEN: u32 = 5;

/// How tokens are chosen and when generation ends.
///
/// Begin with [`Default`] (the official `chat()`), [`GenerationOptions::greedy`] or
/// [`Model::chat_options`], and set what you care about:
///
/// ```
/// use glm_core::GenerationOptions;
///
/// let mut options = GenerationOptions::default().with_seed(7).with_stop(["\nUser:"]);
/// options.max_new_tokens = Some(200); // the same as `with_max_new_tokens(200)`
/// assert!(options.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct GenerationOptions {
    /// Limit on the sequence length in tokens, **prompt included**. 2048 as in the official `chat()`.
    pub max_length: usize,
    /// Limit on the number of generated tokens alone. Generation ends at whichever limit comes first.
    /// `None`, the official default, leaves only `max_length`.
    pub max_new_tokens: Option<usize>,
    /// `true`: draw from the distribution. `false`: always take the most probable token; temperature,
    /// `top_k` and `top_p` then have no influence.
    pub do_sample: bool,
    /// The logits are divided by this before the draw; below 1 sharpens. 0.95 in the official `chat()`.
    /// 0 means greedy, the limit of small temperatures (transformers refuses 0, and the official
    /// `api.py` takes it for "not given").
    pub temperature: f64,
    /// Nucleus sampling: the draw is among the most probable tokens whose probabilities add up to
    /// `top_p`; 1 switches it off. 0.7 in the official `chat()`.
    pub top_p: f64,
    /// The draw is among this many most probable tokens, more when several are equal to the last of
    /// them; 0 switches it off. 50 by transformers' default.
    pub top_k: usize,
    /// Above 1, tokens that occur in the prompt or in the answer become less probable
    /// ([CTRL](https://arxiv.org/abs/1909.05858), section 4.1); 1 switches it off.
    pub repetition_penalty: f64,
    /// Lowers the logit of every token that the answer already contains; 0 switches it off.
    pub presence_penalty: f64,
    /// Lowers the logit of a token by this much for each time that the answer contains it; 0 switches it off.
    pub frequency_penalty: f64,
    /// No run of this many tokens occurs twice, prompt included; 0 switches it off.
    pub no_repeat_ngram_size: usize,
    /// Words, as token ids, that are never completed. A word that is just an end token is ignored, as in transformers.
    pub bad_words_ids: Vec<Vec<u32>>,
    /// The end is held back until prompt and answer have this many tokens; at most `max_length`.
    pub min_length: usize,
    /// The end is held back until the answer has this many tokens; at most `max_new_tokens`.
    pub min_new_tokens: usize,
    /// The tokens that end an answer; `None`: the one of the model.
    pub eos_token_ids: Option<Vec<u32>>,
    /// What to do when a logit is NaN or infinite. `Some(id)`: the step gives this token, as the
    /// official code does (5, which is taken as 20005 for first-generation checkpoints), and
    /// [`Sampled::invalid_scores`](super::Sampled::invalid_scores) reports it. `None`: the step is an
    /// [`Error::NonFiniteLogits`].
    pub invalid_score_token: Option<u32>,
    /// The same seed gives the same draws on every platform. `None`: a seed from the operating system,
    /// which [`Sampler::seed`](super::Sampler::seed) tells.
    pub seed: Option<u64>,
    /// Guess up to this many tokens ahead, 15 at most, from what followed the last ones before, in prompt and answer; 0
    /// switches it off. The result stays the same; answers that repeat parts of their prompt come faster. 8 to 12 are
    /// good values.
    pub prompt_lookup_num_tokens: usize,
    /// Tell how probable the model found each generated token, and this many most probable ones beside it (0 for none);
    /// `None` tells nothing and takes no time.
    pub logprobs: Option<usize>,
    /// Generation ends when the answer contains one of these strings; the string itself is not part of
    /// the answer.
    pub stop: Vec<String>,
    /// Rules of your own about the next token, behind those of the other options. They hold wherever the options do: in
    /// chats, searches, infilling and code as well as in plain generation.
    /// They are no data: serde leaves them out.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub processors: LogitsProcessors,
}

setters!(GenerationOptions {
    with_max_length: max_length = usize,
    with_max_new_tokens: max_new_tokens = impl Into<Option<usize>>,
    with_do_sample: do_sample = bool,
    with_temperature: temperature = f64,
    with_top_p: top_p = f64,
    with_top_k: top_k = usize,
    with_repetition_penalty: repetition_penalty = f64,
    with_presence_penalty: presence_penalty = f64,
    with_frequency_penalty: frequency_penalty = f64,
    with_no_repeat_ngram_size: no_repeat_ngram_size = usize,
    with_bad_words_ids: bad_words_ids = impl Into<Vec<Vec<u32>>>,
    with_min_length: min_length = usize,
    with_min_new_tokens: min_new_tokens = usize,
    with_eos_token_ids: eos_token_ids = impl Into<Option<Vec<u32>>>,
    with_invalid_score_token: invalid_score_token = impl Into<Option<u32>>,
    with_seed: seed = impl Into<Option<u64>>,
    with_prompt_lookup_num_tokens: prompt_lookup_num_tokens = usize,
    with_logprobs: logprobs = impl Into<Option<usize>>,
});

impl Default for GenerationOptions {
    fn default() -> Self {
        Self {
            max_length: 2048,
            max_new_tokens: None,
            do_sample: true,
            temperature: 0.95,
            top_p: 0.7,
            top_k: 50,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            no_repeat_ngram_size: 0,
            bad_words_ids: Vec::new(),
            min_length: 0,
            min_new_tokens: 0,
            eos_token_ids: None,
            invalid_score_token: Some(INVALID_SCORE_TOKEN),
            seed: None,
            prompt_lookup_num_tokens: 0,
            logprobs: None,
            stop: Vec::new(),
            processors: LogitsProcessors::default(),
        }
    }
}

impl GenerationOptions {
    /// The defaults with `do_sample` off: the same text every time, from the most probable token of
    /// each step.
    #[must_use]
    pub fn greedy() -> Self {
        Self {
            do_sample: false,
            ..Self::default()
        }
    }

    /// Sets [`stop`](Self::stop).
    #[must_use]
    pub fn with_stop(mut self, stop: impl IntoIterator<Item: Into<String>>) -> Self {
        self.stop = stop.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a rule to [`processors`](Self::processors).
    #[must_use]
    pub fn with_processor(mut self, processor: Arc<dyn LogitsProcessor>) -> Self {
        self.processors.push(processor);
        self
    }

    /// Whether no randomness is involved: `do_sample` is off or the temperature is 0.
    #[must_use]
    pub fn is_greedy(&self) -> bool {
        !self.do_sample || self.temperature == 0.0
    }

    /// The options with `max_length` held to the length that the model was trained for.
    pub(crate) fn within(&self, model: &Model) -> Self {
        Self {
            max_length: self.max_length.min(model.max_sequence_length()),
            ..self.clone()
        }
    }

    /// The length, prompt included, at which generation behind a prompt of `prompt_len` tokens ends at the latest.
    ///
    /// # Errors
    /// [`Error::PromptTooLong`] when that leaves no room for a single token.
    pub fn length_limit(&self, prompt_len: usize) -> Result<usize> {
        if prompt_len >= self.max_length {
            return Err(Error::PromptTooLong {
                tokens: prompt_len,
                max_length: self.max_length,
            });
        }
        Ok(match self.max_new_tokens {
            None => self.max_length,
            Some(new) => self.max_length.min(prompt_len.saturating_add(new)),
        })
    }

    /// Checks every field, also those that the chosen mode does not use.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] with the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let Self {
            max_length,
            max_new_tokens,
            temperature,
            top_p,
            repetition_penalty,
            ..
        } = self;
        require(*max_length > 0, "max_length", at_least_one, max_length)?;
        if let Some(tokens) = max_new_tokens {
            require(*tokens > 0, "max_new_tokens", at_least_one, tokens)?;
        }
        let lengths = [
            (
                "min_length",
                self.min_length,
                "max_length",
                Some(*max_length),
            ),
            (
                "min_new_tokens",
                self.min_new_tokens,
                "max_new_tokens",
                *max_new_tokens,
            ),
        ];
        for (option, least, limit, most) in lengths {
            if let Some(most) = most {
                require(
                    least <= most,
                    option,
                    || phrase!("option-at-most", "at most {limit}, {most}", limit, most),
                    least,
                )?;
            }
        }
        require(
            *temperature >= 0.0 && temperature.is_finite(),
            "temperature",
            || {
                phrase!(
                    "option-temperature",
                    "a finite number of at least 0 (0 is greedy)"
                )
            },
            temperature,
        )?;
        require(
            *top_p > 0.0 && *top_p <= 1.0,
            "top_p",
            || phrase!("option-top-p", "above 0 and at most 1 (1 switches it off)"),
            top_p,
        )?;
        // The scores are f32, so the penalty must still be a positive number after rounding to f32.
        let penalty = *repetition_penalty as f32;
        require(
            penalty > 0.0 && penalty.is_finite(),
            "repetition_penalty",
            || {
                phrase!(
                    "option-repetition-penalty",
                    "a finite number above 0 (1 switches it off)"
                )
            },
            repetition_penalty,
        )?;
        for (option, penalty) in [
            ("presence_penalty", self.presence_penalty),
            ("frequency_penalty", self.frequency_penalty),
        ] {
            let is_finite = (penalty as f32).is_finite();
            require(
                is_finite,
                option,
                || phrase!("option-penalty", "a finite number (0 switches it off)"),
                penalty,
            )?;
        }
        let empty = self.bad_words_ids.iter().any(Vec::is_empty);
        require(
            !empty,
            "bad_words_ids",
            || phrase!("option-words", "a list of non-empty words"),
            phrase!("option-empty-word", "an empty word"),
        )?;
        let empty = self.stop.iter().any(String::is_empty);
        require(
            !empty,
            "stop",
            || phrase!("option-strings", "a list of non-empty strings"),
            phrase!("option-empty-string", "an empty string"),
        )
    }
}

/// `Ok` or [`Error::InvalidOption`].
pub(super) fn require(
    holds: bool,
    option: &'static str,
    expected: impl FnOnce() -> Phrase,
    found: impl Into<Value>,
) -> Result<()> {
    if holds {
        return Ok(());
    }
    let found: Value = found.into();
    Err(Error::InvalidOption {
        option,
        expected: expected(),
        found: found.into(),
    })
}

pub(super) fn at_least_one() -> Phrase {
    phrase!("option-at-least-one", "at least 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut GenerationOptions)) -> String {
        let mut options = GenerationOptions::default();
        change(&mut options);
        options.validate().unwrap_err().to_string()
    }

    #[test]
    fn official_defaults_are_valid() {
        let options = GenerationOptions::default();
        options.validate().unwrap();
        assert!(!options.is_greedy());
        assert_eq!((options.max_length, options.top_k), (2048, 50));
        assert_eq!((options.temperature, options.top_p), (0.95, 0.7));
        GenerationOptions::greedy().validate().unwrap();
        assert!(GenerationOptions::greedy().is_greedy());
    }

    #[test]
    fn edges_of_the_ranges_are_valid() {
        let options = GenerationOptions {
            max_length: 1,
            max_new_tokens: Some(1),
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            repetition_penalty: 0.5,
            stop: vec!["\n".into()],
            ..GenerationOptions::default()
        };
        options.validate().unwrap();
        assert!(options.is_greedy());
    }

    #[test]
    fn each_field_out_of_range_is_refused_by_name() {
        assert_eq!(
            refused(|o| o.temperature = -0.5),
            "option `temperature` must be a finite number of at least 0 (0 is greedy), found -0.5"
        );
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(refused(|o| o.temperature = bad).contains("`temperature`"));
            assert!(refused(|o| o.top_p = bad).contains("`top_p`"));
            assert!(refused(|o| o.repetition_penalty = bad).contains("`repetition_penalty`"));
        }
        for bad in [0.0, -0.1, 1.000_001] {
            assert!(refused(|o| o.top_p = bad).contains("`top_p`"));
        }
        for bad in [0.0, -1.0, 1e-60, 1e60] {
            assert!(refused(|o| o.repetition_penalty = bad).contains("`repetition_penalty`"));
        }
        assert!(refused(|o| o.presence_penalty = f64::NAN).contains("`presence_penalty`"));
        assert!(refused(|o| o.frequency_penalty = 1e60).contains("`frequency_penalty`"));
        assert!(refused(|o| o.bad_words_ids = vec![Vec::new()]).contains("`bad_words_ids`"));
        assert!(refused(|o| o.max_length = 0).contains("`max_length`"));
        assert!(refused(|o| o.max_new_tokens = Some(0)).contains("`max_new_tokens`"));
        assert!(refused(|o| o.stop = vec!["a".into(), String::new()]).contains("`stop`"));
    }

    #[test]
    fn an_answer_cannot_be_shorter_than_its_least_length() {
        let between = |least, most: Option<usize>| {
            let options = GenerationOptions::default().with_min_new_tokens(least);
            options.with_max_new_tokens(most).validate()
        };
        assert_eq!(
            between(9, Some(8)).unwrap_err().to_string(),
            "option `min_new_tokens` must be at most max_new_tokens, 8, found 9"
        );
        between(8, Some(8)).unwrap();
        between(5000, None).unwrap();
        let options = GenerationOptions::default().with_max_length(30);
        assert_eq!(
            options
                .clone()
                .with_min_length(31)
                .validate()
                .unwrap_err()
                .to_string(),
            "option `min_length` must be at most max_length, 30, found 31"
        );
        options.with_min_length(30).validate().unwrap();
    }
}
