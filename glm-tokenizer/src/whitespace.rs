//! How ChatGLM-6B writes white space: `<n>` for a line feed, `<|tab|>` for a tab and `<|blank_k|>`
//! for a run of k spaces, 2 ≤ k ≤ 80.
//!
//! SentencePiece would squeeze such white space away, so the official tokenizer (`_preprocess` and
//! `postprocess` of `tokenization_chatglm.py`) replaces it before encoding and restores it in decoded
//! text. Restoring works on the text, not on tokens: also `<`, `n`, `>` one after another is a line feed.

use std::borrow::Cow;
use std::ops::Range;

use crate::aligned_text::AlignedText;

const LINE_FEED: &str = "<n>";
const TAB: &str = "<|tab|>";
const BLANK_START: &str = "<|blank_";
const BLANK_END: &str = "|>";
/// Longest run of spaces with a token of its own.
const MAX_BLANK: usize = 80;

/// The symbols with a piece of their own in ChatGLM-6B's vocabulary, `<n>` aside, which is no addition to it.
pub(crate) fn symbols() -> impl Iterator<Item = String> {
    let blanks = (2..=MAX_BLANK).map(|blanks| format!("{BLANK_START}{blanks}{BLANK_END}"));
    std::iter::once(TAB.to_owned()).chain(blanks)
}

/// Replaces white space by its symbols.
pub(crate) fn to_symbols(text: &str) -> Cow<'_, str> {
    if !text.contains(['\n', '\t']) && !text.contains("  ") {
        return Cow::Borrowed(text);
    }
    let mut symbols = String::with_capacity(text.len() + text.len() / 2);
    replace(text, |part, _| symbols.push_str(part));
    Cow::Owned(symbols)
}

/// [`to_symbols`], with the bytes of `text` that each byte of the result stands for.
pub(crate) fn to_symbols_aligned(text: &str) -> AlignedText {
    let mut symbols = AlignedText::default();
    replace(text, |part, source| symbols.push(part, source));
    symbols
}

/// Gives `emit` the symbols and what lies between them, each with the bytes of `text` that it stands for.
fn replace(text: &str, mut emit: impl FnMut(&str, Range<usize>)) {
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let end = at + character.len_utf8();
        match character {
            '\n' => emit(LINE_FEED, at..end),
            '\t' => emit(TAB, at..end),
            ' ' => {
                let rest = &text[at..];
                let end = at + rest.len() - rest.trim_start_matches(' ').len();
                while at < end {
                    let blanks = (end - at).min(MAX_BLANK);
                    if blanks == 1 {
                        emit(" ", at..end);
                    } else {
                        let symbol = format!("{BLANK_START}{blanks}{BLANK_END}");
                        emit(&symbol, at..at + blanks);
                    }
                    at += blanks;
                }
                continue;
            }
            _ => emit(&text[at..end], at..end),
        }
        at = end;
    }
}

/// Restores white space in decoded text that arrives in parts; holds back what may be half a symbol.
#[derive(Debug, Clone, Default)]
pub(crate) struct WhitespaceRestorer {
    held: String,
}

impl WhitespaceRestorer {
    /// Takes the next part and appends to `out` what is certain.
    pub(crate) fn push(&mut self, part: &str, out: &mut String) {
        if self.held.is_empty() && !part.contains('<') {
            out.push_str(part);
            return;
        }
        let mut text = std::mem::take(&mut self.held);
        text.push_str(part);
        let mut rest = text.as_str();
        while let Some(start) = rest.find('<') {
            out.push_str(&rest[..start]);
            rest = &rest[start..];
            match Symbol::at_start(rest) {
                Symbol::Whole {
                    length,
                    blank,
                    count,
                } => {
                    out.extend(std::iter::repeat_n(blank, count));
                    rest = &rest[length..];
                }
                Symbol::Begun => {
                    self.held = rest.into();
                    return;
                }
                Symbol::No => {
                    out.push('<');
                    rest = &rest['<'.len_utf8()..];
                }
            }
        }
        out.push_str(rest);
    }

    /// The text is over: what was held back is no symbol.
    pub(crate) fn finish(&mut self, out: &mut String) {
        out.push_str(&std::mem::take(&mut self.held));
    }
}

/// What a text that begins with `<` begins with.
#[derive(Debug, PartialEq, Eq)]
enum Symbol {
    Whole {
        length: usize,
        blank: char,
        count: usize,
    },
    /// All of the text is the beginning of a symbol.
    Begun,
    No,
}

impl Symbol {
    fn at_start(text: &str) -> Self {
        for (symbol, blank) in [(LINE_FEED, '\n'), (TAB, '\t')] {
            if text.starts_with(symbol) {
                return Self::Whole {
                    length: symbol.len(),
                    blank,
                    count: 1,
                };
            }
            if symbol.starts_with(text) {
                return Self::Begun;
            }
        }
        let Some(after_start) = text.strip_prefix(BLANK_START) else {
            return if BLANK_START.starts_with(text) {
                Self::Begun
            } else {
                Self::No
            };
        };
        let end = after_start.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &after_start[..after_start.len() - end.len()];
        if digits.starts_with('0') || digits.len() > 2 {
            return Self::No;
        }
        match digits.parse() {
            Ok(count) if count <= MAX_BLANK => {
                if count >= 2 && end.starts_with(BLANK_END) {
                    let length = BLANK_START.len() + digits.len() + BLANK_END.len();
                    Self::Whole {
                        length,
                        blank: ' ',
                        count,
                    }
                } else if end.is_empty() || count >= 2 && BLANK_END.starts_with(end) {
                    Self::Begun
                } else {
                    Self::No
                }
            }
            Err(_) if after_start.is_empty() => Self::Begun,
            _ => Self::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The official order of replacements, one after another over the whole text.
    fn replace_all(text: &str) -> String {
        let mut text = text.replace('\n', "<n>").replace('\t', "<|tab|>");
        for k in (2..=80).rev() {
            text = text.replace(&" ".repeat(k), &format!("<|blank_{k}|>"));
        }
        text
    }

    fn restore_all(text: &str) -> String {
        let mut text = text.replace("<n>", "\n").replace("<|tab|>", "\t");
        for k in 2..=80 {
            text = text.replace(&format!("<|blank_{k}|>"), &" ".repeat(k));
        }
        text
    }

    proptest! {
        #[test]
        fn symbols_are_those_of_the_official_replacements(text in "([ab\n\t]| {1,90}| {158,165}){0,8}") {
            prop_assert_eq!(to_symbols(&text), replace_all(&text));
        }

        #[test]
        fn restoring_in_parts_is_restoring_the_whole(
            parts in proptest::collection::vec("(<|n|>|\\||<n>|<\\|tab\\|>|<\\|blank_|[0-9]|<\\|blank_[0-9]{1,3}\\|>|é| ){0,4}", 0..6),
        ) {
            let mut restorer = WhitespaceRestorer::default();
            let mut out = String::new();
            for part in &parts {
                restorer.push(part, &mut out);
            }
            restorer.finish(&mut out);
            prop_assert_eq!(out, restore_all(&parts.concat()));
        }
    }

    #[test]
    fn only_the_beginning_of_a_symbol_is_held_back() {
        for (text, begun) in [
            ("<", true),
            ("<n", true),
            ("<|", true),
            ("<|blank_", true),
            ("<|blank_7", true),
            ("<|blank_80", true),
            ("<|blank_80|", true),
            ("<|blank_1", true),
            ("<m", false),
            ("<|blank_81", false),
            ("<|blank_0", false),
            ("<|blank_1|", false),
            ("<|blank_x", false),
        ] {
            assert_eq!(Symbol::at_start(text) == Symbol::Begun, begun, "{text}");
        }
    }
}
