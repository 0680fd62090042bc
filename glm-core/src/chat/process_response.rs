//! What the official code does to an answer after decoding (`process_response` in `modeling_chatglm.py`).
//!
//! The tokenizer of ChatGLM-6B turns full-width punctuation into ASCII, so its answers would read
//! `你好,世界!`; the official code makes it full-width again beside Chinese characters. The form for text
//! that arrives in pieces is [`ReplyStream`](super::ReplyStream).

/// The placeholder that the tuning data has in place of a date.
pub(super) const TRAINING_TIME: &str = "[[训练时间]]";
/// What the official code writes for it.
pub(super) const TRAINING_TIME_TEXT: &str = "2023年";

/// Which clean-up an answer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum ResponseRules {
    /// ChatGLM-6B: surrounding white space goes, `[[训练时间]]` becomes `2023年`, and `, ! : ; ?` beside a
    /// character of the block U+4E00 to U+9FFF become full-width.
    ChatGlm,
    /// ChatGLM2-6B, and ChatGLM-6B before 2023-03-22: the same without the punctuation.
    ChatGlm2,
    /// The text as decoded.
    Raw,
}

/// The official clean-up of a whole answer.
///
/// ```
/// # use glm_core::chat::{ResponseRules, process_response};
/// assert_eq!(process_response(" 你好,world! ", ResponseRules::ChatGlm), "你好，world!");
/// assert_eq!(process_response(" 你好,world! ", ResponseRules::ChatGlm2), "你好,world!");
/// ```
#[must_use]
pub fn process_response(response: &str, rules: ResponseRules) -> String {
    if rules == ResponseRules::Raw {
        return response.to_owned();
    }
    let text = response
        .trim_matches(is_python_space)
        .replace(TRAINING_TIME, TRAINING_TIME_TEXT);
    if rules == ResponseRules::ChatGlm2 {
        return text;
    }
    // The official code runs ten substitutions one after the other: for each mark, first after a Chinese
    // character, then before one. No match overlaps another, and no replacement is itself a Chinese
    // character of the block, so each mark depends on its two neighbours alone.
    let mut processed = String::with_capacity(text.len() + text.len() / 8);
    let mut previous = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let beside_chinese =
            previous.is_some_and(is_chinese) || characters.peek().copied().is_some_and(is_chinese);
        let full_width = full_width(character).filter(|_| beside_chinese);
        processed.push(full_width.unwrap_or(character));
        previous = Some(character);
    }
    processed
}

/// The full-width form of the five marks that the official code knows.
pub(super) fn full_width(character: char) -> Option<char> {
    Some(match character {
        ',' => '，',
        '!' => '！',
        ':' => '：',
        ';' => '；',
        '?' => '？',
        _ => return None,
    })
}

/// `[\u4e00-\u9fff]` of the official expressions: the first block of Chinese characters, not all of them.
pub(super) fn is_chinese(character: char) -> bool {
    matches!(character, '\u{4e00}'..='\u{9fff}')
}

/// What Python's `str.strip()` removes: Unicode white space and also U+001C to U+001F.
pub(super) fn is_python_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The official function line by line: one pass over the text per `re.sub`.
    fn official(response: &str, rules: ResponseRules) -> String {
        let mut text = response.trim_matches(is_python_space).to_owned();
        text = text.replace("[[训练时间]]", "2023年");
        if rules == ResponseRules::ChatGlm {
            for (ascii, full) in [
                (',', '，'),
                ('!', '！'),
                (':', '：'),
                (';', '；'),
                ('?', '？'),
            ] {
                text = substitute(
                    &text,
                    |pair| is_chinese(pair[0]) && pair[1] == ascii,
                    |pair| [pair[0], full],
                );
                text = substitute(
                    &text,
                    |pair| pair[0] == ascii && is_chinese(pair[1]),
                    |pair| [full, pair[1]],
                );
            }
        }
        text
    }

    /// `re.sub` for an expression of two characters: leftmost matches that do not overlap.
    fn substitute(
        text: &str,
        matches: impl Fn(&[char]) -> bool,
        replacement: impl Fn(&[char]) -> [char; 2],
    ) -> String {
        let characters: Vec<char> = text.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        while at < characters.len() {
            match characters.get(at..at + 2).filter(|pair| matches(pair)) {
                Some(pair) => {
                    out.extend(replacement(pair));
                    at += 2;
                }
                None => {
                    out.push(characters[at]);
                    at += 1;
                }
            }
        }
        out
    }

    /// Texts in which every rule, and every way to miss it by one character, is common.
    pub(in super::super) fn difficult_text() -> impl Strategy<Value = String> {
        let fragment = prop_oneof![
            6 => "[,!:;?]".prop_map(String::from),
            6 => "[中文一\u{9fff}a1。，]".prop_map(String::from),
            4 => "[ \n\t\u{3000}\u{1c}\u{85}\u{feff}]".prop_map(String::from),
            3 => Just("[[训练时间]]".to_owned()),
            3 => "[\\[\\]训练时间]".prop_map(String::from),
            1 => Just("[[训练时".to_owned()),
        ];
        prop::collection::vec(fragment, 0..12).prop_map(|fragments| fragments.concat())
    }

    proptest! {
        #[test]
        fn equals_the_official_substitutions(text in difficult_text()) {
            for rules in [ResponseRules::ChatGlm, ResponseRules::ChatGlm2] {
                prop_assert_eq!(process_response(&text, rules), official(&text, rules));
            }
            prop_assert_eq!(process_response(&text, ResponseRules::Raw), text);
        }
    }

    #[test]
    fn punctuation_follows_its_neighbours() {
        let clean = |text| process_response(text, ResponseRules::ChatGlm);
        assert_eq!(clean("你好!我是Mini,你呢?"), "你好！我是Mini，你呢？");
        assert_eq!(clean(" Yes, really! "), "Yes, really!");
        for (raw, processed) in [
            ("好,a", "好，a"),
            ("a,好", "a，好"),
            ("a,b", "a,b"),
            ("好,,,好", "好，,，好"),
            ("好, 好", "好， 好"),
            ("3:2", "3:2"),
            ("何?!", "何？!"),
            ("\u{3400},\u{3400}", "\u{3400},\u{3400}"),
            ("[[训练时间]],到[[训练时间]]", "2023年，到2023年"),
            (",[[训练时间]]", ",2023年"),
            ("[[[训练时间]]]", "[2023年]"),
            ("\u{1f}\u{3000}好 \n", "好"),
            ("", ""),
            (" \n", ""),
        ] {
            assert_eq!(
                process_response(raw, ResponseRules::ChatGlm),
                processed,
                "{raw:?}"
            );
        }
    }
}
