//! Prompts that say nothing.

use glm_core::{TokenId, config::ModelConfig};

use crate::Error;

/// Ordinary tokens, and `[gMASK] <sop>` at the end where the model asks for them: `length` in all, at least 2.
///
/// # Errors
/// [`Error::Vocabulary`] when there are no ordinary tokens.
pub fn random_prompt(length: usize, config: &ModelConfig) -> Result<Vec<TokenId>, Error> {
    let special = match config {
        ModelConfig::ChatGlm(config) => [config.mask_token_id, config.eos_token_id],
        _ => [config.pad_token_id(), config.eos_token_id()],
    };
    let end = config.prompt_end();
    let ordinary: Vec<usize> = (0..config.vocab_size())
        .filter(|id| !special.contains(id) && !end.contains(id))
        .collect();
    if ordinary.is_empty() {
        return Err(Error::Vocabulary);
    }
    // A step that shares no factor with the size would do; this one is prime and larger than any vocabulary.
    let text = (0..length.saturating_sub(end.len()))
        .map(|index| ordinary[(index + 1) * 1_000_003 % ordinary.len()]);
    // In range: a vocabulary has less than 2^20 ids.
    Ok(text.chain(end).map(|id| id as TokenId).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_as_long_as_asked_and_has_one_blank() {
        let json = r#"{"model_type": "chatglm", "vocab_size": 640, "hidden_size": 64, "num_layers": 1,
            "num_attention_heads": 4, "bos_token_id": 624, "eos_token_id": 625, "mask_token_id": 620,
            "gmask_token_id": 621, "pad_token_id": 3}"#;
        let config = ModelConfig::from_json("config.json", json.as_bytes()).unwrap();
        for length in [2, 3, 700] {
            let prompt = random_prompt(length, &config).unwrap();
            assert_eq!(prompt.len(), length);
            let (text, end) = prompt.split_at(length - 2);
            assert_eq!(end, [621, 624]);
            assert!(
                text.iter()
                    .all(|id| !(620..626).contains(id) || *id == 622 || *id == 623)
            );
        }
    }
}
