//! Converts a checkpoint between its forms on disk.
//!
//! ```sh
//! cargo run --release -p convert -- chatglm-ggml.bin --to safetensors -o chatglm-6b
//! ```
#![forbid(unsafe_code)]

mod arguments;

use std::{fs, process::ExitCode, time::Instant};

use arguments::Arguments;
use command_line::exit::{Exit, note};
use glm_core::{
    Error,
    checkpoint::{Converter, Target},
};
use indicatif::{DecimalBytes, HumanDuration};

fn main() -> ExitCode {
    let arguments: Arguments = command_line::arguments::parse();
    let target = match arguments.target() {
        Ok(target) => target,
        Err(error) => return Exit::WrongUsage.saying(&format!("error: {error}")),
    };
    match run(&arguments, target) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            note(&format!("error: {error}"));
            if matches!(error, Error::AlreadyQuantized { .. }) {
                note("--requantize does it nevertheless, at the cost of quality");
            }
            Exit::from(&error).into()
        }
    }
}

fn run(arguments: &Arguments, target: Target) -> Result<(), Error> {
    let start = Instant::now();
    let bar = progress_bar::bar();
    let converter = Converter::default()
        .requantize(arguments.requantize)
        .overwrite(arguments.force)
        .verify(!arguments.no_verify)
        .progress(|progress| progress_bar::show(&bar, progress));
    let files = converter.convert(&arguments.source, target, &arguments.output);
    bar.finish_and_clear();
    let mut bytes = 0;
    for file in files? {
        let metadata = fs::metadata(&file);
        bytes += metadata
            .map_err(|source| Error::Io { path: file, source })?
            .len();
    }
    note(&format!(
        "wrote {}: {}, {} in {}",
        arguments.output.display(),
        DecimalBytes(bytes),
        if arguments.no_verify {
            "not verified,"
        } else {
            "verified,"
        },
        HumanDuration(start.elapsed()),
    ));
    Ok(())
}
