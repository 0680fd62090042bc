//! `clean_up_tokenization` of Hugging Face transformers: English punctuation moves to its word.
//!
//! The official ChatGLM-6B tokenizer runs it on every decoded text (`"x ."` → `"x."`,
//! `"do n't"` → `"don't"`), because that was the default of transformers in its day.

/// Replacements in the order of `PreTrainedTokenizerBase.clean_up_tokenization`.
const RULES: [(&str, &str); 10] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

/// The most characters of a rule that can lie between its leading space and a split inside it.
const MOST_INNER_CHARACTERS: usize = 2;

/// Cleans a whole text.
pub(crate) fn clean_up(text: &str) -> String {
    RULES.iter().fold(text.to_owned(), |text, (from, to)| {
        if text.contains(from) {
            text.replace(from, to)
        } else {
            text
        }
    })
}

/// Cleans a text that arrives in parts; holds back the last few characters while a rule may join them
/// with what comes.
#[derive(Debug, Clone, Default)]
pub(crate) struct CleanUp {
    held: String,
}

impl CleanUp {
    /// Takes the next part and appends to `out` what is certain.
    pub(crate) fn push(&mut self, part: &str, out: &mut String) {
        self.held.push_str(part);
        let split = last_safe_split(&self.held);
        out.push_str(&clean_up(&self.held[..split]));
        self.held.drain(..split);
    }

    /// The text is over.
    pub(crate) fn finish(&mut self, out: &mut String) {
        out.push_str(&clean_up(&std::mem::take(&mut self.held)));
    }
}

/// The last place where a text can be cut, whatever follows it, so that its parts cleaned one by one are
/// the whole text cleaned.
///
/// Rules remove nothing but spaces. So a cut is safe if no rule, applied to the text with any spaces
/// removed, contains a character before it and one after it.
fn last_safe_split(text: &str) -> usize {
    let mut after = None;
    for (index, before) in text.char_indices().rev() {
        let cut = index + before.len_utf8();
        // No rule contains the character before the cut, or the one after it.
        let foreign = !in_a_rule(before) || after.is_some_and(|after| !in_a_rule(after));
        // A rule that contains the space after the cut starts with it, unless it has ` ' ` or, its spaces
        // removed, ` n't` there.
        let at_space = after == Some(' ') && !matches!(before, ' ' | '\'' | 'n');
        // The leading space of a rule is nearer.
        let inner = text[..cut]
            .chars()
            .rev()
            .take_while(|&c| c != ' ')
            .take(MOST_INNER_CHARACTERS + 1);
        if foreign || at_space || inner.count() > MOST_INNER_CHARACTERS {
            return cut;
        }
        after = Some(before);
    }
    0
}

fn in_a_rule(character: char) -> bool {
    matches!(
        character,
        ' ' | '.' | '?' | '!' | ',' | '\'' | 'n' | 't' | 'm' | 's' | 'v' | 'e' | 'r'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cleans_as_transformers_does() {
        assert_eq!(
            clean_up("x . do n't ' you 're , I 'm"),
            "x. don't'you're, I'm"
        );
        assert_eq!(clean_up("a  ' s"), "a's");
    }

    #[test]
    fn ordinary_text_is_not_held_back() {
        for text in ["你好", "hello", "seven", "a.b.c", ".....", "<div>"] {
            assert_eq!(last_safe_split(text), text.len(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// With an alphabet in which nearly every text meets a rule.
        #[test]
        fn cleaning_in_parts_is_cleaning_the_whole(
            parts in proptest::collection::vec("([ .,'nts]|[?!mvre]|n't|'s|a|你){0,4}", 0..8),
        ) {
            let mut cleaner = CleanUp::default();
            let mut out = String::new();
            for part in &parts {
                cleaner.push(part, &mut out);
            }
            cleaner.finish(&mut out);
            prop_assert_eq!(out, clean_up(&parts.concat()));
        }
    }
}
