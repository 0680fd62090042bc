//! Quantises a checkpoint on disk.
//!
//! ```sh
//! cargo run --release -p quantize -- chatglm-6b --precision int4 -o chatglm-6b-int4.glm
//! ```

mod arguments;
mod calibrated;
mod official;
mod progress;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use arguments::Arguments;
use clap::Parser;
use glm_core::{
    LoadOptions,
    hub::{DEFAULT_REVISION, Hub},
};
use indicatif::HumanDuration;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    arguments.check()?;
    let bar = progress::bar();
    let options = LoadOptions::default().progress(|progress| progress::show(&bar, progress));
    let hub = Hub::from_env().progress(|progress| progress::show(&bar, progress));
    let dir = &hub.locate(&arguments.dir, DEFAULT_REVISION)?;
    let output = &arguments.output;
    let written = if let Some(text) = &arguments.gptq {
        let blocks = |done, of| progress::show_blocks(&bar, done, of);
        let head = arguments.asked_head();
        let head = head.unwrap_or(arguments.precision().default_head());
        let precisions = [arguments.precision(), head];
        calibrated::write(options, dir, text, precisions, output, blocks)
            .map(|()| vec![output.clone()])
    } else {
        // A head that was not asked for follows the checkpoint: its own codes are kept.
        let options = options.precision(arguments.precision());
        let options = match arguments.asked_head() {
            Some(head) => options.head(head),
            None => options,
        };
        match arguments.official {
            true => official::write(options, dir, output),
            false => options
                .prepack(dir, output)
                .map_err(Into::into)
                .map(|()| vec![output.clone()]),
        }
    };
    bar.finish_and_clear();
    let bytes = size_of(&written?)?;
    eprintln!(
        "wrote {}: {:.2} GB, layers {}, in {}",
        arguments.output.display(),
        bytes as f64 / 1e9,
        arguments.precision(),
        HumanDuration(start.elapsed()),
    );
    Ok(())
}

fn size_of(files: &[PathBuf]) -> Result<u64, Box<dyn Error>> {
    let size = |path: &PathBuf| fs::metadata(path).map(|file| file.len());
    let sizes: std::io::Result<Vec<u64>> = files.iter().map(size).collect();
    Ok(sizes?.into_iter().sum())
}

/// The same folder or file, however it is written.
pub(crate) fn is_same(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
