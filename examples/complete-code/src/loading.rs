//! From `--model` to a model that completes code.

use std::path::Path;

use command_line::model;
use glm_core::{GlmTokenizer, LoadOptions, Model, config::ModelConfig};
use glm_tokenizer::Family;

use crate::{
    arguments::ModelArguments,
    error::{Error, Result},
};

/// The tokenizer and the model of this path or name.
pub(crate) fn load(
    name: &Path,
    arguments: &ModelArguments,
    options: LoadOptions<'_>,
) -> Result<(GlmTokenizer, Model)> {
    let bar = progress_bar::bar();
    let show = |progress| progress_bar::show(&bar, progress);
    let path = arguments.named(name).locate(show)?;
    let other_family = || Error::OtherFamily { path: path.clone() };
    let tokenizer = model::tokenizer_of(&path)?;
    if tokenizer.family() != Family::ChatGlm2 {
        return Err(other_family());
    }
    let model = model::load(&path, &tokenizer, options.progress(show))?;
    bar.finish_and_clear();
    match model.config() {
        ModelConfig::ChatGlm2(_) => Ok((tokenizer, model)),
        _ => Err(other_family()),
    }
}
