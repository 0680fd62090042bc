//! Quantises a checkpoint on disk.
//!
//! ```sh
//! cargo run --release -p quantize -- chatglm-6b --precision int4 -o chatglm-6b-int4.glm
//! ```

mod arguments;
mod calibrated;

use std::{error::Error, fs, process::ExitCode, time::Instant};

use arguments::Arguments;
use clap::Parser;
use glm_core::{
    LoadOptions,
    checkpoint::{Converter, refuse_overwrite},
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
    let target = arguments.target()?;
    let bar = progress_bar::bar();
    let show = |progress| progress_bar::show(&bar, progress);
    let hub = Hub::from_env().progress(show);
    let source = &hub.locate(&arguments.source, DEFAULT_REVISION)?;
    let output = &arguments.output;
    let written = if let Some(text) = &arguments.gptq {
        refuse_overwrite(source, output, arguments.force)?;
        let blocks = |done, of| progress_bar::show_blocks(&bar, done, of);
        let options = LoadOptions::default().progress(show);
        let precisions = [arguments.precision, arguments.calibrated_head()];
        calibrated::write(options, source, text, precisions, output, blocks)
            .map(|()| vec![output.clone()])
    } else {
        Converter::default()
            .overwrite(arguments.force)
            .verify(false)
            .progress(show)
            .convert(source, target, output)
            .map_err(Into::into)
    };
    bar.finish_and_clear();
    let mut bytes = 0;
    for file in written? {
        bytes += fs::metadata(file)?.len();
    }
    eprintln!(
        "wrote {}: {:.2} GB, layers {}, in {}",
        output.display(),
        bytes as f64 / 1e9,
        arguments.precision,
        HumanDuration(start.elapsed()),
    );
    Ok(())
}
