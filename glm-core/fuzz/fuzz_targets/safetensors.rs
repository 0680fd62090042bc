//! A safetensors file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    glm_core_fuzz::open_and_read("model.safetensors", bytes);
});
