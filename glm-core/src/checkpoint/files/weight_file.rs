//! Opens a file of a checkpoint, telling apart what users have in its place.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use glm_tokenizer::{Phrase, phrase, regular_file};

use crate::error::{Error, Result};

/// How every Git-LFS pointer begins; see the specification at <https://github.com/git-lfs/git-lfs>.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
/// How a web page begins that was saved in place of a file.
const WEB_PAGES: [&[u8]; 2] = [b"<!DOCTYPE", b"<html"];

/// Opens `path` at its beginning and gives its length in bytes.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::PermissionDenied`], [`Error::Io`], [`Error::NotAFile`], [`Error::LfsPointer`], [`Error::Truncated`] for an
/// empty file, [`Error::Malformed`] for a web page (an error page of the download site).
pub(super) fn open(path: &Path) -> Result<(File, u64)> {
    let mut file = regular_file::open(path).map_err(|e| Error::file(path, e))?;
    let metadata = file.metadata().map_err(|e| Error::io(path, e))?;
    let mut start = Vec::new();
    file.by_ref()
        .take(LFS_POINTER.len() as u64)
        .read_to_end(&mut start)
        .map_err(|e| Error::io(path, e))?;
    file.seek(SeekFrom::Start(0))
        .map_err(|e| Error::io(path, e))?;

    if start == LFS_POINTER {
        return Err(Error::LfsPointer {
            path: path.to_path_buf(),
        });
    }
    if start.is_empty() {
        return Err(truncated(path, 0, phrase!("file-empty", "it is empty")));
    }
    if WEB_PAGES.iter().any(|page| start.starts_with(page)) {
        return Err(Error::malformed(
            path,
            phrase!(
                "file-web-page",
                "it is a web page, saved in place of the file; download the file again"
            ),
        ));
    }
    Ok((file, metadata.len()))
}

/// [`Error::Truncated`] for a file of `length` bytes.
pub(super) fn truncated(path: &Path, length: u64, reason: Phrase) -> Error {
    Error::Truncated {
        path: path.to_path_buf(),
        found: length,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glm_tokenizer::regular_file::FileKind;

    #[test]
    fn stand_ins_are_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pytorch_model.bin");
        let open_with = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            open(&path)
        };
        let pointer =
            b"version https://git-lfs.github.com/spec/v1\noid sha256:5e97\nsize 1740651802\n";
        assert!(matches!(open_with(pointer), Err(Error::LfsPointer { .. })));
        assert!(matches!(
            open_with(b""),
            Err(Error::Truncated { found: 0, .. })
        ));
        assert!(matches!(
            open_with(b"<!DOCTYPE html><html>"),
            Err(Error::Malformed { .. })
        ));
        assert_eq!(open_with(b"version").unwrap().1, 7);
        assert!(matches!(
            open(dir.path()),
            Err(Error::NotAFile {
                found: FileKind::Folder,
                ..
            })
        ));
        let missing = dir.path().join("missing");
        assert!(matches!(open(&missing), Err(Error::NotFound { path }) if path == missing));
    }
}
