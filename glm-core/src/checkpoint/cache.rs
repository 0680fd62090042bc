//! Quantised models kept between runs, one prepacked file for each checkpoint and precision.
//!
//! A file is used when its name carries the digest of the checkpoint as it is now: names, sizes and times of its files,
//! the precision, the format version. Otherwise it is made, by one process while others wait, and the one before it is
//! removed.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::{
    checkpoint::{
        files::{CheckpointFiles, WeightFormat},
        lock::lock_file,
        precision::Forms,
        prepacked::{self, PrepackedFile},
        progress::Meter,
    },
    error::{Error, Result},
};

/// The environment variable that moves the cache.
pub const CACHE_DIR_VARIABLE: &str = "GLM_CACHE_DIR";

/// The folder of this program in the user's cache folder.
const FOLDER: &str = "glm";
/// Ends the name of every file in the cache that holds a model.
const SUFFIX: &str = ".glm";

/// Where quantised models are kept: `GLM_CACHE_DIR` when it is set, else `glm` in the user's cache folder
/// (`XDG_CACHE_HOME` or `~/.cache` on Linux, `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows).
///
/// # Errors
/// [`Error::NoCacheDir`] when the user has none.
pub fn default_cache_dir() -> Result<PathBuf> {
    match env::var_os(CACHE_DIR_VARIABLE).filter(|dir| !dir.is_empty()) {
        Some(dir) => Ok(PathBuf::from(dir)),
        None => Ok(dirs::cache_dir().ok_or(Error::NoCacheDir)?.join(FOLDER)),
    }
}

/// The place of one model in a cache.
#[derive(Debug)]
pub(super) struct CacheEntry {
    dir: PathBuf,
    /// What the names of all files of this checkpoint and precision begin with, whatever its state.
    stem: String,
    /// The file of the checkpoint as it is now.
    path: PathBuf,
}

impl CacheEntry {
    /// The place of the checkpoint `source`, a folder or a ggml file. Of a folder nothing but the index is read.
    ///
    /// # Errors
    /// As [`CheckpointFiles::open`], for the folder and the index; [`Error::Io`] for a file whose state cannot be read.
    pub(super) fn new(
        dir: &Path,
        source: &Path,
        format: Option<WeightFormat>,
        forms: Forms,
    ) -> Result<Self> {
        let source = fs::canonicalize(source).map_err(|error| Error::io(source, error))?;
        let files = if source.is_file() {
            vec![source.clone()]
        } else {
            let mut files = CheckpointFiles::paths_in(&source, format)?;
            files.push(source.join("config.json"));
            files
        };
        let mut digest = Xxh3::new();
        digest.update(&prepacked::VERSION.to_le_bytes());
        for file in files {
            let state = fs::metadata(&file).map_err(|error| Error::io(&file, error))?;
            // A file without a time is known by its size alone.
            let time = state.modified().ok();
            let time = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let name = file.file_name().unwrap_or_default().as_encoded_bytes();
            digest.update(&(name.len() as u64).to_le_bytes());
            digest.update(name);
            digest.update(&state.len().to_le_bytes());
            digest.update(
                &time
                    .map_or(0, |time| Duration::as_nanos(&time))
                    .to_le_bytes(),
            );
        }
        let stem = format!(
            "{}-{}-head-{}-{:016x}",
            plain_name(&source),
            forms.layers.precision(),
            forms.head.precision(),
            xxh3_64(source.as_os_str().as_encoded_bytes()),
        );
        let path = dir.join(format!("{stem}.{:032x}{SUFFIX}", digest.digest128()));
        Ok(Self {
            dir: dir.to_path_buf(),
            stem,
            path,
        })
    }

    /// Opens the model; when there is none, has `make` write it to the path that it is given. The meter is told when
    /// another process is making it.
    ///
    /// # Errors
    /// Those of `make`; [`Error::Io`] and [`Error::PermissionDenied`] for the cache.
    pub(super) fn open_or_make(
        &self,
        meter: &mut Meter<'_>,
        make: impl FnOnce(&Path, &mut Meter<'_>) -> Result<()>,
    ) -> Result<PrepackedFile> {
        if let Some(file) = self.open()? {
            return Ok(file);
        }
        fs::create_dir_all(&self.dir).map_err(|error| Error::io(&self.dir, error))?;
        let _lock = lock_file(&self.dir.join(format!("{}.lock", self.stem)), meter)?;
        // Whoever held the lock before may have made it.
        if let Some(file) = self.open()? {
            return Ok(file);
        }
        self.remove_others()?;
        make(&self.path, meter)?;
        PrepackedFile::open(&self.path)
    }

    /// `None` when there is no file, or one that cannot be used and has to be made again.
    fn open(&self) -> Result<Option<PrepackedFile>> {
        match PrepackedFile::open(&self.path) {
            Ok(file) => Ok(Some(file)),
            Err(error @ (Error::PermissionDenied { .. } | Error::BigEndian { .. })) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Removes what an older state of the checkpoint, another version or a killed process left. Under the lock.
    fn remove_others(&self) -> Result<()> {
        let failed = |error| Error::io(&self.dir, error);
        let prefix = format!("{}.", self.stem);
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&prefix) && !name.ends_with(".lock") {
                // A file that another process has mapped stays on Windows, and goes the next time.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

/// The name of a folder or file as far as every file system can hold it, for whoever looks into the cache.
fn plain_name(folder: &Path) -> impl fmt::Display {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    match plain.is_empty() {
        true => "model".to_owned(),
        false => plain,
    }
}
