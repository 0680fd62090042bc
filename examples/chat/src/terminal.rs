//! The conversation of a person at a terminal.

use std::io::Write;

use rustyline::{
    Behavior, Cmd, ConditionalEventHandler, Config, DefaultEditor, Event, EventContext,
    EventHandler, KeyEvent, Movement, RepeatCount, error::ReadlineError,
};

use crate::{
    error::{Error, Result},
    interrupt::Interrupt,
    language::Language,
    output::{Output, note},
    session::{Decoding, Line, Notice, Session},
};

/// Talks until the user ends it.
pub(crate) fn run(
    session: &mut Session,
    language: Language,
    demonstration: bool,
    output: &mut Output<impl Write>,
) -> Result<()> {
    // The terminal is asked even when the answers go to a file.
    let config = Config::builder()
        .behavior(Behavior::PreferTerm)
        .auto_add_history(true)
        .build();
    let mut editor = DefaultEditor::with_config(config)?;
    editor.bind_sequence(
        KeyEvent::ctrl('C'),
        EventHandler::Conditional(Box::new(DiscardLine)),
    );
    let interrupt = Interrupt::watch()?;
    let label = language.model_label(demonstration);

    welcome(language, demonstration);
    if let Decoding::Beams(beams) = session.decoding() {
        note(&language.beam_search(beams.num_beams));
    }
    // The last thing that happened was Ctrl-C: the next one ends the program.
    let mut interrupted = false;
    loop {
        note("");
        let line = match editor.readline(language.user_prompt()) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) if !interrupted => {
                interrupted = true;
                note(language.interrupt_again());
                continue;
            }
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        interrupted = false;
        match Line::of(&line) {
            Line::Empty => {}
            Line::Stop => return Ok(()),
            Line::Clear => {
                session.clear();
                editor.clear_screen()?;
                welcome(language, demonstration);
            }
            Line::Undo => note(&language.notice(session.undo())),
            Line::Answer(request) => {
                output.label(&label)?;
                let result = session.answer(request, interrupt.begin_answer(), output);
                interrupt.end_answer();
                output.end_line()?;
                match result {
                    Ok(notices) => {
                        interrupted = notices
                            .iter()
                            .any(|notice| matches!(notice, Notice::Stopped { .. }));
                        notices
                            .into_iter()
                            .for_each(|notice| note(&language.notice(notice)));
                    }
                    // A question that this model cannot take; the next may be better.
                    Err(Error::Model(error)) => note(&language.error(&error)),
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// Ctrl-C on a line with text discards the text (Ctrl-Y brings it back); on an empty line it is an interrupt.
struct DiscardLine;

impl ConditionalEventHandler for DiscardLine {
    fn handle(
        &self,
        _: &Event,
        _: RepeatCount,
        _: bool,
        context: &EventContext<'_>,
    ) -> Option<Cmd> {
        (!context.line().is_empty()).then_some(Cmd::Kill(Movement::WholeBuffer))
    }
}

fn welcome(language: Language, demonstration: bool) {
    note(&language.welcome(demonstration));
    if demonstration {
        note(language.demonstration());
    }
}
