//! Questions from a pipe or a file: one a line in, one answer each out, and nothing else.

use std::io::{BufRead, Write};

use command_line::{
    exit::{Exit, note},
    lines::{Line as InputLine, Lines},
    text::MAX_QUESTION_BYTES,
    texts::Texts,
};
use glm_core::generate::CancelToken;

use crate::{
    arguments::Arguments,
    error::{Error, Result},
    messages,
    output::Output,
    session::{Line, Notice, Session},
};

/// Answers until the input ends or says `stop`. [`Exit::Done`] when every question was answered: one that cannot be is
/// told on standard error, and the next comes.
pub(crate) fn run(
    session: &mut Session,
    arguments: &Arguments,
    input: &mut impl BufRead,
    output: &mut Output<impl Write>,
    texts: &Texts,
) -> Result<Exit> {
    let encoding = arguments.encoding().unwrap_or_default();
    let mut exit = Exit::Done;
    let mut lines = Lines::new(input, MAX_QUESTION_BYTES as usize);
    for number in 1.. {
        let bytes = match lines.next_line().map_err(Error::Input)? {
            None => break,
            Some(InputLine::Whole(bytes)) => bytes,
            Some(InputLine::TooLong) => {
                let values = [
                    ("line", number.into()),
                    ("limit", MAX_QUESTION_BYTES.into()),
                ];
                note(&texts.with("chat-line-too-long", values));
                exit = Exit::Failed;
                continue;
            }
        };
        let (text, invalid) = encoding.decode_lossy(bytes);
        if invalid {
            let encoding = ("encoding", encoding.to_string().into());
            note(&texts.with("chat-invalid-line", [("line", number.into()), encoding]));
        }
        // Windows writes \r\n behind lines.
        match Line::of(text.trim_end_matches('\r')) {
            Line::Empty => {}
            Line::Clear => session.clear(),
            Line::Undo => note(&messages::notice(texts, session.undo())),
            Line::Stop => break,
            Line::Answer(request) => match session.answer(request, CancelToken::new(), output) {
                Ok(notices) if notices == [Notice::NoTurn] => {
                    note(&messages::notice(texts, Notice::NoTurn));
                    exit = Exit::Failed;
                }
                Ok(notices) => {
                    output.end_line()?;
                    notices
                        .into_iter()
                        .for_each(|notice| note(&messages::notice(texts, notice)));
                }
                Err(Error::Model(error)) => {
                    note(&texts.error(&error));
                    exit = Exit::Failed;
                }
                Err(error) => return Err(error),
            },
        }
    }
    Ok(exit)
}
