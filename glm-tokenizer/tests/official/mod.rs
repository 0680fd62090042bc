//! The golden files, and how results are compared with them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use glm_tokenizer::{DecodeOptions, GlmTokenizer, TokenId};
use serde::de::DeserializeOwned;

pub(crate) fn tokenizers() -> PathBuf {
    std::env::var_os("GLM_TEST_TOKENIZERS")
        .expect("GLM_TEST_TOKENIZERS must name the folder of the real model files")
        .into()
}

pub(crate) fn fixtures() -> PathBuf {
    std::env::var_os("GLM_TEST_FIXTURES")
        .map_or_else(|| tokenizers().join("../fixtures"), PathBuf::from)
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = fixtures().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn json<T: DeserializeOwned>(path: &str) -> T {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn json_lines<T: DeserializeOwned>(path: &str) -> Vec<T> {
    let parse =
        |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{path}: {error}: {line}"));
    read(path).lines().map(parse).collect()
}

/// Collects what differs, so that a failure shows how much and where.
#[derive(Default)]
pub(crate) struct Differences {
    checked: usize,
    lines: Vec<String>,
}

impl Differences {
    pub(crate) fn check<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        text: &str,
        found: T,
        expected: T,
    ) {
        self.checked += 1;
        if found != expected {
            self.lines.push(format!(
                "{what} of {text:?}:\n  found    {found:?}\n  expected {expected:?}"
            ));
        }
    }

    pub(crate) fn assert_none(self, at_least: usize) {
        assert!(
            self.checked >= at_least,
            "only {} comparisons",
            self.checked
        );
        let shown: Vec<_> = self.lines.iter().take(10).map(String::as_str).collect();
        assert!(
            shown.is_empty(),
            "{} of {} differ\n{}",
            self.lines.len(),
            self.checked,
            shown.join("\n")
        );
    }
}

pub(crate) const DEFAULT: DecodeOptions = DecodeOptions {
    skip_special_tokens: false,
    clean_up_tokenization_spaces: true,
};
pub(crate) const SKIP: DecodeOptions = DecodeOptions {
    skip_special_tokens: true,
    ..DEFAULT
};
pub(crate) const RAW: DecodeOptions = DecodeOptions {
    clean_up_tokenization_spaces: false,
    ..DEFAULT
};

pub(crate) fn streamed(
    tokenizer: &GlmTokenizer,
    ids: &[TokenId],
    options: DecodeOptions,
) -> String {
    let mut decoder = tokenizer.stream_decoder_with(options);
    let mut text: String = ids.iter().map(|&id| decoder.push(id)).collect();
    text.push_str(&decoder.finish());
    text
}
