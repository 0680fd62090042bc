//! What one run has read is known in the next.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Runs the program with a tiny ChatGLM2-6B, or whatever `arguments` name later.
fn chat(arguments: &[&str]) -> Output {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../glm-core/tests/golden");
    Command::new(env!("CARGO_BIN_EXE_chat"))
        .arg("--model")
        .arg(golden.join("ggml/chatglm2-tiny.q4_0.bin"))
        .args(["--lang", "en", "--greedy", "--max-new-tokens", "12"])
        .args(arguments)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn a_second_run_goes_on_from_what_the_first_has_read() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("read.cache");
    let cache = cache.to_str().unwrap();
    let document = "a long text ".repeat(20);
    for (run, question) in ["a", "b", "b"].into_iter().enumerate() {
        let question = document.clone() + question;
        let plain = chat(&["--once", &question]);
        let cached = chat(&["--once", &question, "--prompt-cache", cache]);
        assert!(cached.status.success(), "{}", stderr(&cached));
        assert_eq!(cached.stdout, plain.stdout);
        assert_eq!(stderr(&cached).contains("read before"), run > 0);
    }
    let before = fs::read(cache).unwrap();

    // Keys and values are kept otherwise now.
    let other = ["--once", "a", "--prompt-cache", cache, "--kv-cache", "int8"];
    let replaced = chat(&other);
    assert!(replaced.status.success());
    let reason = "will be replaced";
    assert!(stderr(&replaced).contains(reason), "{}", stderr(&replaced));
    assert!(fs::read(cache).unwrap() != before);
    assert!(stderr(&chat(&other)).contains("read before"));
}

#[test]
fn nothing_is_written_over_a_file_of_another_kind() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("report.txt");
    fs::write(&text, "a report").unwrap();
    let refused = chat(&["--once", "a", "--prompt-cache", text.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("report.txt is of no use here: its beginning should be"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(fs::read_to_string(text).unwrap(), "a report");

    let folder = folder.path().join("none/read.cache");
    let refused = chat(&["--once", "a", "--prompt-cache", folder.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty(), "refused before the answer");

    let beams = chat(&["--prompt-cache", "x", "--num-beams", "2"]);
    assert_eq!(beams.status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn a_device_stays_a_device() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    for (target, found) in [
        ("/dev/null", "a character device"),
        ("/dev/zero", "a character device"),
        ("nothing", "a symbolic link to nothing"),
    ] {
        symlink(target, &path).unwrap();
        let refused = chat(&["--once", "a", "--prompt-cache", path.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(1));
        let expected = format!("{} is {found}", path.display());
        assert!(stderr(&refused).contains(&expected), "{}", stderr(&refused));
        assert_eq!(fs::read_link(&path).unwrap(), Path::new(target));
        fs::remove_file(&path).unwrap();
    }
}
