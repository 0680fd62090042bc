//! From `--model` to a tokenizer and a model that belong together, the small files first: what is wrong with them should
//! not come out after minutes of reading.

use std::path::{Path, PathBuf};

use glm_core::{
    GlmTokenizer, LoadOptions, LoadProgress, Model, Phrase,
    checkpoint::{Content, Inspection, Severity},
    config::ModelConfig,
    hub::Hub,
    inspect, load_tokenizer,
};

use crate::{
    exit::note,
    texts::{Tell, Texts},
};

/// Why there is no model.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The library refused the checkpoint.
    Model(glm_core::Error),
    /// There is nothing.
    Nowhere {
        /// What was named.
        path: PathBuf,
    },
    /// A folder of other files.
    NoConfig {
        /// The folder.
        path: PathBuf,
    },
    /// What headers tell is wrong.
    NotLoadable {
        /// A sentence that names the file.
        reason: Phrase,
    },
}

impl From<glm_core::Error> for Error {
    fn from(error: glm_core::Error) -> Self {
        Self::Model(error)
    }
}

impl Tell for Error {
    fn tell(&self, texts: &Texts) -> String {
        let of = |id, path: &Path| texts.with(id, [("path", path.display().to_string().into())]);
        match self {
            Self::Model(error) => error.tell(texts),
            Self::Nowhere { path } => of("shared-no-model", path),
            Self::NoConfig { path } => of("shared-no-config", path),
            Self::NotLoadable { reason } => reason.tell(texts),
        }
    }
}

/// A model as it is named on the command line.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// Path, or `ORG/NAME`.
    pub name: &'a Path,
    /// Branch, tag or commit of a model that is given by name.
    pub revision: &'a str,
    /// Use the cache alone.
    pub offline: bool,
}

impl Named<'_> {
    /// The path itself, or the folder of the model of that name, which is downloaded as far as it is not in the cache.
    ///
    /// # Errors
    /// As [`Hub::locate`].
    pub fn locate(
        &self,
        texts: &Texts,
        progress: impl FnMut(LoadProgress),
    ) -> glm_core::Result<PathBuf> {
        let mut hub = Hub::from_env()
            .progress(progress)
            .notices(|notice| note(&texts.notice(&Phrase::from(&notice).tell(texts))));
        if self.offline {
            hub = hub.offline(true);
        }
        hub.locate(self.name, self.revision)
    }
}

/// The tokenizer of the model at `path`. Of what is no model at all that is told, and not that it has no tokenizer.
///
/// # Errors
/// [`Error`]: everything that can be told before weights are read.
pub fn tokenizer_of(path: &Path) -> Result<GlmTokenizer, Error> {
    // What cannot be looked at is left to the loader, which says why.
    if matches!(path.try_exists(), Ok(false)) {
        return Err(Error::Nowhere {
            path: path.to_path_buf(),
        });
    }
    if path.is_dir() {
        if matches!(path.join("config.json").try_exists(), Ok(false)) {
            let inspection = inspect(path);
            // An adapter, or several models: that is worth more than what is missing.
            if inspection.content != Content::Nothing {
                refuse_unloadable(&inspection)?;
            }
            return Err(Error::NoConfig {
                path: path.to_path_buf(),
            });
        }
        ModelConfig::from_dir(path)?;
    }
    load_tokenizer(path).or_else(|error| {
        if path.is_file() {
            // It has its configuration inside: what it is says more than that no tokenizer was found.
            refuse_unloadable(&inspect(path))?;
        }
        Err(error.into())
    })
}

/// The model at `path`, which this tokenizer must belong to.
///
/// # Errors
/// As [`LoadOptions::load`] and [`Model::check_tokenizer`].
pub fn load(
    path: &Path,
    tokenizer: &GlmTokenizer,
    options: LoadOptions<'_>,
) -> Result<Model, Error> {
    let model = options.load(path)?;
    model.check_tokenizer(tokenizer)?;
    Ok(model)
}

fn refuse_unloadable(inspection: &Inspection) -> Result<(), Error> {
    let mut problems = inspection.problems.iter();
    let worst = problems.find(|problem| problem.severity == Severity::Error);
    match worst {
        Some(problem) if !inspection.is_loadable() => Err(Error::NotLoadable {
            reason: problem.message.clone(),
        }),
        _ => Ok(()),
    }
}
