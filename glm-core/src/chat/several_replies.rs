//! Several answers to one question: drawn side by side, or the best that a search finds.

use glm_tokenizer::GlmTokenizer;

use crate::{
    chat::{ChatOptions, Reply, ReplyStream, Turn, reply::Question},
    error::Result,
    generate::{
        AnswerText, BatchGenerator, BeamSearchOptions, CancelToken, Generated, beam_search_until,
    },
    model::Model,
};

impl Model {
    /// `count` answers to one question, each with a seed of its own: the first is that of [`Model::chat_with`] with the
    /// same seed. The question is read once.
    ///
    /// # Errors
    /// As [`Model::stream_chat`], and [`Error::Prompt`](crate::Error::Prompt) for a `count` of 0.
    pub fn chat_samples(
        &self,
        tokenizer: &GlmTokenizer,
        query: &str,
        history: &[Turn],
        options: &ChatOptions,
        count: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<Reply>> {
        let rules = self.response_rules(options);
        let question = self.question(tokenizer, query, history, &options.generation)?;
        let prompts = vec![question.prompt.as_slice(); count];
        let mut batch =
            BatchGenerator::new(self, &prompts, &question.generation)?.with_cancel(cancel.clone());
        let text = |_| {
            AnswerText::new(
                tokenizer,
                &question.generation.stop,
                ReplyStream::new(rules),
            )
        };
        let mut texts: Vec<AnswerText> = (0..count).map(text).collect();
        while let Some(tokens) = batch.next().transpose()? {
            for (row, (text, token)) in texts.iter_mut().zip(tokens).enumerate() {
                if let Some(token) = token {
                    text.push(token);
                }
                if let Some(reason) = text.stopped_by() {
                    batch.finish(row, reason);
                }
            }
        }
        let answers = texts.into_iter().zip(batch.into_generated());
        Ok(answers
            .map(|(text, generated)| question.reply(text, generated))
            .collect())
    }

    /// The best answers to a question that a beam search finds, best first. They come when the search is done, or
    /// `cancel` ends it. A stop string cuts an answer that was found; the search does not know it. Sampling, with its
    /// seed, has no part in it.
    ///
    /// # Errors
    /// As [`Model::stream_chat`] and [`beam_search`](crate::generate::beam_search).
    pub fn chat_beams(
        &self,
        tokenizer: &GlmTokenizer,
        query: &str,
        history: &[Turn],
        options: &ChatOptions,
        beams: &BeamSearchOptions,
        cancel: &CancelToken,
    ) -> Result<Vec<Reply>> {
        let rules = self.response_rules(options);
        let question = self.question(tokenizer, query, history, &options.generation)?;
        let prompts = [question.prompt.as_slice()];
        let found = beam_search_until(self, &prompts, &question.generation, beams, cancel)?;
        let replies = found.into_iter().flatten().map(|hypothesis| {
            let stop = &question.generation.stop;
            let mut text = AnswerText::new(tokenizer, stop, ReplyStream::new(rules));
            for &token in &hypothesis.tokens {
                text.push(token);
            }
            let generated = Generated {
                tokens: hypothesis.tokens,
                finish_reason: hypothesis.finish_reason,
                log_probs: Vec::new(),
                seed: question.generation.seed.unwrap_or_default(),
                invalid_scores: 0,
            };
            question.reply(text, generated)
        });
        Ok(replies.collect())
    }
}

impl Question {
    fn reply(&self, mut text: AnswerText, generated: Generated) -> Reply {
        // The token that completes a stop string may also be the last that is allowed.
        let finish_reason = text.stopped_by().unwrap_or(generated.finish_reason);
        let response = text.take_text();
        let (dropped_turns, history) = self.turns.clone().complete(&response);
        Reply {
            response,
            history,
            dropped_turns,
            finish_reason,
            prompt_tokens: self.prompt.len(),
            cached_tokens: 0,
            completion_tokens: generated.tokens.len(),
            seed: generated.seed,
            invalid_scores: generated.invalid_scores,
        }
    }
}
