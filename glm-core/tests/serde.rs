//! Options, turns and replies in JSON: what is written is read back, what is missing is as by default, and what is unknown
//! is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fmt::Debug, sync::Arc};

use glm_core::{
    Activations, CachePrecision, GenerationOptions, GlmTokenizer, Numerics, Precision, Result,
    chat::{ChatOptions, PromptStyle, Reply, ResponseRules, Turn},
    code::{CodeOptions, Until},
    embeddings::{EmbeddingOptions, Pooling},
    generate::{
        BeamSearchOptions, EarlyStopping, FinishReason, Generated, Hypothesis, LogitsProcessor,
        Sequence, beam_search, generate_batch,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Writes, compares, reads back.
fn goes_round<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, expected: Value) {
    assert_eq!(serde_json::to_value(value).unwrap(), expected);
    assert_eq!(&serde_json::from_value::<T>(expected).unwrap(), value);
}

fn refused<T: DeserializeOwned + Debug>(json: Value) -> String {
    serde_json::from_value::<T>(json).unwrap_err().to_string()
}

fn empty() -> Value {
    json!({})
}

#[test]
fn generation_options_keep_every_field() {
    let mut options = GenerationOptions::default();
    options.max_length = 100;
    options.max_new_tokens = Some(9);
    options.do_sample = false;
    options.temperature = 0.5;
    options.top_p = 0.25;
    options.top_k = 7;
    options.repetition_penalty = 1.5;
    options.presence_penalty = 0.75;
    options.frequency_penalty = -0.5;
    options.no_repeat_ngram_size = 3;
    options.bad_words_ids = vec![vec![1, 2], vec![3]];
    options.min_length = 4;
    options.min_new_tokens = 2;
    options.eos_token_ids = Some(vec![5]);
    options.invalid_score_token = None;
    options.seed = Some(u64::MAX);
    options.prompt_lookup_num_tokens = 8;
    options.logprobs = Some(0);
    options.stop = vec!["\n".to_owned()];
    goes_round(
        &options,
        json!({
            "max_length": 100, "max_new_tokens": 9, "do_sample": false, "temperature": 0.5, "top_p": 0.25, "top_k": 7,
            "repetition_penalty": 1.5, "presence_penalty": 0.75, "frequency_penalty": -0.5,
            "no_repeat_ngram_size": 3, "bad_words_ids": [[1, 2], [3]], "min_length": 4, "min_new_tokens": 2,
            "eos_token_ids": [5], "invalid_score_token": null, "seed": u64::MAX, "prompt_lookup_num_tokens": 8,
            "logprobs": 0, "stop": ["\n"]
        }),
    );
}

#[test]
fn what_is_missing_is_as_by_default_and_what_is_unknown_is_refused() {
    fn defaults<T: Default + DeserializeOwned + PartialEq + Debug>() {
        assert_eq!(serde_json::from_value::<T>(empty()).unwrap(), T::default());
        let message = refused::<T>(json!({"tempratur": 1}));
        assert!(message.contains("tempratur"), "{message}");
    }
    defaults::<GenerationOptions>();
    defaults::<BeamSearchOptions>();
    defaults::<ChatOptions>();
    defaults::<CodeOptions>();
    defaults::<EmbeddingOptions>();
    defaults::<Numerics>();

    let seeded: ChatOptions = serde_json::from_value(json!({"generation": {"seed": 7}})).unwrap();
    let seed = GenerationOptions::default().with_seed(7);
    assert_eq!(seeded, ChatOptions::from(seed));
    refused::<GenerationOptions>(json!({"top_k": -1}));
    refused::<GenerationOptions>(json!({"processors": []}));
}

#[test]
fn rules_are_left_out() {
    #[derive(Debug)]
    struct Nothing;

    impl LogitsProcessor for Nothing {
        fn process(&self, _: &mut [f32], _: Sequence<'_>) -> Result<()> {
            Ok(())
        }
    }

    let plain = GenerationOptions::greedy();
    let options = plain.clone().with_processor(Arc::new(Nothing));
    let json = serde_json::to_string(&options).unwrap();
    let read: GenerationOptions = serde_json::from_str(&json).unwrap();
    assert_eq!(read, plain);
}

#[test]
fn other_options_and_names_go_round() {
    goes_round(
        &BeamSearchOptions::default()
            .with_num_beams(3)
            .with_length_penalty(-0.5)
            .with_early_stopping(EarlyStopping::AtOnce)
            .with_num_return_sequences(2),
        json!({"num_beams": 3, "length_penalty": -0.5, "early_stopping": "at_once", "num_return_sequences": 2}),
    );
    let response = ChatOptions::default().with_response(ResponseRules::ChatGlm2);
    let json = serde_json::to_value(&response).unwrap();
    assert_eq!(json["response"], "chatglm2");
    assert_eq!(
        serde_json::from_value::<ChatOptions>(json).unwrap(),
        response
    );
    let line = CodeOptions::default().with_until(Until::Line);
    let json = serde_json::to_value(&line).unwrap();
    assert_eq!(json["until"], "line");
    assert_eq!(serde_json::from_value::<CodeOptions>(json).unwrap(), line);
    goes_round(
        &EmbeddingOptions::default()
            .with_pooling(Pooling::Last)
            .with_normalize(true),
        json!({"pooling": "last", "normalize": true}),
    );
    for (precision, name) in [
        (CachePrecision::F32, "f32"),
        (CachePrecision::F16, "f16"),
        (CachePrecision::Int16, "int16"),
        (CachePrecision::Int8, "int8"),
    ] {
        let numerics = Numerics::default().with_kv_cache(precision);
        goes_round(&numerics, json!({"activations": "int8", "kv_cache": name}));
    }
    goes_round(
        &Numerics::EXACT.with_activations(Activations::Float32),
        json!({"activations": "float32", "kv_cache": "f32"}),
    );
    for name in Precision::NAMES {
        goes_round(&name.parse::<Precision>().unwrap(), json!(name));
    }
    let message = refused::<Precision>(json!("int5"));
    assert!(message.contains("int4-g128"), "{message}");
    for (reason, name) in [
        (FinishReason::Eos, "eos"),
        (FinishReason::StopString, "stop_string"),
        (FinishReason::CodeComplete, "code_complete"),
        (FinishReason::Length, "length"),
        (FinishReason::Cancelled, "cancelled"),
    ] {
        goes_round(&reason, json!(name));
    }
    goes_round(&PromptStyle::ChatGlm, json!("chatglm"));
    goes_round(&Turn::new("q", "a"), json!(["q", "a"]));
}

#[test]
fn answers_go_round() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/mini-model/chatglm-mini"
    );
    let tokenizer = GlmTokenizer::from_dir(folder).unwrap();
    let model = glm_core::load(folder).unwrap();
    let generation = GenerationOptions::greedy()
        .with_max_new_tokens(4)
        .with_seed(u64::MAX - 1)
        .with_logprobs(2);
    let options = ChatOptions::from(generation.clone());
    let history = [Turn::new("a", "b")];
    let reply: Reply = model
        .chat_with(&tokenizer, "你好", &history, &options)
        .unwrap();
    goes_round(
        &reply,
        json!({
            "response": reply.response, "history": [["a", "b"], ["你好", reply.response]], "dropped_turns": 0,
            "finish_reason": reply.finish_reason, "prompt_tokens": reply.prompt_tokens, "cached_tokens": 0,
            "completion_tokens": reply.completion_tokens, "seed": u64::MAX - 1, "invalid_scores": 0
        }),
    );
    let infilled = model.infill(&tokenizer, "a [MASK].", &options).unwrap();
    let piece = &infilled.pieces[0];
    goes_round(
        &infilled,
        json!({
            "text": infilled.text, "seed": u64::MAX - 1,
            "pieces": [{"blank": 0, "text": piece.text, "finish_reason": piece.finish_reason, "invalid_scores": 0}]
        }),
    );
    let prompt = tokenizer.with_special_tokens(tokenizer.encode("你好"));
    let generated: Vec<Generated> = generate_batch(&model, &[&prompt], &generation).unwrap();
    assert!(!generated[0].log_probs[0].top.is_empty());
    let json = serde_json::to_value(&generated).unwrap();
    goes_round(&generated, json);
    let beams = BeamSearchOptions::default();
    let found: Vec<Vec<Hypothesis>> = beam_search(&model, &[&prompt], &generation, &beams).unwrap();
    let json = serde_json::to_value(&found).unwrap();
    goes_round(&found, json);
}
