//! Checkpoints by name: downloaded once from the Hugging Face hub, or a mirror of it, and kept.
//!
//! [`Hub::fetch`] makes a folder that [`crate::load`] opens, from the files that a model needs and no others: the
//! configuration, the tokenizer, and the weights in one format. It is part of the cache that Python's `huggingface_hub`
//! has (`repo_cache.rs` draws it), and what is there already is used. What a broken connection or a killed process leaves
//! is continued, each file is checked against the hash that the hub announces, and two processes that want the same file
//! do not disturb each other.
//!
//! The library `hf-hub` is not used: as of 1.0.0 it begins a partial file again from its first byte, checks no hash, knows
//! no offline mode, and needs an asynchronous runtime. What it has in common with this module are the addresses and the
//! folder.

mod address;
mod checksum;
mod client;
mod endpoint;
mod error;
mod fetch;
mod local_name;
mod needed_files;
mod notice;
mod repo_cache;
mod repo_revision;
mod retries;
mod transfer;

use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use glm_tokenizer::regular_file;

use crate::{
    checkpoint::progress::{LoadProgress, Meter},
    error::Result,
};

pub use error::HubError;
pub use notice::HubNotice;

use address::without_credentials;
use client::Client;
use endpoint::Endpoint;
use fetch::Fetch;
use notice::Notices;
use repo_cache::RepoCache;
use repo_revision::RepoRevision;

/// The revision to use when none is named.
pub const DEFAULT_REVISION: &str = "main";

/// Most bytes of a token's file. A token has 37.
const MAX_TOKEN_BYTES: u64 = 4096;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_RETRIES: u32 = 4;

/// Where checkpoints come from, and where they are kept.
///
/// ```no_run
/// use glm_core::hub::{DEFAULT_REVISION, Hub};
///
/// let folder = Hub::from_env().fetch("THUDM/chatglm-6b", DEFAULT_REVISION)?;
/// let model = glm_core::load(folder)?;
/// # Ok::<(), glm_core::Error>(())
/// ```
pub struct Hub<'a> {
    endpoint: String,
    cache_dir: Option<PathBuf>,
    token: Option<String>,
    offline: bool,
    timeout: Duration,
    retries: u32,
    meter: Meter<'a>,
    notices: Notices<'a>,
}

impl Default for Hub<'_> {
    /// `https://huggingface.co` without a token, and the user's cache. Looks at no environment variable.
    fn default() -> Self {
        Self {
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            cache_dir: env::home_dir().map(|home| home.join(".cache/huggingface/hub")),
            token: None,
            offline: false,
            timeout: DEFAULT_TIMEOUT,
            retries: DEFAULT_RETRIES,
            meter: Meter::silent(),
            notices: Notices::default(),
        }
    }
}

impl<'a> Hub<'a> {
    /// What the environment says, in the words of `huggingface_hub`: `HF_ENDPOINT`; `HF_HUB_CACHE`, or `hub` in `HF_HOME`,
    /// or in `huggingface` in `XDG_CACHE_HOME` or `~/.cache`; `HF_TOKEN`, or the file `HF_TOKEN_PATH`, or `token` in
    /// `HF_HOME`; `HF_HUB_OFFLINE`. The proxy is that of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    pub fn from_env() -> Self {
        let path = |name| variable(name).map(PathBuf::from);
        let home = path("HF_HOME")
            .or_else(|| Some(path("XDG_CACHE_HOME")?.join("huggingface")))
            .or_else(|| Some(env::home_dir()?.join(".cache/huggingface")));
        let token_file = path("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")));
        let token = variable("HF_TOKEN").or_else(|| {
            let token = regular_file::read(token_file?, MAX_TOKEN_BYTES).ok()?;
            String::from_utf8(token).ok()
        });
        let offline = variable("HF_HUB_OFFLINE").unwrap_or_default();
        let default = Self::default();
        Self {
            endpoint: variable("HF_ENDPOINT").unwrap_or(default.endpoint),
            cache_dir: path("HF_HUB_CACHE").or_else(|| Some(home?.join("hub"))),
            token: token
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty()),
            offline: ["1", "on", "yes", "true"].contains(&offline.to_ascii_lowercase().as_str()),
            ..default
        }
    }

    /// The address of the hub, `https://…` or `http://…`. A user and a password in it (`https://user:password@…`) are sent
    /// to this server alone, when there is no token, and shown nowhere.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// The folder that holds `models--ORG--NAME`. It is made when missing.
    #[must_use]
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(dir.into());
        self
    }

    /// An access token, for gated and private models. It is sent to the endpoint and to no other server.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// With `true`, uses the cache alone.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// How long a server may send nothing; the default is 30 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many failures in a row are followed by another request; the default is 4. The first one follows at once, the
    /// others after waits that double from one second on.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Calls `progress` whenever bytes have arrived. Its bytes are those of all files, what was there before included.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(LoadProgress) + 'a) -> Self {
        self.meter.listen(progress);
        self
    }

    /// Calls `listener` with what a user should know of a download that succeeds.
    #[must_use]
    pub fn notices(mut self, listener: impl FnMut(HubNotice) + 'a) -> Self {
        self.notices.listen(listener);
        self
    }

    /// The folder of the model `repo_id` (`ORG/NAME`) as it is at `revision` (branch, tag or commit), downloaded as far as
    /// it is not in the cache. When the hub cannot be reached, a complete older state of the revision will do.
    ///
    /// # Errors
    /// [`Error::Hub`](crate::Error::Hub) with every reason of [`HubError`];
    /// [`Error::InvalidOption`](crate::Error::InvalidOption) for names that are none;
    /// [`Error::StorageFull`](crate::Error::StorageFull) before anything large is downloaded;
    /// [`Error::Io`](crate::Error::Io) and [`Error::PermissionDenied`](crate::Error::PermissionDenied) for the cache;
    /// [`Error::Malformed`](crate::Error::Malformed) for an index that names no shards, or files elsewhere.
    pub fn fetch(self, repo_id: &str, revision: &str) -> Result<PathBuf> {
        let source = RepoRevision::new(repo_id, revision)?;
        let cache_dir = self.cache_dir.ok_or(HubError::NoCacheDir)?;
        let cache = RepoCache::new(&cache_dir, &source);
        if self.offline {
            return cache.whole_snapshot(&source);
        }
        let endpoint = Endpoint::new(&self.endpoint, self.token.as_deref())?;
        let fetch = Fetch {
            client: Client::new(endpoint, source.clone(), self.timeout),
            source,
            cache,
            retries: self.retries,
            meter: self.meter,
            notices: self.notices,
        };
        fetch.run()
    }

    /// The folder or file that a user means: `name` itself, unless nothing is there and it is the name of a repository,
    /// which is then fetched. A name that could be meant for a file of this machine is never looked up: one that ends
    /// as a file does, and one that begins with a folder that is here.
    ///
    /// # Errors
    /// As [`Hub::fetch`]; [`HubError::LocalName`] for a name that could be that of a repository and is not looked up.
    pub fn locate(self, name: impl AsRef<Path>, revision: &str) -> Result<PathBuf> {
        let path = name.as_ref();
        match path.to_str() {
            Some(name) if is_nowhere(path) && repo_revision::is_repo_id(name) => {
                local_name::refuse(path)?;
                self.fetch(name, revision)
            }
            _ => Ok(path.to_path_buf()),
        }
    }
}

impl fmt::Debug for Hub<'_> {
    /// Without the token, and without credentials in the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("endpoint", &without_credentials(&self.endpoint))
            .field("cache_dir", &self.cache_dir)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// An environment variable that says something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether there is certainly nothing at `path`.
fn is_nowhere(path: &Path) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    fs::symlink_metadata(path).is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
}
