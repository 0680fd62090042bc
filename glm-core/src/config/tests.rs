//! The published configurations, and damaged ones.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

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
    match ModelConfig::from_json("config.json", value.to_string().as_bytes())? {
        ModelConfig::ChatGlm(config) => Ok(config),
        ModelConfig::ChatGlm2(config) => panic!("another family: {config:?}"),
    }
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

/// Of a published vocabulary every special token is known; another id would be one of the text.
#[test]
fn ids_of_a_published_vocabulary_are_the_published_ones() {
    for key in [
        "bos_token_id",
        "eos_token_id",
        "mask_token_id",
        "gmask_token_id",
    ] {
        let error = parse(&with(&[(key, json!(77))])).unwrap_err();
        assert!(
            matches!(&error, Error::Config { key: found, .. } if found == key),
            "{error}"
        );
        // In a vocabulary of one's own they are what they are.
        let own = with(&[("vocab_size", json!(1000)), (key, json!(77))]);
        let rest = [
            "bos_token_id",
            "eos_token_id",
            "mask_token_id",
            "gmask_token_id",
        ];
        let mut own = own;
        for (id, rest) in rest.iter().enumerate().filter(|(_, rest)| **rest != key) {
            own[*rest] = json!(id);
        }
        parse(&own).unwrap();
    }
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
        Err(Error::UnsupportedModel { found, .. }) => found.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(found(with(&[("model_type", json!("llama"))])).contains("llama"));
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
                assert_eq!((key.as_str(), found.english()), (name, "nothing"))
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

/// The config of the published ChatGLM2-6B.
fn chatglm2() -> Value {
    json!({
        "_name_or_path": "THUDM/chatglm2-6b", "model_type": "chatglm", "architectures": ["ChatGLMModel"],
        "add_bias_linear": false, "add_qkv_bias": true, "apply_query_key_layer_scaling": true,
        "apply_residual_connection_post_layernorm": false, "attention_dropout": 0.0,
        "attention_softmax_in_fp32": true, "bias_dropout_fusion": true, "ffn_hidden_size": 13696,
        "fp32_residual_connection": false, "hidden_dropout": 0.0, "hidden_size": 4096, "kv_channels": 128,
        "layernorm_epsilon": 1e-5, "multi_query_attention": true, "multi_query_group_num": 2,
        "num_attention_heads": 32, "num_layers": 28, "original_rope": true, "padded_vocab_size": 65024,
        "post_layer_norm": true, "rmsnorm": true, "seq_length": 32768, "use_cache": true,
        "torch_dtype": "float16", "transformers_version": "4.27.1", "tie_word_embeddings": false,
        "eos_token_id": 2, "pad_token_id": 0
    })
}

fn parse_chatglm2(changes: &[(&str, Value)]) -> Result<ChatGlm2Config> {
    let mut value = chatglm2();
    for (key, change) in changes {
        value[*key] = change.clone();
    }
    match ModelConfig::from_json("config.json", value.to_string().as_bytes())? {
        ModelConfig::ChatGlm2(config) => Ok(config),
        ModelConfig::ChatGlm(config) => panic!("another family: {config:?}"),
    }
}

#[test]
fn published_chatglm2_config_is_read() {
    let config = parse_chatglm2(&[]).unwrap();
    assert_eq!(config.family, ModelFamily::ChatGlm2);
    assert_eq!((config.num_key_value_heads(), config.qkv_size()), (2, 4608));
    assert_eq!(
        (config.seq_length, config.eos_token_id, config.pad_token_id),
        (32768, 2, 0)
    );
    // 28 layers, 2 groups, keys and values of 128 halves.
    assert_eq!(config.cache_bytes_per_token(CachePrecision::F16), 28_672);
    let by_head = parse_chatglm2(&[("multi_query_attention", json!(false))]).unwrap();
    assert_eq!(
        (by_head.num_key_value_heads(), by_head.qkv_size()),
        (32, 12288)
    );
}

#[test]
fn every_bad_value_of_chatglm2_names_its_key() {
    let cases = [
        ("padded_vocab_size", json!(null)),
        ("padded_vocab_size", json!(1_u64 << 40)),
        ("hidden_size", json!(0)),
        ("ffn_hidden_size", json!(null)),
        ("num_layers", json!("28")),
        ("num_attention_heads", json!(1 << 15)),
        ("kv_channels", json!(6)),
        ("multi_query_group_num", json!(3)),
        ("multi_query_group_num", json!(64)),
        // The published vocabulary has one end.
        ("eos_token_id", json!(3)),
        ("multi_query_attention", json!(1)),
        ("seq_length", json!(0)),
        ("rope_ratio", json!(0.5)),
        ("rope_ratio", json!("16")),
        ("eos_token_id", json!(65024)),
        ("quantization_bit", json!(2)),
        ("add_qkv_bias", json!(null)),
        ("add_qkv_bias", json!(false)),
        ("add_bias_linear", json!(true)),
        ("rmsnorm", json!(false)),
        ("post_layer_norm", json!(false)),
        ("original_rope", json!(false)),
    ];
    for (name, value) in cases {
        match parse_chatglm2(&[(name, value.clone())]) {
            Err(Error::Config { key, .. }) => assert_eq!(key, name, "{value}"),
            other => panic!("{name} = {value}: {other:?}"),
        }
    }
}

#[test]
fn the_ratio_of_positions_means_something_else_in_chatglm3() {
    let ratio = ("rope_ratio", json!(16));
    let config = parse_chatglm2(std::slice::from_ref(&ratio)).unwrap();
    assert!((config.rope_ratio - 16.0).abs() < f64::EPSILON);
    let name = ("_name_or_path", json!("THUDM/chatglm3-6b-32k"));
    let error = parse_chatglm2(&[ratio, name]).unwrap_err();
    assert!(matches!(error, Error::UnsupportedModel { .. }), "{error}");
}

#[test]
fn saved_chatglm2_config_reads_back_equal() {
    for changes in [
        vec![("quantization_bit", json!(4)), ("rope_ratio", json!(2.5))],
        vec![("_name_or_path", json!("THUDM/codegeex2-6b"))],
        vec![("torch_dtype", json!("bfloat16"))],
        vec![("apply_residual_connection_post_layernorm", json!(true))],
    ] {
        let config = ModelConfig::from(parse_chatglm2(&changes).unwrap());
        // Saved as f16, a CodeGeeX2 stays one.
        for config in [config.clone(), config.with_torch_dtype(TorchDtype::Float16)] {
            let text = config.to_json().unwrap();
            let read = ModelConfig::from_json("b", text.as_bytes()).unwrap();
            assert_eq!(read, config, "{changes:?}");
        }
    }
}

proptest! {
    #[test]
    fn damaged_text_never_panics(position in 0_usize..1000, byte: u8, chatglm2_keys: bool) {
        let published = if chatglm2_keys { chatglm2() } else { published() };
        let mut text = published.to_string().into_bytes();
        if let Some(target) = text.get_mut(position) {
            *target = byte;
        }
        if let Ok(config) = ModelConfig::from_json("c", &text) {
            prop_assert!(config.eos_token_id() < config.vocab_size());
        }
    }
}
