//! What a person types: a line or several, edited and recalled.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use rustyline::{
    Behavior, Cmd, ConditionalEventHandler, Config, DefaultEditor, Event, EventContext,
    EventHandler, KeyEvent, Movement, RepeatCount, error::ReadlineError,
};

use crate::error::Result;

/// Opens and closes a question of several lines.
const BLOCK: &str = "\"\"\"";

/// The line editor of the terminal. What is typed before it is asked is kept for when it is.
pub(crate) struct LineEditor {
    editor: DefaultEditor,
    continued: Continued,
}

/// Where the backslashes stand that continue the text which is being typed, in bytes.
#[derive(Clone, Default)]
struct Continued(Arc<Mutex<Vec<usize>>>);

impl Continued {
    fn note(&self, position: usize) {
        let mut positions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        positions.push(position);
    }

    /// What was noted, in order, each once. Nothing is noted any more.
    fn take(&self) -> Vec<usize> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut positions = std::mem::take(&mut *noted);
        positions.sort_unstable();
        positions.dedup();
        positions
    }
}

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A line, or several that belong together.
    Text(String),
    /// Ctrl-C on an empty line.
    Interrupt,
    /// Ctrl-D on an empty line, or the terminal is gone.
    End,
    /// Bytes that are no characters.
    Invalid,
    /// Something that is no input: the window has another size.
    Nothing,
}

impl LineEditor {
    pub(crate) fn new() -> Result<Self> {
        // The terminal is asked even when the answers go to a file.
        let config = Config::builder().behavior(Behavior::PreferTerm).build();
        let mut editor = DefaultEditor::with_config(config)?;
        let continued = Continued::default();
        editor.bind_sequence(
            KeyEvent::ctrl('C'),
            EventHandler::Conditional(Box::new(DiscardLine)),
        );
        // The key sends the first, a pasted text has the second.
        for end in ['\r', '\n'] {
            editor.bind_sequence(
                KeyEvent::from(end),
                EventHandler::Conditional(Box::new(ContinueText(continued.clone()))),
            );
        }
        Ok(Self { editor, continued })
    }

    pub(crate) fn read(&mut self, prompt: &str) -> Result<Typed> {
        let typed = self.editor.readline(prompt);
        let continued = self.continued.take();
        match typed {
            Ok(text) => {
                let text = joined(text, &continued);
                self.editor.add_history_entry(&text)?;
                Ok(Typed::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Interrupt),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Ok(Typed::Invalid)
            }
            #[cfg(windows)]
            Err(ReadlineError::Decode(_)) => Ok(Typed::Invalid),
            Err(ReadlineError::Signal(_)) => Ok(Typed::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn clear_screen(&mut self) -> Result<()> {
        Ok(self.editor.clear_screen()?)
    }
}

/// The text without the backslashes at these positions; one that editing has moved stays.
fn joined(mut text: String, continued: &[usize]) -> String {
    for &position in continued.iter().rev() {
        if text.get(position..position + 2) == Some("\\\n") {
            text.remove(position);
        }
    }
    text
}

/// Without the signs that open and close a text of several lines; `None` for a text that has none.
pub(crate) fn block(text: &str) -> Option<&str> {
    let text = text.trim_start().strip_prefix(BLOCK)?;
    let text = text.trim_end();
    let text = text.strip_suffix(BLOCK).unwrap_or(text);
    let text = text.trim_end_matches('\n');
    Some(text.strip_prefix('\n').unwrap_or(text))
}

/// Whether a text of several lines is open.
fn is_open(text: &str) -> bool {
    let text = text.trim_start().strip_prefix(BLOCK);
    text.is_some_and(|text| !text.trim_end().ends_with(BLOCK))
}

/// Whether the last line ends with a backslash that is not itself escaped.
fn continues(text: &str) -> bool {
    let before = text.trim_end_matches('\\');
    (text.len() - before.len()) % 2 == 1
}

/// Enter begins another line where the question is not complete.
struct ContinueText(Continued);

impl ConditionalEventHandler for ContinueText {
    fn handle(
        &self,
        _: &Event,
        _: RepeatCount,
        _: bool,
        context: &EventContext<'_>,
    ) -> Option<Cmd> {
        let text = context.line();
        if is_open(text) {
            return Some(Cmd::Newline);
        }
        let at_end = context.pos() == text.len();
        // The backslash stands for the newline and is no part of the question; a block has no such signs.
        (at_end && block(text).is_none() && continues(text)).then(|| {
            self.0.note(text.len() - 1);
            Cmd::Newline
        })
    }
}

/// Ctrl-C on a line with text discards the text (Ctrl-Y brings it back); on an empty line it is an interrupt.
struct DiscardLine;

impl ConditionalEventHandler for DiscardLine {
    fn handle(
        &self,
        _: &Event,
        _: RepeatCount,
        _: bool,
        context: &EventContext<'_>,
    ) -> Option<Cmd> {
        (!context.line().is_empty()).then_some(Cmd::Kill(Movement::WholeBuffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_what_stands_between_its_signs() {
        for (text, inner) in [
            ("\"\"\"a\"\"\"", "a"),
            ("\"\"\"\na\n\nb\n\"\"\"", "a\n\nb"),
            (" \"\"\"a\n  b\"\"\" ", "a\n  b"),
            ("\"\"\"clear\"\"\"", "clear"),
            ("\"\"\"\"\"\"", ""),
        ] {
            assert!(!is_open(text), "{text}");
            assert_eq!(block(text), Some(inner), "{text}");
        }
        for text in ["\"\"\"", "\"\"\"a\nb", "\"\"\"a \"\"\" b"] {
            assert!(is_open(text), "{text}");
        }
        for text in ["a \"\"\"", "\"\"a\"\"", "", "def f():\n    \"\"\"a\"\"\""] {
            assert!(!is_open(text), "{text}");
            assert_eq!(block(text), None, "{text}");
        }
    }

    #[test]
    fn an_odd_number_of_backslashes_continues() {
        for (text, more) in [
            ("a\\", true),
            ("a\\\\", false),
            ("\\\\\\", true),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(continues(text), more, "{text}");
        }
    }
}
