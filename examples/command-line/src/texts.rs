//! What the programs say, in the user's language. The texts are in Fluent files, `locales/` of each program.

use std::{fmt, sync::LazyLock};

use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};
use glm_core::Language;
use unic_langid::LanguageIdentifier;

/// The Fluent files of a program. Whatever is in them and in its sources belongs together: [`gaps`](crate::coverage::gaps)
/// tells where it does not.
#[derive(Debug, Clone, Copy)]
pub struct Locales {
    /// What the program says in English.
    pub english: &'static str,
    /// The same texts in Chinese.
    pub chinese: &'static str,
    /// Its help in Chinese. In English that is in the sources, where clap looks for it.
    pub chinese_help: &'static str,
}

/// The texts that all programs have in common.
pub(crate) const SHARED: Locales = Locales {
    english: include_str!("../locales/en.ftl"),
    chinese: include_str!("../locales/zh.ftl"),
    chinese_help: include_str!("../locales/clap.zh.ftl"),
};

/// The texts of a program in one language.
pub struct Texts {
    language: Language,
    bundle: FluentBundle<FluentResource>,
}

impl Texts {
    /// The texts of a program, and those that all have in common.
    #[must_use]
    pub fn new(language: Language, program: &Locales) -> Self {
        let mut texts = Self::shared(language);
        texts.add(program);
        texts
    }

    /// The texts that all programs have in common.
    pub(crate) fn shared(language: Language) -> Self {
        let locale: LanguageIdentifier = match language {
            Language::Chinese => "zh-CN",
            _ => "en",
        }
        .parse()
        .unwrap_or_default();
        let mut bundle = FluentBundle::new_concurrent(vec![locale]);
        // Marks for text of the other direction, which neither language needs.
        bundle.set_use_isolating(false);
        let mut texts = Self { language, bundle };
        texts.add(&SHARED);
        texts
    }

    /// The language that they are in.
    #[must_use]
    pub fn language(&self) -> Language {
        self.language
    }

    /// The text of this name.
    #[must_use]
    pub fn get(&self, id: &str) -> String {
        self.with(id, [])
    }

    /// The text of this name, with these values.
    #[must_use]
    pub fn with<'a>(
        &self,
        id: &str,
        values: impl IntoIterator<Item = (&'a str, FluentValue<'a>)>,
    ) -> String {
        let values: FluentArgs<'_> = values.into_iter().collect();
        // A program whose text is missing is worth more than one that ends there.
        self.find(id, &values).unwrap_or_else(|| id.to_owned())
    }

    /// What went wrong, marked as an error.
    #[must_use]
    pub fn error(&self, error: &(impl Tell + ?Sized)) -> String {
        self.with("shared-error", [("reason", error.tell(self).into())])
    }

    /// Something worth knowing, marked so.
    #[must_use]
    pub fn notice(&self, text: &str) -> String {
        self.with("shared-note", [("text", text.into())])
    }

    /// The text of this name, if there is one; `name.attribute` is an attribute of it.
    pub(crate) fn find(&self, id: &str, values: &FluentArgs<'_>) -> Option<String> {
        let (id, attribute) = match id.split_once('.') {
            Some((id, attribute)) => (id, Some(attribute)),
            None => (id, None),
        };
        let message = self.bundle.get_message(id)?;
        let pattern = match attribute {
            Some(attribute) => message.get_attribute(attribute)?.value(),
            None => message.value()?,
        };
        // A value that is missing stands there by its name.
        let mut errors = Vec::new();
        let text = self
            .bundle
            .format_pattern(pattern, Some(values), &mut errors);
        Some(text.into_owned())
    }

    /// English first: what Chinese lacks is better told so than not at all.
    fn add(&mut self, locales: &Locales) {
        let chinese = [locales.chinese, locales.chinese_help];
        let sources: &[&str] = match self.language {
            Language::Chinese => &chinese,
            _ => &[],
        };
        for source in [&[locales.english], sources].concat() {
            // Of a file with a mistake, the rest.
            let resource = FluentResource::try_new(source.to_owned());
            let resource = resource.unwrap_or_else(|(resource, _)| resource);
            self.bundle.add_resource_overriding(resource);
        }
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Texts").field(&self.language).finish()
    }
}

/// What can be told in the user's language, in a sentence.
pub trait Tell {
    /// The sentence.
    fn tell(&self, texts: &Texts) -> String;
}

/// The sentence in English, of what this crate has the texts of: for `Display`.
pub(crate) fn in_english(told: &impl Tell) -> String {
    static ENGLISH: LazyLock<Texts> = LazyLock::new(|| Texts::shared(Language::English));
    told.tell(&ENGLISH)
}

impl Tell for glm_core::Error {
    fn tell(&self, texts: &Texts) -> String {
        self.in_language(texts.language)
    }
}

impl Tell for glm_core::Phrase {
    fn tell(&self, texts: &Texts) -> String {
        texts.language.say(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCALES: Locales = Locales {
        english: "a = one { $x }\nb = two\nturns = { $n ->\n    [one] a turn\n   *[other] { $n } turns\n }",
        chinese: "a = 一 { $x }\n    .c = 三",
        chinese_help: "",
    };

    #[test]
    fn texts_are_in_the_language_and_else_in_english() {
        let chinese = Texts::new(Language::Chinese, &LOCALES);
        assert_eq!(chinese.with("a", [("x", 12345.into())]), "一 12345");
        assert_eq!(chinese.get("a.c"), "三");
        assert_eq!(chinese.get("b"), "two");
        let english = Texts::new(Language::English, &LOCALES);
        assert_eq!(english.with("a", [("x", "y".into())]), "one y");
        assert_eq!(english.with("turns", [("n", 1.into())]), "a turn");
        assert_eq!(english.with("turns", [("n", 3.into())]), "3 turns");
    }

    #[test]
    fn what_is_missing_is_named() {
        let texts = Texts::new(Language::Chinese, &LOCALES);
        assert_eq!(texts.get("nothing"), "nothing");
        assert_eq!(texts.get("a.nothing"), "a.nothing");
        assert_eq!(texts.get("a"), "一 {$x}");
    }
}
