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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_belong_together() {
        let (tokenizer, model) = load().unwrap();
        assert!(tokenizer.vocab_size() <= model.vocab_size());
        assert_eq!(tokenizer.special_tokens().eos, model.eos_token_id());
    }

    #[test]
    fn a_clone_of_the_repository_stays_small() {
        assert!(CONFIG.len() + TOKENIZER.len() + WEIGHTS.len() < 8_500_000);
        assert!(WEIGHTS.len() <= 8_000_000);
    }
}
