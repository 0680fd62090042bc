//! From a repository to a snapshot folder: listing, small files, index, weights.

use std::{
    fs,
    path::{Path, PathBuf},
};

use glm_tokenizer::{Phrase, phrase};

use super::{
    client::{Client, RemoteFile},
    error::HubError,
    needed_files::{Missing, NeededFiles},
    notice::{HubNotice, Notices},
    repo_cache::RepoCache,
    repo_revision::RepoRevision,
    retries::Retries,
    transfer,
};
use crate::{
    checkpoint::progress::{LoadProgress, LoadStage, Meter},
    error::{Error, Result},
};

/// Largest configuration, tokenizer or index that is downloaded, in bytes; what reads them takes no more.
const MAX_SMALL_FILE_BYTES: u64 = 16 << 20;

/// Everything that one download needs.
pub(super) struct Fetch<'a> {
    pub(super) source: RepoRevision,
    pub(super) client: Client,
    pub(super) cache: RepoCache,
    pub(super) retries: u32,
    pub(super) meter: Meter<'a>,
    pub(super) notices: Notices<'a>,
}

/// Files that are fetched together, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Bytes {
    /// On the disk.
    here: u64,
    /// In all.
    total: u64,
}

impl Fetch<'_> {
    /// The folder of the snapshot, when all of it is there.
    pub(super) fn run(mut self) -> Result<PathBuf> {
        let cached = self.cache.whole_snapshot(&self.source);
        if self.source.is_commit() && cached.is_ok() {
            return cached;
        }
        let listing = match Retries::new(self.retries).run(|| self.client.listing()) {
            // Without a network the newest state that is known will do.
            Err(error) if error.is_transient() && cached.is_ok() => return cached,
            listing => listing?,
        };
        let needed = NeededFiles::of(&listing.names);
        let needed = needed.map_err(|Missing(name)| self.no_checkpoint(name))?;
        self.cache.create()?;
        let small = self.fetch_all(
            &listing.commit,
            &needed.small,
            MAX_SMALL_FILE_BYTES,
            Bytes::default(),
        )?;
        let snapshot = self.cache.snapshot(&listing.commit);
        let weights = needed.weights(&snapshot)?;
        if let Some(missing) = weights.iter().find(|&name| !listing.names.contains(name)) {
            return Err(self.no_checkpoint(Phrase::verbatim(missing)).into());
        }
        self.fetch_all(&listing.commit, &weights, u64::MAX, small)?;
        self.cache.write_ref(&self.source, &listing.commit)?;
        Ok(snapshot)
    }

    fn no_checkpoint(&self, missing: Phrase) -> HubError {
        HubError::NoCheckpoint {
            repo: self.source.repo.clone(),
            revision: self.source.revision.clone(),
            missing,
        }
    }

    /// Fetches what is not there of these files, after `before`, each of at most `max_bytes`. The sum of both.
    fn fetch_all(
        &mut self,
        commit: &str,
        names: &[String],
        max_bytes: u64,
        before: Bytes,
    ) -> Result<Bytes> {
        let snapshot = self.cache.snapshot(commit);
        let mut bytes = before;
        let mut missing = Vec::new();
        let mut required = 0;
        for name in names {
            if let Some(size) = file_size(&snapshot.join(name)) {
                bytes.here += size;
                bytes.total += size;
                continue;
            }
            let file = Retries::new(self.retries).run(|| self.client.file(commit, name))?;
            if file.size > max_bytes {
                let reason = phrase!(
                    "hub-announces-too-much",
                    "it announces {bytes} bytes, but such a file has at most {most}",
                    bytes = file.size,
                    most = max_bytes
                );
                return Err(HubError::reply(&file.url, reason).into());
            }
            bytes.total = bytes.total.saturating_add(file.size);
            if file_size(&self.cache.blob(&file.etag)) != Some(file.size) {
                let arrived = file_size(&self.cache.partial(&file.etag)).unwrap_or(0);
                required = file.size.saturating_sub(arrived).saturating_add(required);
            }
            missing.push(file);
        }
        let blobs = self.cache.blobs();
        check_space(&blobs, required, fs4::available_space(&blobs).ok())?;
        for file in missing {
            self.fetch_file(commit, &file, bytes)?;
            bytes.here += file.size;
        }
        Ok(bytes)
    }

    fn fetch_file(&mut self, commit: &str, file: &RemoteFile, bytes: Bytes) -> Result<()> {
        let blob = self.cache.blob(&file.etag);
        let _lock = self.cache.lock(&file.etag, &mut self.meter)?;
        // Whoever held the lock before may have brought it.
        if file_size(&blob) != Some(file.size) {
            let partial = self.cache.partial(&file.etag);
            let mut arrived = |length| {
                self.meter.set(LoadProgress {
                    stage: LoadStage::Downloading,
                    bytes_read: bytes.here.saturating_add(length),
                    bytes_total: bytes.total,
                });
            };
            transfer::download(&self.client, self.retries, file, &partial, &mut arrived)?;
            fs::rename(&partial, &blob).map_err(|error| Error::io(&blob, error))?;
            if !file.etag.is_checksum() {
                self.notices.tell(HubNotice::Unchecked {
                    url: file.url.clone(),
                });
            }
        }
        self.cache.link(commit, &file.name, &file.etag)
    }
}

/// `None` when there is no file.
fn file_size(path: &Path) -> Option<u64> {
    let metadata = fs::metadata(path).ok()?;
    metadata.is_file().then_some(metadata.len())
}

/// [`Error::StorageFull`] when `required` bytes do not fit into what is `available`. Where the system does not tell,
/// everything fits.
fn check_space(path: &Path, required: u64, available: Option<u64>) -> Result<()> {
    match available {
        Some(available) if available < required => Err(Error::StorageFull {
            path: path.to_path_buf(),
            required,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_of_the_disk_decides() {
        let check = |available| check_space(Path::new("x"), 8, available);
        assert!(check(Some(8)).is_ok() && check(None).is_ok());
        assert!(matches!(
            check(Some(7)),
            Err(Error::StorageFull { required: 8, .. })
        ));
    }
}
