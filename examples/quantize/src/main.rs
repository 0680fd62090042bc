//! Quantises a checkpoint on disk.
//!
//! ```sh
//! cargo run --release -p quantize -- chatglm-6b --precision int4 -o chatglm-6b-int4.glm
//! ```

mod arguments;
mod calibrated;
mod error;

use std::{fs, process::ExitCode, time::Instant};

use arguments::Arguments;
use command_line::{
    duration,
    exit::{Exit, note},
    model::Named,
    texts::{Locales, Texts},
};
use error::Error;
use glm_core::{
    LoadOptions,
    checkpoint::{Converter, Target, refuse_overwrite},
    hub::DEFAULT_REVISION,
};
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
        Err(error) => error.exit().saying(&texts.error(&error)),
    }
}

fn run(arguments: &Arguments, target: Target, texts: &Texts) -> Result<(), Error> {
    let start = Instant::now();
    let bar = Bar::new(texts);
    let show = |progress| bar.show(progress);
    let named = Named {
        name: &arguments.source,
        revision: DEFAULT_REVISION,
        offline: false,
    };
    let source = &named.locate(texts, show)?;
    let output = &arguments.output;
    let written = if let Some(text) = arguments.calibration() {
        refuse_overwrite(source, output, arguments.force)?;
        let blocks = |done, of| bar.show_blocks(done, of);
        let options = LoadOptions::default().progress(show);
        let precisions = [arguments.precision, arguments.calibrated_head()];
        let rows = text.rows(source, texts)?;
        calibrated::write(options, source, &rows, precisions, output, blocks)
            .map(|()| vec![output.clone()])
    } else {
        Converter::default()
            .overwrite(arguments.force)
            .verify(false)
            .progress(show)
            .convert(source, target, output)
            .map_err(Error::from)
    };
    bar.clear();
    let mut bytes = 0;
    for path in written? {
        let metadata = fs::metadata(&path);
        bytes += metadata
            .map_err(|source| glm_core::Error::Io { path, source })?
            .len();
    }
    let time = duration::in_words(start.elapsed(), texts);
    note(&texts.with(
        "quantize-wrote",
        [
            ("output", output.display().to_string().into()),
            ("size", format!("{:.2} GB", bytes as f64 / 1e9).into()),
            ("precision", arguments.precision.to_string().into()),
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
