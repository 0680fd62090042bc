//! `cargo run --release -p parity -- DIR...`: compares checkpoint folders with recorded official results.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, ValueEnum};
use glm_core::{DeviceName, checkpoint::WeightFormat};
use parity::{Options, check_folder};

/// Compares this program's results with those of the official ChatGLM-6B or ChatGLM2-6B code, as recorded in expected.json and
/// expected.safetensors beside a checkpoint.
///
/// Prints one line for each check, with the largest error and the tolerance. Ends with 0 when all checks have passed,
/// 1 when one has failed, 2 when a folder cannot be compared.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Folders with expected.json; the README describes the layout
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Weight files to load [default: every format in the folder]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Where the model runs: cpu, ndarray, wgpu[:N] or cuda[:N], if built with it
    #[arg(long, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
    /// Compute as `chat` does by default (inputs of quantised weights rounded to int8, keys and values to f16) and
    /// compare within the tolerance stated for that
    #[arg(long)]
    fast: bool,
    /// Print a Markdown table for each folder, with the largest error of each quantity, in place of the lines
    #[arg(long)]
    markdown: bool,
    /// Print failed checks and the sums only
    #[arg(long, short, conflicts_with = "markdown")]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// model.safetensors, one file or shards
    Safetensors,
    /// pytorch_model.bin, one file or shards
    Bin,
}

fn main() -> ExitCode {
    match run(&Arguments::parse(), &mut io::stdout().lock()) {
        Ok(worst) => ExitCode::from(worst),
        // Nobody reads on: `parity DIR | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(2),
        Err(error) => {
            eprintln!("error: cannot write the report: {error}");
            ExitCode::from(2)
        }
    }
}

/// Compares all folders and returns the exit code.
fn run(arguments: &Arguments, out: &mut impl Write) -> io::Result<u8> {
    let options = Options {
        format: arguments.format.map(|format| match format {
            Format::Safetensors => WeightFormat::Safetensors,
            Format::Bin => WeightFormat::PytorchBin,
        }),
        device: arguments.device,
        fast: arguments.fast,
    };
    let mut worst = 0;
    for dir in &arguments.dirs {
        let mut written = Ok(());
        let result = check_folder(dir, &options, |check| {
            let shown = !(arguments.markdown || arguments.quiet && check.passed());
            if shown && written.is_ok() {
                written = writeln!(out, "{check}");
            }
        });
        written?;
        match result {
            Ok(report) => {
                worst = worst.max(u8::from(!report.passed()));
                let end = if arguments.markdown {
                    report.markdown()
                } else {
                    report.summary()
                };
                writeln!(out, "{end}")?;
            }
            Err(error) => {
                worst = 2;
                out.flush()?;
                eprintln!("error: {error}");
            }
        }
    }
    Ok(worst)
}
