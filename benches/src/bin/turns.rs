//! `cargo run --release -p glm-bench --bin turns -- --model DIR`: how long a conversation waits for the first token of each
//! answer, when it remembers what was read and when it reads everything again.
//!
//! Questions are random tokens, answers are greedy and go into the next prompt as they are. Each first token is written in
//! both ways, one after the other, and compared. The last column is what a hit of a `PrefixCache` costs: a copy of the
//! tokens that can be reused.

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use glm_bench::{Error, exit_code, model_source::ModelSource};
use glm_core::{
    GenerationOptions, Model, Precision, TokenId, generate::Generator, prefix_cache::Prefix,
};

/// Measures the time to the first token of every turn, with and without what was read before, and checks that the tokens
/// are the same
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Checkpoint folder, prepacked file, or random:NAME for random weights of the full size
    #[arg(long, value_name = "DIR|FILE|random:NAME")]
    model: ModelSource,
    /// Precision of the layers: stored, int8 or int4, or one of these with -row, -g128 or -g32; a random model needs
    /// int8 or int4
    #[arg(long, value_name = "NAME", default_value_t)]
    precision: Precision,
    /// Turns of the conversation
    #[arg(long, value_name = "N", default_value_t = 10)]
    turns: usize,
    /// Tokens of each question
    #[arg(long, value_name = "N", default_value_t = 64)]
    question: usize,
    /// Tokens of each answer
    #[arg(long, value_name = "N", default_value_t = 64)]
    answer: usize,
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
    let head = arguments.precision.default_head();
    let model = arguments.model.open(arguments.precision, head)?;
    let options = GenerationOptions::greedy()
        .with_max_new_tokens(arguments.answer.max(1))
        .with_max_length(model.max_sequence_length())
        .with_eos_token_ids(Vec::new());
    println!("turn  prompt  cached  first token, ms: remembering  reading all  ratio  copy, ms");
    let (mut text, mut known) = (Vec::new(), None);
    for turn in 1..=arguments.turns {
        text.extend(question(&model, turn, arguments.question));
        let prompt = prompt(&model, &text);
        let generator = || Generator::new(&model, &prompt, &options);

        let copied = Instant::now();
        let copy = known.as_ref();
        drop(copy.map(|known: &Prefix| known.first_tokens(known.tokens().len())));
        let copied = milliseconds(copied);

        let mut remembering = match known.take() {
            Some(prefix) => generator()?.with_prefix(prefix),
            None => generator()?,
        };
        let (first, remembered) = first_token(&mut remembering)?;
        let (expected, anew) = first_token(&mut generator()?)?;
        if first != expected {
            return Err(Error::TextDiffers);
        }
        println!(
            "{turn:4} {:7} {:7} {remembered:29.1} {anew:12.1} {:6.1} {copied:9.1}",
            prompt.len(),
            remembering.cached_tokens(),
            anew / remembered
        );
        remembering.by_ref().try_for_each(|token| token.map(drop))?;
        text.extend(remembering.generated());
        known = remembering.into_prefix();
    }
    Ok(())
}

/// Random tokens, other ones for each turn.
fn question(model: &Model, turn: usize, len: usize) -> impl Iterator<Item = TokenId> {
    // The first ids are special in some models, the last ones in others.
    let ids = (model.vocab_size() / 2) as TokenId;
    (0..len).map(move |index| {
        let step = (turn * len + index + 1) as TokenId;
        ids / 4 + step.wrapping_mul(1_000_003) % ids
    })
}

/// The tokens that the model reads to go on behind `text`.
fn prompt(model: &Model, text: &[TokenId]) -> Vec<TokenId> {
    let end = model.config().prompt_end().into_iter();
    text.iter()
        .copied()
        .chain(end.map(|id| id as TokenId))
        .collect()
}

/// The next token, and the milliseconds that it took.
fn first_token(generator: &mut Generator<'_>) -> Result<(Option<TokenId>, f64), Error> {
    let start = Instant::now();
    let token = generator.next().transpose()?;
    Ok((token, milliseconds(start)))
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
