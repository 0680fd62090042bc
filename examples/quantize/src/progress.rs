//! The progress bar on standard error.

use glm_core::{LoadProgress, checkpoint::LoadStage};
use indicatif::{ProgressBar, ProgressStyle};

const TEMPLATE: &str =
    "{msg} {wide_bar} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta} left";

/// Draws nothing when standard error is not a terminal.
pub(crate) fn bar() -> ProgressBar {
    // The template is ours; were it wrong, the default style would still do.
    let style =
        ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::no_length().with_style(style)
}

/// Bytes are those of the checkpoint.
pub(crate) fn show(bar: &ProgressBar, progress: LoadProgress) {
    bar.set_message(match progress.stage {
        LoadStage::Downloading => "downloading",
        LoadStage::Saving => "saving",
        LoadStage::Reading => "reading",
        _ => "quantising",
    });
    bar.set_length(progress.bytes_total);
    bar.set_position(progress.bytes_read);
}

/// Blocks of the model, when the checkpoint is read already.
pub(crate) fn show_blocks(bar: &ProgressBar, done: usize, of: usize) {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} blocks, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_message("quantising");
    bar.set_length(of as u64);
    bar.set_position(done as u64);
}
