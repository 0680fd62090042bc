//! The lines that an editor writes. Nothing here needs a model, so that they are fuzzed by themselves.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};

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
    pub(crate) language: Option<String>,
    /// Of the file, which tells the language; it is not read.
    pub(crate) path: Option<PathBuf>,
    pub(crate) prefix: String,
    #[serde(default)]
    pub(crate) suffix: String,
    pub(crate) until: Option<Extent>,
    pub(crate) max_new_tokens: Option<usize>,
    pub(crate) stop: Option<Vec<String>>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_k: Option<usize>,
    pub(crate) seed: Option<u64>,
}

/// How far a completion goes, by name.
#[derive(Debug, Clone, Copy, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Extent {
    /// To the end of the line
    Line,
    /// To the end of the block or function, which indentation tells
    Block,
    /// As far as the model goes
    End,
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
}
