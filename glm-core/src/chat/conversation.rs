//! A conversation that remembers: its turns, and what the model has read of them.

use std::sync::Arc;

use glm_tokenizer::GlmTokenizer;

use crate::{
    chat::{ChatOptions, Reply, StreamedReply, Turn},
    error::{Error, Result},
    generate::{CancelToken, FinishReason, LogitsProcessor, row_seed},
    model::Model,
    prefix_cache::{Prefix, PrefixCache},
};

/// A conversation with a model, which reads of each prompt only what it does not know from the turns before.
///
/// Every answer is the one that [`Model::chat_with`] gives for the same history: the prompt is built anew each time, and
/// what of it is known is decided by its token ids ([`Prefix::reusable_len`]). With ChatGLM2-6B that is everything before
/// the last answer's end. A ChatGLM-6B reads a prompt in both directions, so there every new question means reading all;
/// only [`Conversation::regenerate`] does not. When the history no longer fits and its oldest turns are left out, the
/// prompt begins differently, and all is read again.
///
/// ```no_run
/// use glm_core::chat::Conversation;
///
/// let model = glm_core::load("chatglm2-6b")?;
/// let tokenizer = glm_core::load_tokenizer("chatglm2-6b")?;
/// let mut conversation = Conversation::new(model, tokenizer);
/// println!("{}", conversation.ask("你好")?.run()?.response);
/// for piece in &mut conversation.ask("晚上睡不着应该怎么办")? {
///     print!("{}", piece?);
/// }
/// # Ok::<(), glm_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Conversation {
    model: Model,
    tokenizer: GlmTokenizer,
    options: ChatOptions,
    memory: Memory,
}

/// What lasts from turn to turn.
#[derive(Debug, Default)]
struct Memory {
    history: Vec<Turn>,
    /// What the model has read last.
    prefix: Option<Prefix>,
    /// What it has read in this and other conversations.
    shared: Option<Arc<PrefixCache>>,
    /// How often the last question was answered again.
    repetitions: usize,
}

impl Conversation {
    /// A conversation without turns, with the official options of the model. Model and tokenizer are cheap to clone.
    #[must_use]
    pub fn new(model: Model, tokenizer: GlmTokenizer) -> Self {
        let options = model.chat_options();
        Self {
            model,
            tokenizer,
            options,
            memory: Memory::default(),
        }
    }

    /// Sets how to chat.
    #[must_use]
    pub fn with_options(mut self, options: ChatOptions) -> Self {
        self.options = options;
        self
    }

    /// Goes on from these turns.
    #[must_use]
    pub fn with_history(mut self, history: Vec<Turn>) -> Self {
        self.set_history(history);
        self
    }

    /// Starts from what was read before, in another conversation or another run of the program.
    #[must_use]
    pub fn with_prefix(mut self, prefix: Prefix) -> Self {
        self.memory.prefix = Some(prefix);
        self
    }

    /// Looks in `cache` for what this conversation does not know itself, and keeps there what it has read.
    #[must_use]
    pub fn with_prefix_cache(mut self, cache: Arc<PrefixCache>) -> Self {
        self.memory.shared = Some(cache);
        self
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &GlmTokenizer {
        &self.tokenizer
    }

    /// How to chat.
    #[must_use]
    pub fn options(&self) -> &ChatOptions {
        &self.options
    }

    /// The turns so far, oldest first, without those that were left out because they no longer fitted.
    #[must_use]
    pub fn history(&self) -> &[Turn] {
        &self.memory.history
    }

    /// What the model has read last; `None` before the first turn.
    #[must_use]
    pub fn prefix(&self) -> Option<&Prefix> {
        self.memory.prefix.as_ref()
    }

    /// Puts other turns in place of those so far.
    pub fn set_history(&mut self, history: Vec<Turn>) {
        self.memory.history = history;
        self.memory.repetitions = 0;
    }

    /// Forgets all turns, and what the model has read.
    pub fn clear(&mut self) {
        self.set_history(Vec::new());
        self.memory.prefix = None;
    }

    /// Takes back the last turn, if there is one.
    pub fn undo(&mut self) -> Option<Turn> {
        self.memory.repetitions = 0;
        self.memory.history.pop()
    }

    /// Answers a question. It and the answer become a turn when [`StreamedTurn::run`] or [`StreamedTurn::into_reply`] has
    /// the reply; otherwise the conversation is as it was before.
    ///
    /// # Errors
    /// As [`Model::stream_chat`].
    pub fn ask(&mut self, query: &str) -> Result<StreamedTurn<'_>> {
        self.answer(self.memory.history.len(), query, 0)
    }

    /// Answers the last question again, with other random numbers: the new turn takes the place of the last one. Given a
    /// seed, the `n`-th repetition has seed `n` of [`row_seed`].
    ///
    /// # Errors
    /// As [`Conversation::edit`].
    pub fn regenerate(&mut self) -> Result<StreamedTurn<'_>> {
        let last = self.memory.history.len().saturating_sub(1);
        let query = self.turn(last)?.query.clone();
        self.answer(last, &query, self.memory.repetitions + 1)
    }

    /// Asks something else in place of the question of turn `turn`, counted from 0: the new turn takes the place of that
    /// one and of all behind it.
    ///
    /// # Errors
    /// As [`Model::stream_chat`]; [`Error::NoTurn`] when there is no such turn.
    pub fn edit(&mut self, turn: usize, query: &str) -> Result<StreamedTurn<'_>> {
        self.turn(turn)?;
        self.answer(turn, query, 0)
    }

    fn turn(&self, turn: usize) -> Result<&Turn> {
        let turns = self.memory.history.len();
        let found = self.memory.history.get(turn);
        found.ok_or(Error::NoTurn { turn, turns })
    }

    /// The answer to `query` behind the first `turns` turns.
    fn answer(
        &mut self,
        turns: usize,
        query: &str,
        repetitions: usize,
    ) -> Result<StreamedTurn<'_>> {
        let mut options = self.options.clone();
        let seed = options.generation.seed;
        options.generation.seed = seed.map(|seed| row_seed(seed, repetitions));
        let Self {
            model,
            tokenizer,
            memory,
            ..
        } = self;
        let history = &memory.history[..turns];
        let reply = model.stream_chat(tokenizer, query, history, &options)?;
        Ok(StreamedTurn {
            reply: memory.recall(model, reply),
            memory,
            repetitions,
        })
    }
}

impl Memory {
    /// The same reply, from what is known of its prompt.
    fn recall<'model>(
        &mut self,
        model: &Model,
        reply: StreamedReply<'model>,
    ) -> StreamedReply<'model> {
        let own = self.prefix.take();
        let prompt = reply.prompt();
        let known = own.as_ref();
        let known = known.map_or(0, |own| own.reusable_len(model, prompt));
        let shared = self.shared.as_ref();
        let shared = shared.and_then(|shared| shared.find_longer(model, prompt, known));
        match shared.or(own) {
            Some(prefix) => reply.with_prefix(prefix),
            None => reply,
        }
    }

    /// Keeps what the model has read.
    fn keep(&mut self, prefix: Prefix) {
        if let Some(shared) = &self.shared {
            shared.insert(&prefix);
        }
        self.prefix = Some(prefix);
    }
}

/// An answer of a [`Conversation`] while it is written: an iterator over pieces of text.
#[derive(Debug)]
pub struct StreamedTurn<'conversation> {
    reply: StreamedReply<'conversation>,
    memory: &'conversation mut Memory,
    repetitions: usize,
}

impl StreamedTurn<'_> {
    /// Lets `cancel` end the answer: before its next token, and in the middle of the prompt.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancelToken) -> Self {
        self.reply.text.generator.set_cancel(cancel);
        self
    }

    /// Adds a rule about the next token of this answer behind those of the options.
    #[must_use]
    pub fn with_processor(mut self, processor: Arc<dyn LogitsProcessor>) -> Self {
        self.reply.text.generator.add_processor(processor);
        self
    }

    /// Oldest turns of the history that no longer fitted.
    #[must_use]
    pub fn dropped_turns(&self) -> usize {
        self.reply.dropped_turns()
    }

    /// The answer so far, as [`StreamedReply::into_reply`], which is now a turn of the conversation. One that was
    /// cancelled before its first word is none.
    pub fn into_reply(mut self) -> Reply {
        let reply = self.reply.end();
        if reply.finish_reason != FinishReason::Cancelled || !reply.response.is_empty() {
            self.memory.history = reply.history.clone();
            self.memory.repetitions = self.repetitions;
        }
        reply
    }

    /// Writes the answer to its end. It is now a turn of the conversation.
    ///
    /// # Errors
    /// As [`StreamedReply::run`].
    pub fn run(mut self) -> Result<Reply> {
        self.by_ref().try_for_each(|piece| piece.map(drop))?;
        Ok(self.into_reply())
    }
}

impl Iterator for StreamedTurn<'_> {
    type Item = Result<String>;

    /// The next piece, never empty.
    fn next(&mut self) -> Option<Self::Item> {
        self.reply.next()
    }
}

/// What was read stays known, however the answer ended.
impl Drop for StreamedTurn<'_> {
    fn drop(&mut self) {
        if let Some(prefix) = self.reply.text.generator.take_prefix() {
            self.memory.keep(prefix);
        }
    }
}
