//! The progress bar of the programs that load or convert checkpoints, on standard error.
#![forbid(unsafe_code)]

use glm_core::{LoadProgress, checkpoint::LoadStage};
pub use indicatif::ProgressBar;
use indicatif::ProgressStyle;

const BYTES: &str =
    "{msg} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta} left";
const BLOCKS: &str = "{msg} {wide_bar} {pos}/{len} blocks, {eta} left";

/// A bar for bytes. Draws nothing when standard error is not a terminal.
pub fn bar() -> ProgressBar {
    ProgressBar::no_length().with_style(style(BYTES))
}

/// Shows how far a conversion is; bytes are those of the source.
pub fn show(bar: &ProgressBar, progress: LoadProgress) {
    bar.set_message(match progress.stage {
        LoadStage::Downloading => "downloading",
        LoadStage::Saving => "saving",
        LoadStage::Reading => "reading",
        LoadStage::Converting => "converting",
        LoadStage::Verifying => "verifying",
        _ => "quantising",
    });
    bar.set_length(progress.bytes_total);
    bar.set_position(progress.bytes_read);
}

/// Shows how many blocks of a model that is in memory are quantised.
pub fn show_blocks(bar: &ProgressBar, done: usize, of: usize) {
    bar.set_style(style(BLOCKS));
    bar.set_message("quantising");
    bar.set_length(of as u64);
    bar.set_position(done as u64);
}

/// The templates are ours; were one wrong, the default style would still do.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
