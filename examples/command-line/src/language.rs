//! The user's language.

use std::ffi::OsString;

/// A language of the programs' help, messages and errors; models speak what they are asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Chinese
    Chinese,
    /// English
    English,
}

impl Language {
    /// The values of `--lang`.
    pub(crate) const NAMES: [&str; 2] = ["zh", "en"];

    fn of_name(name: &str) -> Option<Self> {
        match name {
            "zh" => Some(Self::Chinese),
            "en" => Some(Self::English),
            _ => None,
        }
    }

    /// The language of the system's locale; English where there is none.
    #[must_use]
    pub fn of_system() -> Self {
        let locale = sys_locale::get_locale().unwrap_or_default();
        match glm_core::Language::of_locale(&locale) {
            glm_core::Language::Chinese => Self::Chinese,
            _ => Self::English,
        }
    }

    /// What `--lang` says among the arguments. They are not parsed for that: help and errors of the parser are in this
    /// language already.
    pub(crate) fn of_arguments(arguments: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut arguments = arguments
            .into_iter()
            .take_while(|argument| argument != "--");
        while let Some(argument) = arguments.next() {
            let value = match argument.to_str() {
                Some("--lang") => arguments.next()?,
                Some(argument) => match argument.strip_prefix("--lang=") {
                    Some(value) => value.into(),
                    None => continue,
                },
                None => continue,
            };
            return Self::of_name(value.to_str()?);
        }
        None
    }
}

impl From<Language> for glm_core::Language {
    fn from(language: Language) -> Self {
        match language {
            Language::Chinese => Self::Chinese,
            Language::English => Self::English,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_known_before_the_arguments_are_parsed() {
        for (arguments, language) in [
            (&["--lang", "zh", "--wrong"][..], Some(Language::Chinese)),
            (&["--wrong", "--lang=en"], Some(Language::English)),
            (&["--lang"], None),
            (&["--lang", "fr"], None),
            (&["--language", "zh"], None),
            (&["--", "--lang", "zh"], None),
            (&[], None),
        ] {
            let found = Language::of_arguments(arguments.iter().map(OsString::from));
            assert_eq!(found, language, "{arguments:?}");
        }
    }
}
