//! Requests to a hub, and what its answers mean.
//!
//! Redirects are followed here and not by the HTTP library: the token must stay with the endpoint (the library compares
//! hosts without their ports), and what a hub says of a large file stands in the answer that redirects.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    time::Duration,
};

use glm_tokenizer::phrase;
use serde::Deserialize;
use ureq::{
    Agent, Body,
    http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header},
};

use super::{
    address::{excerpt, percent_encoded, quoted, redirect_target, shown},
    checksum::Etag,
    endpoint::Endpoint,
    error::HubError,
    repo_revision::{RepoRevision, is_commit},
};
/// Largest listing of a repository that is read, in bytes.
const MAX_LISTING_BYTES: u64 = 16 << 20;
/// Most redirects of one request.
const MAX_REDIRECTS: usize = 10;
/// Longest time to make a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest time that the headers of an answer take in all, in times that a server may send nothing.
const MAX_HEAD_TIMEOUTS: u32 = 2;
/// Longest time that a listing takes in all, counted likewise.
const MAX_LISTING_TIMEOUTS: u32 = 10;

/// What a hub says of a file with other headers than those of HTTP, because the file lies elsewhere.
const LINKED_ETAG: &str = "x-linked-etag";
const LINKED_SIZE: &str = "x-linked-size";
/// Why a hub refuses. For a repository that it does not know it says 401 to whoever has no token.
const ERROR_CODE: &str = "x-error-code";

/// Asks one hub for one repository.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    endpoint: Endpoint,
    source: RepoRevision,
    timeout: Duration,
}

/// The state of a repository at a revision.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    /// The names of its files.
    pub(super) names: BTreeSet<String>,
}

/// A file of a commit.
#[derive(Debug)]
pub(super) struct RemoteFile {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) etag: Etag,
    /// In bytes.
    pub(super) size: u64,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Listing,
    /// What the hub itself says of a file: a redirect to another server is the answer.
    File,
    /// The content of a file from this byte on.
    Content {
        from: u64,
    },
}

impl Client {
    pub(super) fn new(endpoint: Endpoint, source: RepoRevision, timeout: Duration) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT.min(timeout)))
            .timeout_per_read(Some(timeout))
            .timeout_per_write(Some(timeout))
            // Against a server that always sends one more byte before the time of the others is up.
            .timeout_recv_response(Some(timeout.saturating_mul(MAX_HEAD_TIMEOUTS)))
            .user_agent(concat!("glm-core/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self {
            agent,
            endpoint,
            source,
            timeout,
        }
    }

    /// The commit that the revision stands for, and its files.
    pub(super) fn listing(&self) -> std::result::Result<Listing, HubError> {
        let RepoRevision { repo, revision } = &self.source;
        let revision = percent_encoded(revision);
        let endpoint = self.endpoint.address();
        let url = format!("{endpoint}/api/models/{repo}/revision/{revision}");
        let reply = self.send(&Method::GET, &url, Ask::Listing);
        let reply = reply.map_err(|error| match error {
            HubError::Status { status: 404, .. } => self.not_found(),
            other => other,
        })?;
        let mut body = reply.into_body().into_reader().take(MAX_LISTING_BYTES + 1);
        let mut json = Vec::new();
        body.read_to_end(&mut json)
            .map_err(|error| self.failed(&url, error.into()))?;
        let malformed = |reason| HubError::reply(&url, reason);
        if json.len() as u64 > MAX_LISTING_BYTES {
            let limit = phrase!(
                "hub-listing-too-long",
                "a listing has at most {most} bytes",
                most = MAX_LISTING_BYTES
            );
            return Err(malformed(limit));
        }
        let repository: Repository =
            serde_json::from_slice(&json).map_err(|error| malformed(quoted(error)))?;
        // It becomes the name of a folder.
        if !is_commit(&repository.sha) {
            return Err(malformed(phrase!(
                "hub-no-commit",
                "{commit} is no commit",
                commit = excerpt(&format!("{:?}", repository.sha))
            )));
        }
        if self.source.is_commit() && repository.sha != self.source.revision {
            return Err(malformed(phrase!(
                "hub-other-commit",
                "it gives commit {commit} instead",
                commit = &repository.sha
            )));
        }
        Ok(Listing {
            commit: repository.sha,
            names: repository
                .siblings
                .into_iter()
                .map(|file| file.rfilename)
                .collect(),
        })
    }

    /// What the hub says of a file. `name` is a plain file name.
    pub(super) fn file(
        &self,
        commit: &str,
        name: &str,
    ) -> std::result::Result<RemoteFile, HubError> {
        let (repo, encoded) = (&self.source.repo, percent_encoded(name));
        let endpoint = self.endpoint.address();
        let url = format!("{endpoint}/{repo}/resolve/{commit}/{encoded}");
        let reply = self.send(&Method::HEAD, &url, Ask::File)?;
        let headers = reply.headers();
        // The length of an answer that redirects is its own.
        let length = match reply.status().is_redirection() {
            true => None,
            false => header_text(headers, header::CONTENT_LENGTH.as_str()),
        };
        let etag = header_text(headers, LINKED_ETAG)
            .or_else(|| header_text(headers, header::ETAG.as_str()));
        let size = header_text(headers, LINKED_SIZE).or(length);
        let malformed = |reason| HubError::reply(&url, reason);
        let etag = etag.and_then(Etag::from_header);
        let size = size.and_then(|size| size.parse().ok());
        Ok(RemoteFile {
            name: name.to_owned(),
            etag: etag
                .ok_or_else(|| malformed(phrase!("hub-no-etag", "there is no usable etag")))?
                .of_file(&encoded),
            size: size.ok_or_else(|| malformed(phrase!("hub-no-length", "there is no length")))?,
            url,
        })
    }

    /// The content of a file from byte `from` on, or all of it from a server that cannot do that.
    pub(super) fn content(
        &self,
        file: &RemoteFile,
        from: u64,
    ) -> std::result::Result<Response<Body>, HubError> {
        self.send(&Method::GET, &file.url, Ask::Content { from })
    }

    /// A failure below HTTP, as an error of this request.
    pub(super) fn failed(&self, url: &str, error: ureq::Error) -> HubError {
        let url = url.to_owned();
        let reason = match &error {
            ureq::Error::Io(error) => quoted(error),
            other => quoted(other),
        };
        match error {
            ureq::Error::Timeout(ureq::Timeout::PerRead | ureq::Timeout::PerWrite) => {
                HubError::Stalled {
                    url,
                    seconds: self.timeout.as_secs_f64(),
                }
            }
            // A certificate that is refused, for one: another request would not help.
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                HubError::Reply { url, reason }
            }
            ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed => HubError::Connection { url, reason },
            _ => HubError::Reply { url, reason },
        }
    }

    /// An answer that is no error; one that redirects only where it is not followed.
    fn send(
        &self,
        method: &Method,
        url: &str,
        ask: Ask,
    ) -> std::result::Result<Response<Body>, HubError> {
        let bad = |reason| HubError::reply(url, reason);
        let mut uri: Uri = url
            .parse()
            .map_err(|_| bad(phrase!("hub-no-address", "it is no address")))?;
        // A server that was redirected to does not say what is asked of the hub in the user's name.
        let mut at_endpoint = true;
        for _ in 0..=MAX_REDIRECTS {
            at_endpoint &= self.endpoint.is_origin_of(&uri);
            let mut request = Request::builder()
                .method(method)
                .uri(&uri)
                // The length of a compressed answer would say nothing.
                .header(header::ACCEPT_ENCODING, "identity");
            if let (true, Some(value)) = (at_endpoint, self.endpoint.authorization()) {
                request = request.header(header::AUTHORIZATION, value);
            }
            if let Ask::Content { from: from @ 1.. } = ask {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            let request = request.body(()).map_err(|error| bad(quoted(error)))?;
            let longest =
                (ask == Ask::Listing).then(|| self.timeout.saturating_mul(MAX_LISTING_TIMEOUTS));
            let request = self
                .agent
                .configure_request(request)
                .timeout_recv_body(longest)
                .build();
            let reply = self.agent.run(request);
            let reply = reply.map_err(|error| self.failed(&shown(&uri), error))?;
            if !reply.status().is_redirection() {
                return self.checked(&uri, reply, at_endpoint);
            }
            let location = header_text(reply.headers(), header::LOCATION.as_str());
            let target = location.and_then(|location| redirect_target(&uri, location));
            let target = target.ok_or_else(|| {
                bad(phrase!(
                    "hub-redirect-no-web-address",
                    "it redirects to no plain web address"
                ))
            })?;
            if uri.scheme_str() == Some("https") && target.scheme_str() != Some("https") {
                return Err(bad(phrase!(
                    "hub-redirect-without-encryption",
                    "it redirects to a connection without encryption"
                )));
            }
            if ask == Ask::File && !self.endpoint.is_origin_of(&target) {
                return Ok(reply);
            }
            uri = target;
        }
        Err(bad(phrase!(
            "hub-redirects-too-often",
            "it redirects too often"
        )))
    }

    fn checked(
        &self,
        uri: &Uri,
        reply: Response<Body>,
        at_endpoint: bool,
    ) -> std::result::Result<Response<Body>, HubError> {
        let status = reply.status();
        let code = header_text(reply.headers(), ERROR_CODE);
        match status {
            _ if status.is_success() => Ok(reply),
            StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND
                if at_endpoint && matches!(code, Some("RepoNotFound" | "RevisionNotFound")) =>
            {
                Err(self.not_found())
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if at_endpoint => {
                Err(HubError::AccessDenied {
                    repo: self.source.repo.clone(),
                    endpoint: self.endpoint.address().to_owned(),
                    with_token: self.endpoint.authorization().is_some(),
                })
            }
            _ => Err(HubError::Status {
                url: shown(uri),
                status: status.as_u16(),
            }),
        }
    }

    fn not_found(&self) -> HubError {
        HubError::NotFound {
            repo: self.source.repo.clone(),
            revision: self.source.revision.clone(),
            endpoint: self.endpoint.address().to_owned(),
        }
    }
}

/// The part of a listing that matters.
#[derive(Deserialize)]
struct Repository {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// A header that is text.
pub(super) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
