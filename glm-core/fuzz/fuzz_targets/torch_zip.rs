//! A `.bin` file in PyTorch's zip format.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    glm_core_fuzz::open_and_read("pytorch_model.bin", bytes);
});
