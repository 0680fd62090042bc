//! The program as a person uses it, in a pseudoterminal.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, process::Command};

use rexpect::session::{PtySession, spawn_command};
use tempfile::TempDir;

/// How long anything may take before the test fails.
const TIMEOUT_MS: u64 = 60_000;

fn start(arguments: &[&str]) -> PtySession {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
    command
        .args(["--lang", "en", "--greedy"])
        .args(arguments)
        .env("TERM", "xterm");
    spawn_command(command, Some(TIMEOUT_MS)).unwrap()
}

/// The demonstration model as a folder, but with an end of reply that never comes and room for a very long one.
fn endless_model() -> TempDir {
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mini-model/chatglm-mini");
    let dir = tempfile::tempdir().unwrap();
    for file in ["ice_text.model", "model.safetensors"] {
        fs::copy(mini.join(file), dir.path().join(file)).unwrap();
    }
    let config = fs::read_to_string(mini.join("config.json")).unwrap();
    let number = |key: &str| -> usize {
        let (_, after) = config.split_once(&format!("\"{key}\": ")).unwrap();
        after.split([',', '\n']).next().unwrap().parse().unwrap()
    };
    // The vocabulary is rounded up: its last row is no token, and training never made it one.
    let replaced = |text: String, key: &str, value: usize| {
        text.replace(
            &format!("\"{key}\": {}", number(key)),
            &format!("\"{key}\": {value}"),
        )
    };
    let endless = replaced(config.clone(), "eos_token_id", number("vocab_size") - 1);
    let endless = replaced(endless, "max_sequence_length", 100_000);
    assert_ne!(endless, config);
    fs::write(dir.path().join("config.json"), endless).unwrap();
    dir
}

fn assert_ended_well(session: &mut PtySession) {
    session.exp_eof().unwrap();
    // The type of the status is not public in rexpect: `Exited(Pid(123), 0)`.
    let status = format!("{:?}", session.process().wait().unwrap());
    assert!(
        status.starts_with("Exited(") && status.ends_with(", 0)"),
        "{status}"
    );
}

#[test]
fn a_conversation_is_welcomed_answered_and_ended() {
    for end in ["stop", "exit"] {
        let mut chat = start(&["--max-new-tokens", "4"]);
        chat.exp_string("Welcome to ChatGLM-Mini").unwrap();
        chat.exp_string("demonstration model").unwrap();
        chat.exp_string("You: ").unwrap();
        chat.send_line("hello").unwrap();
        chat.exp_string("ChatGLM-Mini: ").unwrap();
        chat.exp_string("You: ").unwrap();
        chat.send_line(end).unwrap();
        assert_ended_well(&mut chat);
    }
}

#[test]
fn ctrl_d_ends() {
    let mut chat = start(&[]);
    chat.exp_string("You: ").unwrap();
    chat.send_control('d').unwrap();
    assert_ended_well(&mut chat);
}

#[test]
fn ctrl_c_stops_an_answer_and_the_conversation_goes_on() {
    let model = endless_model();
    let mut chat = start(&[
        "--max-length",
        "100000",
        "--model",
        model.path().to_str().unwrap(),
    ]);
    chat.exp_string("You: ").unwrap();
    for _ in 0..2 {
        chat.send_line("hello").unwrap();
        // The first character of the answer.
        chat.exp_regex(r"ChatGLM-6B: \S").unwrap();
        chat.send_control('c').unwrap();
        chat.exp_string("stopped").unwrap();
        chat.exp_string("You: ").unwrap();
    }
    chat.send_control('c').unwrap();
    assert_ended_well(&mut chat);
}

#[test]
fn a_second_ctrl_c_at_the_prompt_ends() {
    let mut chat = start(&[]);
    chat.exp_string("You: ").unwrap();
    chat.send_control('c').unwrap();
    chat.exp_string("Ctrl-C again").unwrap();
    chat.exp_string("You: ").unwrap();
    chat.send_control('c').unwrap();
    assert_ended_well(&mut chat);
}

#[test]
fn ctrl_c_discards_what_was_typed() {
    let mut chat = start(&[]);
    chat.exp_string("You: ").unwrap();
    chat.send("a question, no, ").unwrap();
    chat.flush().unwrap();
    chat.exp_string("no, ").unwrap();
    chat.send_control('c').unwrap();
    // Behind the discarded text this would be a question.
    chat.send_line("stop").unwrap();
    assert_ended_well(&mut chat);
}

#[test]
fn lines_can_be_edited_and_recalled() {
    let mut chat = start(&["--max-new-tokens", "4"]);
    chat.exp_string("You: ").unwrap();
    chat.send_line("hello").unwrap();
    chat.exp_string("ChatGLM-Mini: ").unwrap();
    chat.exp_string("You: ").unwrap();
    chat.send("\u{1b}[A").unwrap(); // the arrow up
    chat.flush().unwrap();
    chat.exp_string("hello").unwrap();
    // Back over all of it, and something else in its place.
    chat.send(&"\u{7f}".repeat(5)).unwrap();
    chat.send_line("stop").unwrap();
    assert_ended_well(&mut chat);
}

#[test]
fn clear_clears_the_screen_and_welcomes_again() {
    let mut chat = start(&[]);
    chat.exp_string("You: ").unwrap();
    chat.send_line("clear").unwrap();
    chat.exp_string("\u{1b}[H").unwrap(); // the cursor goes to the upper left corner
    chat.exp_string("Welcome to ChatGLM-Mini").unwrap();
    chat.exp_string("You: ").unwrap();
    chat.send_line("stop").unwrap();
    assert_ended_well(&mut chat);
}
