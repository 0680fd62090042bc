//! The smallest program that talks to ChatGLM-6B.
//!
//! ```sh
//! cargo run --release -p hello
//! ```

use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;

/// Ask ChatGLM-6B four questions.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Folder of a downloaded checkpoint, or one file that is a model [default: the built-in demonstration model]
    model: Option<PathBuf>,
}

fn main() -> ExitCode {
    match talk(&Arguments::parse(), &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn talk(arguments: &Arguments, output: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let (tokenizer, model) = match &arguments.model {
        Some(path) => {
            let model = glm_core::load(path)?;
            (glm_core::load_tokenizer(path)?, model)
        }
        None => mini_model::load()?,
    };
    let mut history = Vec::new();
    for question in [
        "你好",
        "What is 3 plus 5?",
        "法国的首都是哪里？",
        "那日本呢？",
    ] {
        let reply = model.chat(&tokenizer, question, &history)?;
        writeln!(output, "> {question}\n{}", reply.response)?;
        history = reply.history;
    }
    Ok(())
}
