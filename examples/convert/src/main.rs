//! Converts a checkpoint between its forms on disk.
//!
//! ```sh
//! cargo run --release -p convert -- chatglm-ggml.bin --to safetensors -o chatglm-6b
//! ```
#![forbid(unsafe_code)]

mod arguments;

use std::{fs, process::ExitCode, time::Instant};

use arguments::Arguments;
use command_line::{
    duration,
    exit::{Exit, note},
    texts::{Locales, Texts},
};
use glm_core::{
    Error,
    checkpoint::{Converter, Target},
};
use indicatif::DecimalBytes;
use progress_bar::Bar;

/// The texts of this program.
const LOCALES: Locales = Locales {
    english: include_str!("../locales/en.ftl"),
    chinese: include_str!("../locales/zh.ftl"),
    chinese_help: include_str!("../locales/help.zh.ftl"),
};

fn main() -> ExitCode {
    let (arguments, texts) = command_line::arguments::parse::<Arguments>(&LOCALES);
    let target = match arguments.target(&texts) {
        Ok(target) => target,
        Err(error) => return Exit::WrongUsage.saying(&texts.error(&error)),
    };
    match run(&arguments, target, &texts) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            note(&texts.error(&error));
            if matches!(error, Error::AlreadyQuantized { .. }) {
                note(&texts.get("convert-requantize-does-it"));
            }
            Exit::from(&error).into()
        }
    }
}

fn run(arguments: &Arguments, target: Target, texts: &Texts) -> Result<(), Error> {
    let start = Instant::now();
    let bar = Bar::new(texts);
    let converter = Converter::default()
        .requantize(arguments.requantize)
        .overwrite(arguments.force)
        .verify(!arguments.no_verify)
        .progress(|progress| bar.show(progress));
    let files = converter.convert(&arguments.source, target, &arguments.output);
    bar.clear();
    let mut bytes = 0;
    for file in files? {
        let metadata = fs::metadata(&file);
        bytes += metadata
            .map_err(|source| Error::Io { path: file, source })?
            .len();
    }
    let id = match arguments.no_verify {
        true => "convert-wrote-unverified",
        false => "convert-wrote",
    };
    let time = duration::in_words(start.elapsed(), texts);
    note(&texts.with(
        id,
        [
            ("output", arguments.output.display().to_string().into()),
            ("size", DecimalBytes(bytes).to_string().into()),
            ("time", time.into()),
        ],
    ));
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
