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
    texts::Texts,
};
use glm_core::{
    LoadOptions, Model,
    chat::{ChatOptions, Conversation},
    generate::CancelToken,
};

use arguments::Arguments;
use error::{Error, Result};
use indicatif::DecimalBytes;
use messages::LOCALES;
use output::Output;
use session::{Decoding, Request, Session};

fn main() -> ExitCode {
    let (arguments, texts) = command_line::arguments::parse::<Arguments>(&LOCALES);
    let checked = match arguments.check() {
        Ok(checked) => checked,
        Err(error) => return Exit::WrongUsage.saying(&texts.error(&error)),
    };
    match run(&arguments, checked, &texts) {
        Ok(exit) => exit.into(),
        // Whoever read the answers has read enough.
        Err(error) if error.is_broken_pipe() => Exit::Done.into(),
        Err(error) => error.exit().saying(&texts.error(&error)),
    }
}

/// What the arguments ask for, as far as it can be told without a model.
struct Checked<'a> {
    decoding: Decoding,
    loading: LoadOptions<'a>,
}

/// [`Exit::Done`] when every question was answered.
fn run(arguments: &Arguments, checked: Checked<'_>, texts: &Texts) -> Result<Exit> {
    if let (true, Some(named)) = (arguments.model.plan, arguments.model.named()) {
        let path = loading::locate(named, texts)?;
        return plan::print(&path, arguments.model.json, texts, &mut io::stdout().lock());
    }
    let question = question(arguments, texts)?;
    let Checked { decoding, loading } = checked;
    let (tokenizer, model) = loading::load(arguments, loading, texts)?;
    let options = arguments.chat_options(model.chat_options())?;
    check_length(arguments, &model, &options, decoding, texts)?;
    let mut conversation = Conversation::new(model, tokenizer).with_options(options);
    if let Some(path) = arguments.prompt_cache() {
        conversation = prompt_cache::load(path, conversation, texts)?;
    }
    let mut session = Session::new(conversation, decoding);
    let exit = converse(arguments, question.as_deref(), &mut session, texts)?;
    if let Some(path) = arguments.prompt_cache() {
        prompt_cache::save(path, session.conversation())?;
    }
    Ok(exit)
}

/// The one question that is to be answered, if there is one, wherever it is.
fn question(arguments: &Arguments, texts: &Texts) -> Result<Option<String>> {
    let Some(source) = arguments.question_source() else {
        return Ok(arguments.once().map(str::to_owned));
    };
    if source == Source::Input && io::stdin().is_terminal() {
        note(&texts.get("chat-reads-to-the-end"));
    }
    let read = source.read(MAX_QUESTION_BYTES, arguments.encoding())?;
    source.note_guess(&read, texts);
    // Editors end the last line; the question is what stands in it.
    let question = read.text.trim_end_matches(['\r', '\n']);
    match question.trim().is_empty() {
        true => Err(Error::NoQuestion(source)),
        false => Ok(Some(question.to_owned())),
    }
}

/// Refuses a conversation that does not fit into memory, and tells what one of the length that was asked for may take.
fn check_length(
    arguments: &Arguments,
    model: &Model,
    options: &ChatOptions,
    decoding: Decoding,
    texts: &Texts,
) -> Result<()> {
    let longest = model.max_sequence_length();
    let tokens = options.generation.max_length.min(longest);
    let bytes = model.check_cache_fits(decoding.rows(), tokens)?;
    if let Some(asked) = arguments.max_length() {
        if asked > longest {
            let longest = ("longest", longest.into());
            note(&texts.with("chat-held-to-its-length", [longest]));
        }
        let size = ("size", DecimalBytes(bytes).to_string().into());
        note(&texts.with("chat-cache-memory", [("tokens", tokens.into()), size]));
    }
    Ok(())
}

fn converse(
    arguments: &Arguments,
    question: Option<&str>,
    session: &mut Session,
    texts: &Texts,
) -> Result<Exit> {
    let mut output = Output::new(io::stdout(), io::stdout().is_terminal());
    let demonstration = arguments.model.is_demonstration();

    if !arguments.is_one_shot() && io::stdin().is_terminal() {
        terminal::run(session, texts, demonstration, &mut output)?;
        return Ok(Exit::Done);
    }
    if demonstration {
        note(&texts.get("chat-demonstration"));
    }
    if let Decoding::Beams(beams) = session.decoding() {
        note(&messages::beam_search(texts, beams.num_beams));
    }
    let notices = match (question, arguments.infill()) {
        (Some(query), _) => {
            session.answer(Request::Question(query), CancelToken::new(), &mut output)?
        }
        (_, Some(text)) => session.infill(text, &mut output)?,
        _ => {
            let mut input = io::stdin().lock();
            return piped::run(session, arguments, &mut input, &mut output, texts);
        }
    };
    for notice in notices {
        note(&messages::notice(texts, notice));
    }
    output.end_line()?;
    Ok(Exit::Done)
}
