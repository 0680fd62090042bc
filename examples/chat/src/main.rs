//! Chat with ChatGLM-6B: in a terminal, in a pipe, or with one question on the command line.
//!
//! ```sh
//! cargo run --release -p chat
//! cargo run --release -p chat -- --model chatglm-6b
//! ```
#![forbid(unsafe_code)]

mod arguments;
mod error;
mod interrupt;
mod language;
mod loading;
mod messages;
mod output;
mod piped;
mod plan;
mod prompt_cache;
mod session;
mod terminal;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::Parser;
use glm_core::{
    Model,
    chat::{ChatOptions, Conversation},
    generate::CancelToken,
};

use arguments::Arguments;
use error::Result;
use output::{Output, note};
use session::{Decoding, Request, Session};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read the answers has read enough.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            note(&arguments.language().error(&error));
            ExitCode::FAILURE
        }
    }
}

/// True when every question was answered.
fn run(arguments: &Arguments) -> Result<bool> {
    let language = arguments.language();
    arguments.chat_options(ChatOptions::default())?; // Wrong ones are refused before a model is loaded.
    let decoding = arguments.decoding()?;
    if let (true, Some(name)) = (arguments.model.plan, &arguments.model.model) {
        let path = loading::locate(name, &arguments.model, language)?;
        return plan::print(&path, arguments.model.json, &mut io::stdout().lock());
    }
    let (tokenizer, model) = loading::load(&arguments.model, language)?;
    let options = arguments.chat_options(model.chat_options())?;
    check_length(arguments, &model, &options, decoding)?;
    let mut conversation = Conversation::new(model, tokenizer).with_options(options);
    if let Some(path) = arguments.prompt_cache() {
        conversation = prompt_cache::load(path, conversation, language)?;
    }
    let mut session = Session::new(conversation, decoding);
    let all_answered = converse(arguments, &mut session)?;
    if let Some(path) = arguments.prompt_cache() {
        prompt_cache::save(path, session.conversation())?;
    }
    Ok(all_answered)
}

/// Refuses a conversation that does not fit into memory, and tells what one of the length that was asked for may take.
fn check_length(
    arguments: &Arguments,
    model: &Model,
    options: &ChatOptions,
    decoding: Decoding,
) -> Result<()> {
    let longest = model.max_sequence_length();
    let tokens = options.generation.max_length.min(longest);
    let bytes = model.check_cache_fits(decoding.rows(), tokens)?;
    if let Some(asked) = arguments.max_length() {
        let language = arguments.language();
        if asked > longest {
            note(&language.held_to_its_length(longest));
        }
        note(&language.cache_memory(tokens, bytes));
    }
    Ok(())
}

/// True when every question was answered.
fn converse(arguments: &Arguments, session: &mut Session) -> Result<bool> {
    let language = arguments.language();
    let mut output = Output::new(io::stdout(), io::stdout().is_terminal());
    let demonstration = arguments.model.is_demonstration();
    let is_one_shot = arguments.once().is_some() || arguments.infill().is_some();

    if !is_one_shot && io::stdin().is_terminal() {
        return terminal::run(session, language, demonstration, &mut output).map(|()| true);
    }
    if demonstration {
        note(language.demonstration());
    }
    if let Decoding::Beams(beams) = session.decoding() {
        note(&language.beam_search(beams.num_beams));
    }
    let notices = match (arguments.once(), arguments.infill()) {
        (Some(query), _) => {
            Some(session.answer(Request::Question(query), CancelToken::new(), &mut output)?)
        }
        (_, Some(text)) => Some(session.infill(text, &mut output)?),
        _ => None,
    };
    if let Some(notices) = notices {
        for notice in notices {
            note(&language.notice(notice));
        }
        output.end_line()?;
        return Ok(true);
    }
    piped::run(session, language, &mut io::stdin().lock(), &mut output)
}
