//! What is said to the user, in English, and all that another language needs to say the same.
//!
//! An error says what went wrong in a sentence, and the sentence often ends with another one, the reason. Both are
//! phrases: the English text as it stands in the code, the name under which a translation of it is kept, and the values
//! that stand in it. This crate translates nothing.

use std::{fmt, io, path::Path};

use crate::regular_file::FileKind;

/// A text of ours with its values, made by [`phrase!`](crate::phrase!). It is shown in English.
///
/// A text that comes from outside (from the operating system, a server, another library) is a phrase without an id, made
/// by [`Phrase::verbatim`]: it is the same in every language.
#[derive(Debug, Clone, PartialEq, Eq)]
// Errors hold several: a pointer keeps them small.
pub struct Phrase(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    id: Option<&'static str>,
    english: String,
    values: Vec<(&'static str, Value)>,
}

/// What stands in a [`Phrase`] at the place of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// The same in every language: a number, a name, a path.
    Text(String),
    /// Another text of ours.
    Phrase(Phrase),
}

impl Phrase {
    /// A phrase of which English is known already. Others are made by [`phrase!`](crate::phrase!).
    pub fn new(
        id: &'static str,
        english: impl fmt::Display,
        values: Vec<(&'static str, Value)>,
    ) -> Self {
        Self(Box::new(Parts {
            id: Some(id),
            english: english.to_string(),
            values,
        }))
    }

    /// A text that is not ours, and is not translated.
    pub fn verbatim(text: impl fmt::Display) -> Self {
        Self(Box::new(Parts {
            id: None,
            english: text.to_string(),
            values: Vec::new(),
        }))
    }

    /// The name of its translations; `None` for a text from outside.
    pub fn id(&self) -> Option<&'static str> {
        self.0.id
    }

    /// The whole text, in English.
    pub fn english(&self) -> &str {
        &self.0.english
    }

    /// The values in it, with their names.
    pub fn values(&self) -> &[(&'static str, Value)] {
        &self.0.values
    }
}

impl fmt::Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.english)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Phrase(phrase) => phrase.fmt(f),
        }
    }
}

/// A [`Phrase`](crate::Phrase): its id, the English text, and the values that it names.
///
/// A value is anything that a [`Value`](crate::Value) can be made of; `name` alone stands for `name = name`.
///
/// ```
/// use glm_tokenizer::phrase;
///
/// let (found, most) = (7, 5);
/// let reason = phrase!("header-too-long", "the header has {found} bytes, more than {most}", found, most);
/// assert_eq!(reason.to_string(), "the header has 7 bytes, more than 5");
/// let outer = phrase!("unreadable", "it cannot be read: {reason}", reason = reason);
/// assert_eq!(outer.to_string(), "it cannot be read: the header has 7 bytes, more than 5");
/// ```
#[macro_export]
macro_rules! phrase {
    ($id:literal, $english:literal $(, $name:ident $(= $value:expr)?)* $(,)?) => {{
        $(let $name = $crate::phrase!(@value $name $(= $value)?);)*
        let english = ::std::format!($english, $($name = $name),*);
        $crate::Phrase::new($id, english, ::std::vec![$((::std::stringify!($name), $name)),*])
    }};
    (@value $name:ident) => { $crate::Value::from($name) };
    (@value $name:ident = $value:expr) => { $crate::Value::from($value) };
}

/// The values of a [`Phrase`](crate::Phrase) whose English is written elsewhere: `values![path, most = limit]`.
#[macro_export]
macro_rules! values {
    ($($name:ident $(= $value:expr)?),* $(,)?) => {
        ::std::vec![$((::std::stringify!($name), $crate::phrase!(@value $name $(= $value)?))),*]
    };
}

/// Values that are the same in every language.
macro_rules! verbatim_values {
    ($($type:ty),*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::Text(value.to_string())
            }
        })*
    };
}

verbatim_values!(
    &str,
    &String,
    &&str,
    char,
    f64,
    &f64,
    i32,
    i64,
    io::Error,
    &io::Error,
    std::path::Display<'_>,
    u8,
    &u8,
    u16,
    &u16,
    u32,
    &u32,
    u64,
    &u64,
    usize,
    &usize
);

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&Path> for Value {
    fn from(path: &Path) -> Self {
        path.display().into()
    }
}

impl From<&std::path::PathBuf> for Value {
    fn from(path: &std::path::PathBuf) -> Self {
        path.display().into()
    }
}

impl From<Value> for Phrase {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::verbatim(text),
            Value::Phrase(phrase) => phrase,
        }
    }
}

impl From<Phrase> for Value {
    fn from(phrase: Phrase) -> Self {
        Self::Phrase(phrase)
    }
}

impl From<&Phrase> for Value {
    fn from(phrase: &Phrase) -> Self {
        Self::Phrase(phrase.clone())
    }
}

impl From<FileKind> for Value {
    fn from(kind: FileKind) -> Self {
        Self::Phrase(kind.into())
    }
}

impl From<&FileKind> for Value {
    fn from(kind: &FileKind) -> Self {
        Self::Phrase((*kind).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_the_text_and_beside_it() {
        let path = Path::new("a/b");
        let inner = phrase!("inner", "no {what}", what = "end");
        let outer = phrase!("outer", "{path} has {inner}", path, inner);
        assert_eq!(outer.english(), "a/b has no end");
        assert_eq!(outer.id(), Some("outer"));
        let [
            ("path", Value::Text(text)),
            ("inner", Value::Phrase(phrase)),
        ] = outer.values()
        else {
            panic!("{outer:?}");
        };
        assert_eq!((text.as_str(), phrase.id()), ("a/b", Some("inner")));
    }

    #[test]
    fn a_text_from_outside_has_no_id() {
        let phrase = Phrase::verbatim("{not a name}");
        assert_eq!((phrase.id(), phrase.english()), (None, "{not a name}"));
    }
}
