//! One conversation: what was said so far, and the next answer.

use std::io::Write;

use glm_core::{
    GlmTokenizer, Model,
    chat::{ChatOptions, Turn},
    generate::{CancelToken, FinishReason},
};

use crate::{error::Result, output::Output};

/// A conversation with a model.
#[derive(Debug)]
pub(crate) struct Session {
    tokenizer: GlmTokenizer,
    model: Model,
    options: ChatOptions,
    history: Vec<Turn>,
}

/// What the user should know about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// So many oldest turns no longer fitted.
    DroppedTurns(usize),
    /// The length limit ended the answer.
    CutByLength,
    /// The user ended the answer, after or before something of it was written.
    Stopped { begun: bool },
    /// The model gave NaN or infinite scores so many times.
    InvalidScores(usize),
}

/// What a line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Nothing but white space.
    Empty,
    /// Forget the conversation.
    Clear,
    /// End the program.
    Stop,
    /// Anything else.
    Question(&'a str),
}

impl<'a> Line<'a> {
    /// The commands of the official program, and `exit`, alone on a line.
    pub(crate) fn of(line: &'a str) -> Self {
        match line.trim() {
            "" => Self::Empty,
            "clear" => Self::Clear,
            "stop" | "exit" => Self::Stop,
            _ => Self::Question(line),
        }
    }
}

impl Session {
    pub(crate) fn new(tokenizer: GlmTokenizer, model: Model, options: ChatOptions) -> Self {
        Self {
            tokenizer,
            model,
            options,
            history: Vec::new(),
        }
    }

    /// Forgets everything that was said.
    pub(crate) fn clear(&mut self) {
        self.history.clear();
    }

    /// Writes the answer to `query` as it comes, and remembers both. An answer that `cancel` stops is remembered as
    /// far as it was written; after an error, the conversation is as it was before.
    pub(crate) fn answer(
        &mut self,
        query: &str,
        cancel: CancelToken,
        output: &mut Output<impl Write>,
    ) -> Result<Vec<Notice>> {
        let mut reply = self
            .model
            .stream_chat(&self.tokenizer, query, &self.history, &self.options)?
            .with_cancel(cancel);
        for piece in reply.by_ref() {
            output.write(&piece?)?;
        }
        let reply = reply.into_reply();
        let stopped = reply.finish_reason == FinishReason::Cancelled;
        self.history = reply.history;
        let begun = !reply.response.is_empty();
        if stopped && !begun {
            // Nothing was answered, so there is no turn to remember.
            self.history.pop();
        }
        let notices = [
            (
                reply.dropped_turns > 0,
                Notice::DroppedTurns(reply.dropped_turns),
            ),
            (
                reply.invalid_scores > 0,
                Notice::InvalidScores(reply.invalid_scores),
            ),
            (
                reply.finish_reason == FinishReason::Length,
                Notice::CutByLength,
            ),
            (stopped, Notice::Stopped { begun }),
        ];
        Ok(notices
            .into_iter()
            .filter_map(|(applies, notice)| applies.then_some(notice))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_alone_on_their_line() {
        for (text, line) in [
            ("", Line::Empty),
            (" \t\u{3000}", Line::Empty),
            (" clear\r", Line::Clear),
            ("stop", Line::Stop),
            ("exit ", Line::Stop),
            ("stop it", Line::Question("stop it")),
            ("Stop", Line::Question("Stop")),
            (" 你好 ", Line::Question(" 你好 ")),
        ] {
            assert_eq!(Line::of(text), line, "{text:?}");
        }
    }

    fn session(max_length: usize, max_new_tokens: usize) -> Session {
        let (tokenizer, model) = mini_model::load().unwrap();
        let mut options = ChatOptions::default();
        options.generation.do_sample = false;
        options.generation.max_length = max_length;
        options.generation.max_new_tokens = Some(max_new_tokens);
        Session::new(tokenizer, model, options)
    }

    fn ask(session: &mut Session, query: &str) -> Vec<Notice> {
        session
            .answer(
                query,
                CancelToken::new(),
                &mut Output::new(Vec::new(), false),
            )
            .unwrap()
    }

    #[test]
    fn a_long_conversation_loses_its_oldest_turns_and_says_so() {
        let mut session = session(64, 8);
        let mut dropped = 0;
        for _ in 0..8 {
            for notice in ask(&mut session, "你好，请问今天天气怎么样？") {
                if let Notice::DroppedTurns(turns) = notice {
                    dropped += turns;
                }
            }
        }
        assert!(dropped > 0);
        assert_eq!(session.history.len() + dropped, 8);
    }

    /// Passes text on, and cancels at the first piece.
    struct CancelAtFirstPiece<'a>(&'a mut Vec<u8>, CancelToken);

    impl Write for CancelAtFirstPiece<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1.cancel();
            self.0.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stopped_answer_is_remembered_as_far_as_it_was_written() {
        let mut session = session(512, 100);
        let (mut written, cancel) = (Vec::new(), CancelToken::new());
        let sink = CancelAtFirstPiece(&mut written, cancel.clone());
        let notices = session
            .answer("讲一个故事", cancel, &mut Output::new(sink, false))
            .unwrap();
        assert_eq!(notices, [Notice::Stopped { begun: true }]);
        let written = String::from_utf8(written).unwrap();
        assert!(!written.is_empty());
        assert_eq!(session.history, [Turn::new("讲一个故事", written)]);
    }

    #[test]
    fn an_answer_stopped_before_its_first_word_leaves_no_turn() {
        let mut session = session(512, 8);
        let cancel = CancelToken::new();
        cancel.cancel();
        let notices = session
            .answer("你好", cancel, &mut Output::new(Vec::new(), false))
            .unwrap();
        assert_eq!(notices, [Notice::Stopped { begun: false }]);
        assert!(session.history.is_empty());
    }

    #[test]
    fn a_question_that_cannot_fit_leaves_the_conversation_as_it_was() {
        let mut session = session(64, 8);
        ask(&mut session, "你好");
        let history = session.history.clone();
        let refused = session.answer(
            &"天".repeat(100),
            CancelToken::new(),
            &mut Output::new(Vec::new(), false),
        );
        assert!(refused.is_err());
        assert_eq!(session.history, history);
    }
}
