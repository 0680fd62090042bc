//! From `--model` to a model, with a progress bar on standard error.

use std::{cell::Cell, path::PathBuf};

use command_line::{
    exit::note,
    model::{self, Named},
    texts::Texts,
};
use glm_core::{GlmTokenizer, LoadOptions, LoadProgress, Model, checkpoint::LoadStage};
use glm_tokenizer::Family;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    arguments::Arguments,
    error::{Error, Result},
    messages,
};

/// The tokenizer and the model that the arguments ask for.
pub(crate) fn load(
    arguments: &Arguments,
    options: LoadOptions<'_>,
    texts: &Texts,
) -> Result<(GlmTokenizer, Model)> {
    let (tokenizer, model) = match arguments.model.named() {
        None => mini_model::load_with(options)?,
        Some(named) => {
            let path = locate(named, texts)?;
            let tokenizer = model::tokenizer_of(&path)?;
            if arguments.infill().is_some() && tokenizer.family() == Family::ChatGlm2 {
                return Err(Error::NoInfilling);
            }
            let bar = Bar::new(texts);
            let options = options.progress(|progress| bar.show(progress));
            let model = model::load(&path, &tokenizer, options)?;
            (tokenizer, model)
        }
    };
    Ok((tokenizer, model.with_numerics(arguments.model.numerics())))
}

/// The path itself, or the folder of the downloaded model of that name.
pub(crate) fn locate(named: Named<'_>, texts: &Texts) -> Result<PathBuf> {
    let bar = Bar::new(texts);
    Ok(named.locate(texts, |progress| bar.show(progress))?)
}

/// Progress on standard error, cleared when it is dropped; a line for each stage that takes long when that is no terminal.
struct Bar<'a> {
    bar: ProgressBar,
    texts: &'a Texts,
    stage: Cell<Option<LoadStage>>,
}

impl<'a> Bar<'a> {
    fn new(texts: &'a Texts) -> Self {
        let left = texts.with("chat-time-left", [("time", "{eta}".into())]);
        let template = format!(
            "{{msg}} {{wide_bar}} {{decimal_bytes}}/{{decimal_total_bytes}} {{decimal_bytes_per_sec}} {left}",
        );
        // The template is ours; were it wrong, the default style would still do.
        let style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            bar: ProgressBar::no_length().with_style(style),
            texts,
            stage: Cell::new(None),
        }
    }

    fn show(&self, progress: LoadProgress) {
        let begins = self.stage.replace(Some(progress.stage)) != Some(progress.stage);
        if begins {
            let stage = progress.stage;
            self.bar.set_message(messages::loading(self.texts, stage));
            if let Some(line) = messages::stage_begins(self.texts, stage) {
                self.bar.suspend(|| note(&line));
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
