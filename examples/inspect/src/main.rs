//! Tells what a checkpoint is, what is wrong with it, and what it needs, before anything large is read.
//!
//! ```sh
//! cargo run --release -p inspect -- path/to/chatglm-6b
//! ```

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use command_line::{
    exit::{Exit, unwritten},
    report::page,
    texts::{Locales, Texts},
};
use glm_core::checkpoint::{Inspection, inspect};

/// Tells what a checkpoint is, what is wrong with it, and what it needs in this machine
///
/// Reads headers only: a folder of 13 GB takes milliseconds. Ends with 0 when everything can be loaded, tokenizers that are
/// there included, else with 1.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Folders of downloaded checkpoints, or files that `quantize` or `convert` wrote
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print a JSON list, one object for each path, sizes in bytes
    #[arg(long)]
    json: bool,
}

/// The texts of this program.
const LOCALES: Locales = Locales {
    english: "",
    chinese: "",
    chinese_help: include_str!("../locales/help.zh.ftl"),
};

fn main() -> ExitCode {
    let (arguments, texts) = command_line::arguments::parse::<Arguments>(&LOCALES);
    let inspections: Vec<Inspection> = arguments.paths.iter().map(inspect).collect();
    match print(
        &inspections,
        arguments.json,
        &texts,
        &mut io::stdout().lock(),
    ) {
        Ok(()) if inspections.iter().all(Inspection::is_loadable) => Exit::Done.into(),
        Ok(()) => Exit::Failed.into(),
        Err(error) => unwritten(&error, &texts),
    }
}

fn print(
    inspections: &[Inspection],
    json: bool,
    texts: &Texts,
    out: &mut impl Write,
) -> io::Result<()> {
    if json {
        serde_json::to_writer_pretty(&mut *out, inspections)?;
        return writeln!(out);
    }
    for (index, inspection) in inspections.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        out.write_all(page(inspection, texts).as_bytes())?;
    }
    Ok(())
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
