//! What a request asks of the model.

use glm_core::code::{CodeOptions, Language};

use crate::{arguments::named_language, error::Result, line::Request};

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
    use crate::line::Line;

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
