//! From `--model` to a model that completes code.

use std::path::Path;

use command_line::{model, texts::Texts};
use glm_core::{GlmTokenizer, LoadOptions, Model, config::ModelConfig};
use glm_tokenizer::Family;
use progress_bar::Bar;

use crate::{
    arguments::ModelArguments,
    error::{Error, Result},
};

/// The tokenizer and the model of this path or name.
pub(crate) fn load(
    name: &Path,
    arguments: &ModelArguments,
    options: LoadOptions<'_>,
    texts: &Texts,
) -> Result<(GlmTokenizer, Model)> {
    let bar = Bar::new(texts);
    let show = |progress| bar.show(progress);
    let path = arguments.named(name).locate(texts, show)?;
    let other_family = || Error::OtherFamily { path: path.clone() };
    let tokenizer = model::tokenizer_of(&path)?;
    if tokenizer.family() != Family::ChatGlm2 {
        return Err(other_family());
    }
    let model = model::load(&path, &tokenizer, options.progress(show))?;
    bar.clear();
    match model.config() {
        ModelConfig::ChatGlm2(_) => Ok((tokenizer, model)),
        _ => Err(other_family()),
    }
}
