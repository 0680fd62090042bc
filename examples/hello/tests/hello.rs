//! The program as a newcomer runs it.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn hello(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hello"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn every_question_is_followed_by_an_answer() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../mini-model/chatglm-mini");
    for arguments in [&[][..], &[folder]] {
        let output = hello(arguments);
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let mut rest = text.as_str();
        for question in [
            "> 你好\n",
            "> What is 3 plus 5?\n",
            "> 法国的首都是哪里？\n",
            "> 那日本呢？\n",
        ] {
            let (_, after) = rest.split_once(question).unwrap();
            assert!(!after.starts_with('\n'), "no answer to {question}");
            rest = after;
        }
        assert!(!rest.is_empty());
    }
}

#[test]
fn a_wrong_folder_is_told_in_one_sentence() {
    let output = hello(&["no/such/folder"]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.starts_with("error: ") && message.contains("no/such/folder"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
}
