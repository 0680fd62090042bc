//! `cargo run --release -p quality`: what each precision costs in quality, as a Markdown table.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use command_line::{
    arguments::{threads, whole_number},
    exit::{Exit, unwritten},
    texts::{Locales, Texts},
};
use glm_core::{CachePrecision, GlmTokenizer, Model, Numerics, Precision, Quantizer};
use quality::{Question, calibration, measure, quantized};

/// Measures what each precision costs in quality, on the built-in demonstration model and its held-out questions.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = threads())]
    threads: Option<usize>,
    /// Use every N-th training question to calibrate GPTQ
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>(1..=u64::MAX), default_value_t = 16)]
    calibration_step: usize,
}

/// The texts of this program.
const LOCALES: Locales = Locales {
    english: include_str!("../locales/en.ftl"),
    chinese: include_str!("../locales/zh.ftl"),
    chinese_help: include_str!("../locales/help.zh.ftl"),
};

fn main() -> ExitCode {
    let (arguments, texts) = command_line::arguments::parse::<Arguments>(&LOCALES);
    match run(&arguments, &texts) {
        Ok(()) => Exit::Done.into(),
        Err(Error::Model(error)) => Exit::Failed.saying(&texts.error(&error)),
        Err(Error::Output(error)) => unwritten(&error, &texts),
    }
}

/// Why there is no table.
enum Error {
    /// A model cannot be made or run.
    Model(glm_core::Error),
    /// Nobody takes the table.
    Output(io::Error),
}

impl<E: Into<glm_core::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Model(error.into())
    }
}

type Result<T> = std::result::Result<T, Error>;

fn run(arguments: &Arguments, texts: &Texts) -> Result<()> {
    if let Some(threads) = arguments.threads {
        glm_core::set_cpu_threads(threads)?;
    }
    let corpus = mini_corpus::generate();
    let training: Vec<Question> = corpus.train.iter().map(Question::from).collect();
    let held_out: Vec<Question> = corpus
        .held_out
        .iter()
        .map(|held_out| Question::from(&held_out.example))
        .collect();
    let (tokenizer, model) = mini_model::load()?;
    let table = Table {
        tokenizer,
        held_out,
        texts,
    };
    let rows = calibration(&training, &table.tokenizer, arguments.calibration_step);
    let gptq = Quantizer::Gptq { calibration: &rows };

    let heads = texts.get("quality-heads");
    print(&format!("{heads}\n|---|---|---|---|---|--:|--:|"))?;
    let exact = model.clone().with_numerics(Numerics::EXACT);
    table.line(["f16", "f16", "", "f32", "f32"], &exact)?;
    table.line(["f16", "f16", "", "f32", "int16"], &model)?;
    for (label, precision) in [("f16", CachePrecision::F16), ("int8", CachePrecision::Int8)] {
        table.line(
            ["f16", "f16", "", "f32", label],
            &with_cache(&model, precision),
        )?;
    }
    for name in ["int8-row", "int8-g128", "int4-row", "int4-g32", "int4-g128"] {
        let precision: Precision = name.parse()?;
        for (label, quantizer) in [("nearest", Quantizer::RoundToNearest), ("GPTQ", gptq)] {
            let model = quantized(&model, precision, Precision::Stored, quantizer)?;
            let exact = model
                .clone()
                .with_numerics(Numerics::EXACT.with_kv_cache(CachePrecision::Int16));
            table.line([name, "f16", label, "f32", "int16"], &exact)?;
            table.line([name, "f16", label, "int8", "int16"], &model)?;
        }
    }
    for head in ["int8-g128", "int8-g32", "int4-g128", "int4-g32"] {
        let model = quantized(&model, "int4-g128".parse()?, head.parse()?, gptq)?;
        table.line(["int4-g128", head, "GPTQ", "int8", "int16"], &model)?;
    }
    Ok(())
}

fn with_cache(model: &Model, kv_cache: CachePrecision) -> Model {
    let numerics = model.numerics().with_kv_cache(kv_cache);
    model.clone().with_numerics(numerics)
}

fn print(line: &str) -> Result<()> {
    writeln!(io::stdout(), "{line}").map_err(Error::Output)
}

struct Table<'a> {
    tokenizer: GlmTokenizer,
    held_out: Vec<Question>,
    texts: &'a Texts,
}

impl Table<'_> {
    fn line(&self, labels: [&str; 5], model: &Model) -> Result<()> {
        let quality = measure(model, &self.tokenizer, &self.held_out)?;
        let right = [("right", quality.right.into()), ("all", quality.all.into())];
        let right = self.texts.with("quality-right", right);
        let (labels, perplexity) = (labels.join(" | "), quality.perplexity);
        print(&format!("| {labels} | {perplexity:.5} | {right} |"))
    }
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
