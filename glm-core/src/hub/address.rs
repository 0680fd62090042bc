//! Addresses on the web: where they lead, and what of them is shown.

use std::fmt;

use glm_tokenizer::Phrase;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::http::Uri;

/// Longest address or reason that a message shows, in characters: servers write both.
const MAX_SHOWN_CHARS: usize = 300;
/// What is not written as it is in one part of a path.
const ENCODED_IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Where a redirect leads: a whole address without credentials, one without its scheme, or a path on the same server.
pub(super) fn redirect_target(from: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let target = match location {
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        _ => location.to_owned(),
    };
    let target: Uri = target.parse().ok().filter(is_web_address)?;
    // Whose they would be is anyone's guess: no server is told the password of another one.
    let has_credentials = target.authority()?.as_str().contains('@');
    (!has_credentials).then_some(target)
}

/// An address of HTTP or HTTPS, with a host.
pub(super) fn is_web_address(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
}

/// The same server: scheme, host and port.
pub(super) fn has_same_origin(a: &Uri, b: &Uri) -> bool {
    let origin = |uri: &Uri| {
        let default = match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        };
        let host = uri.host().map(str::to_ascii_lowercase);
        (
            uri.scheme().cloned(),
            host,
            uri.port_u16().unwrap_or(default),
        )
    };
    origin(a) == origin(b)
}

/// For messages: without credentials, and without what follows the question mark, which may be a signature.
pub(super) fn shown(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    let port = uri.port().map(|port| format!(":{port}"));
    excerpt(&format!(
        "{scheme}://{host}{}{}",
        port.unwrap_or_default(),
        uri.path()
    ))
}

/// For messages: an address as a user wrote it, which may be none, without anything that may be a password.
pub(super) fn without_credentials(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    // A password that nobody encoded may hold a colon, a slash or a question mark.
    let scheme = match scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true if !scheme.is_empty() => format!("{scheme}://"),
        _ => String::new(),
    };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, server)| server);
    excerpt(&format!(
        "{scheme}{}",
        rest.split('?').next().unwrap_or_default()
    ))
}

/// For messages: what a server or another library wrote.
pub(super) fn quoted(text: impl fmt::Display) -> Phrase {
    Phrase::verbatim(excerpt(&text.to_string()))
}

/// For messages: what a server wrote, on one line and not endless.
pub(super) fn excerpt(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(MAX_SHOWN_CHARS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// As one part of a path.
pub(super) fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED_IN_PATHS).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let hub = uri("https://hub.example/api");
        for same in ["https://hub.example", "https://HUB.example:443/x"] {
            assert!(has_same_origin(&uri(same), &hub), "{same}");
        }
        for other in [
            "http://hub.example",
            "https://hub.example:8443",
            "https://cdn.hub.example",
            "https://hub.example.org",
        ] {
            assert!(!has_same_origin(&uri(other), &hub), "{other}");
        }
    }

    #[test]
    fn redirects_lead_to_web_addresses() {
        let from = uri("https://hub.example:8443/a/b?c");
        for (location, target) in [
            ("/x?y=1", "https://hub.example:8443/x?y=1"),
            ("//cdn.example/x", "https://cdn.example/x"),
            ("http://cdn.example/x", "http://cdn.example/x"),
        ] {
            assert_eq!(
                redirect_target(&from, location),
                Some(uri(target)),
                "{location}"
            );
        }
        for location in [
            "",
            "x",
            "file:///etc/passwd",
            "ftp://x/y",
            "https://",
            "https://user:key@cdn.example/x",
            "//key@cdn.example/x",
        ] {
            assert_eq!(redirect_target(&from, location), None, "{location}");
        }
    }

    #[test]
    fn a_part_of_a_path_stays_one() {
        assert_eq!(percent_encoded("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(percent_encoded("中?#%.a_B-9"), "%E4%B8%AD%3F%23%25.a_B-9");
    }

    #[test]
    fn messages_show_neither_signatures_nor_passwords() {
        for (address, expected) in [
            ("https://cdn.example/x?key=1", "https://cdn.example/x"),
            (
                "https://user:key@cdn.example:8443/x",
                "https://cdn.example:8443/x",
            ),
            ("http://key@[::1]/x@2", "http://[::1]/x@2"),
        ] {
            assert_eq!(shown(&uri(address)), expected);
        }
        let long = format!("https://cdn.example/{}", "x".repeat(10_000));
        assert_eq!(shown(&uri(&long)).chars().count(), MAX_SHOWN_CHARS + 1);
        assert_eq!(excerpt("a\u{1b}[31m\u{9b}2J\nb"), "a [31m 2J b");
    }

    #[test]
    fn what_is_no_address_is_shown_without_its_password() {
        for (address, expected) in [
            ("ftp://user:key@hub/x?key", "ftp://hub/x"),
            ("user:key@hub", "hub"),
            ("https://user:k/e?y@hub", "https://hub"),
            ("user:k://ey@hub", "hub"),
            ("hub.example", "hub.example"),
        ] {
            assert_eq!(without_credentials(address), expected);
        }
    }
}
