//! Where a hub is, and how it learns who asks.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};
use glm_tokenizer::{Phrase, phrase};
use percent_encoding::percent_decode_str;
use ureq::http::{HeaderValue, Uri};

use super::address::{has_same_origin, is_web_address, without_credentials};
use crate::error::{Error, Result};

/// The address of a hub, and what proves to it who asks. The proof is never shown.
pub(super) struct Endpoint {
    /// Without credentials, and without a slash at its end.
    address: String,
    uri: Uri,
    /// `Bearer …` for a token, `Basic …` for credentials in the address.
    authorization: Option<HeaderValue>,
}

impl Endpoint {
    /// From an address such as `https://hub.example` or `https://user:password@hub.example/mirror`. A token takes the
    /// place of credentials in the address.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for what is no address of this kind, and for a token that cannot be sent.
    pub(super) fn new(address: &str, token: Option<&str>) -> Result<Self> {
        let (uri, userinfo) = parse(address).ok_or_else(|| Error::InvalidOption {
            option: "endpoint",
            expected: phrase!(
                "option-endpoint",
                "an address that begins with https:// or http:// and has no `?` and no `@` in its path",
            ),
            found: Phrase::verbatim(format!("`{}`", without_credentials(address))),
        })?;
        let authorization = match (token, userinfo) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, Some(userinfo)) => Some(format!("Basic {}", basic(&userinfo))),
            (None, None) => None,
        };
        let mut authorization = authorization
            .map(HeaderValue::try_from)
            .transpose()
            .map_err(|_| Error::InvalidOption {
                option: "token",
                expected: phrase!("option-token", "one line of visible ASCII characters"),
                found: phrase!("option-others", "others"),
            })?;
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        Ok(Self {
            address: uri.to_string().trim_end_matches('/').to_owned(),
            uri,
            authorization,
        })
    }

    /// To be shown, and to be continued with a path.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Whether `uri` leads to the same server.
    pub(super) fn is_origin_of(&self, uri: &Uri) -> bool {
        has_same_origin(uri, &self.uri)
    }

    /// For requests to this server, and to no other.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// An address without its credentials, and these.
fn parse(address: &str) -> Option<(Uri, Option<String>)> {
    let uri: Uri = address.parse().ok()?;
    // With a sign of these, the server may be a part of a password that nobody encoded.
    if !is_web_address(&uri) || uri.query().is_some() || uri.path().contains('@') {
        return None;
    }
    let mut parts = uri.into_parts();
    let authority = parts.authority.take()?;
    let (userinfo, server) = match authority.as_str().rsplit_once('@') {
        Some((userinfo, server)) => (Some(userinfo.to_owned()), server),
        None => (None, authority.as_str()),
    };
    parts.authority = Some(server.parse().ok()?);
    Some((Uri::from_parts(parts).ok()?, userinfo))
}

/// `USER:PASSWORD` of an address as HTTP sends it (RFC 7617).
fn basic(userinfo: &str) -> String {
    let mut credentials: Vec<u8> = percent_decode_str(userinfo).collect();
    if !userinfo.contains(':') {
        credentials.push(b':');
    }
    BASE64_STANDARD.encode(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_become_a_header_and_nothing_else() {
        for (address, expected) in [
            // `printf 'user:p@ss' | base64`
            (
                "https://user:p%40ss@hub.example/mirror/",
                "Basic dXNlcjpwQHNz",
            ),
            // `printf 'hf_token:' | base64`
            ("https://hf_token@hub.example/mirror", "Basic aGZfdG9rZW46"),
        ] {
            let endpoint = Endpoint::new(address, None).unwrap();
            assert_eq!(endpoint.address(), "https://hub.example/mirror");
            assert_eq!(format!("{endpoint:?}"), "\"https://hub.example/mirror\"");
            assert_eq!(endpoint.authorization().unwrap(), expected);
            assert!(endpoint.authorization().unwrap().is_sensitive());
        }
        let endpoint = Endpoint::new("https://user:password@hub.example", Some("hf_x")).unwrap();
        assert_eq!(endpoint.authorization().unwrap(), "Bearer hf_x");
        assert!(endpoint.is_origin_of(&"https://hub.example:443/x".parse().unwrap()));
        let endpoint = Endpoint::new("http://[::1]:8080", None).unwrap();
        assert_eq!(
            (endpoint.address(), endpoint.authorization()),
            ("http://[::1]:8080", None)
        );
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_its_secrets() {
        for address in [
            "",
            "ftp://user:secret@hub.example",
            "user:secret@hub.example",
            "//user:secret@hub.example",
            "https://us er:secret@hub.example",
            "https://user:sec/ret:secret@hub.example",
            "https://user:sec?ret@secret@hub.example",
            "https://user:80/secret@hub.example",
            "https://user:secret@hub.example/?token=secret",
            "https://hub.example/?token=secret",
        ] {
            let error = Endpoint::new(address, None).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::InvalidOption {
                        option: "endpoint",
                        ..
                    }
                ),
                "{address}"
            );
            let shown = format!("{error}{error:?}");
            for part in ["secret", "sec", "ret", "user"] {
                assert!(!shown.contains(part), "{shown}");
            }
        }
        let error = Endpoint::new("http://hub", Some("hf_secret\r\nx: y")).unwrap_err();
        assert!(matches!(
            error,
            Error::InvalidOption {
                option: "token",
                ..
            }
        ));
        assert!(!format!("{error}{error:?}").contains("secret"));
    }
}
