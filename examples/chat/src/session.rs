//! One conversation, and how its answers are found and shown.

use std::io::Write;

use glm_core::{
    chat::{Conversation, Reply, StreamedTurn, Turn},
    generate::{BeamSearchOptions, CancelToken, FinishReason},
};

use crate::{error::Result, output::Output};

/// A conversation with a model.
#[derive(Debug)]
pub(crate) struct Session {
    conversation: Conversation,
    decoding: Decoding,
}

/// How answers are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Decoding {
    /// Token by token, and shown so.
    Streamed,
    /// Several answers to each question, drawn side by side.
    Samples(usize),
    /// The best that a search finds.
    Beams(BeamSearchOptions),
}

impl Decoding {
    /// Texts that are written side by side, each with keys and values of its own.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Streamed => 1,
            Self::Samples(count) => *count,
            Self::Beams(beams) => beams.num_beams,
        }
    }
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
    /// The last question and its answer are forgotten.
    TakenBack,
    /// There is nothing to forget, or to answer again.
    NoTurn,
}

/// What a line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Nothing but white space.
    Empty,
    /// Forget the conversation.
    Clear,
    /// Forget the last question and its answer.
    Undo,
    /// End the program.
    Stop,
    /// Answer something.
    Answer(Request<'a>),
}

/// What is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// A new question.
    Question(&'a str),
    /// The last question again.
    Retry,
}

impl<'a> Line<'a> {
    /// The commands of the official program, `clear` and `stop`, and a few more, alone on a line.
    pub(crate) fn of(line: &'a str) -> Self {
        match line.trim() {
            "" => Self::Empty,
            "clear" => Self::Clear,
            "undo" => Self::Undo,
            "retry" => Self::Answer(Request::Retry),
            "stop" | "exit" => Self::Stop,
            _ => Self::Answer(Request::Question(line)),
        }
    }
}

impl Session {
    pub(crate) fn new(conversation: Conversation, decoding: Decoding) -> Self {
        Self {
            conversation,
            decoding,
        }
    }

    pub(crate) fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// Whether anything was asked.
    pub(crate) fn has_turns(&self) -> bool {
        !self.conversation.history().is_empty()
    }

    pub(crate) fn decoding(&self) -> Decoding {
        self.decoding
    }

    /// Forgets everything that was said.
    pub(crate) fn clear(&mut self) {
        self.conversation.clear();
    }

    /// Forgets the last question and its answer.
    pub(crate) fn undo(&mut self) -> Notice {
        match self.conversation.undo() {
            Some(_) => Notice::TakenBack,
            None => Notice::NoTurn,
        }
    }

    /// Writes the answer to `request`, as it comes where that can be, and remembers both; of several answers the first.
    /// An answer that `cancel` stops is remembered as far as it was written; after an error, and without a word of an
    /// answer, the conversation is as it was before.
    pub(crate) fn answer(
        &mut self,
        request: Request<'_>,
        cancel: CancelToken,
        output: &mut Output<impl Write>,
    ) -> Result<Vec<Notice>> {
        let Some((query, history)) = self.asked(request) else {
            return Ok(vec![Notice::NoTurn]);
        };
        let conversation = &self.conversation;
        let (model, tokenizer) = (conversation.model(), conversation.tokenizer());
        let options = conversation.options();
        let replies = match &self.decoding {
            Decoding::Streamed => {
                let turn = match request {
                    Request::Question(query) => self.conversation.ask(query)?,
                    Request::Retry => self.conversation.regenerate()?,
                };
                let reply = stream(turn.with_cancel(cancel), output)?;
                return Ok(notices(&[reply]));
            }
            Decoding::Samples(count) => {
                model.chat_samples(tokenizer, query, history, options, *count, &cancel)?
            }
            Decoding::Beams(beams) => {
                model.chat_beams(tokenizer, query, history, options, beams, &cancel)?
            }
        };
        let answers: Vec<&str> = replies.iter().map(|reply| &*reply.response).collect();
        output.write(&answers.join("\n\n"))?;
        let notices = notices(&replies);
        // Where nothing was answered, there is no turn to remember.
        let first = replies.into_iter().next();
        if let Some(first) = first.filter(|_| !notices.contains(&Notice::Stopped { begun: false }))
        {
            self.conversation.set_history(first.history);
        }
        Ok(notices)
    }

    /// The question that is to be answered, and the turns before it; `None` for the last one where none was asked.
    fn asked<'a>(&'a self, request: Request<'a>) -> Option<(&'a str, &'a [Turn])> {
        let history = self.conversation.history();
        match (request, history.split_last()) {
            (Request::Question(query), _) => Some((query, history)),
            (Request::Retry, Some((last, before))) => Some((&last.query, before)),
            (Request::Retry, None) => None,
        }
    }

    /// Writes `text` with its blanks filled.
    pub(crate) fn infill(
        &self,
        text: &str,
        output: &mut Output<impl Write>,
    ) -> Result<Vec<Notice>> {
        let conversation = &self.conversation;
        let (model, tokenizer) = (conversation.model(), conversation.tokenizer());
        let infilled = model.infill(tokenizer, text, conversation.options())?;
        output.write(&infilled.text)?;
        let pieces = &infilled.pieces;
        let is_cut = pieces
            .iter()
            .any(|piece| piece.finish_reason == FinishReason::Length);
        let invalid_scores = pieces.iter().map(|piece| piece.invalid_scores).sum();
        Ok(applying([
            (invalid_scores > 0, Notice::InvalidScores(invalid_scores)),
            (is_cut, Notice::CutByLength),
        ]))
    }
}

/// Writes an answer as it comes.
fn stream(mut turn: StreamedTurn<'_>, output: &mut Output<impl Write>) -> Result<Reply> {
    for piece in turn.by_ref() {
        output.write(&piece?)?;
    }
    Ok(turn.into_reply())
}

/// What the user should know about answers to one question.
fn notices(replies: &[Reply]) -> Vec<Notice> {
    let ended_by = |reason| replies.iter().any(|reply| reply.finish_reason == reason);
    let dropped_turns = replies.first().map_or(0, |reply| reply.dropped_turns);
    let invalid_scores = replies.iter().map(|reply| reply.invalid_scores).sum();
    let begun = replies.iter().any(|reply| !reply.response.is_empty());
    applying([
        (dropped_turns > 0, Notice::DroppedTurns(dropped_turns)),
        (invalid_scores > 0, Notice::InvalidScores(invalid_scores)),
        (ended_by(FinishReason::Length), Notice::CutByLength),
        (ended_by(FinishReason::Cancelled), Notice::Stopped { begun }),
    ])
}

fn applying<const N: usize>(notices: [(bool, Notice); N]) -> Vec<Notice> {
    let notices = notices.into_iter();
    notices
        .filter_map(|(applies, notice)| applies.then_some(notice))
        .collect()
}

#[cfg(test)]
mod tests {
    use glm_core::chat::ChatOptions;

    use super::*;

    #[test]
    fn commands_stand_alone_on_their_line() {
        for (text, line) in [
            ("", Line::Empty),
            (" \t\u{3000}", Line::Empty),
            (" clear\r", Line::Clear),
            ("undo", Line::Undo),
            ("retry", Line::Answer(Request::Retry)),
            ("stop", Line::Stop),
            ("exit ", Line::Stop),
            ("stop it", Line::Answer(Request::Question("stop it"))),
            ("Stop", Line::Answer(Request::Question("Stop"))),
            (" 你好 ", Line::Answer(Request::Question(" 你好 "))),
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
        let conversation = Conversation::new(model, tokenizer).with_options(options);
        Session::new(conversation, Decoding::Streamed)
    }

    impl Session {
        fn history(&self) -> &[Turn] {
            self.conversation.history()
        }
    }

    fn ask(session: &mut Session, query: &str) -> Vec<Notice> {
        session
            .answer(
                Request::Question(query),
                CancelToken::new(),
                &mut Output::new(Vec::new(), false),
            )
            .unwrap()
    }

    #[test]
    fn the_last_question_is_answered_again_or_taken_back() {
        let mut session = session(512, 8);
        let retry = |session: &mut Session| {
            let mut output = Output::new(Vec::new(), false);
            session.answer(Request::Retry, CancelToken::new(), &mut output)
        };
        assert_eq!(session.undo(), Notice::NoTurn);
        assert_eq!(retry(&mut session).unwrap(), [Notice::NoTurn]);
        ask(&mut session, "你好");
        ask(&mut session, "再见");
        let history = session.history().to_vec();
        retry(&mut session).unwrap();
        assert_eq!(session.history(), history, "greedy, so the same answer");
        session.decoding = Decoding::Beams(BeamSearchOptions::default());
        retry(&mut session).unwrap();
        assert_eq!(session.history()[0], history[0]);
        assert_eq!(session.history().len(), 2);
        assert_eq!(session.undo(), Notice::TakenBack);
        assert_eq!(session.history(), &history[..1]);
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
        assert_eq!(session.history().len() + dropped, 8);
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
            .answer(
                Request::Question("讲一个故事"),
                cancel,
                &mut Output::new(sink, false),
            )
            .unwrap();
        assert_eq!(notices, [Notice::Stopped { begun: true }]);
        let written = String::from_utf8(written).unwrap();
        assert!(!written.is_empty());
        assert_eq!(session.history(), [Turn::new("讲一个故事", written)]);
    }

    #[test]
    fn an_answer_stopped_before_its_first_word_leaves_no_turn() {
        let mut session = session(512, 8);
        let cancel = CancelToken::new();
        cancel.cancel();
        let notices = session
            .answer(
                Request::Question("你好"),
                cancel,
                &mut Output::new(Vec::new(), false),
            )
            .unwrap();
        assert_eq!(notices, [Notice::Stopped { begun: false }]);
        assert!(session.history().is_empty());
    }

    #[test]
    fn a_question_that_cannot_fit_leaves_the_conversation_as_it_was() {
        let mut session = session(64, 8);
        ask(&mut session, "你好");
        let history = session.history().to_vec();
        let refused = session.answer(
            Request::Question(&"天".repeat(100)),
            CancelToken::new(),
            &mut Output::new(Vec::new(), false),
        );
        assert!(refused.is_err());
        assert_eq!(session.history(), history);
    }
}
