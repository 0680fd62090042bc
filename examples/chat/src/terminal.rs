//! The conversation of a person at a terminal.

use std::io::Write;

use command_line::{exit::note, texts::Texts};

use crate::{
    error::{Error, Result},
    interrupt::Interrupt,
    line_editor::{LineEditor, Typed, block},
    messages,
    output::Output,
    session::{Decoding, Line, Notice, Request, Session},
    terminal_mode::{Restore, TerminalMode},
};

/// Talks until the user ends it.
pub(crate) fn run(
    session: &mut Session,
    texts: &Texts,
    demonstration: bool,
    output: &mut Output<impl Write>,
) -> Result<()> {
    let mut editor = LineEditor::new()?;
    let mode = TerminalMode::keep_keys();
    let restore = Restore(mode.clone());
    let interrupt = Interrupt::watch(move || mode.restore())?;
    let label = messages::model_label(texts, demonstration);

    let prompt = texts.get("chat-user-prompt");
    welcome(texts, demonstration);
    if let Decoding::Beams(beams) = session.decoding() {
        note(&messages::beam_search(texts, beams.num_beams));
    }
    // The last thing that happened was Ctrl-C: the next one ends the program.
    let mut interrupted = false;
    loop {
        note("");
        let text = match editor.read(&prompt)? {
            Typed::Text(text) => text,
            Typed::Interrupt if !interrupted => {
                interrupted = true;
                note(&texts.get("chat-interrupt-again"));
                continue;
            }
            Typed::Interrupt | Typed::End => return Ok(()),
            Typed::Invalid => {
                // The rest of it would be taken for a question.
                restore.0.discard_keys();
                note(&texts.get("chat-invalid-keys"));
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
                welcome(texts, demonstration);
            }
            Line::Undo => note(&messages::notice(texts, session.undo())),
            Line::Answer(Request::Retry) if !session.has_turns() => {
                note(&messages::notice(texts, Notice::NoTurn));
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
                            .for_each(|notice| note(&messages::notice(texts, notice)));
                    }
                    // A question that this model cannot take; the next may be better.
                    Err(Error::Model(error)) => note(&texts.error(&error)),
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

fn welcome(texts: &Texts, demonstration: bool) {
    note(&messages::welcome(texts, demonstration));
    if demonstration {
        note(&texts.get("chat-demonstration"));
    }
}
