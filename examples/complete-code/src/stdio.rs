//! `--stdio`: an editor asks, a line of JSON each, and may take back what it has asked for.

use std::{
    io::{BufRead, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Sender, channel},
    },
    thread,
};

use command_line::lines::{Line as InputLine, Lines};
use glm_core::{
    code::{CodeCompletion, CodeOptions, Cursor, Language},
    generate::CancelToken,
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    completer::{Completer, Outcome},
    error::{Error, Result},
    line::{Line, Refusal, Request},
    messages,
};

/// Longest line that is read, in bytes: more code than any model reads.
const MAX_LINE_BYTES: usize = 4 << 20;

/// Most requests that are open at a time.
const MAX_OPEN_REQUESTS: usize = 256;

/// A line of the program's.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Piece {
        id: &'a Value,
        text: &'a str,
    },
    Done {
        id: &'a Value,
        done: bool,
        #[serde(flatten)]
        outcome: Outcome,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Value>,
        error: &'a str,
    },
}

/// What reading and completing have in common.
struct Shared<W> {
    output: Mutex<W>,
    /// Requests that are not answered yet.
    open: Mutex<Vec<(Value, CancelToken)>>,
}

/// A request, and what takes it back; or why there are no more.
type Incoming = Result<(Box<Request>, CancelToken)>;

/// Answers requests in their order until the input ends. Lines are read meanwhile, so that what is being written can be
/// cancelled.
pub(crate) fn run(
    completer: &Completer,
    options: &CodeOptions,
    language: Option<&'static Language>,
    input: impl BufRead + Send + 'static,
    output: impl Write + Send + 'static,
) -> Result<()> {
    let shared = Arc::new(Shared {
        output: Mutex::new(output),
        open: Mutex::default(),
    });
    let (sender, requests) = channel();
    let reader = Arc::clone(&shared);
    // Not joined: when nobody reads the answers any more, it may still wait for a line.
    thread::spawn(move || reader.read(input, &sender));
    for incoming in requests {
        let (request, cancel) = incoming?;
        let completion = shared.complete(completer, options, language, &request, cancel);
        // First, so that whoever reads the last line may use the id again.
        shared.close(&request.id);
        match completion {
            Ok(completion) => shared.write(&Answer::Done {
                id: &request.id,
                done: true,
                outcome: Outcome::from(&completion),
            })?,
            Err(error @ Error::Output(_)) => return Err(error),
            Err(error) => shared.refuse(Some(&request.id), &messages::to_editor(&error))?,
        }
    }
    Ok(())
}

impl<W: Write> Shared<W> {
    /// Reads lines until the input ends, or nobody takes requests any more.
    fn read(&self, input: impl BufRead, requests: &Sender<Incoming>) {
        if let Err(error) = self.read_lines(input, requests) {
            // Where nobody takes it, the program ends with an error of its own.
            let _ = requests.send(Err(error));
        }
    }

    fn read_lines(&self, input: impl BufRead, requests: &Sender<Incoming>) -> Result<()> {
        let mut lines = Lines::new(input, MAX_LINE_BYTES);
        while let Some(line) = lines.next_line().map_err(Error::Input)? {
            let line = match line {
                InputLine::Whole(line) => line,
                InputLine::TooLong => {
                    self.refuse(None, &messages::long_line(MAX_LINE_BYTES))?;
                    continue;
                }
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            match Line::parse(line) {
                Ok(Line::Complete(request)) => {
                    let cancel = match self.begin(&request.id) {
                        Ok(cancel) => cancel,
                        Err(reason) => {
                            self.refuse(Some(&request.id), &reason)?;
                            continue;
                        }
                    };
                    if requests.send(Ok((request, cancel))).is_err() {
                        return Ok(());
                    }
                }
                Ok(Line::Cancel(id)) => self.cancel(&id),
                Err(Refusal { id, reason }) => self.refuse(id.as_ref(), &reason)?,
            }
        }
        Ok(())
    }

    /// What takes back a new request; or why it is not taken.
    fn begin(&self, id: &Value) -> std::result::Result<CancelToken, String> {
        let mut open = self.open();
        if open.iter().any(|(other, _)| other == id) {
            return Err(messages::ID_IN_USE.to_owned());
        }
        if open.len() == MAX_OPEN_REQUESTS {
            return Err(messages::too_many_requests(MAX_OPEN_REQUESTS));
        }
        let cancel = CancelToken::new();
        open.push((id.clone(), cancel.clone()));
        Ok(cancel)
    }

    /// Takes back a request. One that is answered already crossed the line that says so.
    fn cancel(&self, id: &Value) {
        for (open, cancel) in &*self.open() {
            if open == id {
                cancel.cancel();
            }
        }
    }

    /// A request needs no taking back any more.
    fn close(&self, id: &Value) {
        self.open().retain(|(open, _)| open != id);
    }

    /// Completes what a request asks for; its pieces are written as they come.
    fn complete(
        &self,
        completer: &Completer,
        options: &CodeOptions,
        language: Option<&'static Language>,
        request: &Request,
        cancel: CancelToken,
    ) -> Result<CodeCompletion> {
        let cursor = Cursor::new(&request.prefix)
            .with_after(&request.suffix)
            .with_language(request.language(language)?);
        let id = &request.id;
        let give = |text: &str| self.write(&Answer::Piece { id, text });
        completer.complete(&cursor, &request.options(options), cancel, give)
    }

    fn refuse(&self, id: Option<&Value>, error: &str) -> Result<()> {
        self.write(&Answer::Error { id, error })
    }

    fn write(&self, answer: &Answer<'_>) -> Result<()> {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_writer(&mut *output, answer).map_err(|error| Error::Output(error.into()))?;
        let end = output.write_all(b"\n").and_then(|()| output.flush());
        end.map_err(Error::Output)
    }

    /// Every change of the list is whole before anything that could panic.
    fn open(&self) -> MutexGuard<'_, Vec<(Value, CancelToken)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
