//! The user's language.

use clap::ValueEnum;

/// A language of the program's messages; the model speaks what it is asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Chinese
    Zh,
    /// English
    En,
}

impl Language {
    /// The language of the system's locale.
    pub(crate) fn of_system() -> Self {
        Self::of_locale(&sys_locale::get_locale().unwrap_or_default())
    }

    /// Chinese for `zh`, `zh-CN`, `zh_TW.UTF-8` and the like, else English.
    fn of_locale(locale: &str) -> Self {
        let language = locale
            .split(['-', '_', '.', '@'])
            .next()
            .unwrap_or_default();
        if language.eq_ignore_ascii_case("zh") {
            Self::Zh
        } else {
            Self::En
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_locales_give_chinese() {
        for locale in ["zh", "zh-CN", "zh_TW.UTF-8", "ZH-Hans-CN", "zh@pinyin"] {
            assert_eq!(Language::of_locale(locale), Language::Zh, "{locale}");
        }
        for locale in ["", "C", "C.UTF-8", "en-US", "zha", "de_DE.UTF-8", "-zh"] {
            assert_eq!(Language::of_locale(locale), Language::En, "{locale}");
        }
    }
}
