//! Trains the demonstration models of this repository, and measures them on their held-out questions.
//!
//! ```sh
//! cargo run --release -p train-mini -- train --family chatglm2
//! cargo run --release -p train-mini -- evaluate --family chatglm2
//! ```

mod dataset;
mod evaluate;
mod trainer;

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Train the demonstration models of this repository, or measure them.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train on the corpus and write model.safetensors into the model folder. Run it again to go on after a stop.
    Train(TrainArgs),
    /// Ask every held-out question under greedy decoding and print how many are answered as expected.
    Evaluate(EvaluateArgs),
}

/// Where the corpus and the model are.
#[derive(Args)]
pub(crate) struct Folders {
    /// Folder with train.jsonl and heldout.jsonl
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../mini-corpus/data"), hide_default_value = true)]
    data: PathBuf,
    /// Which demonstration model
    #[arg(long, value_enum, default_value_t = Family::Chatglm)]
    family: Family,
    /// Model folder with config.json and the tokenizer's file, instead of a demonstration model's
    #[arg(long, conflicts_with = "family")]
    model: Option<PathBuf>,
}

/// The demonstration models.
#[derive(Clone, Copy, ValueEnum)]
enum Family {
    /// chatglm-mini, a ChatGLM-6B
    Chatglm,
    /// chatglm2-mini, a ChatGLM2-6B
    Chatglm2,
}

impl Folders {
    pub(crate) fn model(&self) -> PathBuf {
        let name = match self.family {
            Family::Chatglm => "chatglm-mini",
            Family::Chatglm2 => "chatglm2-mini",
        };
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../mini-model");
        let own = || Path::new(models).join(name);
        self.model.clone().unwrap_or_else(own)
    }
}

#[derive(Args)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    folders: Folders,
    /// Folder for the state to resume from (default: runs/ and the name of the model folder)
    #[arg(long)]
    run: Option<PathBuf>,
    /// Passes over the corpus
    #[arg(long, default_value_t = 30)]
    epochs: usize,
    /// Rows per optimiser step
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// Peak learning rate: reached after the warm-up, then a cosine down to a tenth
    #[arg(long, default_value_t = 1e-3)]
    learning_rate: f64,
    /// Steps until the peak learning rate
    #[arg(long, default_value_t = 200)]
    warmup: usize,
    /// Put up to this many turns of other pairs before each row, drawn anew in every pass
    #[arg(long, default_value_t = 0)]
    random_turns: usize,
    /// Start from the weights in the model folder instead of random ones
    #[arg(long)]
    from_model: bool,
    /// Seed of the initial weights and of the order of the rows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps between two saved states
    #[arg(long, default_value_t = 500)]
    save_every: usize,
    /// Stop after this many steps and save the state; the same command goes on
    #[arg(long)]
    max_steps: Option<usize>,
    /// CPU threads (default: one per core)
    #[arg(long)]
    threads: Option<usize>,
}

impl TrainArgs {
    pub(crate) fn run(&self) -> PathBuf {
        let model = self.folders.model();
        let own = || Path::new("runs").join(model.file_name().unwrap_or_default());
        self.run.clone().unwrap_or_else(own)
    }
}

#[derive(Args)]
pub(crate) struct EvaluateArgs {
    #[command(flatten)]
    folders: Folders,
    /// Print every question that is not answered as expected
    #[arg(long)]
    show_wrong: bool,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Train(args) => trainer::train(&args),
        Command::Evaluate(args) => evaluate::evaluate(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;
