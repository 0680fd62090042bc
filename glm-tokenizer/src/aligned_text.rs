//! A text that was rewritten, and where each of its bytes comes from.

use std::ops::Range;

/// What became of a text, with the bytes of the original that each byte stands for.
///
/// Ranges begin and end between characters of the original, and neither their starts nor their ends ever go back. An
/// empty range stands for nothing in the original: something was put in there.
#[derive(Debug, Clone, Default)]
pub(crate) struct AlignedText {
    text: String,
    /// By byte of `text`.
    sources: Vec<(usize, usize)>,
}

impl AlignedText {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Appends `part`, all of which stands for `source`.
    pub(crate) fn push(&mut self, part: &str, source: Range<usize>) {
        self.text.push_str(part);
        self.sources
            .resize(self.text.len(), (source.start, source.end));
    }

    /// Lets the last character stand for `source`, too, if it is `symbol`.
    pub(crate) fn absorb_after(&mut self, symbol: char, source: Range<usize>) {
        if self.text.ends_with(symbol) {
            let start = self.text.len() - symbol.len_utf8();
            for (_, end) in &mut self.sources[start..] {
                *end = source.end;
            }
        }
    }

    /// Forgets everything after `length` bytes.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.text.truncate(length);
        self.sources.truncate(length);
    }

    /// The bytes of the original that `range` of the text stands for.
    pub(crate) fn source(&self, range: Range<usize>) -> Range<usize> {
        let end_of_all = self.sources.last().map_or(0, |&(_, end)| end);
        let start = self
            .sources
            .get(range.start)
            .map_or(end_of_all, |&(start, _)| start);
        let end = match range.end.checked_sub(1) {
            Some(last) if !range.is_empty() => {
                self.sources.get(last).map_or(end_of_all, |&(_, end)| end)
            }
            _ => start,
        };
        start..end
    }
}
