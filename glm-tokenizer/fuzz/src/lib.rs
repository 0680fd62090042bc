//! What the fuzz targets share: what holds of every tokenizer and text.

use glm_tokenizer::{DecodeOptions, GlmTokenizer, TokenId};

/// Encodes a text in every way, and decodes what comes out, all at once and id by id.
///
/// # Panics
/// When an id is outside the vocabulary, or the two ways to decode differ.
pub fn encode_and_decode(tokenizer: &GlmTokenizer, text: &str) {
    for ids in [
        tokenizer.encode(text),
        tokenizer.encode_official(text),
        tokenizer.encode_infilling(text),
    ] {
        let outside = ids
            .iter()
            .find(|&&id| id as usize >= tokenizer.vocab_size());
        assert_eq!(outside, None, "outside the vocabulary");
        decode(tokenizer, &ids);
    }
}

/// Decodes ids all at once and one by one.
///
/// # Panics
/// When the results differ.
pub fn decode(tokenizer: &GlmTokenizer, ids: &[TokenId]) {
    for clean_up_tokenization_spaces in [false, true] {
        let options = DecodeOptions {
            clean_up_tokenization_spaces,
            ..DecodeOptions::default()
        };
        let mut decoder = tokenizer.stream_decoder_with(options);
        let mut streamed: String = ids.iter().map(|&id| decoder.push(id)).collect();
        streamed += &decoder.finish();
        assert_eq!(streamed, tokenizer.decode(ids, options), "streamed");
    }
}
