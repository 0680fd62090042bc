//! A folder of `config.json` and `model.safetensors`, inspected and converted.
#![no_main]

use std::fs;

use glm_core::{
    Error, Precision,
    checkpoint::{Converter, Target, inspect},
};
use glm_core_fuzz::{empty, folder};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // Where the configuration ends is in the first two bytes.
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return;
    };
    let Some((config, weights)) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
    else {
        return;
    };
    let dir = empty("checkpoint");
    fs::write(dir.join("config.json"), config).expect("a temporary file");
    fs::write(dir.join("model.safetensors"), weights).expect("a temporary file");
    let inspection = inspect(&dir);
    let _ = inspection.to_string();
    let target = Target::Prepacked {
        layers: Precision::INT4,
        head: None,
    };
    let output = folder().join("model.glm");
    let _ = fs::remove_file(&output);
    let converted = Converter::default().convert(&dir, target, &output);
    if let Err(error @ Error::Verification { .. }) = converted {
        panic!("{error}");
    }
});
