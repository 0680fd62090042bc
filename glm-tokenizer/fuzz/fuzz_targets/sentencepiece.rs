//! A SentencePiece file, and what the tokenizer in it makes of a text.
#![no_main]

use glm_tokenizer::{GlmTokenizer, TokenId};

/// Blanks, marks, several scripts, what is special and what is no character of any vocabulary.
const TEXT: &str = "A-ab  <n>\n\t你好，世界 [gMASK]<sop> ﬁ e\u{301} 🤖\u{0}aaaaaaaaaaaaaaaa";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match GlmTokenizer::from_bytes("some.model", bytes) {
        Ok(tokenizer) => {
            glm_tokenizer_fuzz::encode_and_decode(&tokenizer, TEXT);
            let ids = tokenizer.vocab_size().min(600) as TokenId;
            glm_tokenizer_fuzz::decode(&tokenizer, &(0..ids).collect::<Vec<_>>());
        }
        Err(error) => assert!(error.to_string().contains("some.model"), "{error}"),
    }
});
