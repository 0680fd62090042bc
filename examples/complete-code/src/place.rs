//! `FILE[:LINE[:COLUMN]]`: a cursor in a file.

use std::{convert::Infallible, path::PathBuf, str::FromStr};

use crate::error::{Error, Result};

/// A file, and where the cursor is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// Counted from 1; `None`: the end of the file.
    line: Option<usize>,
    /// In characters, counted from 1, before which the cursor is; `None`: the end of the line.
    column: Option<usize>,
}

impl FromStr for Place {
    type Err = Infallible;

    /// A file that has such a name, colons and all, is that file.
    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        let numbered = |text: &str| {
            let (name, number) = text.rsplit_once(':')?;
            Some((name.to_owned(), number.parse().ok()?))
        };
        let (path, line, column) = match numbered(text) {
            _ if PathBuf::from(text).exists() => (text.to_owned(), None, None),
            None => (text.to_owned(), None, None),
            Some((name, last)) => match numbered(&name) {
                Some((path, line)) => (path, Some(line), Some(last)),
                None => (name, Some(last), None),
            },
        };
        Ok(Self {
            path: path.into(),
            line,
            column,
        })
    }
}

impl Place {
    /// The byte of `code` before which the cursor is.
    pub(crate) fn offset(&self, code: &str) -> Result<usize> {
        let Some(line) = self.line else {
            return Ok(code.len());
        };
        let mut lines = code.split('\n');
        let mut start = 0;
        for _ in 1..line {
            start += lines.next().map_or(0, |line| line.len() + 1);
        }
        let text = lines.next().filter(|_| line > 0);
        let text = text.ok_or_else(|| Error::NoLine {
            path: self.path.clone(),
            line,
            lines: code.split('\n').count(),
        })?;
        let text = text.trim_end_matches('\r');
        let Some(column) = self.column else {
            return Ok(start + text.len());
        };
        let mut columns = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        let at = column.checked_sub(1).and_then(|column| columns.nth(column));
        let at = at.ok_or_else(|| Error::NoColumn {
            path: self.path.clone(),
            line,
            column,
            last: text.chars().count() + 1,
        })?;
        Ok(start + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::to_editor;

    #[test]
    fn numbers_behind_a_file_are_a_line_and_a_column() {
        for (text, path, line, column) in [
            ("a.rs", "a.rs", None, None),
            ("a.rs:3", "a.rs", Some(3), None),
            ("a.rs:3:14", "a.rs", Some(3), Some(14)),
            ("C:\\a.rs:3", "C:\\a.rs", Some(3), None),
            ("C:\\a.rs", "C:\\a.rs", None, None),
            ("a:1:2:3", "a:1", Some(2), Some(3)),
            ("a.rs:x", "a.rs:x", None, None),
        ] {
            let path = path.into();
            assert_eq!(text.parse(), Ok(Place { path, line, column }), "{text}");
        }
    }

    #[test]
    fn the_cursor_is_before_a_character_or_at_an_end() {
        let code = "ab\n你好\r\n";
        for (place, before) in [
            ("f", code),
            ("f:1", "ab"),
            ("f:1:1", ""),
            ("f:1:3", "ab"),
            ("f:2", "ab\n你好"),
            ("f:2:2", "ab\n你"),
            ("f:3", code),
            ("f:3:1", code),
        ] {
            let place: Place = place.parse().unwrap();
            assert_eq!(&code[..place.offset(code).unwrap()], before);
        }
    }

    #[test]
    fn a_place_that_is_not_there_is_told_with_what_is() {
        for (place, message) in [
            ("f:0", "f has no line 0: it has 3"),
            ("f:4", "f has no line 4: it has 3"),
            ("f:1:0", "line 1 of f has no column 0: the last one is 3"),
            ("f:1:4", "line 1 of f has no column 4: the last one is 3"),
        ] {
            let place: Place = place.parse().unwrap();
            let error = place.offset("ab\n\n").unwrap_err();
            assert_eq!(to_editor(&error), message);
        }
    }
}
