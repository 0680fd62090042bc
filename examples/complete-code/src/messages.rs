//! What the program says beside a completion.

use std::fmt::Display;

use command_line::encoding::Encoding;
use glm_core::{
    code::{CodeCompletion, CodeOptions, Cursor},
    generate::FinishReason,
};

pub(crate) fn error(error: &dyn Display) -> String {
    format!("error: {error}")
}

pub(crate) fn guessed_encoding(name: &dyn Display, encoding: Encoding) -> String {
    format!(
        "note: {name} is not UTF-8 and was read as {encoding}; --encoding names another encoding"
    )
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
) -> Vec<String> {
    let mut notes = Vec::new();
    if cursor.language.is_none() {
        notes.push("note: the model was told no language; --language names it".to_owned());
    }
    if completion.omitted_bytes > 0 {
        let bytes = completion.omitted_bytes;
        notes.push(format!(
            "note: the code is too long: its first {bytes} bytes were not read"
        ));
    }
    if completion.invalid_scores > 0 {
        notes.push(
            "note: the model gave scores that are no numbers; its weights are damaged".to_owned(),
        );
    }
    if completion.finish_reason == FinishReason::Length {
        let limit = options.generation.max_new_tokens;
        let limit = limit.filter(|limit| *limit == completion.completion_tokens);
        notes.push(match limit {
            Some(limit) => format!(
                "note: the completion was cut at {limit} tokens; --max-new-tokens allows more"
            ),
            None => "note: the completion was cut where the model's context ends".to_owned(),
        });
    }
    notes
}
