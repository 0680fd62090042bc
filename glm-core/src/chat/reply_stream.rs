//! The official clean-up of an answer while it is still being written.
//!
//! The official `stream_chat` cleans the whole text so far at each token, so characters it has shown
//! before may change: `,` becomes `，` when a Chinese character follows. A terminal or a server that has
//! sent text cannot take it back. Here text is given out as soon as no continuation can change it, and
//! never earlier.

use super::process_response::{
    ResponseRules, TRAINING_TIME, TRAINING_TIME_TEXT, full_width, is_chinese, is_python_space,
};
use crate::generate::TextRules;

/// [`process_response`](super::process_response) on text that arrives in pieces: all that is given out,
/// put together, is exactly what it makes of the whole text, however that was divided.
///
/// Held back are white space (it may be the end of the answer), a mark of `,!:;?` behind another
/// character than a Chinese one (a Chinese one may follow), and the beginning of `[[训练时间]]`.
///
/// ```
/// # use glm_core::chat::{ReplyStream, ResponseRules};
/// let mut reply = ReplyStream::new(ResponseRules::ChatGlm);
/// assert_eq!(reply.push(" OK,"), "OK");
/// assert_eq!(reply.push("好! "), "，好！");
/// assert_eq!(reply.finish(), "");
/// ```
#[derive(Debug, Clone)]
pub struct ReplyStream {
    rules: ResponseRules,
    /// Something other than white space has come.
    started: bool,
    /// White space that goes on if more text comes.
    spaces: String,
    /// The placeholder as far as it has come; empty while white space is held.
    placeholder: String,
    /// A mark that becomes full-width if a Chinese character comes next.
    mark: Option<char>,
    /// The character before the next one is Chinese.
    after_chinese: bool,
}

impl ReplyStream {
    /// For a new answer.
    #[must_use]
    pub fn new(rules: ResponseRules) -> Self {
        Self {
            rules,
            started: false,
            spaces: String::new(),
            placeholder: String::new(),
            mark: None,
            after_chinese: false,
        }
    }

    /// Takes the next piece of decoded text (whole characters) and gives the text that is now certain.
    #[must_use]
    pub fn push(&mut self, piece: &str) -> String {
        if self.rules == ResponseRules::Raw {
            return piece.to_owned();
        }
        let mut out = String::with_capacity(piece.len() + self.spaces.len() + 4);
        for character in piece.chars() {
            if is_python_space(character) {
                self.hold_space(character, &mut out);
            } else {
                self.started = true;
                if !self.spaces.is_empty() {
                    out.push_str(&self.spaces);
                    self.spaces.clear();
                    self.after_chinese = false;
                }
                self.replace_placeholder(character, &mut out);
            }
        }
        out
    }

    /// The answer has ended: gives what was held back, without trailing white space. The stream is then
    /// ready for another answer.
    #[must_use]
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        self.give_up_placeholder(&mut out);
        self.keep_mark(&mut out);
        *self = Self::new(self.rules);
        out
    }

    /// White space is dropped at the start and held later. Nothing else needs to wait behind it: it
    /// rules out the placeholder, and no Chinese character follows the mark.
    fn hold_space(&mut self, space: char, out: &mut String) {
        if self.started {
            self.give_up_placeholder(out);
            self.keep_mark(out);
            self.spaces.push(space);
        }
    }

    /// Passes characters on to [`Self::widen`], the placeholder replaced.
    fn replace_placeholder(&mut self, character: char, out: &mut String) {
        self.placeholder.push(character);
        while !TRAINING_TIME.starts_with(self.placeholder.as_str()) {
            let first = self.placeholder.remove(0);
            self.widen(first, out);
        }
        if self.placeholder == TRAINING_TIME {
            self.placeholder.clear();
            for character in TRAINING_TIME_TEXT.chars() {
                self.widen(character, out);
            }
        } else if !self.placeholder.is_empty() {
            // `[` or `2` comes next, neither of them Chinese.
            self.keep_mark(out);
        }
    }

    /// The held beginning turned out to be ordinary text.
    fn give_up_placeholder(&mut self, out: &mut String) {
        for character in std::mem::take(&mut self.placeholder).chars() {
            self.widen(character, out);
        }
    }

    /// Gives a character out, marks beside Chinese characters full-width.
    fn widen(&mut self, character: char, out: &mut String) {
        let chinese = is_chinese(character);
        if let Some(mark) = self.mark.take() {
            out.push(full_width(mark).filter(|_| chinese).unwrap_or(mark));
        }
        match full_width(character).filter(|_| self.rules == ResponseRules::ChatGlm) {
            Some(full_width) if self.after_chinese => out.push(full_width),
            Some(_) => self.mark = Some(character),
            None => out.push(character),
        }
        self.after_chinese = chinese;
    }

    /// No Chinese character follows the mark.
    fn keep_mark(&mut self, out: &mut String) {
        out.extend(self.mark.take());
    }
}

impl TextRules for ReplyStream {
    fn push(&mut self, piece: &str) -> String {
        self.push(piece)
    }

    fn finish(&mut self) -> String {
        self.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::process_response::process_response;
    use super::super::process_response::tests::difficult_text;
    use super::*;
    use proptest::prelude::*;

    const ALL_RULES: [ResponseRules; 3] = [
        ResponseRules::ChatGlm,
        ResponseRules::ChatGlm2,
        ResponseRules::Raw,
    ];

    /// The text divided after the given numbers of characters, the rest in one piece.
    fn divide(text: &str, lengths: &[usize]) -> Vec<String> {
        let mut characters = text.chars();
        let mut pieces: Vec<String> = lengths
            .iter()
            .map(|&length| characters.by_ref().take(length).collect())
            .collect();
        pieces.push(characters.collect());
        pieces
    }

    fn streamed(pieces: &[String], rules: ResponseRules) -> String {
        let mut stream = ReplyStream::new(rules);
        let mut out: String = pieces.iter().map(|piece| stream.push(piece)).collect();
        out.push_str(&stream.finish());
        out
    }

    /// What all these texts begin with.
    fn common_prefix(texts: &[String]) -> String {
        let mut prefix: Vec<char> = texts[0].chars().collect();
        for text in &texts[1..] {
            let same = prefix
                .iter()
                .zip(text.chars())
                .take_while(|(a, b)| **a == *b)
                .count();
            prefix.truncate(same);
        }
        prefix.into_iter().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn pieces_add_up_to_the_processed_text(
            text in difficult_text(),
            lengths in prop::collection::vec(0_usize..6, 0..20),
        ) {
            for rules in ALL_RULES {
                let expected = process_response(&text, rules);
                prop_assert_eq!(&streamed(&divide(&text, &lengths), rules), &expected);
                let ones = vec![1; text.chars().count()];
                prop_assert_eq!(&streamed(&divide(&text, &ones), rules), &expected);
            }
        }

        /// What was given out is all that the possible continuations have in common.
        #[test]
        fn nothing_certain_is_held_back(text in difficult_text()) {
            let mut continuations = ["", "a", "中", " a", " 中"].map(String::from).to_vec();
            let rests = TRAINING_TIME.char_indices().map(|(start, _)| TRAINING_TIME[start..].to_owned());
            continuations.extend(rests);
            for rules in ALL_RULES {
                let outcomes: Vec<String> = continuations
                    .iter()
                    .map(|continuation| process_response(&format!("{text}{continuation}"), rules))
                    .collect();
                prop_assert_eq!(ReplyStream::new(rules).push(&text), common_prefix(&outcomes));
            }
        }
    }

    #[test]
    fn text_is_given_out_at_the_earliest_moment() {
        let mut stream = ReplyStream::new(ResponseRules::ChatGlm);
        for (piece, given) in [
            ("\n ", ""),
            ("Yes", "Yes"),
            (",", ""),
            (" ", ","),
            ("中", " 中"),
            (",", "，"),
            (":", ""),
            ("[", ":"),
            ("[", ""),
            ("[", "["),
            ("训练时间]", ""),
            ("]", "2023年"),
            ("!\n", "！"),
            ("[[训练", "\n"),
            (" ", "[[训练"),
        ] {
            assert_eq!(stream.push(piece), given, "after {piece:?}");
        }
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn a_finished_stream_starts_anew() {
        let mut stream = ReplyStream::new(ResponseRules::ChatGlm);
        assert_eq!(stream.push("中 a?"), "中 a");
        assert_eq!(stream.finish(), "?");
        assert_eq!(stream.push(" ,b[["), ",b");
        assert_eq!(stream.finish(), "[[");
    }
}
