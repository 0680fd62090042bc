//! Converts a checkpoint between its forms on disk.
//!
//! ```sh
//! cargo run --release -p convert -- chatglm-ggml.bin --to safetensors -o chatglm-6b
//! ```
#![forbid(unsafe_code)]

mod arguments;

use std::{error::Error, fs, process::ExitCode, time::Instant};

use arguments::Arguments;
use clap::Parser;
use glm_core::checkpoint::Converter;
use indicatif::{DecimalBytes, HumanDuration};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if matches!(
                error.downcast_ref(),
                Some(glm_core::Error::AlreadyQuantized { .. })
            ) {
                eprintln!("--requantize does it nevertheless, at the cost of quality");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let bar = progress_bar::bar();
    let converter = Converter::default()
        .requantize(arguments.requantize)
        .overwrite(arguments.force)
        .verify(!arguments.no_verify)
        .progress(|progress| progress_bar::show(&bar, progress));
    let files = converter.convert(&arguments.source, arguments.target()?, &arguments.output);
    bar.finish_and_clear();
    let mut bytes = 0;
    for file in files? {
        bytes += fs::metadata(file)?.len();
    }
    eprintln!(
        "wrote {}: {}, {} in {}",
        arguments.output.display(),
        DecimalBytes(bytes),
        if arguments.no_verify {
            "not verified,"
        } else {
            "verified,"
        },
        HumanDuration(start.elapsed()),
    );
    Ok(())
}
