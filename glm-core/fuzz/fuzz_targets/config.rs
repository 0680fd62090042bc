//! A `config.json`.
#![no_main]

use glm_core::{checkpoint::expected_tensors, config::ModelConfig};

libfuzzer_sys::fuzz_target!(|json: &[u8]| {
    let Ok(config) = ModelConfig::from_json("config.json", json) else {
        return;
    };
    let written = config.to_json().expect("it was read");
    let again = ModelConfig::from_json("config.json", written.as_bytes());
    assert_eq!(again.expect("it was written"), config);
    assert!(!expected_tensors(&config).is_empty());
});
