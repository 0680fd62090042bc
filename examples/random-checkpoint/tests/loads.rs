//! What the program writes is a checkpoint that the library loads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use glm_core::checkpoint::CheckpointFiles;

const CONFIG: &str = r#"{
    "model_type": "chatglm", "architectures": ["ChatGLMModel"], "vocab_size": 96, "hidden_size": 32,
    "inner_hidden_size": 64, "num_layers": 3, "num_attention_heads": 2, "max_sequence_length": 64,
    "layernorm_epsilon": 1e-5, "position_encoding_2d": true, "bos_token_id": 84, "eos_token_id": 85,
    "mask_token_id": 80, "gmask_token_id": 81, "pad_token_id": 3, "quantization_bit": BITS
}"#;

#[test]
fn every_precision_loads_and_gives_a_token() {
    for bits in ["0", "8", "4"] {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("given.json");
        std::fs::write(&config, CONFIG.replace("BITS", bits)).unwrap();
        let out = folder.path().join("checkpoint");
        let status = Command::new(env!("CARGO_BIN_EXE_random-checkpoint"))
            .args(["--shard-bytes", "15000", "--out"])
            .arg(&out)
            .arg("--config")
            .arg(&config)
            .status()
            .unwrap();
        assert!(status.success());
        let written = std::fs::read_dir(&out).unwrap().count();
        assert!(
            written >= 4,
            "{bits} bits: not more than one shard in {written} files"
        );

        let files = CheckpointFiles::open(&out).unwrap();
        assert_eq!(
            files.read("lm_head.weight").unwrap(),
            files.read("transformer.word_embeddings.weight").unwrap()
        );
        let model = glm_core::load(&out).unwrap();
        let mut tokens = glm_core::generate::Generator::new(
            &model,
            &[5, 9, 81, 84],
            &glm_core::GenerationOptions::greedy(),
        )
        .unwrap();
        assert!(tokens.next().unwrap().unwrap() < 96, "{bits} bits");
    }
}
