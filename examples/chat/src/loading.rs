//! From `--model` to a model, with a progress bar on standard error.

use std::path::Path;

use glm_core::{
    GlmTokenizer, LoadOptions, LoadProgress, Model, config::ModelConfig, set_cpu_threads,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    arguments::{ModelArguments, Precision},
    error::{Error, Result},
    language::Language,
};

/// The tokenizer and the model that the arguments ask for.
pub(crate) fn load(
    arguments: &ModelArguments,
    language: Language,
) -> Result<(GlmTokenizer, Model)> {
    if let Some(threads) = arguments.threads {
        set_cpu_threads(threads).map_err(glm_core::Error::from)?;
    }
    let Precision::Stored = arguments.precision;
    let device = arguments.device.open().map_err(glm_core::Error::from)?;
    let options = LoadOptions::default().device(device);

    let Some(dir) = &arguments.model else {
        return Ok(mini_model::load_with(options)?);
    };
    check_folder(dir)?;
    // The two small files first: what is wrong with them should not come out after minutes of reading.
    ModelConfig::from_dir(dir)?;
    let tokenizer = GlmTokenizer::from_dir(dir).map_err(glm_core::Error::from)?;
    let bar = progress_bar(language);
    let model = options.progress(|progress| show(&bar, progress)).load(dir);
    bar.finish_and_clear();
    Ok((tokenizer, model?))
}

/// Tells a wrong path from a damaged checkpoint.
fn check_folder(dir: &Path) -> Result<()> {
    let path = dir.to_path_buf();
    // What cannot be looked at is left to the loader, which says why.
    match dir.try_exists() {
        Ok(false) => Err(Error::NoFolder { path }),
        Ok(true) if dir.is_file() => Err(Error::NotAFolder { path }),
        Ok(true) if matches!(dir.join("config.json").try_exists(), Ok(false)) => {
            Err(Error::NoConfig { path })
        }
        _ => Ok(()),
    }
}

/// Draws nothing when standard error is not a terminal.
fn progress_bar(language: Language) -> ProgressBar {
    let template = format!(
        "{} {{wide_bar}} {{decimal_bytes}}/{{decimal_total_bytes}} {{decimal_bytes_per_sec}} {} {{eta}}",
        language.loading(),
        language.time_left(),
    );
    // The template is ours; were it wrong, the default style would still do.
    let style =
        ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::no_length().with_style(style)
}

fn show(bar: &ProgressBar, progress: LoadProgress) {
    bar.set_length(progress.bytes_total);
    bar.set_position(progress.bytes_read);
}
