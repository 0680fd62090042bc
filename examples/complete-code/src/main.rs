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
mod messages;
mod place;
mod request;
mod stdio;

use std::{
    io::{self, BufReader, IsTerminal, Write},
    process::ExitCode,
};

use command_line::{
    exit::{Exit, note},
    text::Source,
    texts::Texts,
};
use glm_core::{
    LoadOptions,
    code::{CodeCompletion, CodeOptions, Cursor, Language},
    generate::CancelToken,
};
use serde::Serialize;

use arguments::Arguments;
use completer::{Completer, Outcome};
use error::{Error, Result};
use messages::LOCALES;

/// Most code that is read, in bytes. What is far before the cursor is left out anyway.
const MAX_CODE_BYTES: u64 = 16 << 20;

fn main() -> ExitCode {
    let (arguments, texts) = command_line::arguments::parse::<Arguments>(&LOCALES);
    let checked = match arguments.check() {
        Ok(checked) => checked,
        Err(error) => return Exit::WrongUsage.saying(&texts.error(&error)),
    };
    match run(&arguments, checked, &texts) {
        Ok(()) => Exit::Done.into(),
        // Whoever read the completion has read enough.
        Err(error) if error.is_broken_pipe() => Exit::Done.into(),
        Err(error) => error.exit().saying(&texts.error(&error)),
    }
}

/// What the arguments ask for, as far as it can be told without a model.
struct Checked<'a> {
    options: CodeOptions,
    language: Option<&'static Language>,
    loading: LoadOptions<'a>,
}

fn run(arguments: &Arguments, checked: Checked<'_>, texts: &Texts) -> Result<()> {
    let Checked {
        options,
        language,
        loading,
    } = checked;
    let name = match &arguments.model.model {
        Some(name) if !arguments.languages => name,
        _ => return list_languages(&mut io::stdout().lock()),
    };
    let code = match arguments.stdio {
        true => None,
        false => Some(code(arguments, texts)?),
    };
    let (tokenizer, model) = loading::load(name, &arguments.model, loading, texts)?;
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
    for message in messages::about(&completion, &cursor, &options, texts) {
        note(&message);
    }
    Ok(())
}

/// The code before and behind the cursor.
fn code(arguments: &Arguments, texts: &Texts) -> Result<(String, String)> {
    let place = arguments.place.as_ref();
    let source = place.map_or(Source::Input, |place| Source::named(&place.path));
    let mut code = source.read(MAX_CODE_BYTES, arguments.encoding)?;
    source.note_guess(&code, texts);
    let end = match place {
        Some(place) => place.offset(&code.text)?,
        None => code.text.len(),
    };
    let after = code.text.split_off(end);
    Ok((code.text, after))
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

fn list_languages(out: &mut impl Write) -> Result<()> {
    for language in Language::all() {
        writeln!(out, "{:22} {}", language.name(), language.tag()).map_err(Error::Output)?;
    }
    Ok(())
}
