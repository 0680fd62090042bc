//! Any text and any ids, with a tokenizer of each family.
#![no_main]

use std::sync::LazyLock;

use glm_tokenizer::{GlmTokenizer, TokenId};

static TOKENIZERS: LazyLock<[GlmTokenizer; 2]> = LazyLock::new(|| {
    [
        &include_bytes!("../../../examples/mini-model/chatglm-mini/ice_text.model")[..],
        include_bytes!("../../../examples/mini-model/chatglm2-mini/tokenizer.model"),
    ]
    .map(|bytes| GlmTokenizer::from_bytes("mini", bytes).expect("the file of a model"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (pairs, _) = bytes.as_chunks();
    let ids: Vec<_> = pairs
        .iter()
        .map(|&pair| TokenId::from(u16::from_le_bytes(pair)))
        .collect();
    for tokenizer in &*TOKENIZERS {
        glm_tokenizer_fuzz::encode_and_decode(tokenizer, &text);
        glm_tokenizer_fuzz::decode(tokenizer, &ids);
    }
});
