//! `cargo run --release -p glm-bench --bin steps -- --model DIR`: one side of a comparison in turns.
//!
//! A machine that others use changes its speed from one second to the next, so two programs are compared by letting each
//! write a few tokens in turn. This one writes as many as a line of its input says and answers with the seconds that a token
//! took; `ready` comes first. Stop the other program while it waits (`kill -STOP`): many spin on a core meanwhile.

use std::{
    io::{BufRead, Write},
    num::NonZeroU32,
    process::ExitCode,
    time::Instant,
};

use clap::Parser;
use glm_bench::{Error, exit_code, model_source::ModelSource, random_prompt::random_prompt};
use glm_core::{GenerationOptions, Precision, generate::Generator};

/// Writes tokens when asked to, for measuring in turns with another program: reads numbers of tokens, one a line, and
/// answers each with the seconds that a token took
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Checkpoint folder, prepacked file, or random:NAME for random weights of the full size
    #[arg(long, value_name = "DIR|FILE|random:NAME")]
    model: ModelSource,
    /// Precision of the layers [default: stored; int4 for a random model]
    #[arg(long, value_name = "NAME")]
    precision: Option<Precision>,
    /// Precision of embedding and head [default: int8 beside packed layers]
    #[arg(long, value_name = "NAME")]
    head: Option<Precision>,
    /// Tokens in front of those that are timed
    #[arg(long, value_name = "N", default_value_t = 32)]
    context: usize,
    /// Tokens written behind them, before it starts again
    #[arg(long, value_name = "N", default_value_t = 32)]
    r#gen: usize,
    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    if let Some(threads) = arguments.threads {
        glm_core::set_cpu_threads(threads).map_err(glm_core::Error::from)?;
    }
    let source = &arguments.model;
    let (layers, head) = source.precisions(arguments.precision, arguments.head);
    let model = source.open(layers, head)?;
    let prompt = random_prompt(arguments.context, model.config())?;
    let options = GenerationOptions::greedy()
        // The first one belongs to the prompt.
        .with_max_new_tokens(arguments.r#gen.max(1) + 1)
        .with_max_length(model.max_sequence_length())
        .with_eos_token_ids(Vec::new());
    let start = || -> Result<_, Error> {
        let mut writing = Generator::new(&model, &prompt, &options)?;
        writing.next().transpose()?;
        Ok(writing)
    };
    let mut writing = start()?;
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    writeln!(output, "ready")?;
    output.flush()?;
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        let number = line.trim();
        let tokens: NonZeroU32 = number.parse().map_err(|_| Error::Tokens {
            line: number.to_owned(),
        })?;
        let (mut seconds, mut left) = (0.0, tokens.get());
        while left > 0 {
            let begin = Instant::now();
            if writing.next().transpose()?.is_some() {
                seconds += begin.elapsed().as_secs_f64();
                left -= 1;
            } else {
                writing = start()?;
            }
        }
        writeln!(output, "{:.6}", seconds / f64::from(tokens.get()))?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}
