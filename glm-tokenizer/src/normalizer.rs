//! Text as SentencePiece wants it before segmentation: compiled rules applied, spaces written `▁`.
//!
//! This follows `Normalizer::Normalize` of google/sentencepiece. Rules match the longest byte
//! sequence at each position, not whole grapheme clusters, and user-defined pieces pass untouched.

use std::ops::Range;

use crate::aligned_text::AlignedText;
use crate::charsmap::Charsmap;
use crate::piece_trie::PieceTrie;

/// Stands for a space inside pieces (U+2581).
pub(crate) const SPACE_SYMBOL: char = '\u{2581}';
const SPACE_SYMBOL_STR: &str = "\u{2581}";

/// The normaliser of one model file.
#[derive(Debug)]
pub(crate) struct Normalizer {
    pub(crate) charsmap: Option<Charsmap>,
    /// User-defined pieces, if there are any.
    pub(crate) user_defined: Option<PieceTrie>,
    pub(crate) add_dummy_prefix: bool,
    pub(crate) remove_extra_whitespaces: bool,
}

impl Normalizer {
    pub(crate) fn normalize(&self, text: &str) -> String {
        let mut normalized =
            String::with_capacity(text.len() + text.len() / 2 + SPACE_SYMBOL.len_utf8());
        self.replace(text, |part, _| normalized.push_str(part));
        normalized.truncate(self.trimmed(&normalized));
        normalized
    }

    /// [`normalize`](Self::normalize), with the bytes of `text` that each byte of the result stands for.
    pub(crate) fn normalize_aligned(&self, text: &str) -> AlignedText {
        let mut normalized = AlignedText::default();
        self.replace(text, |part, source| match part {
            "" => normalized.absorb_after(SPACE_SYMBOL, source),
            part => normalized.push(part, source),
        });
        normalized.truncate(self.trimmed(normalized.text()));
        normalized
    }

    /// Gives `emit` the normalised text part by part, each with the bytes of `text` that it replaces; an empty part
    /// says that they are dropped. Spaces at the end are still there.
    fn replace(&self, text: &str, mut emit: impl FnMut(&str, Range<usize>)) {
        let mut at = 0;
        if self.remove_extra_whitespaces {
            while let (" ", length) = self.longest_match(&text[at..]) {
                at += length;
            }
        }
        // Nothing, or nothing but spaces, gets no dummy prefix either.
        if at == text.len() {
            return;
        }
        if self.add_dummy_prefix {
            emit(SPACE_SYMBOL_STR, 0..at);
        }
        let mut after_space = self.remove_extra_whitespaces;
        while at < text.len() {
            let (mut replacement, length) = self.longest_match(&text[at..]);
            let source = at..at + length;
            if after_space {
                replacement = replacement.trim_start_matches(' ');
            }
            if replacement.is_empty() {
                emit("", source);
            } else {
                after_space = self.remove_extra_whitespaces && replacement.ends_with(' ');
                for part in replacement.split_inclusive(' ') {
                    match part.strip_suffix(' ') {
                        Some("") => {}
                        Some(word) => emit(word, source.clone()),
                        None => {
                            emit(part, source.clone());
                            continue;
                        }
                    }
                    emit(SPACE_SYMBOL_STR, source.clone());
                }
            }
            at += length;
        }
    }

    /// The length of a normalised text without the spaces at its end that go.
    fn trimmed(&self, normalized: &str) -> usize {
        if self.remove_extra_whitespaces {
            normalized.trim_end_matches(SPACE_SYMBOL).len()
        } else {
            normalized.len()
        }
    }

    /// What stands for the start of `text`, and how many bytes of it that replaces.
    /// An empty text gives an empty match.
    fn longest_match<'a>(&'a self, text: &'a str) -> (&'a str, usize) {
        let bytes = text.as_bytes();
        if let Some(length) = self
            .user_defined
            .as_ref()
            .and_then(|trie| trie.longest_prefix(bytes))
        {
            return (&text[..length], length);
        }
        let rule = self
            .charsmap
            .as_ref()
            .and_then(|charsmap| charsmap.longest_rule(bytes));
        // A rule of a damaged table could end inside a character; such a rule is no rule.
        if let Some((length, replacement)) = rule
            && text.is_char_boundary(length)
        {
            return (replacement, length);
        }
        let length = text.chars().next().map_or(0, char::len_utf8);
        (&text[..length], length)
    }
}
