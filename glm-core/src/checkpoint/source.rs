//! Whatever a model can be made of: a checkpoint folder, a ggml file, or a prepacked file.

use std::path::Path;

use glm_tokenizer::GlmTokenizer;

use crate::{
    checkpoint::{
        check::check_tokenizer_in,
        conversion::Conversion,
        files::{CheckpointFiles, WeightFormat, is_ggml},
        precision::Forms,
        prepacked::PrepackedFile,
    },
    config::ModelConfig,
    error::{Error, Result},
};

/// An open source.
#[derive(Debug)]
pub(super) enum Source {
    /// A folder or a ggml file.
    Checkpoint {
        files: CheckpointFiles,
        config: ModelConfig,
        stored: Forms,
    },
    Prepacked(PrepackedFile),
}

impl Source {
    /// Opens what is at `path`; `format` is the one to read of a folder that holds several.
    ///
    /// # Errors
    /// As [`LoadOptions::load`](super::LoadOptions::load).
    pub(super) fn open(path: &Path, format: Option<WeightFormat>) -> Result<Self> {
        if is_prepacked(path) {
            return PrepackedFile::open(path).map(Self::Prepacked);
        }
        let (config, stored) = describe(path)?;
        let files = open_checkpoint(path, format)?;
        Ok(Self::Checkpoint {
            files,
            config,
            stored,
        })
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Checkpoint { files, .. } => files.path(),
            Self::Prepacked(file) => file.path(),
        }
    }

    pub(super) fn config(&self) -> &ModelConfig {
        match self {
            Self::Checkpoint { config, .. } => config,
            Self::Prepacked(file) => file.config(),
        }
    }

    /// What the matrices are stored as.
    pub(super) fn stored(&self) -> Forms {
        match self {
            Self::Checkpoint { stored, .. } => *stored,
            Self::Prepacked(file) => file.forms(),
        }
    }

    /// The way to these forms.
    ///
    /// # Errors
    /// As [`Conversion::new`].
    pub(super) fn conversion(&self, forms: Forms) -> Result<Conversion<'_>> {
        match self {
            Self::Checkpoint {
                files,
                config,
                stored,
            } => Conversion::new(files, config, *stored, forms),
            Self::Prepacked(file) => Ok(Conversion::of_prepacked(file, forms)),
        }
    }
}

/// Whether `path` is to be opened as a prepacked file: any file but a ggml one.
pub(super) fn is_prepacked(path: &Path) -> bool {
    path.is_file() && !is_ggml(path)
}

/// Configuration and stored forms of a folder or ggml file; of a folder `config.json` and the tokenizer file alone are
/// read.
///
/// # Errors
/// As [`ModelConfig::from_dir`] and [`CheckpointFiles::embedded_config`]; [`Error::Mixed`] for a tokenizer of another
/// model.
pub(super) fn describe(path: &Path) -> Result<(ModelConfig, Forms)> {
    if path.is_file() {
        let files = CheckpointFiles::open_file(path)?;
        if let Some(config) = files.embedded_config()? {
            let stored = Forms::of_blocks(&files, &config);
            return Ok((config, stored));
        }
    }
    let config = ModelConfig::from_dir(path)?;
    check_tokenizer_in(path, &config)?;
    let stored = Forms::of_config(&config);
    Ok((config, stored))
}

/// Opens the weights of a folder or ggml file.
///
/// # Errors
/// As [`CheckpointFiles::open`] and [`CheckpointFiles::open_file`].
pub(super) fn open_checkpoint(
    path: &Path,
    format: Option<WeightFormat>,
) -> Result<CheckpointFiles> {
    match format {
        _ if path.is_file() => CheckpointFiles::open_file(path),
        None => CheckpointFiles::open(path),
        Some(format) => CheckpointFiles::open_with_format(path, format),
    }
}

/// The tokenizer of whatever [`load`](crate::load) takes: that in a folder, in a ggml file, or beside a prepacked file.
///
/// # Errors
/// [`Error::Tokenizer`] when there is none or it cannot be used; those of [`CheckpointFiles::open_file`] for a ggml file.
pub fn load_tokenizer(path: impl AsRef<Path>) -> Result<GlmTokenizer> {
    let path = path.as_ref();
    if !path.is_file() {
        return GlmTokenizer::from_dir(path).map_err(Error::from);
    }
    let embedded = match is_ggml(path) {
        true => CheckpointFiles::open_file(path)?.embedded_tokenizer()?,
        false => None,
    };
    let tokenizer = match embedded {
        Some(bytes) => GlmTokenizer::from_bytes(&path.display().to_string(), &bytes),
        None => GlmTokenizer::from_dir(folder_of(path)),
    };
    tokenizer.map_err(Error::from)
}

/// The folder that a file lies in.
pub(super) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
