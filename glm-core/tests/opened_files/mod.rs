//! Weight files, and everything that is in them.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    fs,
    io::{Cursor, Write},
    path::{Path, PathBuf},
};

use glm_core::{
    Error,
    checkpoint::{CheckpointFiles, WeightDType},
};
use safetensors::tensor::{Dtype, TensorView};
use zip::write::{SimpleFileOptions, ZipWriter};

pub(crate) type Contents = BTreeMap<String, (WeightDType, Vec<usize>, Vec<u8>)>;

pub(crate) fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(case)
}

/// Reads everything; the error of the first tensor that cannot be read.
pub(crate) fn contents(files: &CheckpointFiles) -> Result<Contents, Error> {
    files
        .tensors()
        .map(|info| {
            let bytes = files.read(&info.name)?;
            assert_eq!(bytes.len() as u64, info.byte_len(), "{}", info.name);
            Ok((info.name.clone(), (info.dtype, info.shape.clone(), bytes)))
        })
        .collect()
}

pub(crate) fn open_all(path: &Path) -> Result<Contents, Error> {
    contents(&CheckpointFiles::open_file(path)?)
}

/// Replaces the content of a file without emptying it first, which some file systems answer with a slow
/// flush to disk at every close.
pub(crate) fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

/// A `.safetensors` file of small f32 vectors.
pub(crate) fn small_safetensors(names: &[&str]) -> Vec<u8> {
    let data: Vec<u8> = (1..=12_u8).collect();
    let views = names
        .iter()
        .map(|name| (*name, TensorView::new(Dtype::F32, vec![3], &data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// The path in an error about one file.
pub(crate) fn named_file(error: &Error) -> &Path {
    match error {
        Error::Io { path, .. }
        | Error::NotFound { path }
        | Error::PermissionDenied { path }
        | Error::LfsPointer { path }
        | Error::Truncated { path, .. }
        | Error::Malformed { path, .. }
        | Error::UnsafePickle { path, .. }
        | Error::TooLarge { path, .. }
        | Error::NotAFile { path, .. }
        | Error::TensorType { path, .. }
        | Error::MissingTensor { path, .. } => path,
        other => panic!("unexpected kind of error: {other}"),
    }
}

pub(crate) fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let stored =
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file(*name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
