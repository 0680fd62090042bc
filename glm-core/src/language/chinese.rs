//! Simplified Chinese: the Fluent files in `locales/zh`.

use std::sync::LazyLock;

use fluent_bundle::{FluentArgs, FluentResource, concurrent::FluentBundle};
use glm_tokenizer::{Phrase, Value};

use super::Language;

/// The translations, by what they are of.
const FILES: [&str; 7] = [
    include_str!("../../locales/zh/devices.ftl"),
    include_str!("../../locales/zh/errors.ftl"),
    include_str!("../../locales/zh/files.ftl"),
    include_str!("../../locales/zh/hub.ftl"),
    include_str!("../../locales/zh/options.ftl"),
    include_str!("../../locales/zh/parts.ftl"),
    include_str!("../../locales/zh/tokenizer.ftl"),
];

static TRANSLATIONS: LazyLock<FluentBundle<FluentResource>> = LazyLock::new(|| {
    // No locale: values are texts, so there are neither numbers to write nor plurals to choose.
    let mut bundle = FluentBundle::new_concurrent(Vec::new());
    // Marks between text and values for the direction of writing; some terminals show them.
    bundle.set_use_isolating(false);
    for file in FILES {
        // What cannot be read is left out and stays English; a test finds it.
        let (Ok(resource) | Err((resource, _))) = FluentResource::try_new(file.to_owned());
        let _ = bundle.add_resource(resource);
    }
    bundle
});

/// `None` where the translation is missing or cannot be formed.
pub(super) fn say(phrase: &Phrase) -> Option<String> {
    let pattern = TRANSLATIONS.get_message(phrase.id()?)?.value()?;
    let mut values = FluentArgs::new();
    for (name, value) in phrase.values() {
        let value = match value {
            Value::Phrase(inner) => Language::Chinese.say(inner),
            other => other.to_string(),
        };
        values.set(*name, value);
    }
    let mut errors = Vec::new();
    let text = TRANSLATIONS.format_pattern(pattern, Some(&values), &mut errors);
    errors.is_empty().then(|| text.into_owned())
}
