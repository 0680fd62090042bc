//! Ids in, text out, whole characters only.
//!
//! One id need not be one character: half a Chinese character may be a token, and a space may belong to
//! the next word. The decoder holds back what the next id can still change and gives out the rest.

use std::sync::Arc;

use crate::TokenId;
use crate::clean_up::CleanUp;
use crate::normalizer::SPACE_SYMBOL;
use crate::pipeline::LeadingSpace;
use crate::tokenizer::{DecodeOptions, TokenizerData};
use crate::vocabulary::Meaning;
use crate::whitespace::WhitespaceRestorer;

/// Decodes ids as they come; made by [`GlmTokenizer::stream_decoder`](crate::GlmTokenizer::stream_decoder).
///
/// The pieces that [`push`](Self::push) returns, followed by that of [`finish`](Self::finish), are exactly
/// [`GlmTokenizer::decode`](crate::GlmTokenizer::decode) of all ids with the same options, for any ids.
#[derive(Debug, Clone)]
pub struct StreamDecoder {
    tokenizer: Arc<TokenizerData>,
    skip_special_tokens: bool,
    /// Byte tokens that are not yet a whole character.
    bytes: Vec<u8>,
    /// Whether spaces are still those at the start of the text.
    at_start: bool,
    dropped_leading_space: bool,
    has_text: bool,
    whitespace: Option<WhitespaceRestorer>,
    clean_up: Option<CleanUp>,
}

impl StreamDecoder {
    pub(crate) fn new(tokenizer: Arc<TokenizerData>, options: DecodeOptions) -> Self {
        Self {
            skip_special_tokens: options.skip_special_tokens,
            bytes: Vec::new(),
            at_start: true,
            dropped_leading_space: false,
            has_text: false,
            whitespace: tokenizer
                .family
                .is_chatglm()
                .then(WhitespaceRestorer::default),
            clean_up: tokenizer.cleans_up(options).then(CleanUp::default),
            tokenizer,
        }
    }

    /// Takes the next id and returns the text that is now certain, often all of the token's, sometimes
    /// none. An id outside the vocabulary is ignored.
    pub fn push(&mut self, id: TokenId) -> String {
        let mut text = String::new();
        self.push_into(id, &mut text);
        text
    }

    /// Like [`push`](Self::push), appending to `out`.
    pub(crate) fn push_into(&mut self, id: TokenId, out: &mut String) {
        let mut text = String::new();
        self.decode_token(id, &mut text);
        self.restore(&text, out);
    }

    /// Takes text that is no token of the vocabulary and returns the text that is now certain.
    #[cfg(feature = "tokenizers")]
    pub(crate) fn push_text(&mut self, verbatim: &str) -> String {
        let mut text = String::new();
        self.decode_meaning(Meaning::Verbatim(verbatim), &mut text);
        let mut out = String::new();
        self.restore(&text, &mut out);
        out
    }

    /// Returns what was held back; half a character becomes `U+FFFD` for each of its bytes. The decoder
    /// is then ready for another text.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        let mut text = String::new();
        self.flush_bytes(&mut text);
        self.restore(&text, &mut out);

        let mut rest = String::new();
        if let Some(whitespace) = &mut self.whitespace {
            whitespace.finish(&mut rest);
        }
        if let Some(clean_up) = &mut self.clean_up {
            clean_up.push(&rest, &mut out);
            clean_up.finish(&mut out);
        } else {
            out.push_str(&rest);
        }
        self.at_start = true;
        self.dropped_leading_space = false;
        self.has_text = false;
        out
    }

    /// `SentencePieceProcessor::Decode` of google/sentencepiece, one token at a time.
    fn decode_token(&mut self, id: TokenId, text: &mut String) {
        let tokenizer = Arc::clone(&self.tokenizer);
        let Some(meaning) = tokenizer.meaning(id, self.skip_special_tokens) else {
            return;
        };
        self.decode_meaning(meaning, text);
    }

    fn decode_meaning(&mut self, meaning: Meaning<'_>, text: &mut String) {
        if let Meaning::Byte(byte) = meaning {
            self.bytes.push(byte);
            self.take_characters(text);
            return;
        }
        self.flush_bytes(text);
        // A leading space counts once any token has had one or any text has come, and stays so.
        self.at_start &= !(self.dropped_leading_space || self.has_text);
        self.dropped_leading_space = false;
        match meaning {
            Meaning::Piece(piece) => {
                let mut piece = piece;
                if self.at_start {
                    let leading = self.tokenizer.pipeline.strips_leading_space();
                    if leading != LeadingSpace::Keep
                        && let Some(rest) = piece.strip_prefix(SPACE_SYMBOL)
                    {
                        piece = rest;
                        self.dropped_leading_space = leading == LeadingSpace::DropOne;
                    }
                }
                text.extend(
                    piece
                        .chars()
                        .map(|c| if c == SPACE_SYMBOL { ' ' } else { c }),
                );
            }
            Meaning::Verbatim(verbatim) => text.push_str(verbatim),
            Meaning::Control | Meaning::Byte(_) => {}
        }
        self.has_text |= !text.is_empty();
    }

    /// Moves whole characters from `bytes` to `text`, and bytes that cannot start one.
    fn take_characters(&mut self, text: &mut String) {
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(whole) => {
                    text.push_str(whole);
                    rest = &[];
                }
                Err(error) if error.valid_up_to() > 0 => {
                    let (whole, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(whole));
                    rest = after;
                }
                // One replacement for each byte, where Rust would take several for one.
                Err(error) if error.error_len().is_some() => {
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[1..];
                }
                Err(_) => break,
            }
        }
        self.bytes = rest.to_vec();
        self.has_text |= !text.is_empty();
    }

    /// No further byte comes: what is left of a character is none.
    fn flush_bytes(&mut self, text: &mut String) {
        while !self.bytes.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            self.bytes.remove(0);
            self.take_characters(text);
        }
        self.has_text |= !text.is_empty();
    }

    /// White space symbols, then clean-up.
    fn restore(&mut self, text: &str, out: &mut String) {
        let mut restored = String::new();
        let text = match &mut self.whitespace {
            Some(whitespace) => {
                whitespace.push(text, &mut restored);
                restored.as_str()
            }
            None => text,
        };
        match &mut self.clean_up {
            Some(clean_up) => clean_up.push(text, out),
            None => out.push_str(text),
        }
    }
}
