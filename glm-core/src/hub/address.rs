//! Addresses on the web: where they lead, and what of them is shown.

use ureq::http::Uri;

/// Where a redirect leads: a whole address, one without its scheme, or a path on the same server.
pub(super) fn redirect_target(from: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let target = match location {
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        _ => location.to_owned(),
    };
    target.parse().ok().filter(is_web_address)
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

/// For messages: what follows the question mark may be a signature.
pub(super) fn without_query(uri: &Uri) -> String {
    let text = uri.to_string();
    text.split('?').next().unwrap_or_default().to_owned()
}

/// As one part of a path.
pub(super) fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => (byte as char).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
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
        for location in ["", "x", "file:///etc/passwd", "ftp://x/y", "https://"] {
            assert_eq!(redirect_target(&from, location), None, "{location}");
        }
    }

    #[test]
    fn a_part_of_a_path_stays_one() {
        assert_eq!(percent_encoded("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(percent_encoded("中?#%.a_B-9"), "%E4%B8%AD%3F%23%25.a_B-9");
    }

    #[test]
    fn messages_show_no_signature() {
        assert_eq!(without_query(&uri("https://cdn/x?key=1")), "https://cdn/x");
    }
}
