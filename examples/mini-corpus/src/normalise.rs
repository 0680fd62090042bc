//! What the official ChatGLM-6B tokenizer makes of punctuation on the way in: two texts that it does not tell apart
//! are one question to the model.

/// Full-width punctuation and brackets as the tokenizer's normaliser leaves them.
#[must_use]
pub fn normalise(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\u{3000}' => ' ',
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0).unwrap_or(letter),
            other => other,
        })
        .collect()
}
