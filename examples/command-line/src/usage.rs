//! What is wrong with a command line, in Chinese. In English clap tells it by itself.

use std::{error::Error as _, num::ParseFloatError};

use clap::{
    Error,
    error::{ContextKind as Context, ContextValue, ErrorKind as Kind},
};

use crate::{
    arguments::OutOfRange,
    encoding::UnknownEncoding,
    texts::{Tell, Texts},
};

/// The whole message: what is wrong, what could be meant, how the program is used.
pub(crate) fn message(error: &Error, texts: &Texts) -> String {
    let reason = reason(error, texts);
    let mut parts = vec![texts.with("shared-error", [("reason", reason.into())])];
    parts.extend(tip(error, texts));
    if let Some(usage) = text(error, Context::Usage) {
        let usage = usage.trim_start_matches("Usage:").trim_start();
        let usage = usage.replace("[OPTIONS]", "[选项]");
        parts.push(texts.with("shared-usage", [("usage", usage.into())]));
    }
    parts.push(texts.get("shared-usage-more"));
    parts.join("\n\n")
}

fn reason(error: &Error, texts: &Texts) -> String {
    let argument = text(error, Context::InvalidArg).unwrap_or_default();
    let value = text(error, Context::InvalidValue).unwrap_or_default();
    let of_argument = |id| texts.with(id, [("argument", argument.as_str().into())]);
    let of_value = |id| {
        let argument = ("argument", argument.as_str().into());
        texts.with(id, [argument, ("value", value.as_str().into())])
    };
    match error.kind() {
        Kind::UnknownArgument => of_argument("shared-usage-unknown"),
        Kind::MissingRequiredArgument => {
            let missing = lines(error, Context::InvalidArg);
            texts.with("shared-usage-missing", [("arguments", missing.into())])
        }
        Kind::ArgumentConflict => match text(error, Context::PriorArg) {
            Some(other) if other == argument => of_argument("shared-usage-repeated"),
            _ => {
                let others = lines(error, Context::PriorArg);
                let argument = ("argument", argument.as_str().into());
                texts.with(
                    "shared-usage-conflict",
                    [argument, ("others", others.into())],
                )
            }
        },
        Kind::InvalidValue => {
            let reason = match value.is_empty() {
                true => of_argument("shared-usage-no-value"),
                false => of_value("shared-usage-value"),
            };
            match list(error, Context::ValidValue) {
                values if values.is_empty() => reason,
                values => {
                    let values = values.join(", ");
                    let values = texts.with("shared-usage-values", [("values", values.into())]);
                    format!("{reason}\n  {values}")
                }
            }
        }
        Kind::ValueValidation => {
            let reason = of_value("shared-usage-value");
            match error.source() {
                Some(source) => {
                    let source = source_reason(source, texts);
                    let parts = [("reason", reason.into()), ("source", source.into())];
                    texts.with("shared-usage-because", parts)
                }
                None => reason,
            }
        }
        Kind::TooManyValues | Kind::TooFewValues | Kind::WrongNumberOfValues => {
            of_argument("shared-usage-number-of-values")
        }
        Kind::NoEquals => of_argument("shared-usage-no-equals"),
        Kind::InvalidUtf8 => texts.get("shared-usage-invalid-utf8"),
        Kind::InvalidSubcommand => {
            let name = text(error, Context::InvalidSubcommand).unwrap_or_default();
            texts.with("shared-usage-unknown-command", [("name", name.into())])
        }
        Kind::MissingSubcommand => texts.get("shared-usage-no-command"),
        // What comes of no command line: reading and writing.
        _ => error.to_string(),
    }
}

/// Why a value was refused, from whoever refused it.
fn source_reason(source: &(dyn std::error::Error + 'static), texts: &Texts) -> String {
    if let Some(error) = source.downcast_ref::<OutOfRange>() {
        error.tell(texts)
    } else if let Some(error) = source.downcast_ref::<UnknownEncoding>() {
        error.tell(texts)
    } else if let Some(glm_core::Error::InvalidOption { expected, .. }) = source.downcast_ref() {
        // Option and value are named already.
        let expected = ("expected", expected.tell(texts).into());
        texts.with("shared-usage-expected", [expected])
    } else if let Some(error) = source.downcast_ref::<glm_core::Error>() {
        error.tell(texts)
    } else if source.is::<ParseFloatError>() {
        texts.get("shared-usage-no-number")
    } else {
        source.to_string()
    }
}

/// What could be meant.
fn tip(error: &Error, texts: &Texts) -> Option<String> {
    let suggested = [
        Context::SuggestedArg,
        Context::SuggestedValue,
        Context::SuggestedSubcommand,
    ];
    let suggested = suggested.into_iter().find_map(|kind| {
        let names = list(error, kind);
        (!names.is_empty()).then(|| names.join(", "))
    })?;
    Some(texts.with("shared-usage-similar", [("name", suggested.into())]))
}

fn text(error: &Error, kind: Context) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        _ => None,
    }
}

fn list(error: &Error, kind: Context) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

/// Each on a line of its own.
fn lines(error: &Error, kind: Context) -> String {
    let lines = list(error, kind);
    lines.iter().map(|line| format!("\n  {line}")).collect()
}
