//! A repository's place in the cache, in the layout of Python's `huggingface_hub`, with which it is shared:
//!
//! ```text
//! models--ORG--NAME/blobs/ETAG              content, under the name of its hash
//!                  /blobs/ETAG.incomplete   what has arrived of it
//!                  /refs/REVISION           the commit that a branch or tag stands for
//!                  /snapshots/COMMIT/FILE   a link to the blob
//! .locks/models--ORG--NAME/ETAG.lock        held by whoever writes the blob
//! ```

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use glm_tokenizer::{Phrase, phrase, regular_file};

use super::{
    checksum::Etag,
    error::HubError,
    needed_files::{Missing, NeededFiles},
    repo_revision::{RepoRevision, is_commit},
};
use crate::{
    checkpoint::{lock::lock_file, progress::Meter},
    error::{Error, Result},
};

/// Most bytes of a file in `refs`: a commit, and room for white space.
const MAX_REF_BYTES: u64 = 128;

#[derive(Debug)]
pub(super) struct RepoCache {
    cache_dir: PathBuf,
    folder: PathBuf,
    locks: PathBuf,
}

impl RepoCache {
    pub(super) fn new(cache_dir: &Path, source: &RepoRevision) -> Self {
        let name = format!("models--{}", source.repo.replace('/', "--"));
        Self {
            cache_dir: cache_dir.to_path_buf(),
            folder: cache_dir.join(&name),
            locks: cache_dir.join(".locks").join(&name),
        }
    }

    /// The snapshot of a revision, when every file of the model is in it.
    ///
    /// # Errors
    /// [`HubError::NotCached`]; those of a damaged index.
    pub(super) fn whole_snapshot(&self, source: &RepoRevision) -> Result<PathBuf> {
        let not_cached = |missing| HubError::NotCached {
            repo: source.repo.clone(),
            revision: source.revision.clone(),
            missing,
            cache_dir: self.cache_dir.clone(),
        };
        let commit = match source.is_commit() {
            true => Some(source.revision.clone()),
            false => self.read_ref(&source.revision),
        };
        let commit = commit.ok_or_else(|| not_cached(phrase!("hub-snapshot", "snapshot of it")))?;
        let snapshot = self.snapshot(&commit);
        let names = file_names(&snapshot);
        let needed = NeededFiles::of(&names).map_err(|Missing(name)| not_cached(name))?;
        let mut weights = needed.weights(&snapshot)?.into_iter();
        match weights.find(|name| !names.contains(name)) {
            Some(missing) => Err(not_cached(Phrase::verbatim(missing)).into()),
            None => Ok(snapshot),
        }
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The folder of all contents.
    pub(super) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    pub(super) fn blob(&self, etag: &Etag) -> PathBuf {
        self.blobs().join(etag.as_str())
    }

    /// What has arrived of a blob.
    pub(super) fn partial(&self, etag: &Etag) -> PathBuf {
        let name = format!("{}.incomplete", etag.as_str());
        self.blobs().join(name)
    }

    /// Makes the folders that downloads go to.
    pub(super) fn create(&self) -> Result<()> {
        create_dir(&self.blobs())?;
        create_dir(&self.locks)
    }

    /// Held until the file is dropped, by one process at a time; Python's client takes the same.
    pub(super) fn lock(&self, etag: &Etag, meter: &mut Meter<'_>) -> Result<File> {
        lock_file(&self.locks.join(format!("{}.lock", etag.as_str())), meter)
    }

    /// Shows a blob as the file `name` of a commit, unless it is shown already.
    pub(super) fn link(&self, commit: &str, name: &str, etag: &Etag) -> Result<()> {
        let snapshot = self.snapshot(commit);
        create_dir(&snapshot)?;
        let path = snapshot.join(name);
        if path.is_file() {
            return Ok(());
        }
        let failed = |error| Error::io(&path, error);
        // A link to nothing, left when someone removed the blob.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        match link_file(&self.blob(etag), etag, &path) {
            // Another process was here.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result.map_err(failed),
        }
    }

    /// Notes what a branch or tag stands for; a commit stands for itself.
    pub(super) fn write_ref(&self, source: &RepoRevision, commit: &str) -> Result<()> {
        let known = self.read_ref(&source.revision);
        if source.is_commit() || known.as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.ref_path(&source.revision);
        if let Some(folder) = path.parent() {
            create_dir(folder)?;
        }
        fs::write(&path, commit).map_err(|error| Error::io(&path, error))
    }

    fn read_ref(&self, revision: &str) -> Option<String> {
        let commit = regular_file::read(self.ref_path(revision), MAX_REF_BYTES).ok()?;
        let commit = String::from_utf8(commit).ok()?;
        let commit = commit.trim();
        is_commit(commit).then(|| commit.to_owned())
    }

    fn ref_path(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }
}

fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| Error::io(path, error))
}

/// The files in a folder, without links to nothing. An unreadable folder has none.
fn file_names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Relative, so that the cache can be moved.
#[cfg(unix)]
fn link_file(_blob: &Path, etag: &Etag, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(Path::new("../../blobs").join(etag.as_str()), path)
}

/// Symbolic links need a privilege on Windows, a second name does not.
#[cfg(not(unix))]
fn link_file(blob: &Path, _etag: &Etag, path: &Path) -> io::Result<()> {
    fs::hard_link(blob, path)
}
