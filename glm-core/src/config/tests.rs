//! The published configurations, and damaged ones.

use super::*;
use proptest::prelude::*;
use serde_json::json;

/// The config of the published fp16 ChatGLM-6B.
fn published() -> Value {
    json!({
        "model_type": "chatglm", "architectures": ["ChatGLMModel"], "vocab_size": 130_528,
        "hidden_size": 4096, "inner_hidden_size": 16384, "num_layers": 28, "num_attention_heads": 32,
        "max_sequence_length": 2048, "layernorm_epsilon": 1e-5, "position_encoding_2d": true,
        "use_cache": true, "bos_token_id": 130_004, "eos_token_id": 130_005, "mask_token_id": 130_000,
        "gmask_token_id": 130_001, "pad_token_id": 3, "quantization_bit": 0, "pre_seq_len": null,
        "prefix_projection": false, "torch_dtype": "float16", "transformers_version": "4.23.1"
    })
}

fn parse(value: &Value) -> Result<ChatGlmConfig> {
    let ModelConfig::ChatGlm(config) =
        ModelConfig::from_json("config.json", value.to_string().as_bytes())?;
    Ok(config)
}

fn with(changes: &[(&str, Value)]) -> Value {
    let mut value = published();
    for (key, change) in changes {
        value[*key] = change.clone();
    }
    value
}

fn without(keys: &[&str]) -> Value {
    let mut value = published();
    for key in keys {
        value.as_object_mut().unwrap().remove(*key);
    }
    value
}

#[test]
fn published_config_is_read() {
    let config = parse(&published()).unwrap();
    assert_eq!(config.head_dim(), 128);
    assert_eq!(
        (config.mask_token_id, config.gmask_token_id),
        (130_000, 130_001)
    );
    assert_eq!(config.quantization_bit, None);
    assert_eq!(config.torch_dtype, Some(TorchDtype::Float16));
    assert!(config.tie_word_embeddings && config.position_encoding_2d);
}

#[test]
fn published_int4_config_without_mask_ids_is_read() {
    let mut value = without(&["mask_token_id", "gmask_token_id", "pad_token_id"]);
    value["quantization_bit"] = json!(4);
    let config = parse(&value).unwrap();
    assert_eq!(
        (
            config.mask_token_id,
            config.gmask_token_id,
            config.pad_token_id
        ),
        (130_000, 130_001, 3)
    );
    assert_eq!(config.quantization_bit, Some(QuantizationBit::Int4));
}

#[test]
fn inner_size_defaults_to_four_times_hidden() {
    for value in [
        without(&["inner_hidden_size"]),
        with(&[("inner_hidden_size", Value::Null)]),
    ] {
        assert_eq!(parse(&value).unwrap().inner_hidden_size, 16384);
    }
}

#[test]
fn other_models_are_named() {
    let found = |value: Value| match parse(&value) {
        Err(Error::UnsupportedModel { found, .. }) => found,
        other => panic!("{other:?}"),
    };
    assert!(found(with(&[("model_type", json!("llama"))])).contains("llama"));
    assert!(found(with(&[("multi_query_attention", json!(true))])).contains("ChatGLM2"));
    assert!(found(with(&[("eva_config", json!({}))])).contains("VisualGLM"));
}

/// The config of ChatGLM-6B as first published, which lacks most ids.
fn first_generation() -> Value {
    let mut value = without(&["mask_token_id", "gmask_token_id", "pad_token_id"]);
    for (key, id) in [
        ("vocab_size", 150_528),
        ("bos_token_id", 150_004),
        ("eos_token_id", 150_005),
    ] {
        value[key] = json!(id);
    }
    value
}

#[test]
fn first_generation_config_is_read() {
    let config = parse(&first_generation()).unwrap();
    assert!(config.is_first_generation());
    assert_eq!(config.image_tokens(), 20_000);
    assert_eq!(
        [
            config.mask_token_id,
            config.gmask_token_id,
            config.bos_token_id,
            config.eos_token_id,
            config.pad_token_id
        ],
        [150_000, 150_001, 150_004, 150_005, 20_003]
    );
    assert_eq!(config.position_rules, PositionRules::Early);
    // The key came with the code that changed the positions.
    let mut later = first_generation();
    later["pad_token_id"] = json!(20_003);
    assert_eq!(parse(&later).unwrap().position_rules, PositionRules::Late);
    later["position_rules"] = json!("early");
    assert_eq!(parse(&later).unwrap().position_rules, PositionRules::Early);

    let second = parse(&published()).unwrap();
    assert_eq!(second.position_rules, PositionRules::SecondGeneration);
    assert_eq!(second.image_tokens(), 0);
}

#[test]
fn saved_first_generation_config_keeps_its_rules() {
    for rules in [PositionRules::Early, PositionRules::Late] {
        let mut config = parse(&first_generation()).unwrap();
        config.position_rules = rules;
        let text = ModelConfig::ChatGlm(config.clone()).to_json().unwrap();
        let read = ModelConfig::from_json("c", text.as_bytes()).unwrap();
        assert_eq!(read, ModelConfig::ChatGlm(config));
    }
    let second = ModelConfig::ChatGlm(parse(&published()).unwrap());
    assert!(!second.to_json().unwrap().contains("position_rules"));
}

#[test]
fn ids_and_vocabulary_of_different_generations_are_refused() {
    let mix = |value: Value| match parse(&value) {
        Err(Error::Mixed { mix, .. }) => mix,
        other => panic!("{other:?}"),
    };
    let mut first = first_generation();
    first["bos_token_id"] = json!(130_004);
    assert_eq!(mix(first), Mix::FirstVocabularySecondIds);
    let second = with(&[("bos_token_id", json!(150_004))]);
    assert_eq!(mix(second), Mix::SecondVocabularyFirstIds);
}

#[test]
fn every_bad_value_names_its_key() {
    let cases = [
        ("vocab_size", json!(0)),
        ("vocab_size", json!(1_u64 << 40)),
        ("vocab_size", json!("130528")),
        ("hidden_size", json!(-4096)),
        ("hidden_size", json!(4096.5)),
        ("num_layers", json!(1e300)),
        ("num_attention_heads", json!(31)),
        ("num_attention_heads", json!(2048)),
        ("inner_hidden_size", json!(0)),
        ("max_sequence_length", json!(0)),
        ("layernorm_epsilon", json!(0)),
        ("layernorm_epsilon", json!(-1e-5)),
        ("layernorm_epsilon", json!(1e-300)),
        ("layernorm_epsilon", json!("1e-5")),
        ("position_encoding_2d", json!(1)),
        ("mask_token_id", json!(130_528)),
        ("eos_token_id", json!([130_005])),
        ("quantization_bit", json!(3)),
        ("pre_seq_len", json!(0)),
        ("position_rules", json!("late")),
        ("tie_word_embeddings", json!("yes")),
        ("model_type", json!(7)),
    ];
    for (name, value) in cases {
        match parse(&with(&[(name, value.clone())])) {
            Err(Error::Config { key, .. }) => assert_eq!(key, name, "{value}"),
            other => panic!("{name} = {value}: {other:?}"),
        }
    }
    for name in [
        "vocab_size",
        "hidden_size",
        "num_layers",
        "num_attention_heads",
    ] {
        match parse(&without(&[name])) {
            Err(Error::Config { key, found, .. }) => {
                assert_eq!((key.as_str(), found.as_str()), (name, "nothing"))
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    // A model with another vocabulary must name its mask ids: 130000 means nothing there.
    let other_vocabulary = json!({"model_type": "chatglm", "vocab_size": 200_000, "hidden_size": 64,
        "num_layers": 1, "num_attention_heads": 2, "bos_token_id": 1, "eos_token_id": 2});
    assert!(
        matches!(parse(&other_vocabulary), Err(Error::Config { key, .. }) if key == "mask_token_id")
    );
}

#[test]
fn head_width_follows_the_position_encoding() {
    let narrow = [
        ("hidden_size", json!(64)),
        ("num_attention_heads", json!(32)),
    ];
    assert!(parse(&with(&narrow)).is_err());
    let mut one_dimensional = with(&narrow);
    one_dimensional["position_encoding_2d"] = json!(false);
    assert_eq!(parse(&one_dimensional).unwrap().head_dim(), 2);
}

#[test]
fn saved_config_reads_back_equal() {
    let mut value = published();
    value["quantization_bit"] = json!(8);
    value["pre_seq_len"] = json!(128);
    value["tie_word_embeddings"] = json!(false);
    let config = ModelConfig::from_json("a", value.to_string().as_bytes()).unwrap();
    let text = config.to_json().unwrap();
    assert_eq!(
        ModelConfig::from_json("b", text.as_bytes()).unwrap(),
        config
    );
    let text: Value = serde_json::from_str(&text).unwrap();
    for key in [
        "vocab_size",
        "quantization_bit",
        "pre_seq_len",
        "torch_dtype",
        "model_type",
    ] {
        assert_eq!(text[key], value[key], "{key}");
    }
}

#[test]
fn not_an_object_or_too_large_is_malformed() {
    let long = vec![b' '; usize::try_from(MAX_CONFIG_BYTES).unwrap() + 1];
    let nested = "[".repeat(100_000).into_bytes();
    for json in [
        b"".to_vec(),
        b"[]".to_vec(),
        b"{".to_vec(),
        b"\xff".to_vec(),
        nested,
        long,
    ] {
        assert!(matches!(
            ModelConfig::from_json("c", &json),
            Err(Error::Malformed { .. })
        ));
    }
}

proptest! {
    #[test]
    fn damaged_text_never_panics(position in 0_usize..700, byte: u8) {
        let mut text = published().to_string().into_bytes();
        if let Some(target) = text.get_mut(position) {
            *target = byte;
        }
        if let Ok(ModelConfig::ChatGlm(config)) = ModelConfig::from_json("c", &text) {
            prop_assert!(config.head_dim() > 0 && config.eos_token_id < config.vocab_size);
        }
    }
}
