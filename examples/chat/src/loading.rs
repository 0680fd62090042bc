//! From `--model` to a model, with a progress bar on standard error.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

use glm_core::{
    GlmTokenizer, LoadOptions, LoadProgress, Model, checkpoint::LoadStage, config::ModelConfig,
    hub::Hub, load_tokenizer, set_cpu_threads,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    arguments::ModelArguments,
    error::{Error, Result},
    language::Language,
    output::note,
};

/// The tokenizer and the model that the arguments ask for.
pub(crate) fn load(
    arguments: &ModelArguments,
    language: Language,
) -> Result<(GlmTokenizer, Model)> {
    if let Some(threads) = arguments.threads {
        set_cpu_threads(threads).map_err(glm_core::Error::from)?;
    }
    let device = arguments.device.open().map_err(glm_core::Error::from)?;
    let mut options = LoadOptions::default()
        .device(device)
        .precision(arguments.precision)
        .cached();
    if let Some(head) = arguments.head {
        options = options.head(head);
    }

    let (tokenizer, model) = match &arguments.model {
        None => mini_model::load_with(options)?,
        Some(name) => {
            let path = locate(name, arguments, language)?;
            // The small files first: what is wrong with them should not come out after minutes of reading.
            check_path(&path)?;
            let tokenizer = load_tokenizer(&path)?;
            let bar = Bar::new(language);
            let options = options.progress(|progress| bar.show(progress));
            (tokenizer, options.load(path)?)
        }
    };
    Ok((tokenizer, model.with_numerics(arguments.numerics())))
}

/// The path itself, or the folder of the downloaded model of that name.
pub(crate) fn locate(
    name: &Path,
    arguments: &ModelArguments,
    language: Language,
) -> Result<PathBuf> {
    let bar = Bar::new(language);
    let mut hub = Hub::from_env().progress(|progress| bar.show(progress));
    if arguments.offline {
        hub = hub.offline(true);
    }
    Ok(hub.locate(name, &arguments.revision)?)
}

/// Tells a wrong path from a damaged checkpoint.
fn check_path(model: &Path) -> Result<()> {
    let path = model.to_path_buf();
    // What cannot be looked at is left to the loader, which says why.
    match model.try_exists() {
        Ok(false) => Err(Error::NoFolder { path }),
        _ if model.is_file() => Ok(()),
        Ok(true) if matches!(model.join("config.json").try_exists(), Ok(false)) => {
            Err(Error::NoConfig { path })
        }
        _ => ModelConfig::from_dir(model).map(drop).map_err(Error::from),
    }
}

/// Progress on standard error, cleared when it is dropped; a line for each stage that takes long when that is no terminal.
struct Bar {
    bar: ProgressBar,
    language: Language,
    stage: Cell<Option<LoadStage>>,
}

impl Bar {
    fn new(language: Language) -> Self {
        let template = format!(
            "{{msg}} {{wide_bar}} {{decimal_bytes}}/{{decimal_total_bytes}} {{decimal_bytes_per_sec}} {} {{eta}}",
            language.time_left(),
        );
        // The template is ours; were it wrong, the default style would still do.
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            bar: ProgressBar::no_length().with_style(style),
            language,
            stage: Cell::new(None),
        }
    }

    fn show(&self, progress: LoadProgress) {
        let begins = self.stage.replace(Some(progress.stage)) != Some(progress.stage);
        if begins {
            self.bar.set_message(self.language.loading(progress.stage));
            if let Some(line) = self.language.stage_begins(progress.stage) {
                self.bar.suspend(|| note(line));
            }
        }
        self.bar.set_length(progress.bytes_total);
        self.bar.set_position(progress.bytes_read);
        if begins {
            // What was there before says nothing about the speed.
            self.bar.reset_eta();
        }
    }
}
