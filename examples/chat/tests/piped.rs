//! The program as scripts use it: questions on standard input, answers on standard output.
#![allow(clippy::unwrap_used)]

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use glm_core::chat::{ChatOptions, ResponseRules, Turn};

/// Greedy answers of at most so many tokens, the same every time.
const SHORT: [&str; 5] = ["--greedy", "--max-new-tokens", "12", "--lang", "en"];

/// Runs the program with [`SHORT`] answers on this standard input.
fn chat(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_chat"))
        .args(SHORT)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // The program may end before it has read everything, so a refused write is no failure.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// What the library answers to the same questions, a line each; `None` forgets the conversation.
fn expected(questions: &[Option<&str>], response: ResponseRules) -> String {
    let (tokenizer, model) = mini_model::load().unwrap();
    let mut options = ChatOptions::default().with_response(response);
    options.generation.do_sample = false;
    options.generation.max_new_tokens = Some(12);
    let mut history: Vec<Turn> = Vec::new();
    let mut text = String::new();
    for question in questions {
        match question {
            None => history.clear(),
            Some(question) => {
                let reply = model
                    .chat_with(&tokenizer, question, &history, &options)
                    .unwrap();
                text += &(reply.response + "\n");
                history = reply.history;
            }
        }
    }
    text
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn answers_are_those_of_the_library_and_nothing_else_is_on_stdout() {
    let questions = ["法国的首都是哪里？", "那日本呢？", "What is 3 plus 5?"];
    let output = chat(&[], questions.join("\n").as_bytes());
    assert!(output.status.success());
    assert_eq!(
        stdout(&output),
        expected(&questions.map(Some), ResponseRules::ChatGlm)
    );
    assert!(
        stderr(&output).contains("demonstration model"),
        "{}",
        stderr(&output)
    );
    assert!(
        stderr(&output).contains("--model DIR"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn clear_forgets_empty_lines_are_skipped_and_stop_ends() {
    let input = "你好\n\n  \nclear\n你好\r\nstop\n再见\n";
    let output = chat(&[], input.as_bytes());
    assert!(output.status.success());
    let questions = [Some("你好"), None, Some("你好")];
    assert_eq!(
        stdout(&output),
        expected(&questions, ResponseRules::ChatGlm)
    );
}

#[test]
fn no_input_is_no_answer() {
    for input in ["", "\n\n", "exit\n你好\n"] {
        let output = chat(&[], input.as_bytes());
        assert!(output.status.success(), "{input:?}");
        assert_eq!(stdout(&output), "", "{input:?}");
    }
}

#[test]
fn once_answers_one_question_without_standard_input() {
    let output = chat(&["--once", "你好"], "再见\n".as_bytes());
    assert!(output.status.success());
    assert_eq!(
        stdout(&output),
        expected(&[Some("你好")], ResponseRules::ChatGlm)
    );
}

#[test]
fn raw_text_is_that_of_the_library() {
    let output = chat(&["--raw"], "讲一个故事\n".as_bytes());
    assert_eq!(
        stdout(&output),
        expected(&[Some("讲一个故事")], ResponseRules::Raw)
    );
}

#[test]
fn a_length_limit_that_cuts_is_told() {
    let output = chat(&["--max-new-tokens", "1"], b"hello\n");
    // SHORT gives the option as well.
    assert_eq!(output.status.code(), Some(2));
    let output = Command::new(env!("CARGO_BIN_EXE_chat"))
        .args([
            "--greedy",
            "--max-new-tokens",
            "1",
            "--lang",
            "zh",
            "-p",
            "讲一个故事",
        ])
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(
        stderr(&output).contains("达到长度上限"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_seed_gives_the_same_answer_again() {
    let sample = || {
        Command::new(env!("CARGO_BIN_EXE_chat"))
            .args([
                "--temperature",
                "5",
                "--top-p",
                "1",
                "--top-k",
                "0",
                "--max-new-tokens",
                "20",
            ])
            .args(["--seed", "7", "-p", "hello"])
            .output()
            .unwrap()
            .stdout
    };
    let first = sample();
    assert!(first.len() > 1);
    assert_eq!(first, sample());
}

#[test]
fn a_stop_string_ends_the_answer_before_it() {
    let whole = expected(&[Some("hello")], ResponseRules::ChatGlm);
    // A character from the middle of the answer.
    let stop = whole.trim_end().chars().nth(2).unwrap().to_string();
    let output = chat(&["--stop", &stop], b"hello\n");
    assert!(output.status.success());
    let before = &whole[..whole.find(&stop).unwrap()];
    assert_eq!(stdout(&output).trim(), before.trim());
}

#[test]
fn a_byte_order_mark_is_no_text() {
    let output = chat(&[], "\u{feff}hello\n".as_bytes());
    assert_eq!(
        stdout(&output),
        expected(&[Some("hello")], ResponseRules::ChatGlm)
    );
}

#[test]
fn invalid_utf8_is_replaced_and_told() {
    let output = chat(&[], b"hello\nhe\xff\xfello\n");
    assert!(output.status.success());
    let questions = [Some("hello"), Some("he\u{fffd}\u{fffd}llo")];
    assert_eq!(
        stdout(&output),
        expected(&questions, ResponseRules::ChatGlm)
    );
    assert!(
        stderr(&output).contains("line 2 is not valid UTF-8"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn control_characters_in_a_question_are_text() {
    let output = chat(&[], b"\0\x1b[2J\x07\x08\x7f\n");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        expected(&[Some("\0\x1b[2J\x07\x08\x7f")], ResponseRules::ChatGlm)
    );
}

#[test]
fn a_question_that_cannot_be_answered_fails_at_the_end_and_the_next_is_answered() {
    let too_long_for_the_model = "天".repeat(5000);
    let too_long_a_line = "x".repeat((1 << 20) + 1);
    for (refused, reason) in [
        (too_long_for_the_model, "error: the prompt has"),
        (too_long_a_line, "error: line 1 has more than 1048576 bytes"),
    ] {
        let output = chat(&[], format!("{refused}\nhello\n").as_bytes());
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            stdout(&output),
            expected(&[Some("hello")], ResponseRules::ChatGlm)
        );
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_chat"))
        .args(SHORT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    // Standard input stays open: the program has to end by itself.
    stdin.write_all("你好\nhello\n".as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(!stderr(&output).contains("error"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("panic"), "{}", stderr(&output));
}

#[test]
fn undo_takes_a_turn_back_and_retry_answers_again() {
    let output = chat(
        &[],
        "你好\n再见\nundo\n法国的首都是哪里？\nretry\n".as_bytes(),
    );
    assert!(output.status.success());
    let france = [Some("你好"), Some("法国的首都是哪里？")];
    let france = expected(&france, ResponseRules::ChatGlm);
    let france = france.lines().last().unwrap();
    let first = expected(&[Some("你好"), Some("再见")], ResponseRules::ChatGlm);
    assert_eq!(stdout(&output), format!("{first}{france}\n{france}\n"));
    assert!(stderr(&output).contains("are forgotten"));

    let output = chat(&[], "undo\nretry\n".as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    let said = stderr(&output).matches("nothing was asked yet").count();
    assert_eq!(said, 2, "{}", stderr(&output));
    assert!(!stderr(&output).contains("error"), "{}", stderr(&output));
}

/// Two lines and an empty one, which are one question.
const LINES: &str = "法国的首都\n\n是哪里？";

#[test]
fn a_question_of_several_lines_comes_from_a_file_or_all_of_standard_input() {
    let answer = expected(&[Some(LINES)], ResponseRules::ChatGlm);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("question.txt");
    let named = file.to_str().unwrap();
    for text in [
        LINES.to_owned(),
        format!("{LINES}\n"),
        format!("\u{feff}{LINES}\r\n"),
    ] {
        std::fs::write(&file, &text).unwrap();
        for (arguments, input) in [
            (&["--file", named][..], ""),
            (&["-f", named], "another question\n"),
            (&["-f", "-"], &*text),
            (&["--once", "-"], &*text),
            (&["--once=-"], &*text),
        ] {
            let output = chat(arguments, input.as_bytes());
            assert!(output.status.success(), "{}", stderr(&output));
            assert_eq!(stdout(&output), answer, "{arguments:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_question_may_come_from_a_named_pipe_and_ends_at_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let writer = {
        let pipe = pipe.clone();
        std::thread::spawn(move || std::fs::write(pipe, LINES).unwrap())
    };
    let output = chat(&["--file", pipe.to_str().unwrap()], b"");
    writer.join().unwrap();
    let answer = expected(&[Some(LINES)], ResponseRules::ChatGlm);
    assert_eq!(stdout(&output), answer, "{}", stderr(&output));

    let output = chat(&["--file", "/dev/zero"], b"");
    assert_eq!(output.status.code(), Some(1));
    let reason = "/dev/zero has more than 1048576 bytes";
    assert!(stderr(&output).contains(reason), "{}", stderr(&output));
}

#[test]
fn a_question_that_cannot_be_read_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("question.txt");
    let named = file.to_str().unwrap();
    let refused = |arguments: &[&str], input: &[u8]| {
        let output = chat(arguments, input);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        stderr(&output).to_owned()
    };
    assert!(refused(&["-f", named], b"").contains(&format!("cannot read {named}")));
    std::fs::write(&file, " \n\n").unwrap();
    assert!(refused(&["-f", named], b"").contains(&format!("no question in {named}")));
    assert!(refused(&["--once", "-"], b"").contains("no question in standard input"));
    assert!(refused(&["--once", "-"], b"\0\x01").contains("standard input is no text"));
    let utf8 = &["--once", "-", "--encoding", "utf-8"];
    assert!(refused(utf8, b"a\xff").contains("standard input is not text in UTF-8"));
    let folder = folder.path().to_str().unwrap();
    assert!(refused(&["-f", folder], b"").contains(&format!("cannot read {folder}")));
}

#[test]
fn questions_in_other_encodings_are_read_and_told() {
    // 你好 in GBK.
    let (gbk, question) = (b"\xc4\xe3\xba\xc3", [Some("你好")]);
    let answer = expected(&question, ResponseRules::ChatGlm);
    let output = chat(&["--once", "-"], &[&gbk[..], b"\n"].concat());
    assert_eq!(stdout(&output), answer, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("was read as GBK"),
        "{}",
        stderr(&output)
    );
    // Named, as one question and line by line.
    for arguments in [
        &["--once", "-", "--encoding", "gbk"][..],
        &["--encoding=GB18030"],
    ] {
        let output = chat(arguments, gbk);
        assert_eq!(stdout(&output), answer, "{}", stderr(&output));
        assert!(!stderr(&output).contains("encoding"), "{}", stderr(&output));
    }
}

#[cfg(unix)]
#[test]
fn an_input_without_lines_ends() {
    let output = Command::new(env!("CARGO_BIN_EXE_chat"))
        .args(SHORT)
        .stdin(std::fs::File::open("/dev/zero").unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let reason = "cannot read standard input: a line does not end";
    assert!(stderr(&output).contains(reason), "{}", stderr(&output));
}
