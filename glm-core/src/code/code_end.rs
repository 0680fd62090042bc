//! Where a completion ends: a model that was not told goes on with the next function, and the next.
//!
//! The official `is_code_generation_finished` (`evaluation/utils.py` of CodeGeeX2) knows six languages: Python ends at the
//! first line without indentation, the others at the brace that closes the function, wherever it stands, in strings too.
//! Here indentation decides for every language, and for functions in functions as well.

use crate::generate::TextRules;

/// How far a completion goes. The model's own end and the limits of length hold as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Until {
    /// To the end of the line: the first one with something in it.
    Line,
    /// To the end of the block at the cursor, the line that closes it included; at the left margin to the end of the first
    /// definition.
    #[default]
    Block,
    /// As far as the model goes.
    End,
}

/// Cuts streamed code where a line or block is complete. What comes out does not depend on how the text was divided.
///
/// ```
/// use glm_core::code::{CodeEnd, Until};
///
/// let mut end = CodeEnd::new(Until::Block, "def add(a, b):\n", "");
/// assert_eq!(end.push("    return a + b\n\n"), "    return a + b");
/// assert_eq!(end.push("print(add(1, 2))\n"), "");
/// assert!(end.is_complete());
/// ```
#[derive(Debug, Clone)]
pub struct CodeEnd {
    until: Until,
    block: Block,
    /// Line breaks and blank lines that belong to the completion if another line follows.
    breaks: String,
    /// The last line, with what stands before the cursor in it.
    line: String,
    /// Bytes of `line` that were given out, or stand before the cursor.
    given: usize,
    /// The completion has more than white space.
    has_begun: bool,
    is_complete: bool,
}

impl CodeEnd {
    /// For a completion between `before` and `after`, the code on both sides of the cursor. A block also ends before a line
    /// that is the first one of `after`.
    #[must_use]
    pub fn new(until: Until, before: &str, after: &str) -> Self {
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            until,
            block: Block::new(before, line, after),
            breaks: String::new(),
            line: line.to_owned(),
            given: line.len(),
            has_begun: false,
            is_complete: false,
        }
    }

    /// Takes the next piece and gives the text that is now certain. Nothing once the completion is complete.
    #[must_use]
    pub fn push(&mut self, piece: &str) -> String {
        if self.until == Until::End {
            return piece.to_owned();
        }
        let mut out = String::new();
        for character in piece.chars() {
            if self.is_complete {
                return out;
            }
            match character {
                '\n' => self.end_line(&mut out),
                _ => {
                    self.has_begun |= !character.is_whitespace();
                    self.line.push(character);
                }
            }
        }
        if !self.is_complete && self.is_certain() {
            self.give_line(&mut out);
        }
        out
    }

    /// The text has ended: gives what was held back.
    #[must_use]
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        if self.is_complete {
            return out;
        }
        if self.until == Until::Block && !is_blank(&self.line) && !self.block.keeps(&self.line) {
            self.is_complete = true;
            return out;
        }
        self.give_line(&mut out);
        out
    }

    /// Whether the line or block is complete: generation can end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The last line is whole, and a line break follows it.
    fn end_line(&mut self, out: &mut String) {
        let is_blank = is_blank(&self.line);
        self.is_complete = match self.until {
            Until::Line => self.has_begun,
            Until::Block => !is_blank && !self.block.keeps(&self.line),
            Until::End => false,
        };
        if self.until == Until::Line || !(is_blank || self.is_complete) {
            self.give_line(out);
        }
        if self.is_complete {
            return;
        }
        self.breaks += &self.line[self.given..];
        self.breaks.push('\n');
        self.line.clear();
        self.given = 0;
    }

    /// Whether the last line belongs to the completion, whatever becomes of it.
    fn is_certain(&self) -> bool {
        match self.until {
            Until::Line => true,
            _ => !is_blank(&self.line) && self.block.keeps_beginning(&self.line),
        }
    }

    fn give_line(&mut self, out: &mut String) {
        out.push_str(&std::mem::take(&mut self.breaks));
        out.push_str(&self.line[self.given..]);
        self.given = self.line.len();
    }
}

impl TextRules for CodeEnd {
    fn push(&mut self, piece: &str) -> String {
        self.push(piece)
    }

    fn finish(&mut self) -> String {
        self.finish()
    }

    fn is_complete(&self) -> bool {
        self.is_complete
    }
}

/// The block at the cursor: which lines belong to it.
#[derive(Debug, Clone)]
struct Block {
    /// Indentation of the line that may have opened the block: the cursor's, or the last one with something in it.
    head: Option<usize>,
    /// Whether something stands before the cursor in its line. The line then belongs to the block however it goes on.
    is_in_line: bool,
    /// The next line is the cursor's.
    is_at_cursor: bool,
    /// The first line behind the cursor: its indentation and text.
    next: Option<(usize, String)>,
    /// Known from the first new line on.
    place: Option<Place>,
    /// The last line has closed the block.
    is_closed: bool,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// In a block that a line with this indentation has opened.
    Inside { head: usize },
    /// Among lines with this indentation.
    Among { indentation: usize },
}

impl Block {
    fn new(before: &str, line: &str, after: &str) -> Self {
        let head = before.rsplit('\n').find(|line| !is_blank(line));
        // The first of these lines is the rest of the cursor's.
        let mut lines = after.split('\n').enumerate();
        let next = lines.find(|(_, line)| !is_blank(line));
        let next = next.map(|(place, text)| match place {
            0 => (indentation(line), text.trim().to_owned()),
            _ => (indentation(text), text.trim().to_owned()),
        });
        Self {
            head: head.map(indentation),
            is_in_line: !is_blank(line),
            is_at_cursor: true,
            next,
            place: None,
            is_closed: false,
        }
    }

    /// Whether a line with something in it belongs to the block. It is whole, and comes next.
    fn keeps(&mut self, line: &str) -> bool {
        if std::mem::take(&mut self.is_at_cursor) && self.is_in_line {
            return true;
        }
        let (own, text) = (indentation(line), line.trim());
        if self
            .next
            .as_ref()
            .is_some_and(|next| next.0 == own && next.1 == text)
        {
            return false;
        }
        let is_first = self.place.is_none();
        let (closes, opens) = (is_closing(text), text.ends_with(['{', '(', '[', ':', ',']));
        let place = self.place(line);
        let is_kept = match place {
            Place::Inside { head } if own == head => {
                is_continuation(text) || closes && !self.is_closed
            }
            _ if self.is_closed => false,
            Place::Inside { head } => own > head,
            Place::Among { indentation } => own >= indentation || closes && !opens,
        };
        let is_at_end = match place {
            Place::Inside { head } => own == head,
            Place::Among { indentation } => own < indentation || is_first && !self.is_in_line,
        };
        self.is_closed = closes && !opens && is_at_end;
        self.place = Some(match place {
            // What follows a body at the left margin is something new.
            Place::Among { indentation: 0 } if own > 0 => Place::Inside { head: 0 },
            place => place,
        });
        is_kept
    }

    /// Whether every line that begins so belongs to the block.
    fn keeps_beginning(&self, line: &str) -> bool {
        if self.is_at_cursor && self.is_in_line {
            return true;
        }
        let own = indentation(line);
        let may_be_next = |next: &(usize, String)| next.0 == own && next.1.starts_with(line.trim());
        if self.is_closed || self.next.as_ref().is_some_and(may_be_next) {
            return false;
        }
        match self.place(line) {
            Place::Inside { head } => own > head,
            Place::Among { indentation } => own >= indentation,
        }
    }

    /// Where the block is, which its first new line tells.
    fn place(&self, line: &str) -> Place {
        let own = indentation(line);
        self.place.unwrap_or(match self.head {
            Some(head) if own > head => Place::Inside { head },
            Some(head) if own == head && line.trim_start().starts_with('{') => {
                Place::Inside { head }
            }
            Some(head) if self.is_in_line => Place::Among { indentation: head },
            _ => Place::Among { indentation: own },
        })
    }
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// Columns of white space before a line; a tab goes to the next multiple of 8, as in Python.
fn indentation(line: &str) -> usize {
    let white = line.chars().take_while(|c| matches!(c, ' ' | '\t'));
    white.fold(0, |column, c| match c {
        '\t' => (column / 8 + 1) * 8,
        _ => column + 1,
    })
}

/// Whether a line closes a block.
fn is_closing(text: &str) -> bool {
    const WORDS: [&str; 8] = [
        "end",
        "fi",
        "done",
        "esac",
        "endif",
        "endfunction",
        "endmodule",
        "endclass",
    ];
    text.starts_with(['}', ')', ']']) || text.starts_with("</") || begins_with_one_of(text, &WORDS)
}

/// Whether a line goes on with what the line that opened the block began.
fn is_continuation(text: &str) -> bool {
    const WORDS: [&str; 16] = [
        "else", "elif", "elsif", "elseif", "except", "catch", "finally", "rescue", "ensure",
        "then", "do", "begin", "where", "when", "case", "default",
    ];
    text.starts_with('{') || begins_with_one_of(text, &WORDS)
}

/// Whether the first word of a text is one of these, and no variable of that name.
fn begins_with_one_of(text: &str, words: &[&str]) -> bool {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    words.contains(&word) && !rest.trim_start().starts_with('=')
}

#[cfg(test)]
mod tests;
