//! The exact text that the official `chat()` makes of a conversation, before it is tokenized.
//!
//! The models were tuned on precisely these templates; one newline too many already changes answers.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::ModelConfig;

/// One round of a conversation: a question and its answer.
///
/// In JSON it is the list `["question", "answer"]`, as in the official `api.py` and the tuning data. A
/// question that is `null`, which some clients send with a leading answer, is read as an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turn {
    /// What the user said.
    pub query: String,
    /// What the model answered.
    pub response: String,
}

impl Turn {
    /// A round from its two texts.
    pub fn new(query: impl Into<String>, response: impl Into<String>) -> Self {
        Self {
            query: query.into(),
            response: response.into(),
        }
    }
}

impl Serialize for Turn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.query, &self.response).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Turn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (query, response) = <(Option<String>, String)>::deserialize(deserializer)?;
        Ok(Self::new(query.unwrap_or_default(), response))
    }
}

/// Which model's template to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum PromptStyle {
    /// ChatGLM-6B: rounds from 0, single newlines, and a first question without any template
    /// (`chat` in its `modeling_chatglm.py`).
    ChatGlm,
    /// ChatGLM2-6B: rounds from 1, double newlines, always with the template (`build_prompt` in its
    /// `modeling_chatglm.py`).
    ChatGlm2,
}

impl PromptStyle {
    /// The official rounds of a model; CodeGeeX2 has those of ChatGLM2-6B.
    pub fn of(config: &ModelConfig) -> Self {
        match config {
            ModelConfig::ChatGlm(_) => Self::ChatGlm,
            ModelConfig::ChatGlm2(_) => Self::ChatGlm2,
        }
    }

    /// The prompt for `query` after the rounds in `history`, oldest first.
    ///
    /// Texts are used as they are. Nothing in them is escaped, as in the official code: a question that
    /// contains a round mark looks like a round to the model.
    ///
    /// ```
    /// # use glm_core::chat::{PromptStyle, Turn};
    /// let history = [Turn::new("你好", "你好！")];
    /// assert_eq!(
    ///     PromptStyle::ChatGlm.build_prompt(&history, "再见"),
    ///     "[Round 0]\n问：你好\n答：你好！\n[Round 1]\n问：再见\n答："
    /// );
    /// ```
    #[must_use]
    pub fn build_prompt(self, history: &[Turn], query: &str) -> String {
        let (first_round, newline) = match self {
            Self::ChatGlm if history.is_empty() => return query.to_owned(),
            Self::ChatGlm => (0, "\n"),
            Self::ChatGlm2 => (1, "\n\n"),
        };
        let mut prompt = String::new();
        for (index, turn) in history.iter().enumerate() {
            open_round(&mut prompt, first_round + index, newline, &turn.query);
            prompt.push_str(&turn.response);
            prompt.push_str(newline);
        }
        open_round(&mut prompt, first_round + history.len(), newline, query);
        prompt
    }
}

/// A round up to the place where the answer belongs.
fn open_round(prompt: &mut String, round: usize, newline: &str, query: &str) {
    prompt.push_str(&format!("[Round {round}]{newline}问：{query}{newline}答："));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_question_has_a_template_in_chatglm2_only() {
        assert_eq!(PromptStyle::ChatGlm.build_prompt(&[], " 你好\n"), " 你好\n");
        assert_eq!(PromptStyle::ChatGlm.build_prompt(&[], ""), "");
        assert_eq!(
            PromptStyle::ChatGlm2.build_prompt(&[], "你好"),
            "[Round 1]\n\n问：你好\n\n答："
        );
    }

    #[test]
    fn rounds_count_on_from_the_history() {
        let history = [Turn::new("q0", "a0\n"), Turn::new("", "a1")];
        assert_eq!(
            PromptStyle::ChatGlm.build_prompt(&history, "{q}"),
            "[Round 0]\n问：q0\n答：a0\n\n[Round 1]\n问：\n答：a1\n[Round 2]\n问：{q}\n答："
        );
        assert_eq!(
            PromptStyle::ChatGlm2.build_prompt(&history, "q"),
            "[Round 1]\n\n问：q0\n\n答：a0\n\n\n[Round 2]\n\n问：\n\n答：a1\n\n[Round 3]\n\n问：q\n\n答："
        );
    }

    #[test]
    fn a_turn_is_a_pair_in_json() {
        let history = vec![Turn::new("问\"", "答"), Turn::new("", "")];
        let json = serde_json::to_string(&history).unwrap();
        assert_eq!(json, r#"[["问\"","答"],["",""]]"#);
        assert_eq!(serde_json::from_str::<Vec<Turn>>(&json).unwrap(), history);
        let from_null: Turn = serde_json::from_str(r#"[null, "欢迎"]"#).unwrap();
        assert_eq!(from_null, Turn::new("", "欢迎"));
    }

    #[test]
    fn other_json_is_refused() {
        for json in [
            r#"["q"]"#,
            r#"["q","a","b"]"#,
            r#"["q",null]"#,
            r#"["q",1]"#,
            r#"{"q":"a"}"#,
            "null",
        ] {
            assert!(serde_json::from_str::<Turn>(json).is_err(), "{json}");
        }
    }
}
