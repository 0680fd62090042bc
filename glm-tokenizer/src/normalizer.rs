//! Text as SentencePiece wants it before segmentation: compiled rules applied, spaces written `▁`.
//!
//! This follows `Normalizer::Normalize` of google/sentencepiece. Rules match the longest byte
//! sequence at each position, not whole grapheme clusters, and user-defined pieces pass untouched.

use crate::charsmap::Charsmap;
use crate::piece_trie::PieceTrie;

/// Stands for a space inside pieces (U+2581).
pub(crate) const SPACE_SYMBOL: char = '\u{2581}';

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
        let mut rest = text;
        if self.remove_extra_whitespaces {
            while let (" ", length) = self.longest_match(rest) {
                rest = &rest[length..];
            }
        }
        // Nothing, or nothing but spaces, gets no dummy prefix either.
        if rest.is_empty() {
            return String::new();
        }

        let mut normalized =
            String::with_capacity(rest.len() + rest.len() / 2 + SPACE_SYMBOL.len_utf8());
        if self.add_dummy_prefix {
            normalized.push(SPACE_SYMBOL);
        }
        let mut after_space = self.remove_extra_whitespaces;
        while !rest.is_empty() {
            let (mut replacement, length) = self.longest_match(rest);
            if after_space {
                replacement = replacement.trim_start_matches(' ');
            }
            for part in replacement.split_inclusive(' ') {
                match part.strip_suffix(' ') {
                    Some(word) => {
                        normalized.push_str(word);
                        normalized.push(SPACE_SYMBOL);
                    }
                    None => normalized.push_str(part),
                }
            }
            if !replacement.is_empty() {
                after_space = self.remove_extra_whitespaces && replacement.ends_with(' ');
            }
            rest = &rest[length..];
        }
        if self.remove_extra_whitespaces {
            let trimmed = normalized.trim_end_matches(SPACE_SYMBOL).len();
            normalized.truncate(trimmed);
        }
        normalized
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
