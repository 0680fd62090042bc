//! Quantises a checkpoint on disk.
//!
//! ```sh
//! cargo run --release -p quantize -- chatglm-6b --precision int4 -o chatglm-6b-int4.glm
//! ```

mod arguments;
mod calibrated;

use std::{error::Error, fs, process::ExitCode, time::Instant};

use arguments::Arguments;
use command_line::{
    exit::{Exit, note},
    model::Named,
};
use glm_core::{
    LoadOptions,
    checkpoint::{Converter, Target, refuse_overwrite},
    hub::DEFAULT_REVISION,
};
use indicatif::HumanDuration;

fn main() -> ExitCode {
    let arguments: Arguments = command_line::arguments::parse();
    let target = match arguments.target() {
        Ok(target) => target,
        Err(error) => return Exit::WrongUsage.saying(&format!("error: {error}")),
    };
    match run(&arguments, target) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            let exit = error.downcast_ref::<glm_core::Error>();
            exit.map_or(Exit::Failed, Exit::from)
                .saying(&format!("error: {error}"))
        }
    }
}

fn run(arguments: &Arguments, target: Target) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let bar = progress_bar::bar();
    let show = |progress| progress_bar::show(&bar, progress);
    let named = Named {
        name: &arguments.source,
        revision: DEFAULT_REVISION,
        offline: false,
    };
    let source = &named.locate(show)?;
    let output = &arguments.output;
    let written = if let Some(text) = &arguments.gptq {
        refuse_overwrite(source, output, arguments.force)?;
        let blocks = |done, of| progress_bar::show_blocks(&bar, done, of);
        let options = LoadOptions::default().progress(show);
        let precisions = [arguments.precision, arguments.calibrated_head()];
        let text = (text.as_path(), arguments.encoding);
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
    note(&format!(
        "wrote {}: {:.2} GB, layers {}, in {}",
        output.display(),
        bytes as f64 / 1e9,
        arguments.precision,
        HumanDuration(start.elapsed()),
    ));
    Ok(())
}
