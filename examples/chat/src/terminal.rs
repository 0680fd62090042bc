//! The conversation of a person at a terminal.

use std::io::Write;

use command_line::exit::note;

use crate::{
    error::{Error, Result},
    interrupt::Interrupt,
    language::Language,
    line_editor::{LineEditor, Typed, block},
    output::Output,
    session::{Decoding, Line, Notice, Request, Session},
    terminal_mode::{Restore, TerminalMode},
};

/// Talks until the user ends it.
pub(crate) fn run(
    session: &mut Session,
    language: Language,
    demonstration: bool,
    output: &mut Output<impl Write>,
) -> Result<()> {
    let mut editor = LineEditor::new()?;
    let mode = TerminalMode::keep_keys();
    let restore = Restore(mode.clone());
    let interrupt = Interrupt::watch(move || mode.restore())?;
    let label = language.model_label(demonstration);

    welcome(language, demonstration);
    if let Decoding::Beams(beams) = session.decoding() {
        note(&language.beam_search(beams.num_beams));
    }
    // The last thing that happened was Ctrl-C: the next one ends the program.
    let mut interrupted = false;
    loop {
        note("");
        let text = match editor.read(language.user_prompt())? {
            Typed::Text(text) => text,
            Typed::Interrupt if !interrupted => {
                interrupted = true;
                note(language.interrupt_again());
                continue;
            }
            Typed::Interrupt | Typed::End => return Ok(()),
            Typed::Invalid => {
                // The rest of it would be taken for a question.
                restore.0.discard_keys();
                note(language.invalid_keys());
                continue;
            }
            Typed::Nothing => continue,
        };
        interrupted = false;
        let line = match block(&text) {
            Some(text) if text.trim().is_empty() => Line::Empty,
            Some(text) => Line::Answer(Request::Question(text)),
            None => Line::of(&text),
        };
        match line {
            Line::Empty => {}
            Line::Stop => return Ok(()),
            Line::Clear => {
                session.clear();
                editor.clear_screen()?;
                welcome(language, demonstration);
            }
            Line::Undo => note(&language.notice(session.undo())),
            Line::Answer(Request::Retry) if !session.has_turns() => {
                note(&language.notice(Notice::NoTurn));
            }
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

fn welcome(language: Language, demonstration: bool) {
    note(&language.welcome(demonstration));
    if demonstration {
        note(language.demonstration());
    }
}
