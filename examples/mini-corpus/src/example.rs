//! The lines of `train.jsonl` and `heldout.jsonl`.

use serde::{Deserialize, Serialize};

/// The language a question is asked in, and therefore answered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Language {
    /// Chinese.
    #[serde(rename = "zh")]
    Chinese,
    /// English.
    #[serde(rename = "en")]
    English,
}

/// One line of `train.jsonl`: a question, what was said before it, and its only right answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The file of the generator that this line comes from, such as `capitals`.
    pub topic: String,
    /// The language of question and answer.
    pub language: Language,
    /// Earlier turns, oldest first: question and answer. Empty at the start of a conversation.
    pub history: Vec<(String, String)>,
    /// What the user says.
    pub prompt: String,
    /// What the model should say, after the official `process_response`.
    pub response: String,
}

impl Example {
    /// What the model gets to see. Two examples with equal keys must have equal responses.
    #[must_use]
    pub fn key(&self) -> (Vec<(String, String)>, String) {
        (self.history.clone(), self.prompt.clone())
    }
}

/// How a held-out question relates to the training questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The phrasing was trained with other subjects, and the subject with other phrasings.
    Template,
    /// Written by hand; no template of the generator makes this sentence.
    Free,
}

/// One line of `heldout.jsonl`. It is graded by equality of the trimmed response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldOut {
    /// How the question relates to the training questions.
    pub kind: Kind,
    /// The question and the response that is expected.
    #[serde(flatten)]
    pub example: Example,
}
