//! The bytes of a pickle, within limits that are checked before anything is kept of them.

use std::io::{self, BufRead, Read};

use glm_tokenizer::phrase;

use super::pickle_scan::Refusal;

/// Longest text that is kept: that of a name. A longer one is on no list of allowed names.
pub(super) const MAX_NAME_BYTES: u64 = 256;
/// Longest number, memo index or persistent id that is written as a line of text.
const MAX_LINE_BYTES: u64 = 4096;
/// Longest text or byte string.
pub(super) const MAX_TEXT_BYTES: u64 = 8 << 20;

/// A text in a pickle.
pub(super) struct PickleText {
    /// Its length in the file.
    pub(super) bytes: u64,
    /// The text, unless it is too long for a name or written with escapes.
    pub(super) name: Option<String>,
}

/// A reader that gives no more than `left` bytes.
pub(super) struct PickleSource<'a, R> {
    pub(super) reader: &'a mut R,
    pub(super) left: &'a mut u64,
}

impl<R: BufRead> PickleSource<'_, R> {
    pub(super) fn byte(&mut self) -> Result<u8, Refusal> {
        self.take(1)?;
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        let [byte] = byte;
        Ok(byte)
    }

    /// A little-endian number of `bytes` bytes, at most 8.
    pub(super) fn number(&mut self, bytes: usize) -> Result<u64, Refusal> {
        let mut number = 0;
        for position in 0..bytes {
            number |= u64::from(self.byte()?) << (8 * position);
        }
        Ok(number)
    }

    /// A text or byte string whose length is a number of `length_bytes` bytes.
    pub(super) fn counted(&mut self, length_bytes: usize) -> Result<PickleText, Refusal> {
        let bytes = self.number(length_bytes)?;
        if bytes > MAX_TEXT_BYTES {
            return Err(text_too_long());
        }
        if bytes > MAX_NAME_BYTES {
            self.skip(bytes)?;
            return Ok(PickleText { bytes, name: None });
        }
        self.take(bytes)?;
        let mut text = Vec::new();
        self.reader.by_ref().take(bytes).read_to_end(&mut text)?;
        if text.len() as u64 != bytes {
            return Err(end());
        }
        let name = Some(String::from_utf8_lossy(&text).into_owned());
        Ok(PickleText { bytes, name })
    }

    /// A line as a text, without its end.
    pub(super) fn line(&mut self) -> Result<PickleText, Refusal> {
        let mut text = Vec::new();
        let bytes = self.until_line_feed(MAX_TEXT_BYTES, |part| {
            if (text.len() as u64) <= MAX_NAME_BYTES {
                let room = MAX_NAME_BYTES as usize + 1 - text.len();
                text.extend(part.iter().take(room));
            }
        })?;
        let is_kept = bytes == text.len() as u64;
        if text.last() == Some(&b'\r') {
            text.pop();
        }
        let name = is_kept.then(|| String::from_utf8_lossy(&text).into_owned());
        Ok(PickleText { bytes, name })
    }

    /// A line that names what is imported, cut where a name cannot be allowed any more.
    pub(super) fn name_line(&mut self) -> Result<String, Refusal> {
        let mut name = Vec::new();
        self.until_line_feed(MAX_TEXT_BYTES, |part| {
            let room = (MAX_NAME_BYTES as usize).saturating_sub(name.len());
            name.extend(part.iter().take(room));
        })?;
        if name.last() == Some(&b'\r') {
            name.pop();
        }
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    /// A line with a number or an id.
    pub(super) fn short_line(&mut self) -> Result<Vec<u8>, Refusal> {
        let mut line = Vec::new();
        self.until_line_feed(MAX_LINE_BYTES, |part| line.extend(part))?;
        Ok(line)
    }

    /// Gives the line in parts, and its length.
    fn until_line_feed(
        &mut self,
        most: u64,
        mut part_of_line: impl FnMut(&[u8]),
    ) -> Result<u64, Refusal> {
        let mut bytes = 0;
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            if buffer.is_empty() {
                return Err(end());
            }
            let line_end = buffer.iter().position(|&byte| byte == b'\n');
            let part = buffer
                .get(..line_end.unwrap_or(buffer.len()))
                .unwrap_or(buffer);
            let length = part.len();
            bytes += length as u64;
            if bytes > most {
                return Err(text_too_long());
            }
            part_of_line(part);
            let taken = length + usize::from(line_end.is_some());
            self.reader.consume(taken);
            self.take(taken as u64)?;
            if line_end.is_some() {
                return Ok(bytes);
            }
        }
    }

    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.take(bytes)?;
        let skipped = io::copy(&mut self.reader.by_ref().take(bytes), &mut io::sink())?;
        if skipped == bytes { Ok(()) } else { Err(end()) }
    }

    fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                *self.left = left;
                Ok(())
            }
            None => Err(too_many_pickle_bytes()),
        }
    }
}

fn end() -> Refusal {
    Refusal::Io(io::ErrorKind::UnexpectedEof.into())
}

pub(super) fn too_many_pickle_bytes() -> Refusal {
    Refusal::TooLarge {
        what: phrase!("too-many-pickle-bytes", "bytes of pickles"),
        most: super::pickle_scan::MAX_PICKLE_BYTES,
    }
}

fn text_too_long() -> Refusal {
    Refusal::TooLarge {
        what: phrase!("too-many-text-bytes", "bytes in one text of its pickle"),
        most: MAX_TEXT_BYTES,
    }
}
