//! `cargo run --release -p parity -- DIR...`: compares checkpoint folders with recorded official results.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, ValueEnum};
use command_line::{
    arguments::named,
    exit::{Exit, note, unwritten},
    texts::{Locales, Texts},
};
use glm_core::{DeviceName, checkpoint::WeightFormat};
use parity::{Options, check_folder};

/// Compares this program's results with those of the official ChatGLM-6B or ChatGLM2-6B code, as recorded in expected.json and
/// expected.safetensors beside a checkpoint.
///
/// Prints one line for each check, with the largest error and the tolerance. Ends with 0 when all checks have passed,
/// 1 when one has failed or a folder cannot be compared, 2 when the options are wrong.
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
    #[arg(long, value_parser = named::<DeviceName>(), default_value_t = DeviceName::Cpu)]
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

/// The texts of this program.
const LOCALES: Locales = Locales {
    english: "",
    chinese: "",
    chinese_help: include_str!("../locales/help.zh.ftl"),
};

fn main() -> ExitCode {
    let (arguments, texts) = command_line::arguments::parse::<Arguments>(&LOCALES);
    if let Err(error) = arguments.device.open() {
        return Exit::WrongUsage.saying(&texts.error(&glm_core::Error::from(error)));
    }
    match run(&arguments, &mut io::stdout().lock(), &texts) {
        Ok(exit) => exit.into(),
        // Whether the rest passes is not known.
        Err(error) => unwritten(&error, &texts),
    }
}

/// Compares all folders.
fn run(arguments: &Arguments, out: &mut impl Write, texts: &Texts) -> io::Result<Exit> {
    let options = Options {
        format: arguments.format.map(|format| match format {
            Format::Safetensors => WeightFormat::Safetensors,
            Format::Bin => WeightFormat::PytorchBin,
        }),
        device: arguments.device,
        fast: arguments.fast,
    };
    let mut exit = Exit::Done;
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
                if !report.passed() {
                    exit = Exit::Failed;
                }
                let end = if arguments.markdown {
                    report.markdown()
                } else {
                    report.summary()
                };
                writeln!(out, "{end}")?;
            }
            Err(error) => {
                exit = Exit::Failed;
                out.flush()?;
                note(&texts.error(&error));
            }
        }
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use command_line::coverage::gaps;

    use super::*;

    #[test]
    fn every_text_is_there_in_both_languages() {
        let gaps = gaps::<Arguments>(&LOCALES, Path::new("src"));
        assert_eq!(gaps, Vec::<String>::new());
    }
}
