//! What an etag says about the content of a file.

use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::repo_revision::is_hexadecimal;

/// Longest etag that is taken, in bytes.
const MAX_ETAG_BYTES: usize = 128;

/// The name of a file's content. Hubs use the SHA-256 of large files and Git's hash of small ones; safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Etag(String);

impl Etag {
    /// From the header, with its quotation marks. `None` for what cannot be a file name.
    pub(super) fn from_header(value: &str) -> Option<Self> {
        let name = value.strip_prefix("W/").unwrap_or(value).trim_matches('"');
        let is_name = (1..=MAX_ETAG_BYTES).contains(&name.len())
            && !name.starts_with('.')
            && !name.ends_with('.')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        is_name.then(|| Self(name.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Hashes a file as its etag asks for.
#[derive(Debug)]
pub(super) enum Checksum {
    Sha256(Sha256),
    /// The hash of a blob in Git.
    GitBlob(Sha1),
    /// An etag that is no checksum, as some mirrors give it.
    Unknown,
}

impl Checksum {
    /// Of a file with `size` bytes.
    pub(super) fn new(etag: &Etag, size: u64) -> Self {
        match etag.0.len() {
            64 if is_hexadecimal(&etag.0) => Self::Sha256(Sha256::new()),
            40 if is_hexadecimal(&etag.0) => {
                Self::GitBlob(Sha1::new_with_prefix(format!("blob {size}\0")))
            }
            _ => Self::Unknown,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::GitBlob(hash) => hash.update(bytes),
            Self::Unknown => {}
        }
    }

    /// In hexadecimal; `None` when the etag says nothing.
    pub(super) fn finish(self) -> Option<String> {
        match self {
            Self::Sha256(hash) => Some(hexadecimal(&hash.finalize())),
            Self::GitBlob(hash) => Some(hexadecimal(&hash.finalize())),
            Self::Unknown => None,
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum(etag: &str, content: &[u8]) -> Option<String> {
        let etag = Etag::from_header(etag).unwrap();
        let mut checksum = Checksum::new(&etag, content.len() as u64);
        checksum.update(content);
        checksum.finish()
    }

    #[test]
    fn both_kinds_equal_the_tools_that_made_them() {
        // `printf hello | sha256sum`, `printf hello | git hash-object --stdin`
        for expected in [
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0",
        ] {
            assert_eq!(checksum(expected, b"hello").as_deref(), Some(expected));
        }
        assert_eq!(checksum("d41d8cd9-3", b"hello"), None);
    }

    #[test]
    fn etags_are_file_names_or_nothing() {
        for (header, name) in [("\"ab\"", "ab"), ("W/\"ab\"", "ab"), ("a-1_b.c", "a-1_b.c")] {
            assert_eq!(Etag::from_header(header).unwrap().as_str(), name);
        }
        for header in [
            "",
            "\"\"",
            "\"..\"",
            "\"../x\"",
            "a/b",
            "a\\b",
            ".a",
            "a:b",
            &"a".repeat(129),
        ] {
            assert_eq!(Etag::from_header(header), None, "{header}");
        }
    }
}
