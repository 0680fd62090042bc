//! Small talk around a question: how people open it, how they close it, what they leave out.
//!
//! The generator writes a phrasing once, without closing punctuation and, in English, with a
//! capital first letter. Its variants differ only in politeness, punctuation and capitals, so
//! that the model does not take those for meaning.

use crate::Language;

/// One way to ask for something, with the tone that decides what may stand around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phrasing {
    /// "法国的首都是哪里", "What is the capital of France".
    Question(String),
    /// "讲一个故事", "Tell me a story".
    Request(String),
    /// "你好", "Thank you".
    Remark(String),
    /// A follow-up too short to be dressed up: "那日本呢", "And Japan".
    FollowUp(String),
    /// Taken as it is: "3+5=?".
    Verbatim(String),
}

/// `{}` is the phrasing, `{l}` the same with a small first letter, `{s}` all in small letters.
const CHINESE_QUESTION: &[&str] = &[
    "{}？",
    "{}",
    "请问{}？",
    "你知道{}吗？",
    "请告诉我{}。",
    "我想知道{}。",
];
/// A question that ends in 吗 cannot stand inside another one.
const CHINESE_YES_NO: &[&str] = &["{}？", "{}", "请问{}？"];
const CHINESE_REQUEST: &[&str] = &["{}", "请{}。", "{}。", "请你{}。", "你能{}吗？", "{}吧。"];
const CHINESE_REMARK: &[&str] = &["{}", "{}！", "{}。"];
const CHINESE_FOLLOW_UP: &[&str] = &["{}？", "{}"];
const ENGLISH_QUESTION: &[&str] = &[
    "{}?",
    "{s}",
    "Please tell me, {l}?",
    "{s}?",
    "Excuse me, {l}?",
    "Can you tell me, {l}?",
];
const ENGLISH_REQUEST: &[&str] = &[
    "{}.",
    "{s}",
    "Please {l}.",
    "Can you {l}?",
    "{}",
    "Could you {l}, please?",
];
const ENGLISH_REMARK: &[&str] = &["{}", "{}!", "{}.", "{s}"];
const ENGLISH_FOLLOW_UP: &[&str] = &["{}?", "{s}"];

impl Phrasing {
    /// All sentences this phrasing gives, the plainest first.
    pub(crate) fn variants(&self, language: Language) -> Vec<String> {
        use Language::{Chinese, English};
        let (text, frames) = match (self, language) {
            (Self::Question(text), Chinese) if text.ends_with('吗') => (text, CHINESE_YES_NO),
            (Self::Question(text), Chinese) => (text, CHINESE_QUESTION),
            (Self::Question(text), English) => (text, ENGLISH_QUESTION),
            (Self::Request(text), Chinese) => (text, CHINESE_REQUEST),
            (Self::Request(text), English) => (text, ENGLISH_REQUEST),
            (Self::Remark(text), Chinese) => (text, CHINESE_REMARK),
            (Self::Remark(text), English) => (text, ENGLISH_REMARK),
            (Self::FollowUp(text), Chinese) => (text, CHINESE_FOLLOW_UP),
            (Self::FollowUp(text), English) => (text, ENGLISH_FOLLOW_UP),
            (Self::Verbatim(text), _) => (text, ["{}"].as_slice()),
        };
        frames.iter().map(|frame| dress(frame, text)).collect()
    }
}

/// Puts `text` into `frame`.
fn dress(frame: &str, text: &str) -> String {
    let mut letters = text.chars();
    let small_first: String = letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default();
    frame
        .replace("{s}", &text.to_lowercase())
        .replace("{l}", &small_first)
        .replace("{}", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_keep_names_and_drop_capitals_where_asked() {
        let variants =
            Phrasing::Question("What is the capital of France".into()).variants(Language::English);
        assert_eq!(variants[0], "What is the capital of France?");
        assert_eq!(variants[1], "what is the capital of france");
        assert_eq!(
            variants[2],
            "Please tell me, what is the capital of France?"
        );
    }

    #[test]
    fn verbatim_has_one_form() {
        let variants = Phrasing::Verbatim("3+5=?".into()).variants(Language::Chinese);
        assert_eq!(variants, ["3+5=?"]);
    }
}
