//! What can go wrong between the name of a model and its files.

use std::path::PathBuf;

use glm_tokenizer::{Phrase, phrase, values};

/// Why a checkpoint could not be fetched from a hub. Disk and folder problems are variants of [`crate::Error`] itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A name that has the form `ORG/NAME`, but may be meant for a file or folder of this machine.
    #[error(
        "there is no {}, and it is not looked up as the name of a model to download: {why}",
        path.display()
    )]
    LocalName {
        /// What was named.
        path: PathBuf,
        /// What makes it look like a file, and the remedy.
        why: Phrase,
    },
    /// The hub knows no such repository, or the repository no such revision.
    #[error(
        "there is no model `{repo}` with revision `{revision}` at {endpoint}; check the name, and set HF_TOKEN if the model is private"
    )]
    NotFound {
        /// The repository, `ORG/NAME`.
        repo: String,
        /// Branch, tag or commit.
        revision: String,
        /// Address of the hub.
        endpoint: String,
    },
    /// The repository is gated or private.
    #[error(
        "the model `{repo}` is gated or private: accept its terms at {endpoint}/{repo} and set HF_TOKEN to a token that may read it ({})",
        if *with_token { "the token in use may not" } else { "none was given" }
    )]
    AccessDenied {
        /// The repository, `ORG/NAME`.
        repo: String,
        /// Address of the hub.
        endpoint: String,
        /// Whether the request carried a token.
        with_token: bool,
    },
    /// The repository is of another kind than the models here.
    #[error(
        "`{repo}` with revision `{revision}` is no checkpoint of this kind: it has no {missing}"
    )]
    NoCheckpoint {
        /// The repository, `ORG/NAME`.
        repo: String,
        /// Branch, tag or commit.
        revision: String,
        /// The file that was looked for.
        missing: Phrase,
    },
    /// Offline, and the cache does not hold all of the checkpoint.
    #[error(
        "`{repo}` with revision `{revision}` is not complete in {}: there is no {missing}; run once with a network, without --offline and HF_HUB_OFFLINE",
        cache_dir.display()
    )]
    NotCached {
        /// The repository, `ORG/NAME`.
        repo: String,
        /// Branch, tag or commit.
        revision: String,
        /// The file that was looked for.
        missing: Phrase,
        /// The cache.
        cache_dir: PathBuf,
    },
    /// The connection could not be made, or was cut, more often than it is retried.
    #[error("cannot download {url}: {reason}; what has arrived is kept, run again to continue")]
    Connection {
        /// What was asked for.
        url: String,
        /// What happened.
        reason: Phrase,
    },
    /// Nothing arrived for too long, more often than it is retried.
    #[error("{url} sent nothing for {seconds} s; what has arrived is kept, run again to continue")]
    Stalled {
        /// What was asked for.
        url: String,
        /// The limit.
        seconds: f64,
    },
    /// The server refused for a reason of its own.
    #[error("{url} answered with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status code of HTTP.
        status: u16,
    },
    /// The server does not speak as a hub does, or tries what a hub must not.
    #[error("{url} does not answer as a hub should: {reason}")]
    Reply {
        /// What was asked for.
        url: String,
        /// What is wrong.
        reason: Phrase,
    },
    /// A file with another length than the hub announced. What was downloaded of it is removed.
    #[error("{url} has {found} bytes, expected {expected}; it was discarded, try again")]
    WrongLength {
        /// What was asked for.
        url: String,
        /// Bytes that the hub announced.
        expected: u64,
        /// Bytes that were sent, or were going to be.
        found: u64,
    },
    /// A file with another checksum than the hub announced. What was downloaded of it is removed.
    #[error(
        "{url} was damaged on its way: checksum {found}, expected {expected}; it was discarded, try again"
    )]
    WrongChecksum {
        /// What was asked for.
        url: String,
        /// The checksum that the hub announced, in hexadecimal.
        expected: String,
        /// The checksum of what arrived.
        found: String,
    },
    /// There is no folder to keep downloads in.
    #[error("there is no home folder to keep downloads in; set HF_HOME to a folder")]
    NoCacheDir,
}

impl HubError {
    /// [`HubError::Reply`]. What `reason` quotes of the server is an excerpt already.
    pub(super) fn reply(url: &str, reason: Phrase) -> Self {
        Self::Reply {
            url: url.to_owned(),
            reason,
        }
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Stalled { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }
}

impl From<&HubError> for Phrase {
    fn from(error: &HubError) -> Self {
        let (id, values) = match error {
            HubError::LocalName { path, why } => ("hub-local-name", values![path, why]),
            HubError::NotFound {
                repo,
                revision,
                endpoint,
            } => ("hub-not-found", values![repo, revision, endpoint]),
            HubError::AccessDenied {
                repo,
                endpoint,
                with_token,
            } => {
                let token = match with_token {
                    true => phrase!("hub-token-may-not", "the token in use may not"),
                    false => phrase!("hub-no-token", "none was given"),
                };
                ("hub-access-denied", values![repo, endpoint, token])
            }
            HubError::NoCheckpoint {
                repo,
                revision,
                missing,
            } => ("hub-no-checkpoint", values![repo, revision, missing]),
            HubError::NotCached {
                repo,
                revision,
                missing,
                cache_dir,
            } => (
                "hub-not-cached",
                values![repo, revision, missing, cache_dir],
            ),
            HubError::Connection { url, reason } => ("hub-connection", values![url, reason]),
            HubError::Stalled { url, seconds } => ("hub-stalled", values![url, seconds]),
            HubError::Status { url, status } => ("hub-status", values![url, status]),
            HubError::Reply { url, reason } => ("hub-reply", values![url, reason]),
            HubError::WrongLength {
                url,
                expected,
                found,
            } => ("hub-wrong-length", values![url, expected, found]),
            HubError::WrongChecksum {
                url,
                expected,
                found,
            } => ("hub-wrong-checksum", values![url, expected, found]),
            HubError::NoCacheDir => ("hub-no-cache-dir", values![]),
        };
        Self::new(id, error, values)
    }
}
