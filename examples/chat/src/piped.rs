//! Questions from a pipe or a file: one a line in, one answer each out, and nothing else.

use std::io::{BufRead, Read, Write};

use glm_core::generate::CancelToken;

use crate::{
    error::{Error, Result},
    language::Language,
    output::{Output, note},
    session::{Line, Session},
};

/// Longest accepted line in bytes, far above any model's context.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Answers until the input ends or says `stop`. True when every question was answered: one that cannot be is told on
/// standard error, and the next comes.
pub(crate) fn run(
    session: &mut Session,
    language: Language,
    input: &mut impl BufRead,
    output: &mut Output<impl Write>,
) -> Result<bool> {
    let mut all_answered = true;
    let mut bytes = Vec::new();
    for number in 1.. {
        if !read_line(input, &mut bytes)? {
            break;
        }
        if bytes.len() > MAX_LINE_BYTES {
            note(&language.line_too_long(number, MAX_LINE_BYTES));
            all_answered = false;
            continue;
        }
        let text = String::from_utf8_lossy(&bytes);
        if std::str::from_utf8(&bytes).is_err() {
            note(&language.invalid_utf8(number));
        }
        // Windows writes a byte order mark in front of a file, and \r\n behind lines.
        let text = text
            .strip_prefix('\u{feff}')
            .filter(|_| number == 1)
            .unwrap_or(&text);
        match Line::of(text.trim_end_matches(['\r', '\n'])) {
            Line::Empty => {}
            Line::Clear => session.clear(),
            Line::Undo => note(&language.notice(session.undo())),
            Line::Stop => break,
            Line::Answer(request) => match session.answer(request, CancelToken::new(), output) {
                Ok(notices) => {
                    output.end_line()?;
                    notices
                        .into_iter()
                        .for_each(|notice| note(&language.notice(notice)));
                }
                Err(Error::Model(error)) => {
                    note(&language.error(&error));
                    all_answered = false;
                }
                Err(error) => return Err(error),
            },
        }
    }
    Ok(all_answered)
}

/// Reads a line into `bytes`; false at the end of the input. Of a line that is too long only the beginning is kept,
/// still longer than [`MAX_LINE_BYTES`].
fn read_line(input: &mut impl BufRead, bytes: &mut Vec<u8>) -> Result<bool> {
    bytes.clear();
    let limit = MAX_LINE_BYTES as u64 + 1;
    input
        .by_ref()
        .take(limit)
        .read_until(b'\n', bytes)
        .map_err(Error::Input)?;
    if bytes.len() > MAX_LINE_BYTES && bytes.last() != Some(&b'\n') {
        input.skip_until(b'\n').map_err(Error::Input)?;
    }
    Ok(!bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_the_newline_or_the_input() {
        let mut input: &[u8] = b"a\n\nb";
        let mut bytes = Vec::new();
        for expected in ["a\n", "\n", "b"] {
            assert!(read_line(&mut input, &mut bytes).unwrap());
            assert_eq!(bytes, expected.as_bytes());
        }
        assert!(!read_line(&mut input, &mut bytes).unwrap());
    }

    #[test]
    fn a_huge_line_is_cut_and_the_next_one_is_whole() {
        for length in [MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 3 * MAX_LINE_BYTES] {
            let text = [vec![b'x'; length], b"\nnext\n".to_vec()].concat();
            let mut input = text.as_slice();
            let mut bytes = Vec::new();
            assert!(read_line(&mut input, &mut bytes).unwrap());
            assert_eq!(bytes.len(), MAX_LINE_BYTES + 1, "{length}");
            assert!(read_line(&mut input, &mut bytes).unwrap());
            assert_eq!(bytes, b"next\n", "{length}");
        }
    }
}
