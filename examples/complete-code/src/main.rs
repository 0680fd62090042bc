//! Completes code at the cursor with CodeGeeX2-6B: once, or for an editor.
//!
//! ```sh
//! cargo run --release -p complete-code -- --model THUDM/codegeex2-6b --precision int4 src/main.rs:12
//! ```
#![forbid(unsafe_code)]

mod arguments;
mod completer;
mod error;
mod line;
mod loading;
mod place;
mod request;
mod stdio;

use std::{
    io::{self, BufReader, IsTerminal, Read, Write},
    process::ExitCode,
};

use clap::Parser;
use glm_core::{
    code::{CodeCompletion, CodeOptions, Cursor, Language},
    generate::{CancelToken, FinishReason},
};
use serde::Serialize;

use arguments::Arguments;
use completer::{Completer, Outcome};
use error::{Error, Result};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the completion has read enough.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    // What is wrong with these is told before a model is loaded.
    let (options, language) = (arguments.options()?, arguments.language()?);
    let name = match &arguments.model.model {
        Some(name) if !arguments.languages => name,
        _ => return list_languages(&mut io::stdout().lock()),
    };
    let code = match &arguments.place {
        _ if arguments.stdio => None,
        Some(place) => Some(place.read()?),
        None => Some((read_input()?, String::new())),
    };
    let (tokenizer, model) = loading::load(name, &arguments.model)?;
    let memory = arguments.model.memory.saturating_mul(1_000_000);
    let Some((before, after)) = code else {
        let completer = Completer::new(model, tokenizer, memory);
        let input = BufReader::new(io::stdin());
        return stdio::run(&completer, &options, language, input, io::stdout());
    };
    let cursor = Cursor::new(&before)
        .with_after(&after)
        .with_language(language);
    let completer = Completer::new(model, tokenizer, 0);
    let completion = match arguments.json {
        true => print_json(&completer, &cursor, &options)?,
        false => print(&completer, &cursor, &options)?,
    };
    tell(&completion, &cursor, &options);
    Ok(())
}

/// Prints a completion as it comes. A terminal is spared control characters, which a model can write as any others.
fn print(
    completer: &Completer,
    cursor: &Cursor<'_>,
    options: &CodeOptions,
) -> Result<CodeCompletion> {
    let mut out = io::stdout();
    let is_terminal = out.is_terminal();
    let is_unwanted = |c: char| is_terminal && c.is_control() && !matches!(c, '\n' | '\t');
    let mut write = |text: &str| {
        let written = out.write_all(text.replace(is_unwanted, "").as_bytes());
        written.and_then(|()| out.flush()).map_err(Error::Output)
    };
    let completion = completer.complete(cursor, options, CancelToken::new(), &mut write)?;
    write("\n")?;
    Ok(completion)
}

#[derive(Serialize)]
struct Report<'a> {
    text: &'a str,
    #[serde(flatten)]
    outcome: Outcome,
}

fn print_json(
    completer: &Completer,
    cursor: &Cursor<'_>,
    options: &CodeOptions,
) -> Result<CodeCompletion> {
    let completion = completer.complete(cursor, options, CancelToken::new(), |_| Ok(()))?;
    let report = Report {
        text: &completion.text,
        outcome: Outcome::from(&completion),
    };
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report).map_err(|error| Error::Output(error.into()))?;
    writeln!(out).map_err(Error::Output)?;
    Ok(completion)
}

/// Says what the user should know about a completion.
fn tell(completion: &CodeCompletion, cursor: &Cursor<'_>, options: &CodeOptions) {
    if cursor.language.is_none() {
        note("note: the model was told no language; --language names it");
    }
    if completion.omitted_bytes > 0 {
        let bytes = completion.omitted_bytes;
        note(&format!(
            "note: the code is too long: its first {bytes} bytes were not read"
        ));
    }
    if completion.invalid_scores > 0 {
        note("note: the model gave scores that are no numbers; its weights are damaged");
    }
    if completion.finish_reason == FinishReason::Length {
        let limit = options.generation.max_new_tokens;
        let limit = limit.filter(|limit| *limit == completion.completion_tokens);
        note(&match limit {
            Some(limit) => format!(
                "note: the completion was cut at {limit} tokens; --max-new-tokens allows more"
            ),
            None => "note: the completion was cut where the model's context ends".to_owned(),
        });
    }
}

fn list_languages(out: &mut impl Write) -> Result<()> {
    for language in Language::all() {
        writeln!(out, "{:22} {}", language.name(), language.tag()).map_err(Error::Output)?;
    }
    Ok(())
}

fn read_input() -> Result<String> {
    let mut code = String::new();
    io::stdin()
        .read_to_string(&mut code)
        .map_err(Error::Input)?;
    Ok(code)
}

/// Says something beside the completion. A standard error that is closed is no reason to stop.
fn note(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}
