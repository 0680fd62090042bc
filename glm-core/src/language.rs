//! The language in which errors are told.

mod chinese;

use glm_tokenizer::Phrase;

use crate::Error;

/// A language that errors are told in. Models speak what they are asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Language {
    /// What `Display` gives, whatever the locale: for logs and reports.
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Language {
    /// Chinese for `zh`, `zh-CN`, `zh_TW.UTF-8` and the like, else English.
    pub fn of_locale(locale: &str) -> Self {
        let language = locale
            .split(['-', '_', '.', '@'])
            .next()
            .unwrap_or_default();
        if language.eq_ignore_ascii_case("zh") {
            Self::Chinese
        } else {
            Self::English
        }
    }

    /// A phrase in this language; in English where there is no translation.
    pub fn say(self, phrase: &Phrase) -> String {
        match self {
            Self::English => None,
            Self::Chinese => chinese::say(phrase),
        }
        .unwrap_or_else(|| phrase.to_string())
    }
}

impl Error {
    /// The message in a language. Texts from outside, as of the operating system, stay as they are.
    pub fn in_language(&self, language: Language) -> String {
        language.say(&self.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_locales_give_chinese() {
        for locale in ["zh", "zh-CN", "zh_TW.UTF-8", "ZH-Hans-CN", "zh@pinyin"] {
            assert_eq!(Language::of_locale(locale), Language::Chinese, "{locale}");
        }
        for locale in ["", "C", "C.UTF-8", "en-US", "zha", "de_DE.UTF-8", "-zh"] {
            assert_eq!(Language::of_locale(locale), Language::English, "{locale}");
        }
    }

    #[test]
    fn what_has_no_translation_stays_english() {
        let phrase = Phrase::new("no-such-id", "as it was", Vec::new());
        assert_eq!(Language::Chinese.say(&phrase), "as it was");
        let without_values = Phrase::new("not-found", "x does not exist", Vec::new());
        assert_eq!(Language::Chinese.say(&without_values), "x does not exist");
        let outside = Phrase::verbatim("not-found");
        assert_eq!(Language::Chinese.say(&outside), "not-found");
    }
}
