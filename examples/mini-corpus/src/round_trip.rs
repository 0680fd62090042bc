//! What the official ChatGLM-6B code does to a reply between its ids and the user's screen.
//!
//! The tokenizer normalises full-width punctuation to ASCII (NFKC), and `process_response`
//! (`modeling_chatglm.py`) makes `, ! : ; ?` full-width again where they touch a Chinese
//! character. A response that these two steps change could never be produced by the model.

/// ASCII punctuation with the full-width form `process_response` gives it beside Chinese text.
const PUNCTUATION: [(char, char); 5] = [
    (',', '，'),
    ('!', '！'),
    (':', '：'),
    (';', '；'),
    ('?', '？'),
];

/// Strings that transformers' `clean_up_tokenization_spaces` rewrites when it decodes.
const CLEANED_UP: [&str; 10] = [
    " .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're",
];

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

/// The official `process_response`, but for its date placeholder.
#[must_use]
pub fn process_response(text: &str) -> String {
    let mut letters: Vec<char> = text.trim().chars().collect();
    for (ascii, full_width) in PUNCTUATION {
        for i in 0..letters.len() {
            let beside = |j: Option<usize>| j.and_then(|j| letters.get(j)).is_some_and(is_chinese);
            let touches = beside(i.checked_sub(1)) || beside(i.checked_add(1));
            if let Some(letter) = letters.get_mut(i)
                && *letter == ascii
                && touches
            {
                *letter = full_width;
            }
        }
    }
    letters.into_iter().collect()
}

/// Whether the official tokenizer and chat code give `response` back unchanged.
#[must_use]
pub fn survives(response: &str) -> bool {
    process_response(&normalise(response)) == response
        && !response.contains(['\t', '\u{2581}'])
        && !response.contains("  ")
        && !CLEANED_UP.iter().any(|text| response.contains(text))
}

/// The range the official expression `[\u4e00-\u9fff]` matches.
fn is_chinese(letter: &char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_follows_its_neighbours() {
        assert_eq!(
            process_response("你好!我是Mini,你呢?"),
            "你好！我是Mini，你呢？"
        );
        assert_eq!(process_response(" Yes, really! "), "Yes, really!");
    }

    #[test]
    fn lossy_responses_are_found() {
        assert!(survives("你好！很高兴认识你。"));
        assert!(survives("3+5=8"));
        assert!(survives("One line,\nand another."));
        assert!(!survives("It is 8！"));
        assert!(!survives("猫, in English."));
        assert!(!survives("（你好）"));
        assert!(!survives("two  spaces"));
        assert!(!survives("a space before ."));
    }
}
