#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

use glm_core::{
    GenerationOptions, GlmTokenizer, Model, Precision, Quantizer, Result, TokenId,
    chat::{ChatOptions, PromptStyle, Turn},
    generate::log_probs,
};
use mini_corpus::Example;

/// A question and the answer that is expected.
#[derive(Debug, Clone)]
pub struct Question {
    history: Vec<Turn>,
    query: String,
    expected: String,
}

impl From<&Example> for Question {
    fn from(example: &Example) -> Self {
        let turn = |(query, response): &(String, String)| Turn::new(query, response);
        Self {
            history: example.history.iter().map(turn).collect(),
            query: example.prompt.clone(),
            expected: example.response.clone(),
        }
    }
}

impl Question {
    /// The prompt with its special tokens, and the expected answer with the token that ends it.
    fn ids(&self, tokenizer: &GlmTokenizer) -> (Vec<TokenId>, Vec<TokenId>) {
        let prompt = PromptStyle::ChatGlm.build_prompt(&self.history, &self.query);
        let prompt = tokenizer.with_special_tokens(tokenizer.encode(&prompt));
        let mut answer = tokenizer.encode(&self.expected);
        answer.push(tokenizer.special_tokens().eop);
        (prompt, answer)
    }
}

/// What a model is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// `exp` of the mean negative log-probability of the tokens of the expected answers.
    pub perplexity: f64,
    /// Questions answered to the letter.
    pub right: usize,
    /// Questions asked.
    pub all: usize,
}

/// Asks every question.
///
/// # Errors
/// As [`log_probs`] and [`Model::chat_with`].
pub fn measure(model: &Model, tokenizer: &GlmTokenizer, questions: &[Question]) -> Result<Quality> {
    let options = ChatOptions::default()
        .with_generation(GenerationOptions::greedy().with_max_new_tokens(128));
    let (mut sum, mut tokens, mut right) = (0.0, 0, 0);
    for question in questions {
        let (prompt, answer) = question.ids(tokenizer);
        let log_probs = log_probs(model, &prompt, &answer)?;
        sum += log_probs.iter().sum::<f64>();
        tokens += log_probs.len();
        let reply = model.chat_with(tokenizer, &question.query, &question.history, &options)?;
        right += usize::from(reply.response == question.expected.trim());
    }
    Ok(Quality {
        perplexity: (-sum / tokens.max(1) as f64).exp(),
        right,
        all: questions.len(),
    })
}

/// Calibration rows for GPTQ: every `step`-th of these questions, with its answer.
#[must_use]
pub fn calibration(
    questions: &[Question],
    tokenizer: &GlmTokenizer,
    step: usize,
) -> Vec<Vec<TokenId>> {
    let row = |question: &Question| {
        let (prompt, answer) = question.ids(tokenizer);
        [prompt, answer].concat()
    };
    questions.iter().step_by(step).map(row).collect()
}

/// The quantised twin of a float model.
///
/// # Errors
/// As [`Model::quantize`].
pub fn quantized(
    model: &Model,
    layers: Precision,
    head: Precision,
    quantizer: Quantizer<'_>,
) -> Result<Model> {
    model
        .clone()
        .quantize(layers, Some(head), quantizer, |_, _| {})
}
