//! Conversations that remember what was read, against the same conversations read anew each time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use glm_core::{
    Error, GenerationOptions, GlmTokenizer, Model, Numerics, TokenId,
    chat::{ChatOptions, Conversation, PromptStyle, Reply, Turn},
    generate::{CancelToken, FinishReason, row_seed},
};
use proptest::prelude::*;

const QUESTIONS: [&str; 10] = [
    "a", "b c", "", "你好", "d\ne", "1 2 3", "f", "g?", "hh", "i",
];

fn golden(name: &str) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    golden.join(name)
}

/// A tiny ChatGLM2-6B whose file has a tokenizer, with f16 or quantised weights.
fn chatglm2(weights: &str, numerics: Numerics) -> (GlmTokenizer, Model) {
    let file = golden(&format!("ggml/chatglm2-tiny.{weights}.bin"));
    let model = glm_core::load(&file).unwrap().with_numerics(numerics);
    (glm_core::load_tokenizer(&file).unwrap(), model)
}

/// The demonstration model, a ChatGLM-6B.
fn chatglm() -> (GlmTokenizer, Model) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mini-model/chatglm-mini");
    (
        GlmTokenizer::from_dir(&folder).unwrap(),
        glm_core::load(&folder).unwrap(),
    )
}

fn options(max_length: usize, max_new_tokens: usize) -> ChatOptions {
    ChatOptions::default().with_generation(
        GenerationOptions::greedy()
            .with_max_length(max_length)
            .with_max_new_tokens(max_new_tokens),
    )
}

fn sampled(seed: u64) -> ChatOptions {
    ChatOptions::default().with_generation(
        GenerationOptions::default()
            .with_max_new_tokens(12)
            .with_temperature(2.0)
            .with_top_p(1.0)
            .with_top_k(0)
            .with_seed(seed),
    )
}

fn conversation((tokenizer, model): &(GlmTokenizer, Model), options: ChatOptions) -> Conversation {
    Conversation::new(model.clone(), tokenizer.clone()).with_options(options)
}

/// What the model answers without any memory.
fn anew(conversation: &Conversation, turns: usize, query: &str, seed: Option<u64>) -> Reply {
    let mut options = conversation.options().clone();
    options.generation.seed = seed;
    let history = &conversation.history()[..turns];
    let (model, tokenizer) = (conversation.model(), conversation.tokenizer());
    model
        .chat_with(tokenizer, query, history, &options)
        .unwrap()
}

/// Both but for what came from the cache, and the seed, which a greedy answer draws and does not use.
fn assert_same(found: &Reply, expected: &Reply) {
    let mut expected = expected.clone();
    expected.cached_tokens = found.cached_tokens;
    expected.seed = found.seed;
    assert_eq!(*found, expected);
}

fn ask(conversation: &mut Conversation, query: &str) -> Reply {
    let turns = conversation.history().len();
    let seed = conversation.options().generation.seed;
    let expected = anew(conversation, turns, query, seed);
    let reply = conversation.ask(query).unwrap().run().unwrap();
    assert_same(&reply, &expected);
    assert_eq!(conversation.history(), reply.history);
    reply
}

fn prompt(tokenizer: &GlmTokenizer, history: &[Turn], query: &str) -> Vec<TokenId> {
    let text = PromptStyle::ChatGlm2.build_prompt(history, query);
    tokenizer.with_special_tokens(tokenizer.encode(&text))
}

fn common_len(a: &[TokenId], b: &[TokenId]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[test]
fn ten_turns_are_those_without_memory_and_read_only_what_is_new() {
    for weights in ["f16", "q8_0", "q4_0"] {
        for numerics in [Numerics::default(), Numerics::EXACT] {
            let model = chatglm2(weights, numerics);
            let mut conversation = conversation(&model, options(500, 6));
            let (mut known, mut prompt_before) = (Vec::new(), 0);
            for (turn, query) in QUESTIONS.into_iter().enumerate() {
                let prompt = prompt(&model.0, conversation.history(), query);
                let reply = ask(&mut conversation, query);
                assert_eq!(reply.dropped_turns, 0);
                assert_eq!(reply.prompt_tokens, prompt.len());
                assert_eq!(reply.cached_tokens, common_len(&known, &prompt));
                if turn > 0 {
                    // The last token of the prompt before may have become one with the answer's first.
                    assert!(reply.cached_tokens + 1 >= prompt_before, "{turn}");
                }
                known = conversation.prefix().unwrap().tokens().to_vec();
                assert_eq!(known[..prompt.len()], prompt);
                let read = reply.prompt_tokens + reply.completion_tokens;
                assert!((read - 1..=read).contains(&known.len()));
                prompt_before = prompt.len();
            }
        }
    }
}

#[test]
fn another_answer_reads_one_token_and_has_a_seed_of_its_own() {
    for model in [chatglm2("q4_0", Numerics::default()), chatglm()] {
        let mut conversation = conversation(&model, sampled(7));
        ask(&mut conversation, "a");
        ask(&mut conversation, "b");
        for repetition in 1..4 {
            let expected = anew(&conversation, 1, "b", Some(row_seed(7, repetition)));
            let reply = conversation.regenerate().unwrap().run().unwrap();
            assert_eq!(reply.seed, row_seed(7, repetition));
            assert_same(&reply, &expected);
            assert_eq!(reply.cached_tokens, reply.prompt_tokens - 1);
            assert_eq!(conversation.history(), reply.history);
        }
        // A new question has the seed itself again.
        ask(&mut conversation, "c");
    }
}

#[test]
fn a_turn_is_edited_and_taken_back() {
    for model in [chatglm2("f16", Numerics::default()), chatglm()] {
        let mut conversation = conversation(&model, options(500, 6));
        for query in ["a", "b", "c", "d"] {
            ask(&mut conversation, query);
        }
        let expected = anew(&conversation, 1, "x", None);
        let reply = conversation.edit(1, "x").unwrap().run().unwrap();
        assert_same(&reply, &expected);
        assert_eq!(conversation.history().len(), 2);
        assert_eq!(conversation.undo().unwrap().query, "x");
        ask(&mut conversation, "b");
        assert_eq!(conversation.history().len(), 2);

        let missing = conversation.edit(2, "y").unwrap_err();
        assert!(matches!(missing, Error::NoTurn { turn: 2, turns: 2 }));
        conversation.clear();
        assert!(conversation.undo().is_none());
        assert!(conversation.prefix().is_none());
        let missing = conversation.regenerate().unwrap_err();
        assert!(matches!(missing, Error::NoTurn { turn: 0, turns: 0 }));
        assert_eq!(ask(&mut conversation, "a").cached_tokens, 0);
    }
}

#[test]
fn turns_that_are_dropped_are_read_anew() {
    for model in [chatglm2("q4_0", Numerics::default()), chatglm()] {
        let mut conversation = conversation(&model, options(120, 8));
        let (mut dropped, mut turns) = (0, 0);
        for query in QUESTIONS.iter().chain(&QUESTIONS) {
            let reply = ask(&mut conversation, query);
            dropped += reply.dropped_turns;
            turns += 1;
            assert_eq!(conversation.history().len() + dropped, turns);
        }
        assert!(dropped > 0);
    }
}

#[test]
fn a_chatglm_6b_reads_every_new_question_whole() {
    let model = chatglm();
    let mut conversation = conversation(&model, options(500, 8));
    for query in ["你好", "你好", "再见"] {
        assert_eq!(ask(&mut conversation, query).cached_tokens, 0);
    }
    // The very same context again.
    conversation.undo();
    let reply = ask(&mut conversation, "再见");
    assert_eq!(reply.cached_tokens, reply.prompt_tokens - 1);
}

#[test]
fn what_was_stopped_dropped_or_refused_leaves_a_conversation_that_goes_on() {
    for model in [chatglm2("q4_0", Numerics::default()), chatglm()] {
        let mut conversation = conversation(&model, options(200, 30));
        ask(&mut conversation, "a");
        let history = conversation.history().to_vec();

        let cancel = CancelToken::new();
        cancel.cancel();
        let turn = conversation.ask("b").unwrap().with_cancel(cancel);
        assert_eq!(turn.run().unwrap().finish_reason, FinishReason::Cancelled);
        assert_eq!(conversation.history(), history, "nothing was answered");

        let mut turn = conversation.ask("b").unwrap();
        turn.next().unwrap().unwrap();
        drop(turn);
        assert_eq!(conversation.history(), history, "nobody took the answer");

        let refused = conversation.ask(&"天 ".repeat(300)).unwrap_err();
        assert!(matches!(refused, Error::PromptTooLong { .. }));
        assert_eq!(conversation.history(), history);

        let cancel = CancelToken::new();
        let mut turn = conversation.ask("b").unwrap().with_cancel(cancel.clone());
        let first = turn.next().unwrap().unwrap();
        cancel.cancel();
        let rest: String = turn.by_ref().collect::<Result<_, _>>().unwrap();
        let reply = turn.into_reply();
        assert_eq!(reply.finish_reason, FinishReason::Cancelled);
        assert_eq!(reply.response, first + &rest);
        assert_eq!(conversation.history().len(), 2);
        ask(&mut conversation, "c");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is done, every answer is the one without memory.
    #[test]
    fn any_course_of_a_conversation_is_the_one_without_memory(
        seed in 0..100_u64,
        steps in prop::collection::vec((0..6_usize, "[a-d 你好]{0,6}"), 1..12),
    ) {
        for model in [chatglm2("q4_0", Numerics::default()), chatglm()] {
            let mut conversation = conversation(&model, sampled(seed));
            for (step, query) in &steps {
                let turns = conversation.history().len();
                match step {
                    0 => drop(conversation.undo()),
                    1 if turns > 0 => {
                        let expected = anew(&conversation, turns / 2, query, Some(seed));
                        let reply = conversation.edit(turns / 2, query).unwrap().run().unwrap();
                        assert_same(&reply, &expected);
                    }
                    2 => drop(conversation.ask(query).unwrap().next()),
                    _ => drop(ask(&mut conversation, query)),
                }
            }
        }
    }
}
