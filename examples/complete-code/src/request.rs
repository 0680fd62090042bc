//! The lines that an editor writes.

use std::path::PathBuf;

use glm_core::code::{CodeOptions, Language};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    arguments::{Extent, named_language},
    error::Result,
};

/// What a line says.
#[derive(Debug)]
pub(crate) enum Line {
    Complete(Box<Request>),
    /// The request with this id is no longer wanted.
    Cancel(Value),
}

/// A completion that is asked for; what is not given is as on the command line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) id: Value,
    language: Option<String>,
    /// Of the file, which tells the language; it is not read.
    path: Option<PathBuf>,
    pub(crate) prefix: String,
    #[serde(default)]
    pub(crate) suffix: String,
    until: Option<Extent>,
    max_new_tokens: Option<usize>,
    stop: Option<Vec<String>>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<usize>,
    seed: Option<u64>,
}

/// A line that cannot be understood.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// As far as the line has one.
    pub(crate) id: Option<Value>,
    pub(crate) reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    cancel: Value,
}

impl Line {
    pub(crate) fn parse(line: &[u8]) -> std::result::Result<Self, Refusal> {
        let refusal = |id, reason: String| Refusal { id, reason };
        let fields: Map<String, Value> =
            serde_json::from_slice(line).map_err(|error| refusal(None, error.to_string()))?;
        let id = fields.get("id").filter(|id| is_id(id)).cloned();
        let is_cancel = fields.contains_key("cancel");
        let value = Value::Object(fields);
        let parsed = match is_cancel {
            true => serde_json::from_value(value).map(|Cancel { cancel }| Self::Cancel(cancel)),
            false => serde_json::from_value(value).map(Self::Complete),
        };
        match parsed {
            Ok(Self::Complete(request)) if !is_id(&request.id) => Err(refusal(
                None,
                format!("`id` must be a string or a number, found {}", request.id),
            )),
            Ok(line) => Ok(line),
            Err(error) => Err(refusal(id, error.to_string())),
        }
    }
}

fn is_id(id: &Value) -> bool {
    id.is_string() || id.is_number()
}

impl Request {
    /// The language that was named, else that of the path, else that of the command line.
    pub(crate) fn language(
        &self,
        default: Option<&'static Language>,
    ) -> Result<Option<&'static Language>> {
        if let Some(name) = &self.language {
            return named_language(name).map(Some);
        }
        let of_path = self.path.as_deref().and_then(Language::of_path);
        Ok(of_path.or(default))
    }

    pub(crate) fn options(&self, defaults: &CodeOptions) -> CodeOptions {
        let mut options = defaults.clone();
        options.until = self.until.map_or(options.until, Into::into);
        let generation = &mut options.generation;
        generation.max_new_tokens = self.max_new_tokens.or(generation.max_new_tokens);
        if let Some(stop) = &self.stop {
            generation.stop.clone_from(stop);
        }
        generation.temperature = self.temperature.unwrap_or(generation.temperature);
        generation.top_p = self.top_p.unwrap_or(generation.top_p);
        generation.top_k = self.top_k.unwrap_or(generation.top_k);
        generation.seed = self.seed.or(generation.seed);
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> (Option<Value>, String) {
        let refusal = Line::parse(line.as_bytes()).unwrap_err();
        (refusal.id, refusal.reason)
    }

    #[test]
    fn what_is_wrong_with_a_line_is_told_with_its_id() {
        for (line, id, reason) in [
            ("{", None, "EOF while parsing"),
            ("[]", None, "invalid type: sequence"),
            ("\"x\"", None, "invalid type"),
            (r#"{"id":1}"#, Some(1.into()), "missing field `prefix`"),
            (r#"{"prefix":""}"#, None, "missing field `id`"),
            (
                r#"{"id":null,"prefix":""}"#,
                None,
                "`id` must be a string or a number, found null",
            ),
            (
                r#"{"id":[1],"prefix":""}"#,
                None,
                "`id` must be a string or a number, found [1]",
            ),
            (
                r#"{"id":"a","prefix":1}"#,
                Some("a".into()),
                "expected a string",
            ),
            (
                r#"{"id":1,"prefix":"","top":3}"#,
                Some(1.into()),
                "unknown field `top`",
            ),
            (
                r#"{"id":1,"prefix":"","until":"now"}"#,
                Some(1.into()),
                "unknown variant `now`",
            ),
            (
                r#"{"id":1,"prefix":"","top_k":-1}"#,
                Some(1.into()),
                "invalid value",
            ),
            (
                r#"{"cancel":1,"id":1}"#,
                Some(1.into()),
                "unknown field `id`",
            ),
        ] {
            let (found, message) = refused(line);
            assert_eq!(found, id, "{line}");
            assert!(message.contains(reason), "{line}: {message}");
        }
        assert!(Line::parse(b"{\"id\":1,\"prefix\":\"\xff\"}").is_err());
    }

    fn request(line: &str) -> Request {
        match Line::parse(line.as_bytes()) {
            Ok(Line::Complete(request)) => *request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_language_is_named_or_told_by_the_path_or_the_default() {
        let rust = Language::by_name("rust");
        for (line, language) in [
            (
                r#"{"id":1,"prefix":"","language":"go","path":"a.py"}"#,
                "Go",
            ),
            (r#"{"id":1,"prefix":"","path":"a.py"}"#, "Python"),
            (r#"{"id":1,"prefix":"","path":"a.unknown"}"#, "Rust"),
            (r#"{"id":1,"prefix":""}"#, "Rust"),
        ] {
            let found = request(line).language(rust).unwrap().unwrap();
            assert_eq!(found.name(), language, "{line}");
        }
        let unknown = request(r#"{"id":1,"prefix":"","language":"klingon"}"#);
        assert!(unknown.language(rust).is_err());
    }

    #[test]
    fn what_a_request_leaves_out_is_as_on_the_command_line() {
        let mut defaults = CodeOptions::default();
        defaults.generation.stop = vec!["x".to_owned()];
        assert_eq!(
            request(r#"{"id":1,"prefix":""}"#).options(&defaults),
            defaults
        );
        let line = r#"{"id":1,"prefix":"","until":"line","max_new_tokens":3,"stop":[],"temperature":1,"top_p":0.5,"top_k":7,"seed":9}"#;
        let options = request(line).options(&defaults);
        let generation = options.generation;
        assert_eq!(options.until, glm_core::code::Until::Line);
        assert_eq!((generation.max_new_tokens, generation.top_k), (Some(3), 7));
        assert_eq!((generation.temperature, generation.top_p), (1.0, 0.5));
        assert_eq!((generation.stop, generation.seed), (vec![], Some(9)));
    }
}
