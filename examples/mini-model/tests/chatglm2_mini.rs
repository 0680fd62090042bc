//! The model of the second family, loaded as a download is.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use glm_core::{
    GenerationOptions, GlmTokenizer,
    chat::ChatOptions,
    config::{ModelConfig, ModelFamily},
};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/chatglm2-mini"))
}

#[test]
fn the_special_tokens_lie_behind_the_pieces_and_fit_the_vocabulary() {
    let tokenizer = GlmTokenizer::from_dir(folder()).unwrap();
    let config = ModelConfig::from_dir(folder()).unwrap();
    assert_eq!(config.family(), ModelFamily::ChatGlm2);
    let special = tokenizer.special_tokens();
    assert_eq!(special.sop, special.gmask + 2);
    assert_eq!(special.eos as usize, config.eos_token_id());
    assert_eq!(special.pad as usize, config.pad_token_id());
    assert!((special.eop as usize) < config.vocab_size());
    assert_eq!(
        tokenizer.with_special_tokens(Vec::new()),
        [special.gmask, special.sop]
    );
}

/// Questions of the training file, of which the later ones need the rounds before them.
#[test]
fn rounds_are_answered() {
    let tokenizer = GlmTokenizer::from_dir(folder()).unwrap();
    let model = glm_core::load(folder()).unwrap();
    let options = ChatOptions::default().with_generation(GenerationOptions::greedy());
    for rounds in [
        [
            ("我的名字是小云", "你好，小云！很高兴认识你。"),
            ("我叫什么？", "你叫小云。"),
        ],
        [
            ("德国的首都是哪里？", "德国的首都是柏林。"),
            ("那日本呢？", "日本的首都是东京。"),
        ],
    ] {
        let mut history = Vec::new();
        for (question, answer) in rounds {
            let reply = model
                .chat_with(&tokenizer, question, &history, &options)
                .unwrap();
            assert_eq!(reply.response, answer);
            history = reply.history;
        }
    }
}
