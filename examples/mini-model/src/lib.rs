#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

use glm_core::{GlmTokenizer, LoadOptions, Model, Result};

/// What stands for the folder in error messages.
const NAME: &str = "chatglm-mini";

const CONFIG: &[u8] = include_bytes!("../chatglm-mini/config.json");
const TOKENIZER: &[u8] = include_bytes!("../chatglm-mini/ice_text.model");
const WEIGHTS: &[u8] = include_bytes!("../chatglm-mini/model.safetensors");

/// The demonstration model and its tokenizer, on the CPU.
///
/// # Errors
/// As [`load_with`].
pub fn load() -> Result<(GlmTokenizer, Model)> {
    load_with(LoadOptions::default())
}

/// [`load`] onto another device, or with progress.
///
/// # Errors
/// As [`LoadOptions::load_from_memory`]; the files are part of the program, so only a device can be at fault.
pub fn load_with(options: LoadOptions<'_>) -> Result<(GlmTokenizer, Model)> {
    let tokenizer = GlmTokenizer::from_bytes(&format!("{NAME}/ice_text.model"), TOKENIZER)?;
    let model = options.load_from_memory(NAME, CONFIG, WEIGHTS)?;
    Ok((tokenizer, model))
}
