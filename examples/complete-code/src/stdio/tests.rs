use std::{
    io::{self, BufReader, Read},
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
};

use glm_core::code::Until;

use super::*;

#[path = "../../../../glm-core/tests/support/codegeex2.rs"]
mod codegeex2;

/// Gives a second part when a first piece of text was written, and tells when it was read.
struct Input {
    parts: Vec<&'static str>,
    written: Receiver<()>,
    was_read: Sender<()>,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.parts.len() {
            2 => {}
            1 => self.written.recv().unwrap(),
            // Whoever asks for more has done what the second part says.
            _ => self.was_read.send(()).unwrap(),
        }
        if self.parts.is_empty() {
            return Ok(0);
        }
        let part = self.parts.remove(0);
        buffer[..part.len()].copy_from_slice(part.as_bytes());
        Ok(part.len())
    }
}

/// Keeps what is written, and waits behind the first piece of text until the rest of the input was read.
struct Output {
    lines: Arc<Mutex<Vec<u8>>>,
    written: Option<Sender<()>>,
    was_read: Receiver<()>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(written) = self.written.take() {
            written.send(()).unwrap();
            self.was_read.recv().unwrap();
        }
        Ok(())
    }
}

#[test]
fn a_request_is_cancelled_while_it_runs_and_while_it_waits() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../glm-core/tests/golden");
    let folder = codegeex2::folder(&golden);
    let model = glm_core::load(folder.path()).unwrap();
    let tokenizer = glm_core::load_tokenizer(folder.path()).unwrap();
    let completer = Completer::new(model, tokenizer, 1 << 20);
    let mut options = CodeOptions::default().with_until(Until::End);
    options.generation.max_new_tokens = Some(40);

    let (written, has_written) = channel();
    let (was_read, has_read) = channel();
    let input = Input {
        parts: vec![
            concat!(
                "{\"id\":1,\"prefix\":\"def f\"}\n",
                "{\"id\":\"2\",\"prefix\":\"def g\"}\n",
                "{\"id\":3,\"prefix\":\"def f\"}\n",
            ),
            "{\"cancel\":1}\n{\"cancel\":\"2\"}\n{\"cancel\":4}\n",
        ],
        written: has_written,
        was_read,
    };
    let lines = Arc::default();
    let output = Output {
        lines: Arc::clone(&lines),
        written: Some(written),
        was_read: has_read,
    };
    run(&completer, &options, None, BufReader::new(input), output).unwrap();

    let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |id: Value| lines.iter().filter(move |line| line["id"] == id);
    let text = |id: Value| {
        of(id)
            .filter_map(|line| line["text"].as_str())
            .collect::<String>()
    };
    let reason = |id: Value| of(id).next_back().unwrap()["finish_reason"].clone();
    assert_eq!(reason(1.into()), "cancelled");
    assert_eq!(reason("2".into()), "cancelled");
    assert_ne!(reason(3.into()), "cancelled");
    assert_eq!(of("2".into()).count(), 1);
    assert_ne!(text(1.into()), "");
    assert!(text(3.into()).starts_with(&text(1.into())));
    assert!(text(3.into()).len() > text(1.into()).len());
    let cached = of(3.into()).next_back().unwrap()["cached_tokens"].as_u64();
    assert!(cached > Some(0), "what was read before it was cancelled");
}

#[test]
fn an_id_belongs_to_one_request_at_a_time() {
    let shared = Shared {
        output: Mutex::new(Vec::new()),
        open: Mutex::default(),
    };
    let cancel = shared.begin(&1.into()).unwrap();
    assert!(shared.begin(&1.into()).is_err());
    assert!(shared.begin(&"1".into()).is_ok(), "a string is no number");
    shared.cancel(&1.into());
    assert!(cancel.is_cancelled());
    shared.close(&1.into());
    assert!(!shared.begin(&1.into()).unwrap().is_cancelled());
}

#[test]
fn no_more_requests_are_open_than_memory_allows() {
    let shared = Shared {
        output: Mutex::new(Vec::new()),
        open: Mutex::default(),
    };
    for id in 0..MAX_OPEN_REQUESTS {
        shared.begin(&id.into()).unwrap();
    }
    let refusal = shared.begin(&"one more".into()).unwrap_err();
    assert!(refusal.starts_with("256 requests are open"), "{refusal}");
    shared.close(&0.into());
    assert!(shared.begin(&"one more".into()).is_ok());
}
