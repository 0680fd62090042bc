//! Whatever a model can be made of: a checkpoint folder, a ggml file, or a prepacked file.

use std::path::Path;

use glm_tokenizer::GlmTokenizer;

use crate::{
    checkpoint::{
        conversion::Conversion,
        files::{CheckpointFiles, WeightFormat, is_ggml},
        precision::Forms,
        prepacked::PrepackedFile,
        recognition,
        tokenizer_choice::{TokenizerChoice, tokenizer_beside},
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
            return open_prepacked(path).map(Self::Prepacked);
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

/// Opens the prepacked file at `path`.
///
/// # Errors
/// As [`PrepackedFile::open`]; for what is no such file, an error that says what it is.
pub(super) fn open_prepacked(path: &Path) -> Result<PrepackedFile> {
    match recognition::recognise_file(path)? {
        Some(recognised) => Err(recognised.error),
        None => PrepackedFile::open(path),
    }
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
    if let Some(recognised) = recognition::recognise_folder(path)? {
        return Err(recognised.error);
    }
    let config = ModelConfig::from_dir(path)?;
    if let Some(tokenizer) = TokenizerChoice::beside(path, &config) {
        tokenizer.check_family(&path.join("config.json"), &config)?;
    }
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

/// The tokenizer of whatever [`load`](crate::load) takes: that in a folder, in a ggml file, or beside a prepacked file. Where
/// `ice_text.model` and `tokenizer.model` lie side by side, it is the one of the model's family.
///
/// # Errors
/// [`Error::Tokenizer`] when there is none or it cannot be used; [`Error::Mixed`] when it is of another model; those of
/// opening a ggml or prepacked file, also for what is neither.
pub fn load_tokenizer(path: impl AsRef<Path>) -> Result<GlmTokenizer> {
    let path = path.as_ref();
    if is_prepacked(path) {
        let file = open_prepacked(path)?;
        return tokenizer_beside(folder_of(path), path, file.config());
    }
    if path.is_file() {
        let files = CheckpointFiles::open_file(path)?;
        let bytes = files.embedded_tokenizer()?.unwrap_or_default();
        return GlmTokenizer::from_bytes(&path.display().to_string(), &bytes).map_err(Error::from);
    }
    recognition::check_folder(path)?;
    let described_by = path.join("config.json");
    match ModelConfig::from_file(&described_by) {
        Ok(config) => tokenizer_beside(path, &described_by, &config),
        // A tokenizer may lie by itself, and what is wrong with a model is said when that is loaded.
        Err(_) => GlmTokenizer::from_dir(path).map_err(Error::from),
    }
}

/// The folder that a file lies in.
pub(super) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
