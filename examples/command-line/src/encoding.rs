//! Which characters the bytes of a text are.

use std::{borrow::Cow, fmt, str::FromStr};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};

use crate::texts::{Tell, Texts, in_english};

/// A guess between encodings falls on those of this top-level domain: most who talk to these models write Chinese.
const GUESS_LIKE: &[u8] = b"cn";

/// A character encoding of the WHATWG's Encoding Standard, by any of its labels: `gbk`, `gb18030`, `big5`, `utf-16le`…
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(&'static encoding_rs::Encoding);

impl Default for Encoding {
    /// UTF-8.
    fn default() -> Self {
        Self(encoding_rs::UTF_8)
    }
}

impl Encoding {
    /// Whether a line can be told from the next one, byte by byte.
    #[must_use]
    pub fn is_ascii_compatible(self) -> bool {
        self.0.is_ascii_compatible()
    }

    /// The text of `bytes` without a byte-order mark; invalid bytes are replaced, and true then.
    #[must_use]
    pub fn decode_lossy(self, bytes: &[u8]) -> (Cow<'_, str>, bool) {
        self.0.decode_with_bom_removal(bytes)
    }
}

/// A name that is no encoding's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownEncoding;

impl Tell for UnknownEncoding {
    fn tell(&self, texts: &Texts) -> String {
        texts.get("shared-unknown-encoding")
    }
}

impl fmt::Display for UnknownEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_english(self))
    }
}

impl std::error::Error for UnknownEncoding {}

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(label: &str) -> Result<Self, UnknownEncoding> {
        let encoding = encoding_rs::Encoding::for_label_no_replacement(label.as_bytes());
        encoding.map(Self).ok_or(UnknownEncoding)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

/// A text, and how it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Without a byte-order mark.
    pub text: String,
    /// The encoding, where nothing told it.
    pub guessed: Option<Encoding>,
}

/// Why bytes are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecodable {
    /// They are not in the encoding that was named, or that their byte-order mark says.
    NotIn(Encoding),
    /// They hold zero bytes, as no text does.
    Binary,
    /// They fit no encoding.
    Unknown,
}

/// The text of `bytes`: in the encoding that is named, else in that of its byte-order mark, else in UTF-8, else in the one
/// that is most probable.
///
/// # Errors
/// Why it cannot be decoded. Nothing is ever replaced.
pub fn decode(bytes: Vec<u8>, named: Option<Encoding>) -> Result<Decoded, Undecodable> {
    let told = named.or_else(|| {
        let (encoding, _) = encoding_rs::Encoding::for_bom(&bytes)?;
        Some(Encoding(encoding))
    });
    if let Some(encoding) = told {
        return match encoding.0.decode_with_bom_removal(&bytes) {
            (text, false) => Ok(Decoded {
                text: text.into_owned(),
                guessed: None,
            }),
            _ => Err(Undecodable::NotIn(encoding)),
        };
    }
    if bytes.contains(&0) {
        return Err(Undecodable::Binary);
    }
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => {
            return Ok(Decoded {
                text,
                guessed: None,
            });
        }
        Err(error) => error.into_bytes(),
    };
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(&bytes, true);
    let encoding = detector.guess(Some(GUESS_LIKE), Utf8Detection::Deny);
    match encoding.decode_without_bom_handling_and_without_replacement(&bytes) {
        Some(text) => Ok(Decoded {
            text: text.into_owned(),
            guessed: Some(Encoding(encoding)),
        }),
        None => Err(Undecodable::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Option<Encoding> {
        Some(name.parse().unwrap())
    }

    fn told(text: &str) -> Result<Decoded, Undecodable> {
        Ok(Decoded {
            text: text.to_owned(),
            guessed: None,
        })
    }

    #[test]
    fn utf8_and_byte_order_marks_tell_the_encoding() {
        for (bytes, text) in [
            (&b""[..], ""),
            ("# 你好\n".as_bytes(), "# 你好\n"),
            (b"\xef\xbb\xbfa", "a"),
            (b"\xff\xfea\0\x60\x4f", "a你"),
            (b"\xfe\xff\0a\x4f\x60", "a你"),
        ] {
            assert_eq!(decode(bytes.to_vec(), None), told(text), "{bytes:?}");
        }
        let cut = decode(b"\xff\xfea".to_vec(), None);
        assert_eq!(cut, Err(Undecodable::NotIn(named("utf-16le").unwrap())));
        let cut = decode(b"\xef\xbb\xbf\xe4".to_vec(), None);
        assert_eq!(cut, Err(Undecodable::NotIn(named("utf-8").unwrap())));
    }

    #[test]
    fn a_named_encoding_is_that_and_nothing_else() {
        let text = "# 计算两个数的和\n";
        for name in ["gbk", "GB18030", "gb2312", "big5", "utf-8"] {
            let encoding = named(name).unwrap();
            let (bytes, _, lossy) = encoding.0.encode("# 你好\n");
            assert!(!lossy);
            assert_eq!(decode(bytes.into_owned(), named(name)), told("# 你好\n"));
        }
        let refused = decode(text.as_bytes()[..4].to_vec(), named("utf-8"));
        assert_eq!(refused, Err(Undecodable::NotIn(named("utf-8").unwrap())));
        for name in ["klingon", "", "replacement"] {
            assert_eq!(name.parse::<Encoding>(), Err(UnknownEncoding), "{name}");
        }
    }

    #[test]
    fn chinese_text_in_gbk_is_recognised_however_short() {
        for text in [
            "# 计算两个数的和\ndef add(a, b):\n",
            "# 冒泡排序\n",
            "法国的首都是哪里？",
        ] {
            let gbk = named("gbk").unwrap();
            let bytes = gbk.0.encode(text).0.into_owned();
            let decoded = decode(bytes, None).unwrap();
            assert_eq!((&*decoded.text, decoded.guessed), (text, Some(gbk)));
        }
    }

    #[test]
    fn what_is_no_text_is_not_decoded() {
        // UTF-16 without a byte-order mark is as good as binary, until it is named.
        for bytes in [&b"\x7fELF\x02\x01\x01\0\0\xff"[..], b"a\0b\0", b"\0"] {
            let refused = decode(bytes.to_vec(), None);
            assert_eq!(refused, Err(Undecodable::Binary), "{bytes:?}");
        }
        assert_eq!(decode(b"a\0b\0".to_vec(), named("utf-16le")), told("ab"));
    }
}
