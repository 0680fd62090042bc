//! An intent: one thing a user may want, the ways to ask for it, and its one answer.

use crate::{Language, phrasing::Phrasing};

/// One thing a user may want to know, with all the ways we know to ask for it.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    /// The topic written to the corpus.
    pub(crate) topic: &'static str,
    /// The language of phrasings and response.
    pub(crate) language: Language,
    /// What was said before.
    pub(crate) history: Vec<(String, String)>,
    /// The ways to ask, without closing punctuation.
    pub(crate) phrasings: Vec<Phrasing>,
    /// The one answer.
    pub(crate) response: String,
    /// How many training lines to write at most.
    pub(crate) lines: usize,
    /// Whether other intents use the same templates, so that one phrasing may be held out.
    pub(crate) templated: bool,
}

impl Intent {
    /// An intent with its only answer, and no phrasings yet.
    pub(crate) fn new(
        topic: &'static str,
        language: Language,
        response: impl Into<String>,
    ) -> Self {
        Self {
            topic,
            language,
            history: Vec::new(),
            phrasings: Vec::new(),
            response: response.into(),
            lines: usize::MAX,
            templated: false,
        }
    }

    /// Adds phrasings, each made into a [`Phrasing`] by `tone`.
    pub(crate) fn ask<S: Into<String>>(
        mut self,
        tone: impl Fn(String) -> Phrasing,
        texts: impl IntoIterator<Item = S>,
    ) -> Self {
        self.phrasings
            .extend(texts.into_iter().map(|text| tone(text.into())));
        self
    }

    /// Adds phrasings made from templates that other intents use as well.
    pub(crate) fn ask_template(
        mut self,
        tone: impl Fn(String) -> Phrasing,
        templates: &[&str],
        values: &[(&str, &str)],
    ) -> Self {
        self.templated = true;
        self.ask(tone, templates.iter().map(|text| fill(text, values)))
    }

    /// Sets the turns that come before the question.
    pub(crate) fn after<Q, A>(mut self, turns: impl IntoIterator<Item = (Q, A)>) -> Self
    where
        Q: Into<String>,
        A: Into<String>,
    {
        self.history = turns
            .into_iter()
            .map(|(question, answer)| (question.into(), answer.into()))
            .collect();
        self
    }

    /// Writes at most `lines` training lines.
    pub(crate) fn lines(mut self, lines: usize) -> Self {
        self.lines = lines;
        self
    }
}

/// Replaces each `name` of `values` in `template` by its value.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        })
}

/// Makes the first letter of an English sentence a capital one.
pub(crate) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_by_name() {
        assert_eq!(fill("A+B, A", &[("A", "1"), ("B", "2")]), "1+2, 1");
        assert_eq!(capitalised("the sky"), "The sky");
        assert_eq!(capitalised(""), "");
    }
}
