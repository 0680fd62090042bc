//! What the program says beside a completion. To an editor it speaks English, whatever the user's language.

use command_line::texts::{Locales, Tell, Texts};
use glm_core::{
    Language,
    code::{CodeCompletion, CodeOptions, Cursor},
    generate::FinishReason,
};

use crate::error::Error;

/// The texts of this program.
pub(crate) const LOCALES: Locales = Locales {
    english: include_str!("../locales/en.ftl"),
    chinese: include_str!("../locales/zh.ftl"),
    chinese_help: include_str!("../locales/help.zh.ftl"),
};

/// To an editor whose request cannot be answered.
pub(crate) fn to_editor(error: &Error) -> String {
    error.tell(&Texts::new(Language::English, &LOCALES))
}

/// To an editor that asks twice by one name.
pub(crate) const ID_IN_USE: &str = "a request with this id is open";

/// To an editor whose line is too long to be read.
pub(crate) fn long_line(limit: usize) -> String {
    format!("the line has more than {limit} bytes and was not read")
}

/// To an editor that asks and asks, and does not read the answers.
pub(crate) fn too_many_requests(limit: usize) -> String {
    format!("{limit} requests are open; wait for an answer, or cancel some")
}

/// What the user should know about a completion.
pub(crate) fn about(
    completion: &CodeCompletion,
    cursor: &Cursor<'_>,
    options: &CodeOptions,
    texts: &Texts,
) -> Vec<String> {
    let mut notes = Vec::new();
    if cursor.language.is_none() {
        notes.push(texts.get("complete-code-language-not-told"));
    }
    if completion.omitted_bytes > 0 {
        let bytes = ("bytes", completion.omitted_bytes.into());
        notes.push(texts.with("complete-code-too-long", [bytes]));
    }
    if completion.invalid_scores > 0 {
        notes.push(texts.get("complete-code-invalid-scores"));
    }
    if completion.finish_reason == FinishReason::Length {
        let limit = options.generation.max_new_tokens;
        let limit = limit.filter(|limit| *limit == completion.completion_tokens);
        notes.push(match limit {
            Some(limit) => texts.with("complete-code-cut-at", [("limit", limit.into())]),
            None => texts.get("complete-code-cut-by-context"),
        });
    }
    notes.iter().map(|note| texts.notice(note)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use command_line::coverage::gaps;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn every_text_is_there_in_both_languages() {
        let gaps = gaps::<Arguments>(&LOCALES, Path::new("src"));
        assert_eq!(gaps, Vec::<String>::new());
    }
}
