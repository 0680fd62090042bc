//! What a conversation may take is told, and refused where there is not as much, before the first question.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn chat(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chat"))
        .args(["--lang", "en", "-p", "hello", "--max-new-tokens", "1"])
        .args(arguments)
        .output()
        .unwrap()
}

fn notes(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_length_that_is_asked_for_comes_with_its_memory() {
    // Keys and values of four layers with eight heads of 32 values: 2048 a token, and scales unless in f32.
    for (arguments, size) in [
        (&["--max-length", "200"][..], "870.40 kB"),
        (&["--max-length", "200", "--kv-cache", "f32"], "1.64 MB"),
        (&["--max-length", "200", "--kv-cache", "int8"], "435.20 kB"),
        (&["--max-length", "200", "--num-beams", "3"], "2.61 MB"),
    ] {
        let output = chat(arguments);
        assert!(output.status.success(), "{}", notes(&output));
        let expected = format!("up to 200 tokens: at most {size} of memory");
        assert!(notes(&output).contains(&expected), "{}", notes(&output));
        assert!(!notes(&output).contains("trained"), "{}", notes(&output));
    }
    assert!(!notes(&chat(&[])).contains("of memory"));
}

#[test]
fn a_length_beyond_the_trained_one_is_held_to_it() {
    let output = chat(&["--max-length", "1000000"]);
    assert!(output.status.success());
    let notes = notes(&output);
    assert!(notes.contains("was trained for"), "{notes}");
    assert!(!notes.contains("1000000"), "{notes}");
}

#[test]
fn a_conversation_that_cannot_fit_is_refused_before_it_begins() {
    let output = chat(&["--num-return-sequences", "1000000000"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let notes = notes(&output);
    for part in ["in each of 1000000000 rows", "GB available", "int8"] {
        assert!(notes.contains(part), "{part:?} is not in {notes}");
    }
}
