//! `cargo run --release -p glm-bench --bin prompt-lookup`: what prompt-lookup decoding gains.
//!
//! The rewrite task: the built-in demonstration model is asked for each of its stories and poems, and then for the same one
//! again, with the first answer in the conversation. With `--model random:NAME` instead a random model of full size goes on
//! from a prompt; its greedy text soon repeats itself, which shows what a right guess saves where a pass costs what it does
//! in practice. Greedy text with and without guesses is compared to the letter, in turns.

use std::{process::ExitCode, time::Instant};

use clap::Parser;
use glm_bench::{
    Error, exit_code, model_source::ModelSource, random_prompt::random_prompt, statistics::Spread,
};
use glm_core::{
    GenerationOptions, Model, Precision, TokenId,
    chat::{PromptStyle, Turn},
    generate::Generator,
};

/// Tokens of a random prompt.
const PROMPT_TOKENS: usize = 34;

/// Measures prompt-lookup decoding against plain decoding, in turns, and checks that the text is the same
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Let this model go on from a random prompt: a checkpoint folder, a prepacked file, or random weights of the full size
    /// [default: the demonstration model, and its tasks]
    #[arg(long, value_name = "DIR|FILE|random:NAME")]
    model: Option<ModelSource>,
    /// Precision of its layers, and of embedding and head [default: stored; int4 for a random model]
    #[arg(long, value_name = "NAME", requires = "model")]
    precision: Option<Precision>,
    /// Tokens to guess ahead
    #[arg(long, value_name = "N", default_value_t = 10)]
    guess: usize,
    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Times that everything is measured
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeat: usize,
}

fn main() -> ExitCode {
    exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    if let Some(threads) = arguments.threads {
        glm_core::set_cpu_threads(threads).map_err(glm_core::Error::from)?;
    }
    let (model, prompts, new_tokens) = if let Some(source) = &arguments.model {
        let precision = arguments.precision;
        let precision = precision.unwrap_or(source.default_precision());
        let model = source.open(precision, precision)?;
        let prompt = random_prompt(PROMPT_TOKENS, model.config())?;
        (model, vec![prompt], 128)
    } else {
        let (tokenizer, model) = mini_model::load()?;
        let prompts = rewrites()
            .map(|(history, query)| {
                let prompt = PromptStyle::ChatGlm.build_prompt(&history, &query);
                tokenizer.with_special_tokens(tokenizer.encode(&prompt))
            })
            .collect();
        (model, prompts, 100)
    };

    let (mut ratios, mut plain_rates, mut guessed_rates) = (vec![], vec![], vec![]);
    let (mut tokens, mut passes) = (0, 0);
    for _ in 0..arguments.repeat.max(1) {
        let (mut plain_seconds, mut guessed_seconds) = (0.0, 0.0);
        (tokens, passes) = (0, 0);
        for prompt in &prompts {
            let plain = timed(&model, prompt, new_tokens, 0)?;
            let guessed = timed(&model, prompt, new_tokens, arguments.guess)?;
            if plain.tokens != guessed.tokens {
                return Err(Error::TextDiffers);
            }
            plain_seconds += plain.decode_seconds;
            guessed_seconds += guessed.decode_seconds;
            tokens += guessed.tokens.len();
            passes += guessed.passes;
        }
        let decoded = (tokens - prompts.len()) as f64; // The first token of each belongs to the prompt's pass.
        plain_rates.push(decoded / plain_seconds);
        guessed_rates.push(decoded / guessed_seconds);
        ratios.push(plain_seconds / guessed_seconds);
    }
    println!(
        "{} texts with {tokens} tokens, the same with and without guesses; {passes} passes with guesses of up to {} tokens",
        prompts.len(),
        arguments.guess
    );
    for (name, values) in [
        ("plain, tokens/s", plain_rates),
        ("prompt lookup, tokens/s", guessed_rates),
        ("ratio", ratios),
    ] {
        let Spread { median, min, max } = Spread::of(values);
        println!("{name:24} {median:8.2} (from {min:.2} to {max:.2})");
    }
    Ok(())
}

/// A request whose answer is in the conversation already.
fn rewrites() -> impl Iterator<Item = (Vec<Turn>, String)> {
    let corpus = mini_corpus::generate();
    corpus
        .train
        .into_iter()
        .filter(|example| example.topic == "stories" && example.history.is_empty())
        .step_by(7) // One of the ways in which each is asked for.
        .map(|example| {
            let turn = Turn::new(&example.prompt, &example.response);
            (vec![turn], example.prompt)
        })
}

struct Run {
    tokens: Vec<TokenId>,
    passes: usize,
    decode_seconds: f64,
}

/// Greedy text behind `prompt`; the time is that of the tokens after the first.
fn timed(model: &Model, prompt: &[TokenId], new: usize, guess: usize) -> Result<Run, Error> {
    let options = GenerationOptions::greedy()
        .with_max_new_tokens(new)
        .with_prompt_lookup_num_tokens(guess);
    let mut generator = Generator::new(model, prompt, &options)?;
    let mut tokens: Vec<TokenId> = generator.next().transpose()?.into_iter().collect();
    let start = Instant::now();
    for token in generator.by_ref() {
        tokens.push(token?);
    }
    Ok(Run {
        tokens,
        passes: generator.forward_passes(),
        decode_seconds: start.elapsed().as_secs_f64(),
    })
}
