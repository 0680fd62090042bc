//! From `--model` to a model that completes code.

use std::path::Path;

use glm_core::{GlmTokenizer, LoadOptions, Model, hub::Hub, load_tokenizer, set_cpu_threads};
use glm_tokenizer::Family;

use crate::{
    arguments::ModelArguments,
    error::{Error, Result},
};

/// The tokenizer and the model of this path or name, loaded as the arguments say.
pub(crate) fn load(name: &Path, arguments: &ModelArguments) -> Result<(GlmTokenizer, Model)> {
    if let Some(threads) = arguments.threads {
        set_cpu_threads(threads).map_err(glm_core::Error::from)?;
    }
    let device = arguments.device.open().map_err(glm_core::Error::from)?;
    let bar = progress_bar::bar();
    let show = |progress| progress_bar::show(&bar, progress);
    let mut hub = Hub::from_env().progress(show);
    if arguments.offline {
        hub = hub.offline(true);
    }
    let path = hub.locate(name, &arguments.revision)?;
    // The small files first: what is wrong with them should not come out after minutes of reading.
    let tokenizer = load_tokenizer(&path)?;
    if tokenizer.family() != Family::ChatGlm2 {
        return Err(Error::OtherFamily { path });
    }
    let options = LoadOptions::default()
        .device(device)
        .precision(arguments.precision)
        .cached()
        .progress(show);
    let model = options.load(path)?;
    bar.finish_and_clear();
    Ok((tokenizer, model))
}
