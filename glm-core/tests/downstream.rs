//! What another crate does with this one alone: it names every type that it can get or must give, keeps them in its own
//! structs, and sends them to other threads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{error::Error as StdError, fmt};

use glm_core::{
    Activations, CachePrecision, CpuLevel, Device, DeviceError, DeviceName, Error,
    GenerationOptions, GlmTokenizer, LevelError, LoadProgress, Mix, Model, Numerics, Precision,
    QuantError, SnapshotField, Tensor, TokenizerError,
    attention_mask::AttentionMask,
    chat::{
        ChatOptions, Conversation, Infilled, Piece, PromptStyle, Reply, ReplyStream, ResponseRules,
        StreamedInfilling, StreamedReply, StreamedTurn, Turn,
    },
    checkpoint::{Bits, GgmlBlock, GroupSize, Inspection},
    code::{CodeCompletion, CodeOptions, Cursor, Language, StreamedCode, Until},
    config::ModelConfig,
    embeddings::{EmbeddingOptions, Pooling},
    generate::{
        BatchGenerator, BeamSearchOptions, CancelOnDrop, CancelToken, EarlyStopping, FinishReason,
        Generated, Generator, Hypothesis, LogProb, LogitsProcessor, LogitsProcessors, Sampler,
        TokenLogProbs,
    },
    kv_cache::KvCache,
    model::{DecodeState, ModelInput},
    network::Network,
    prefix_cache::{Prefix, PrefixCache},
};

/// Compiles for what can be given to another thread and used by several.
fn shared<T: Send + Sync>() {}

/// Compiles for what lasts, too.
fn kept<T: Send + Sync + 'static>() {}

/// Compiles for what is an error anywhere.
fn told<E: StdError + Send + Sync + 'static>() {}

#[test]
fn everything_can_be_sent_to_other_threads() {
    kept::<Model>();
    kept::<GlmTokenizer>();
    kept::<Conversation>();
    kept::<PrefixCache>();
    kept::<Prefix>();
    kept::<DecodeState>();
    kept::<KvCache>();
    kept::<Network>();
    kept::<ModelInput>();
    kept::<ModelConfig>();
    kept::<AttentionMask>();
    kept::<CancelToken>();
    kept::<CancelOnDrop>();
    kept::<LogitsProcessors>();
    kept::<Box<dyn LogitsProcessor>>();
    kept::<(GenerationOptions, ChatOptions, CodeOptions)>();
    kept::<(BeamSearchOptions, EarlyStopping, EmbeddingOptions, Pooling)>();
    kept::<(Numerics, Activations, CachePrecision, Precision)>();
    kept::<(Bits, GroupSize, GgmlBlock, LoadProgress, Inspection)>();
    kept::<(Reply, Turn, Infilled, Piece, CodeCompletion, FinishReason)>();
    kept::<(Generated, Hypothesis, TokenLogProbs, LogProb)>();
    kept::<(PromptStyle, ResponseRules, ReplyStream, Until, &Language)>();
    kept::<(Sampler, CpuLevel, DeviceName, Device, Tensor<2>)>();
    shared::<Cursor<'_>>();
    shared::<Generator<'_>>();
    shared::<BatchGenerator<'_>>();
    shared::<StreamedReply<'_>>();
    shared::<StreamedTurn<'_>>();
    shared::<StreamedInfilling<'_>>();
    shared::<StreamedCode<'_>>();
}

#[test]
fn errors_can_be_named_and_told() {
    told::<Error>();
    told::<DeviceError>();
    told::<LevelError>();
    told::<QuantError>();
    told::<TokenizerError>();
    #[cfg(feature = "hub")]
    told::<glm_core::HubError>();

    fn is_shown<T: fmt::Display>() {}
    is_shown::<Mix>();
    is_shown::<SnapshotField>();
    is_shown::<FinishReason>();
    is_shown::<Precision>();

    /// What an embedder does with an error: tells apart what lies inside.
    fn source(error: Error) -> String {
        match error {
            Error::Tokenizer(error) => TokenizerError::to_string(&error),
            Error::Device(error) => DeviceError::to_string(&error),
            Error::CpuLevel(error) => LevelError::to_string(&error),
            Error::Quantize { source, .. } => QuantError::to_string(&source),
            #[cfg(feature = "hub")]
            Error::Hub(error) => glm_core::HubError::to_string(&error),
            other => other.to_string(),
        }
    }
    assert!(source(Error::NoCacheDir).contains("cache folder"));
}

/// A struct of another crate that holds what these functions give, by the names that this crate gives them.
struct Held {
    device: Device,
    logits: Tensor<2>,
    ids: glm_core::burn::Tensor<2, glm_core::burn::tensor::Int>,
}

#[test]
fn tensors_and_devices_come_from_this_crate() {
    let device: Device = "cpu".parse::<DeviceName>().unwrap().open().unwrap();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/chatglm2-tiny");
    let options = glm_core::LoadOptions::default().device(device.clone());
    let model = options.load(golden).unwrap();
    let prompt = [4, 5, 6];
    let layouts = model.layouts(&[&prompt]).unwrap();
    let input = model.input(&[&prompt], &layouts, glm_core::model::PaddingSide::Left);
    let held = Held {
        logits: model.prefill(&[&prompt]).unwrap().0,
        ids: input.input_ids,
        device,
    };
    assert_eq!(held.logits.dims(), [1, model.vocab_size()]);
    assert_eq!(held.ids.dims(), [1, 3]);
    assert_eq!(held.device, *model.device());
}

#[test]
fn reasons_are_said_as_in_the_api_of_openai() {
    let said = [
        (FinishReason::Eos, "stop"),
        (FinishReason::StopString, "stop"),
        (FinishReason::CodeComplete, "stop"),
        (FinishReason::Length, "length"),
        (FinishReason::Cancelled, "cancelled"),
    ];
    for (reason, word) in said {
        assert_eq!(reason.to_string(), word);
    }
}
