//! Lines of an input that may hold anything.

use std::io::{self, BufRead, Read};

/// What an endless line may have before nobody waits for its end any more, in bytes.
const MAX_SKIPPED_BYTES: u64 = 1 << 30;

/// Reads lines of up to `limit` bytes; of a longer one no more is kept in memory.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    limit: usize,
    bytes: Vec<u8>,
    /// The end of a line that was too long is still to come.
    skips: bool,
}

/// A line without its newline.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It has more bytes than are taken. The next line is the one behind its end.
    TooLong,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `input`.
    pub fn new(input: R, limit: usize) -> Self {
        Self {
            input,
            limit,
            bytes: Vec::new(),
            skips: false,
        }
    }

    /// The next line; `None` at the end of the input. A line that is too long is told as soon as it is, before its rest is
    /// there.
    ///
    /// # Errors
    /// Those of the input, and [`io::ErrorKind::InvalidData`] for a line without an end.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        if self.skips {
            self.skip_line()?;
        }
        self.bytes.clear();
        let most = (self.limit as u64).saturating_add(1);
        let mut input = self.input.by_ref().take(most);
        if input.read_until(b'\n', &mut self.bytes)? == 0 {
            return Ok(None);
        }
        if self.bytes.last() == Some(&b'\n') {
            self.bytes.pop();
        }
        self.skips = self.bytes.len() > self.limit;
        Ok(Some(match self.skips {
            true => Line::TooLong,
            false => Line::Whole(&self.bytes),
        }))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        let skipped = self
            .input
            .by_ref()
            .take(MAX_SKIPPED_BYTES)
            .skip_until(b'\n')?;
        self.skips = false;
        if skipped as u64 == MAX_SKIPPED_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a line does not end within {MAX_SKIPPED_BYTES} bytes"),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_the_newline_or_the_input() {
        let mut lines = Lines::new(&b"a\n\nb"[..], 1);
        for expected in [&b"a"[..], b"", b"b"] {
            assert_eq!(lines.next_line().unwrap(), Some(Line::Whole(expected)));
        }
        assert_eq!(lines.next_line().unwrap(), None);
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_the_next_one_is_whole() {
        for (length, fits) in [
            (9, true),
            (10, true),
            (11, false),
            (12, false),
            (5000, false),
        ] {
            let text = [vec![b'x'; length], b"\nnext\n".to_vec()].concat();
            let mut lines = Lines::new(io::BufReader::with_capacity(7, text.as_slice()), 10);
            match lines.next_line().unwrap().unwrap() {
                Line::Whole(line) => assert!(fits && line.len() == length, "{length}"),
                Line::TooLong => assert!(!fits, "{length}"),
            }
            let next = lines.next_line().unwrap();
            assert_eq!(next, Some(Line::Whole(b"next")), "{length}");
            assert_eq!(lines.next_line().unwrap(), None);
            assert!(lines.bytes.capacity() < 100, "{length}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_may_be_the_last_one() {
        let mut lines = Lines::new(&b"xxxx"[..], 3);
        assert_eq!(lines.next_line().unwrap(), Some(Line::TooLong));
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn a_line_without_an_end_is_an_error() {
        let mut lines = Lines::new(io::BufReader::with_capacity(1 << 20, io::repeat(0)), 10);
        assert_eq!(lines.next_line().unwrap(), Some(Line::TooLong));
        let error = lines.next_line().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
