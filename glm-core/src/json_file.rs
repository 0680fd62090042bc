//! JSON that other programs wrote: the one way in which it is read here, whatever editor it went through.

use std::path::Path;

use glm_tokenizer::{Phrase, phrase, regular_file};
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// What editors on Windows put before UTF-8. JSON allows none, and every reader is free to skip it.
const UTF_8_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// How UTF-16 begins, in either byte order: with its mark, or with the brace of an object.
const UTF_16_STARTS: [&[u8]; 4] = [&[0xff, 0xfe], &[0xfe, 0xff], b"{\0", b"\0{"];

/// Reads and parses the file at `path`, which has at most `most` bytes.
///
/// # Errors
/// [`Error::NotFound`], [`Error::PermissionDenied`], [`Error::Io`]; those of [`parse`].
pub(crate) fn read<T: DeserializeOwned>(path: &Path, most: u64) -> Result<T> {
    parse(path, &read_bytes(path, most)?, most)
}

/// The bytes of the file at `path`, which has at most `most`.
///
/// # Errors
/// [`Error::NotFound`], [`Error::PermissionDenied`], [`Error::Io`].
pub(crate) fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>> {
    regular_file::read(path, most).map_err(|error| Error::file(path, error))
}

/// Parses the bytes of the file at `path`, which has at most `most`. A byte-order mark of UTF-8 is skipped.
///
/// # Errors
/// [`Error::Malformed`] for more bytes, for UTF-16, and for what is not the JSON of a `T`.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8], most: u64) -> Result<T> {
    if bytes.len() as u64 > most {
        let reason = phrase!(
            "json-too-long",
            "such a file has at most {most} bytes",
            most
        );
        return Err(Error::malformed(path, reason));
    }
    if UTF_16_STARTS.iter().any(|start| bytes.starts_with(start)) {
        let reason = phrase!(
            "json-utf-16",
            "its text is UTF-16, expected UTF-8; save it as UTF-8"
        );
        return Err(Error::malformed(path, reason));
    }
    let json = bytes.strip_prefix(UTF_8_MARK).unwrap_or(bytes);
    serde_json::from_slice(json).map_err(|error| Error::malformed(path, Phrase::verbatim(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const TEXT: &str = r#"{"key": "词"}"#;

    fn parsed(bytes: &[u8]) -> Result<Value> {
        parse(Path::new("some.json"), bytes, 100)
    }

    #[test]
    fn a_mark_of_utf_8_is_no_part_of_the_text() {
        let marked = [UTF_8_MARK, TEXT.as_bytes()].concat();
        assert_eq!(parsed(&marked).unwrap(), parsed(TEXT.as_bytes()).unwrap());
        // One is enough: a second is text.
        assert!(parsed(&[UTF_8_MARK, &marked].concat()).is_err());
    }

    #[test]
    fn utf_16_is_named() {
        let little =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let big =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
        let marked = format!("\u{feff}{TEXT}");
        for bytes in [little(TEXT), big(TEXT), little(&marked), big(&marked)] {
            let message = parsed(&bytes).unwrap_err().to_string();
            assert!(
                message.contains("some.json") && message.contains("UTF-16"),
                "{message}"
            );
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let text = format!("[{}]", "1,".repeat(100));
        let message = parsed(text.as_bytes()).unwrap_err().to_string();
        assert!(message.contains("at most 100 bytes"), "{message}");
    }
}
