//! What an etag says about the content of a file.

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// Longest etag that is taken, in bytes.
const MAX_ETAG_BYTES: usize = 128;
/// Lengths of the hashes in hexadecimal digits.
const SHA256_DIGITS: usize = 64;
const SHA1_DIGITS: usize = 40;
/// Ends the names of files that the cache keeps beside contents.
const TAKEN_ENDINGS: [&str; 2] = [".incomplete", ".lock"];
/// Names that Windows takes for devices, also with a digit at their end and whatever follows a dot.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

/// The name of a file's content. Hubs use the SHA-256 of large files and Git's hash of small ones, in lower case here
/// however they were written; safe as a file name.
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
        if !is_name || is_taken(name) {
            return None;
        }
        Some(Self(match is_hash(name) {
            true => name.to_ascii_lowercase(),
            false => name.to_owned(),
        }))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the content of `file`, a part of a path: where an etag is no checksum, that of another file may be the
    /// same.
    #[must_use]
    pub(super) fn of_file(self, file: &str) -> Self {
        match self.is_checksum() {
            true => self,
            false => Self(format!("{}-{file}", self.0)),
        }
    }

    /// Whether it says what the content is. Some mirrors have etags that do not.
    pub(super) fn is_checksum(&self) -> bool {
        is_hash(&self.0)
    }
}

/// Hexadecimal digits, as many as one of the hashes has.
fn is_hash(name: &str) -> bool {
    [SHA256_DIGITS, SHA1_DIGITS].contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A name that means another file, or on Windows a device.
fn is_taken(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let stem = name.split('.').next().unwrap_or_default();
    let device = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    TAKEN_ENDINGS.iter().any(|ending| name.ends_with(ending))
        || (DEVICES.contains(&device) && stem.len() <= device.len() + 1)
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
            _ if !is_hash(&etag.0) => Self::Unknown,
            SHA256_DIGITS => Self::Sha256(Sha256::new()),
            _ => Self::GitBlob(Sha1::new_with_prefix(format!("blob {size}\0"))),
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
    fn a_hash_in_capitals_is_the_same_hash() {
        let small = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";
        let mixed = "B6FC4C620b67d95f953a5c1c1230aaab5db5a1B0";
        for header in [small, mixed, &small.to_ascii_uppercase()] {
            let etag = Etag::from_header(&format!("W/\"{header}\"")).unwrap();
            assert!(etag.is_checksum());
            assert_eq!(etag.as_str(), small);
            assert_eq!(checksum(header, b"hello").as_deref(), Some(small));
        }
        // Other names are other names in capitals.
        let etag = Etag::from_header("\"AbC-1\"").unwrap();
        assert_eq!((etag.as_str(), etag.is_checksum()), ("AbC-1", false));
        assert_eq!(etag.of_file("x.bin").as_str(), "AbC-1-x.bin");
    }

    #[test]
    fn etags_are_file_names_or_nothing() {
        for (header, name) in [
            ("\"ab\"", "ab"),
            ("W/\"ab\"", "ab"),
            ("a-1_b.c", "a-1_b.c"),
            ("null", "null"),
            ("com22", "com22"),
        ] {
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
            "abc.incomplete",
            "abc.LOCK",
            "NUL",
            "con.txt",
            "com1",
            &"a".repeat(129),
        ] {
            assert_eq!(Etag::from_header(header), None, "{header}");
        }
    }
}
