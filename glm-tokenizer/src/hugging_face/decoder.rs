//! The decoder: tokens to text, as the official tokenizer does it.

use tokenizers::{Decoder, Result};

use crate::clean_up::clean_up;
use crate::{DecodeOptions, GlmTokenizer};

/// The official `decode` as a decoder of the crate `tokenizers`.
///
/// `decode(ids, true)` of that crate leaves out its special tokens before they come here. That is the official
/// `skip_special_tokens`, but for ChatGLM-6B's first generation, where the official tokenizer ignores it: use `false`.
/// A token that is none of the vocabulary's, such as one that was added, gives its own name.
#[derive(Debug, Clone)]
pub struct GlmDecoder {
    tokenizer: GlmTokenizer,
    options: DecodeOptions,
}

impl GlmDecoder {
    /// With the official options.
    pub fn new(tokenizer: GlmTokenizer) -> Self {
        let options = DecodeOptions::default();
        Self { tokenizer, options }
    }

    /// Whether ChatGLM-6B's English punctuation moves to its word; officially, and by default, it does.
    ///
    /// Switch it off for the crate's `DecodeStream`, which decodes piece by piece and takes it for an error if a later
    /// token changes the text before it. [`GlmTokenizer::stream_decoder_with`] streams with clean-up, too.
    #[must_use]
    pub fn clean_up_tokenization_spaces(mut self, clean_up: bool) -> Self {
        self.options.clean_up_tokenization_spaces = clean_up;
        self
    }

    /// The text of the tokens one by one, before clean-up.
    fn parts(&self, tokens: Vec<String>) -> Vec<String> {
        let mut decoder = self.tokenizer.stream_decoder();
        let mut parts: Vec<String> = tokens
            .iter()
            .map(|token| match self.tokenizer.piece_to_id(token) {
                Some(id) => decoder.push(id),
                None => decoder.push_text(token),
            })
            .collect();
        parts.push(decoder.finish());
        parts
    }
}

impl Decoder for GlmDecoder {
    /// All of the text; with clean-up in one part, since that can join any two.
    fn decode_chain(&self, tokens: Vec<String>) -> Result<Vec<String>> {
        let parts = self.parts(tokens);
        Ok(if self.tokenizer.cleans_up(self.options) {
            vec![clean_up(&parts.concat())]
        } else {
            parts
        })
    }
}
