//! The user's language.

use std::ffi::OsString;

use glm_core::Language;

/// The values of `--lang`.
pub(crate) const NAMES: [&str; 2] = ["zh", "en"];

fn of_name(name: &str) -> Option<Language> {
    match name {
        "zh" => Some(Language::Chinese),
        "en" => Some(Language::English),
        _ => None,
    }
}

/// The language of the system's locale; English where there is none.
pub(crate) fn of_system() -> Language {
    Language::of_locale(&sys_locale::get_locale().unwrap_or_default())
}

/// What `--lang` says among the arguments. They are not parsed for that: help and errors of the parser are in this
/// language already.
pub(crate) fn of_arguments(arguments: impl IntoIterator<Item = OsString>) -> Option<Language> {
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
        return of_name(value.to_str()?);
    }
    None
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
            let found = of_arguments(arguments.iter().map(OsString::from));
            assert_eq!(found, language, "{arguments:?}");
        }
    }
}
