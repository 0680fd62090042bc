//! What the fuzz targets share: files in a folder of this process, and everything that can be asked of one.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
};

use glm_core::checkpoint::CheckpointFiles;

/// A tensor that is read whole: a file may have many that share its bytes.
const MAX_TENSOR_BYTES: u64 = 16 << 20;
/// Tensors that are read of one file.
const MAX_TENSORS: usize = 64;

/// The folder of this process, in the temporary folder. Nobody removes it: whoever runs the targets sets `TMPDIR`.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("glm-core-fuzz-{}", process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        folder
    })
}

/// Writes a file into the folder of this process.
pub fn put(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, bytes).expect("a temporary file");
    path
}

/// Removes a folder and what is in it, and makes it again.
pub fn empty(name: &str) -> PathBuf {
    let path = folder().join(name);
    if path.exists() {
        fs::remove_dir_all(&path).expect("a temporary folder");
    }
    fs::create_dir_all(&path).expect("a temporary folder");
    path
}

/// Opens the file `bytes` under this name and reads everything that it says it holds.
///
/// # Panics
/// When a tensor has another length than its shape and type say.
pub fn open_and_read(name: &str, bytes: &[u8]) {
    let path = put(name, bytes);
    if let Ok(files) = CheckpointFiles::open_file(&path) {
        read(&files);
    }
}

/// Reads everything in open files.
///
/// # Panics
/// As [`open_and_read`].
pub fn read(files: &CheckpointFiles) {
    for info in files.tensors().take(MAX_TENSORS) {
        if info.byte_len().max(info.stored_len()) > MAX_TENSOR_BYTES {
            continue;
        }
        if let Ok(bytes) = files.read(&info.name) {
            assert_eq!(bytes.len() as u64, info.byte_len(), "{}", info.name);
        }
        if let Ok(bytes) = files.read_stored(&info.name) {
            assert_eq!(bytes.len() as u64, info.stored_len(), "{}", info.name);
        }
    }
    let _ = files.embedded_config();
    let _ = files.embedded_tokenizer();
}
