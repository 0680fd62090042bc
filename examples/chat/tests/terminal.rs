//! The program as a person uses it, in a pseudoterminal.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::{fs, io::Write, path::Path, process::Command};

use glm_core::chat::ChatOptions;
use rexpect::session::{PtySession, spawn_command};
use tempfile::TempDir;

/// How long anything may take before the test fails.
const TIMEOUT_MS: u64 = 60_000;

fn start(arguments: &[&str]) -> PtySession {
    start_in("en", arguments)
}

fn start_in(language: &str, arguments: &[&str]) -> PtySession {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
    command
        .args(["--lang", language, "--greedy"])
        .args(arguments)
        .env("TERM", "xterm");
    spawn_command(command, Some(TIMEOUT_MS)).unwrap()
}

/// The demonstration model as a folder, with room for a very long reply, which it gives when the end is forbidden.
fn endless_model() -> TempDir {
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mini-model/chatglm-mini");
    let dir = tempfile::tempdir().unwrap();
    for file in ["ice_text.model", "model.safetensors"] {
        fs::copy(mini.join(file), dir.path().join(file)).unwrap();
    }
    let config = fs::read_to_string(mini.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["max_sequence_length"] = 100_000.into();
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
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
fn a_conversation_is_chinese_where_the_user_is() {
    // rexpect takes each byte for a character.
    let read = |text: &str| text.bytes().map(char::from).collect::<String>();
    let mut chat = start_in("zh", &["--max-new-tokens", "4"]);
    chat.exp_string(&read("欢迎使用 ChatGLM-Mini 模型"))
        .unwrap();
    chat.exp_string(&read("小型演示模型")).unwrap();
    chat.exp_string(&read("用户：")).unwrap();
    chat.send_line("hello").unwrap();
    chat.exp_string(&read("ChatGLM-Mini：")).unwrap();
    chat.exp_string(&read("用户：")).unwrap();
    chat.send_line("undo").unwrap();
    chat.exp_string(&read("上一轮对话已撤回")).unwrap();
    chat.exp_string(&read("用户：")).unwrap();
    chat.send_line("stop").unwrap();
    assert_ended_well(&mut chat);
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
        "--min-new-tokens",
        "90000",
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

/// What the library answers to this question alone, its first line, as rexpect sees it: a character for each byte.
fn expected(question: &str) -> String {
    let (tokenizer, model) = mini_model::load().unwrap();
    let mut options = ChatOptions::default();
    options.generation.do_sample = false;
    options.generation.max_new_tokens = Some(8);
    let reply = model.chat_with(&tokenizer, question, &[], &options);
    let response = reply.unwrap().response;
    let line = response.lines().next().unwrap();
    assert_ne!(line, "");
    line.bytes().map(char::from).collect()
}

/// All of it, in as few pieces as the terminal takes.
fn send(chat: &PtySession, keys: impl AsRef<[u8]>) {
    let mut terminal = chat.process().get_file_handle().unwrap();
    terminal.write_all(keys.as_ref()).unwrap();
}

const SHORT: [&str; 2] = ["--max-new-tokens", "8"];

/// A terminal that does not tell what is pasted sends lines as if they were typed, all at once.
#[test]
fn lines_that_arrive_at_once_are_a_question_each() {
    let mut chat = start(&SHORT);
    chat.exp_string("You: ").unwrap();
    send(
        &chat,
        "你好\nclear\n法国的首都是哪里？\nclear\n1+1=\nstop\n",
    );
    for question in ["你好", "法国的首都是哪里？", "1+1="] {
        chat.exp_string("ChatGLM-Mini: ").unwrap();
        chat.exp_string(&expected(question)).unwrap();
    }
    assert_ended_well(&mut chat);
}

/// More than the editor reads at once, and more than the terminal keeps.
#[test]
fn much_that_arrives_at_once_is_read_to_its_end() {
    let mut chat = start(&SHORT);
    chat.exp_string("You: ").unwrap();
    let keys = [
        "hello\n",
        &"\n".repeat(1100),
        "hello\n",
        &"\n".repeat(4200),
        "hello\nstop\n",
    ];
    send(&chat, keys.concat());
    for _ in 0..3 {
        chat.exp_string("ChatGLM-Mini: ").unwrap();
    }
    assert_ended_well(&mut chat);
}

#[test]
fn what_is_typed_during_an_answer_waits_for_the_prompt() {
    let model = endless_model();
    let model = model.path().to_str().unwrap();
    let mut chat = start(&[
        "--min-new-tokens",
        "300",
        "--max-new-tokens",
        "300",
        "--model",
        model,
    ]);
    chat.exp_string("You: ").unwrap();
    chat.send_line("hello").unwrap();
    chat.exp_regex(r"ChatGLM-6B: \S").unwrap();
    // Longer than a line that the terminal would edit, and with a key that edits.
    send(&chat, "w".repeat(5000) + "x\u{7f}-end");
    let answer = chat.exp_string("You: ").unwrap();
    assert!(!answer.contains("wwwwwwww"), "{answer}");
    chat.exp_string("-end").unwrap();
    chat.send_control('c').unwrap();
    chat.send_line("stop").unwrap();
    assert_ended_well(&mut chat);
}

#[test]
fn several_lines_can_be_one_question() {
    for (keys, question) in [
        // The terminal tells that this is pasted.
        (
            "\u{1b}[200~hello\n\nyou\\\nthere\u{1b}[201~\r",
            "hello\n\nyou\\\nthere",
        ),
        ("hello\\\nyou\n", "hello\nyou"),
        ("hello\\\r\\\r you\r", "hello\n\n you"),
        ("\"\"\"hello\n\nyou\"\"\"\n", "hello\n\nyou"),
        ("\"\"\"\nclear\nstop\n\"\"\"\n", "clear\nstop"),
        ("\"\"\"undo\"\"\"\n", "undo"),
        ("hello \\\\\n", "hello \\\\"),
    ] {
        let mut chat = start(&SHORT);
        chat.exp_string("You: ").unwrap();
        send(&chat, format!("{keys}undo\nundo\nstop\n"));
        chat.exp_string("ChatGLM-Mini: ").unwrap();
        chat.exp_string(&expected(question)).unwrap();
        // It was one.
        chat.exp_string("are forgotten").unwrap();
        let after = chat.exp_string("nothing was asked yet");
        assert!(after.is_ok(), "{keys:?}: {after:?}");
        assert_ended_well(&mut chat);
    }
}

#[test]
fn nothing_but_the_ends_ends() {
    let mut chat = start(&SHORT);
    chat.exp_string("You: ").unwrap();
    send(&chat, "retry\nundo\n\"\"\"\n\"\"\"\n");
    chat.exp_string("nothing was asked yet").unwrap();
    chat.exp_string("nothing was asked yet").unwrap();
    for bytes in [&b"\x80"[..], b"\xc4\xe3\xba\xc3\n", b"hello \xff\n"] {
        chat.exp_string("You: ").unwrap();
        // What a terminal in another encoding sends.
        send(&chat, bytes);
        chat.exp_string("not UTF-8").unwrap();
    }
    chat.exp_string("You: ").unwrap();
    // All keys but Enter, Escape, those that end (Ctrl-C, Ctrl-D, Ctrl-\) or suspend (Ctrl-Z), and the one that takes the
    // next.
    let others = [
        '\n', '\r', '\u{1b}', '\u{3}', '\u{4}', '\u{1c}', '\u{1a}', '\u{16}',
    ];
    let keys: String = ('\0'..' ').filter(|key| !others.contains(key)).collect();
    send(&chat, keys + "\u{1b}OZ\u{1b}[99~");
    // The end of a search, and of what is on the line.
    send(&chat, "\u{7}\u{3}");
    chat.exp_string("You: ").unwrap();
    send(&chat, "hello\n");
    chat.exp_string("ChatGLM-Mini: ").unwrap();
    chat.exp_string("You: ").unwrap();
    chat.send_line("stop").unwrap();
    assert_ended_well(&mut chat);
}

#[test]
fn the_terminal_is_left_as_it_was() {
    for ends in [&["stop\n"][..], &["\u{4}"], &["\u{3}", "\u{3}"]] {
        let mut shell = Command::new("sh");
        shell
            .args([
                "-c",
                "stty -g; \"$0\" --lang en; stty -g",
                env!("CARGO_BIN_EXE_chat"),
            ])
            .env("TERM", "xterm");
        let mut shell = spawn_command(shell, Some(TIMEOUT_MS)).unwrap();
        let before = shell.read_line().unwrap();
        for end in ends {
            shell.exp_string("You: ").unwrap();
            send(&shell, end);
        }
        let rest = shell.exp_eof().unwrap();
        assert_eq!(
            rest.trim_end().lines().last(),
            Some(before.trim_end()),
            "{rest}"
        );
    }
}
