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
mod line_editor;
mod loading;
mod messages;
mod output;
mod piped;
mod plan;
mod prompt_cache;
mod session;
mod terminal;
mod terminal_mode;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use command_line::{
    exit::{Exit, note},
    text::{MAX_QUESTION_BYTES, Source},
};
use glm_core::{
    LoadOptions, Model,
    chat::{ChatOptions, Conversation},
    generate::CancelToken,
};

use arguments::Arguments;
use error::{Error, Result};
use output::Output;
use session::{Decoding, Request, Session};

fn main() -> ExitCode {
    let arguments: Arguments = command_line::arguments::parse();
    let language = arguments.language();
    let checked = match arguments.check() {
        Ok(checked) => checked,
        Err(error) => return Exit::WrongUsage.saying(&language.error(&error)),
    };
    match run(&arguments, checked) {
        Ok(exit) => exit.into(),
        // Whoever read the answers has read enough.
        Err(error) if error.is_broken_pipe() => Exit::Done.into(),
        Err(error) => error.exit().saying(&language.error(&error)),
    }
}

/// What the arguments ask for, as far as it can be told without a model.
struct Checked<'a> {
    decoding: Decoding,
    loading: LoadOptions<'a>,
}

/// [`Exit::Done`] when every question was answered.
fn run(arguments: &Arguments, checked: Checked<'_>) -> Result<Exit> {
    let language = arguments.language();
    if let (true, Some(named)) = (arguments.model.plan, arguments.model.named()) {
        let path = loading::locate(named, language)?;
        return plan::print(&path, arguments.model.json, &mut io::stdout().lock());
    }
    let question = question(arguments)?;
    let Checked { decoding, loading } = checked;
    let (tokenizer, model) = loading::load(arguments, loading)?;
    let options = arguments.chat_options(model.chat_options())?;
    check_length(arguments, &model, &options, decoding)?;
    let mut conversation = Conversation::new(model, tokenizer).with_options(options);
    if let Some(path) = arguments.prompt_cache() {
        conversation = prompt_cache::load(path, conversation, language)?;
    }
    let mut session = Session::new(conversation, decoding);
    let exit = converse(arguments, question.as_deref(), &mut session)?;
    if let Some(path) = arguments.prompt_cache() {
        prompt_cache::save(path, session.conversation())?;
    }
    Ok(exit)
}

/// The one question that is to be answered, if there is one, wherever it is.
fn question(arguments: &Arguments) -> Result<Option<String>> {
    let Some(source) = arguments.question_source() else {
        return Ok(arguments.once().map(str::to_owned));
    };
    let language = arguments.language();
    if source == Source::Input && io::stdin().is_terminal() {
        note(language.reads_to_the_end());
    }
    let read = source.read(MAX_QUESTION_BYTES, arguments.encoding())?;
    if let Some(encoding) = read.guessed {
        note(&language.guessed_encoding(&source, &encoding));
    }
    // Editors end the last line; the question is what stands in it.
    let question = read.text.trim_end_matches(['\r', '\n']);
    match question.trim().is_empty() {
        true => Err(Error::NoQuestion {
            name: source.to_string(),
        }),
        false => Ok(Some(question.to_owned())),
    }
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

fn converse(arguments: &Arguments, question: Option<&str>, session: &mut Session) -> Result<Exit> {
    let language = arguments.language();
    let mut output = Output::new(io::stdout(), io::stdout().is_terminal());
    let demonstration = arguments.model.is_demonstration();

    if !arguments.is_one_shot() && io::stdin().is_terminal() {
        terminal::run(session, language, demonstration, &mut output)?;
        return Ok(Exit::Done);
    }
    if demonstration {
        note(language.demonstration());
    }
    if let Decoding::Beams(beams) = session.decoding() {
        note(&language.beam_search(beams.num_beams));
    }
    let notices = match (question, arguments.infill()) {
        (Some(query), _) => {
            session.answer(Request::Question(query), CancelToken::new(), &mut output)?
        }
        (_, Some(text)) => session.infill(text, &mut output)?,
        _ => {
            let mut input = io::stdin().lock();
            return piped::run(session, arguments, &mut input, &mut output);
        }
    };
    for notice in notices {
        note(&language.notice(notice));
    }
    output.end_line()?;
    Ok(Exit::Done)
}
