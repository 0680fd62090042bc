//! Chat over the demonstration model: what holds for any weights.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use glm_core::{
    Error, GenerationOptions, GlmTokenizer, Model,
    chat::{ChatOptions, Conversation, Reply, ResponseRules, Turn, process_response},
    generate::{BeamSearchOptions, CancelToken, FinishReason, Generator, beam_search},
    prefix_cache::PrefixCache,
};
use glm_tokenizer::DecodeOptions;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mini-model/chatglm-mini")
}

fn mini() -> (GlmTokenizer, Model) {
    (
        GlmTokenizer::from_dir(folder()).unwrap(),
        glm_core::load(folder()).unwrap(),
    )
}

fn greedy(max_new_tokens: usize) -> ChatOptions {
    let generation = GenerationOptions::greedy().with_max_new_tokens(max_new_tokens);
    ChatOptions::default().with_generation(generation)
}

fn wild(seed: u64) -> ChatOptions {
    ChatOptions::default().with_generation(
        GenerationOptions::default()
            .with_temperature(3.0)
            .with_top_p(1.0)
            .with_top_k(0)
            .with_seed(seed)
            .with_max_new_tokens(40),
    )
}

#[test]
fn streamed_pieces_are_the_reply() {
    let (tokenizer, model) = mini();
    for seed in 0..20 {
        for response in [ResponseRules::ChatGlm, ResponseRules::Raw] {
            let options = wild(seed).with_response(response);
            let mut stream = model
                .stream_chat(&tokenizer, "Tell me a story!", &[], &options)
                .unwrap();
            let pieces: Vec<String> = stream.by_ref().collect::<Result<_, _>>().unwrap();
            assert!(pieces.iter().all(|piece| !piece.is_empty()));
            let streamed = stream.into_reply();
            assert_eq!(pieces.concat(), streamed.response);
            let whole = model
                .chat_with(&tokenizer, "Tell me a story!", &[], &options)
                .unwrap();
            assert_eq!(streamed, whole, "the same seed gives the same reply");
        }
    }
}

#[test]
fn the_last_token_at_the_limit_is_part_of_the_reply() {
    let (tokenizer, model) = mini();
    let raw = |options: ChatOptions| options.with_response(ResponseRules::Raw);
    let mut longer = String::new();
    for limit in (1..=12).rev() {
        let mut options = raw(wild(3));
        options.generation.max_new_tokens = Some(limit);
        let reply = model.chat_with(&tokenizer, "x", &[], &options).unwrap();
        if reply.finish_reason == FinishReason::Length {
            assert_eq!(reply.completion_tokens, limit);
        }
        assert!(
            longer.is_empty() || longer.starts_with(reply.response.trim_end_matches('\u{fffd}'))
        );
        longer = reply.response;
    }
}

#[test]
fn a_turn_joins_the_history_that_was_given() {
    let (tokenizer, model) = mini();
    let before = [Turn::new("a", "b")];
    let Reply {
        response,
        history,
        dropped_turns,
        ..
    } = model
        .chat_with(&tokenizer, "c", &before, &greedy(5))
        .unwrap();
    assert_eq!(dropped_turns, 0);
    assert_eq!(history, [Turn::new("a", "b"), Turn::new("c", response)]);
}

#[test]
fn oldest_turns_are_dropped_whole_and_counted() {
    let (tokenizer, model) = mini();
    let history: Vec<Turn> = (0..60)
        .map(|i| Turn::new(format!("question {i}"), "answer ".repeat(4)))
        .collect();
    let reply = model
        .chat_with(&tokenizer, "last", &history, &greedy(20))
        .unwrap();
    assert!(
        reply.dropped_turns > 0 && reply.dropped_turns < 60,
        "{} dropped",
        reply.dropped_turns
    );
    assert_eq!(
        reply.history[..reply.history.len() - 1],
        history[reply.dropped_turns..]
    );
    assert!(reply.prompt_tokens + 20 <= model.max_sequence_length());
    // One turn more would not have left the room that was asked for.
    let one_more = &history[reply.dropped_turns - 1..];
    let again = model
        .chat_with(&tokenizer, "last", one_more, &greedy(20))
        .unwrap();
    assert_eq!(again.dropped_turns, 1);
}

#[test]
fn a_question_that_cannot_fit_is_an_error() {
    let (tokenizer, model) = mini();
    let long = "long ".repeat(600);
    let error = model
        .chat_with(&tokenizer, &long, &[], &greedy(5))
        .unwrap_err();
    let Error::PromptTooLong { max_length, .. } = error else {
        panic!("not a length error: {error}")
    };
    assert_eq!(max_length, model.max_sequence_length());
    // Also behind a history: nothing is dropped in vain.
    let error = model
        .chat_with(&tokenizer, &long, &[Turn::new("a", "b")], &greedy(5))
        .unwrap_err();
    assert!(matches!(error, Error::PromptTooLong { .. }));
}

#[test]
fn text_that_spells_special_tokens_stays_text() {
    let (tokenizer, model) = mini();
    let special = tokenizer.special_tokens();
    for text in ["[gMASK]", "<sop>", "a <eop> b", "[MASK][sMASK]<pad></s>"] {
        let ids = tokenizer.encode(text);
        for id in [
            special.gmask,
            special.sop,
            special.eop,
            special.mask,
            special.pad,
        ] {
            assert!(!ids.contains(&id), "{text} became token {id}");
        }
        model
            .chat_with(&tokenizer, text, &[Turn::new(text, text)], &greedy(2))
            .unwrap();
    }
}

#[test]
fn a_stop_string_ends_the_reply_before_it() {
    let (tokenizer, model) = mini();
    for seed in 0..10 {
        let mut options = wild(seed).with_response(ResponseRules::Raw);
        let whole = model
            .chat_with(&tokenizer, "x", &[], &options)
            .unwrap()
            .response;
        let characters: Vec<char> = whole.chars().collect();
        let stop: String = characters[characters.len() / 3..characters.len() / 3 + 2]
            .iter()
            .collect();
        options.generation.stop = vec![stop.clone()];
        let reply = model.chat_with(&tokenizer, "x", &[], &options).unwrap();
        assert_eq!(reply.response, whole.split(&stop).next().unwrap());
        assert_eq!(reply.finish_reason, FinishReason::StopString);
    }
}

#[test]
fn a_cancelled_reply_keeps_what_was_written() {
    let (tokenizer, model) = mini();
    let cancel = CancelToken::new();
    let mut stream = model
        .stream_chat(&tokenizer, "x", &[], &wild(1))
        .unwrap()
        .with_cancel(cancel.clone());
    let first = stream.next().unwrap().unwrap();
    cancel.cancel();
    let rest: String = stream.by_ref().collect::<Result<_, _>>().unwrap();
    let reply = stream.into_reply();
    assert_eq!(reply.response, first + &rest);
    assert_eq!(reply.finish_reason, FinishReason::Cancelled);
    assert!(reply.completion_tokens < 40);
    assert_eq!(reply.history, [Turn::new("x", reply.response.clone())]);
}

#[test]
fn samples_are_the_chats_of_their_seeds() {
    let (tokenizer, model) = mini();
    let history = [Turn::new("你好", "你好！")];
    let never = CancelToken::new();
    for stop in [vec![], vec!["a".to_owned(), "的".to_owned()]] {
        let mut options = wild(5);
        options.generation.stop = stop;
        let samples = model
            .chat_samples(&tokenizer, "x", &history, &options, 4, &never)
            .unwrap();
        for sample in samples {
            options.generation.seed = Some(sample.seed);
            let alone = model
                .chat_with(&tokenizer, "x", &history, &options)
                .unwrap();
            // A stop string that the last allowed token completes counts for both.
            assert_eq!(sample, alone);
        }
    }
    let none = model.chat_samples(&tokenizer, "x", &history, &wild(5), 0, &never);
    assert!(matches!(none, Err(Error::Prompt { .. })));
}

#[test]
fn beams_are_told_best_first_and_cut_at_stop_strings() {
    let (tokenizer, model) = mini();
    let never = CancelToken::new();
    let beams = BeamSearchOptions::default().with_num_return_sequences(3);
    let options = greedy(12);
    let ask = |options: &ChatOptions, cancel: &CancelToken| {
        model
            .chat_beams(&tokenizer, "你好", &[], options, &beams, cancel)
            .unwrap()
    };
    let replies = ask(&options, &never);
    let prompt = tokenizer.with_special_tokens(tokenizer.encode("你好"));
    let found = beam_search(&model, &[&prompt], &options.generation, &beams).unwrap();
    assert_eq!(replies.len(), 3);
    for (reply, hypothesis) in replies.iter().zip(&found[0]) {
        let text = tokenizer.decode(&hypothesis.tokens, Default::default());
        assert_eq!(
            reply.response,
            process_response(&text, ResponseRules::ChatGlm)
        );
        assert_eq!(reply.finish_reason, hypothesis.finish_reason);
        assert_eq!(reply.history, [Turn::new("你好", reply.response.clone())]);
    }

    let stop = replies[0].response.chars().nth(1).unwrap().to_string();
    let mut stopped = options.clone();
    stopped.generation.stop = vec![stop.clone()];
    let cut = &ask(&stopped, &never)[0];
    assert_eq!(cut.finish_reason, FinishReason::StopString);
    assert_eq!(
        cut.response,
        replies[0].response.split(&stop).next().unwrap().trim()
    );

    let cancelled = CancelToken::new();
    cancelled.cancel();
    // Cancelled before the prompt was read: there is nothing to choose from, and one empty answer says so.
    let early = ask(&options, &cancelled);
    assert_eq!(early.len(), 1);
    assert!(early.iter().all(|reply| reply.completion_tokens <= 1));
    assert!(
        early
            .iter()
            .any(|reply| reply.finish_reason == FinishReason::Cancelled)
    );
}

#[test]
fn bad_options_are_named() {
    let (tokenizer, model) = mini();
    for generation in [
        GenerationOptions::default().with_temperature(f64::NAN),
        GenerationOptions::default().with_top_p(1.5),
        GenerationOptions::default().with_max_length(0),
    ] {
        let options = ChatOptions::default().with_generation(generation);
        let error = model.chat_with(&tokenizer, "x", &[], &options).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
    }
}

#[test]
fn a_tokenizer_of_another_model_is_an_error() {
    let (tokenizer, _) = mini();
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chatglm-6b-tiny");
    let model = glm_core::load(other).unwrap();
    let error = model.chat(&tokenizer, "你好", &[]).unwrap_err();
    assert!(matches!(error, Error::OtherTokenizer { .. }), "{error}");
}

#[test]
fn handles_move_between_threads() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Model>();
    is_send_and_sync::<GlmTokenizer>();
    is_send_and_sync::<CancelToken>();
    is_send_and_sync::<PrefixCache>();
    is_send_and_sync::<Conversation>();
    fn is_send<T: Send>() {}
    is_send::<glm_core::chat::StreamedReply<'_>>();
    is_send::<glm_core::model::DecodeState>();
}

/// The tiny ChatGLM2-6B whose file has a tokenizer.
#[test]
fn chatglm2_is_asked_in_its_own_rounds() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ggml/chatglm2-tiny.f16.bin");
    let model = glm_core::load(&file).unwrap();
    let tokenizer = glm_core::load_tokenizer(&file).unwrap();
    let options = greedy(8).with_response(ResponseRules::Raw);
    let history = [Turn::new("a", "b")];
    let reply = model
        .chat_with(&tokenizer, "c", &history, &options)
        .unwrap();
    let prompt = "[Round 1]\n\n问：a\n\n答：b\n\n[Round 2]\n\n问：c\n\n答：";
    let prompt = tokenizer.with_special_tokens(tokenizer.encode(prompt));
    assert_eq!(reply.prompt_tokens, prompt.len());
    let ids: Vec<u32> = Generator::new(&model, &prompt, &options.generation)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(
        reply.response,
        tokenizer.decode(&ids, DecodeOptions::default())
    );
    assert_eq!(reply.history.len(), 2);

    let defaults = model.chat_options().generation;
    assert_eq!(
        (defaults.max_length, defaults.temperature, defaults.top_p),
        (8192, 0.8, 0.8)
    );
    let error = model.infill(&tokenizer, "a[MASK]", &options).unwrap_err();
    assert!(matches!(error, Error::Prompt { .. }), "{error}");
    let (other, _) = mini();
    let error = model.chat(&other, "c", &[]).unwrap_err();
    assert!(
        matches!(error, Error::OtherTokenizer { token: "</s>", .. }),
        "{error}"
    );
}
