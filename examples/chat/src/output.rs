//! Where answers and messages go: answers to standard output, all else to standard error.
//!
//! On Windows the standard library writes to a console in UTF-16, whatever its code page, and reads it so; there is
//! nothing to switch on. A pipe carries UTF-8 on every system.

use std::{borrow::Cow, io::Write};

use crate::error::{Error, Result};

/// The sink of the answers. Every piece is flushed, so that it appears as it is written.
#[derive(Debug)]
pub(crate) struct Output<W> {
    writer: W,
    is_terminal: bool,
}

impl<W: Write> Output<W> {
    pub(crate) fn new(writer: W, is_terminal: bool) -> Self {
        Self {
            writer,
            is_terminal,
        }
    }

    pub(crate) fn write(&mut self, text: &str) -> Result<()> {
        let text = if self.is_terminal {
            without_controls(text)
        } else {
            text.into()
        };
        self.writer
            .write_all(text.as_bytes())
            .and_then(|()| self.writer.flush())
            .map_err(Error::Output)
    }

    pub(crate) fn end_line(&mut self) -> Result<()> {
        self.write("\n")
    }

    /// Writes `label` for a person to read; a file or a pipe gets answers alone.
    pub(crate) fn label(&mut self, label: &str) -> Result<()> {
        if self.is_terminal {
            self.write(label)
        } else {
            Ok(())
        }
    }
}

/// A model can write any byte; an escape sequence must not reach the terminal.
fn without_controls(text: &str) -> Cow<'_, str> {
    let is_unwanted = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    if text.contains(is_unwanted) {
        text.replace(is_unwanted, "").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_spared_control_characters_and_a_file_is_not() {
        let text = "a\u{1b}[2J\tb\r\n\u{7f}\u{9b}c你好";
        for (is_terminal, expected) in [(true, "a[2J\tb\nc你好"), (false, text)] {
            let mut output = Output::new(Vec::new(), is_terminal);
            output.write(text).unwrap();
            assert_eq!(String::from_utf8(output.writer).unwrap(), expected);
        }
    }

    #[test]
    fn labels_are_for_terminals() {
        let mut file = Output::new(Vec::new(), false);
        file.label("ChatGLM: ").unwrap();
        assert!(file.writer.is_empty());
    }
}
