//! Brings one file to the disk, continuing what is there of it.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use glm_tokenizer::regular_file;
use glm_tokenizer::{Phrase, phrase};
use ureq::{
    Body,
    http::{HeaderMap, Response, StatusCode, header},
};

use super::{
    checksum::Checksum,
    client::{Client, RemoteFile, header_text},
    error::HubError,
    retries::Retries,
};
use crate::{
    checkpoint::atomic_file::{check_file_size, write_error},
    error::{Error, Result},
};

/// Bytes that are read and written at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Downloads `file` to `partial`, from where that ends, and checks the whole. `arrived` is told how many bytes there are.
/// Whoever calls holds the lock of the file.
///
/// # Errors
/// Every [`HubError`] of a request; [`HubError::WrongLength`] and [`HubError::WrongChecksum`], after which there is no
/// partial file any more; [`Error::Io`] and [`Error::StorageFull`] for the partial file.
pub(super) fn download(
    client: &Client,
    retries: u32,
    file: &RemoteFile,
    partial: &Path,
    arrived: &mut dyn FnMut(u64),
) -> Result<()> {
    let mut partial = PartialDownload::open(partial, file)?;
    let mut retries = Retries::new(retries);
    arrived(partial.length);
    while partial.length < file.size {
        let before = partial.length;
        match receive(client, file, &mut partial, arrived) {
            Ok(()) => {}
            Err(Error::Hub(error @ HubError::WrongLength { .. })) => {
                partial.discard()?;
                return Err(error.into());
            }
            Err(Error::Hub(error)) => {
                if partial.length > before {
                    retries.progressed();
                }
                retries.wait_after(error)?;
            }
            Err(other) => return Err(other),
        }
    }
    partial.finish()
}

/// One request. When it ends early, the partial file holds what arrived.
fn receive(
    client: &Client,
    file: &RemoteFile,
    partial: &mut PartialDownload<'_>,
    arrived: &mut dyn FnMut(u64),
) -> Result<()> {
    let reply = match client.content(file, partial.length) {
        // Another file than the one that was begun.
        Err(HubError::Status { status: 416, .. }) if partial.length > 0 => {
            partial.restart()?;
            client.content(file, 0)
        }
        reply => reply,
    }?;
    let start = start_of(file, &reply)?;
    if start != partial.length {
        if start != 0 {
            return Err(malformed(
                file,
                phrase!("hub-other-part", "it sends another part than asked for"),
            ));
        }
        partial.restart()?;
    }
    let wrong_length = |found| HubError::WrongLength {
        url: file.url.clone(),
        expected: file.size,
        found,
    };
    if let Some(found) = whole_length(&reply).filter(|&found| found != file.size) {
        return Err(wrong_length(found).into());
    }
    let mut body = reply.into_body().into_reader();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = body
            .read(&mut buffer)
            .map_err(|error| client.failed(&file.url, error.into()))?;
        let bytes = buffer.get(..read).unwrap_or_default();
        let length = partial.length + bytes.len() as u64;
        if length > file.size {
            return Err(wrong_length(length).into());
        }
        if bytes.is_empty() && length < file.size {
            return Err(HubError::Connection {
                url: file.url.clone(),
                reason: phrase!(
                    "hub-ended-early",
                    "it ended after {length} of {size} bytes",
                    length,
                    size = file.size
                ),
            }
            .into());
        }
        if bytes.is_empty() {
            return Ok(());
        }
        partial.append(bytes)?;
        arrived(partial.length);
    }
}

/// The position of the first byte that a server sends: 0 when it sends the whole file.
fn start_of(file: &RemoteFile, reply: &Response<Body>) -> Result<u64> {
    match reply.status() {
        StatusCode::OK => Ok(0),
        StatusCode::PARTIAL_CONTENT => {
            let range = content_range(reply.headers());
            Ok(range
                .ok_or_else(|| {
                    malformed(
                        file,
                        phrase!("hub-content-range", "its content-range cannot be read"),
                    )
                })?
                .0)
        }
        status => Err(malformed(
            file,
            phrase!(
                "hub-download-status",
                "it answers a download with status {status}",
                status = status.to_string()
            ),
        )),
    }
}

/// Bytes of the whole file, as far as the server says.
fn whole_length(reply: &Response<Body>) -> Option<u64> {
    match reply.status() {
        StatusCode::PARTIAL_CONTENT => content_range(reply.headers())?.1,
        _ => header_text(reply.headers(), header::CONTENT_LENGTH.as_str())?
            .parse()
            .ok(),
    }
}

/// First position and whole length in `bytes FIRST-LAST/LENGTH`; the length may be `*`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = header_text(headers, header::CONTENT_RANGE.as_str())?;
    let (positions, length) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = positions.split_once('-')?;
    Some((first.trim().parse().ok()?, length.trim().parse().ok()))
}

fn malformed(file: &RemoteFile, reason: Phrase) -> Error {
    HubError::reply(&file.url, reason).into()
}

/// What has arrived of a file, hashed as far as it goes.
struct PartialDownload<'a> {
    remote: &'a RemoteFile,
    path: PathBuf,
    file: File,
    checksum: Checksum,
    /// In bytes.
    length: u64,
}

impl<'a> PartialDownload<'a> {
    /// Continues what is at `path`; what is longer than the file should be is of no use.
    fn open(path: &Path, remote: &'a RemoteFile) -> Result<Self> {
        let failed = |error| Error::io(path, error);
        check_file_size(path, remote.size)?;
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true);
        let file = regular_file::open_with(path, &mut options)
            .map_err(|error| Error::file(path, error))?;
        let mut partial = Self {
            remote,
            path: path.to_path_buf(),
            file,
            checksum: Checksum::new(&remote.etag, remote.size),
            length: 0,
        };
        if partial.file.metadata().map_err(failed)?.len() > remote.size {
            partial.restart()?;
        }
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = partial.file.read(&mut buffer).map_err(failed)?;
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(partial);
            }
            partial.checksum.update(bytes);
            partial.length += bytes.len() as u64;
        }
    }

    fn restart(&mut self) -> Result<()> {
        let empty = self.file.set_len(0).and_then(|()| self.file.rewind());
        empty.map_err(|error| Error::io(&self.path, error))?;
        self.checksum = Checksum::new(&self.remote.etag, self.remote.size);
        self.length = 0;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| write_error(&self.path, self.remote.size, error))?;
        self.checksum.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Brings the whole file to the disk, unless it is not what the hub announced.
    fn finish(mut self) -> Result<()> {
        let expected = self.remote.etag.as_str();
        let unknown = Checksum::Unknown;
        match std::mem::replace(&mut self.checksum, unknown).finish() {
            Some(found) if found != expected => {
                let error = HubError::WrongChecksum {
                    url: self.remote.url.clone(),
                    expected: expected.to_owned(),
                    found,
                };
                self.discard()?;
                Err(error.into())
            }
            _ => self
                .file
                .sync_all()
                .map_err(|error| write_error(&self.path, self.remote.size, error)),
        }
    }

    fn discard(self) -> Result<()> {
        drop(self.file);
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(&self.path, error))
            }
            _ => Ok(()),
        }
    }
}
