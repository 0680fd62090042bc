//! The progress bar of the programs that load or convert checkpoints, on standard error.
#![forbid(unsafe_code)]

use command_line::texts::Texts;
use glm_core::{LoadProgress, checkpoint::LoadStage};
use indicatif::{ProgressBar, ProgressStyle};

const BYTES: &str =
    "{msg} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} ";
const BLOCKS: &str = "{msg} {wide_bar} ";

/// A bar, in the user's language. Draws nothing when standard error is not a terminal.
#[derive(Debug)]
pub struct Bar<'a> {
    bar: ProgressBar,
    texts: &'a Texts,
}

impl<'a> Bar<'a> {
    /// A bar for bytes.
    #[must_use]
    pub fn new(texts: &'a Texts) -> Self {
        let style = style(&(BYTES.to_owned() + &time_left(texts)));
        Self {
            bar: ProgressBar::no_length().with_style(style),
            texts,
        }
    }

    /// Shows how far a conversion is; bytes are those of the source.
    pub fn show(&self, progress: LoadProgress) {
        self.bar.set_message(self.texts.get(match progress.stage {
            LoadStage::Downloading => "shared-stage-downloading",
            LoadStage::Waiting => "shared-stage-waiting",
            LoadStage::Saving => "shared-stage-saving",
            LoadStage::Reading => "shared-stage-reading",
            LoadStage::Converting => "shared-stage-converting",
            LoadStage::Verifying => "shared-stage-verifying",
            _ => "shared-stage-quantizing",
        }));
        self.bar.set_length(progress.bytes_total);
        self.bar.set_position(progress.bytes_read);
    }

    /// Shows how many blocks of a model that is in memory are quantised.
    pub fn show_blocks(&self, done: usize, of: usize) {
        let blocks = [("done", "{pos}".into()), ("all", "{len}".into())];
        let blocks = self.texts.with("shared-blocks", blocks);
        let template = format!("{BLOCKS}{blocks} {}", time_left(self.texts));
        self.bar.set_style(style(&template));
        self.bar
            .set_message(self.texts.get("shared-stage-quantizing"));
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn time_left(texts: &Texts) -> String {
    texts.with("shared-time-left", [("time", "{eta}".into())])
}

/// The templates are ours; were one wrong, the default style would still do.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
