//! The program itself: what it prints, and its exit codes.

#![allow(clippy::unwrap_used)] // Also in the functions that run it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use command_line::coverage::check_chinese;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../glm-core/tests/golden")
        .join(name)
}

fn parity(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_parity"))
        .args(["--lang", "en"])
        .args(arguments)
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

#[test]
fn zero_and_a_line_for_each_check_when_all_pass() {
    let output = parity(&[&golden("chatglm-6b-tiny-int8")]);
    let text = stdout(&output);
    assert_eq!(code(&output), 0, "{text}{}", stderr(&output));
    assert_eq!(
        text.lines().filter(|line| line.starts_with("PASS")).count(),
        49
    );
    let logits = text
        .lines()
        .find(|line| line.contains("single.0.logits"))
        .unwrap();
    assert!(
        logits.contains("max error") && logits.contains("tolerance 1e-4 + 1e-4*|b|"),
        "{logits}"
    );
    assert!(text.ends_with("49 of 49 checks passed\n"), "{text}");
}

#[test]
fn one_when_a_check_fails() {
    let dir = folder(&[]);
    for file in ["expected.json", "expected.safetensors"] {
        fs::copy(golden("sampling").join(file), dir.path().join(file)).unwrap();
    }
    let path = dir.path().join("expected.json");
    let mut document: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    document["cases"][0]["kept"] = 1000.into();
    fs::write(&path, document.to_string()).unwrap();

    // The failure stays, whatever passes after it.
    let output = parity(&[Path::new("--quiet"), dir.path(), &golden("torch-formats")]);
    let text = stdout(&output);
    assert_eq!(code(&output), 1, "{text}");
    assert_eq!(
        text.lines().filter(|line| line.starts_with("FAIL")).count(),
        1
    );
    assert!(text.contains("tokens are left, expected 1000"), "{text}");
}

/// Or it would compare what another level computes.
#[test]
fn one_when_the_cpu_level_is_none() {
    let output = Command::new(env!("CARGO_BIN_EXE_parity"))
        .arg(golden("chatglm-6b-tiny-int8"))
        .env("GLM_CPU_LEVEL", "mmx")
        .output()
        .unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("`mmx`"), "{}", stderr(&output));
}

#[test]
fn one_and_a_sentence_when_a_folder_cannot_be_compared() {
    let visualglm = r#"{"model_type": "chatglm", "eva_config": {}}"#;
    let cases = [
        (folder(&[]), "has no expected.json"),
        (
            folder(&[("expected.json", "{}"), ("config.json", visualglm)]),
            "error: not supported yet: ",
        ),
        (
            folder(&[("expected.json", r#"{"base_model": "../x"}"#)]),
            "error: not supported yet: ",
        ),
        (
            folder(&[("expected.json", r#"{"some": "thing"}"#)]),
            "error: not supported yet: ",
        ),
        (
            folder(&[("expected.json", r#"{"same_as": "."}"#)]),
            "must not have this key itself",
        ),
        (
            folder(&[("expected.json", r#"{"files": {}}"#)]),
            "expected.safetensors",
        ),
        (
            folder(&[("expected.json", "[")]),
            "does not follow the layout",
        ),
    ];
    for (dir, sentence) in &cases {
        let output = parity(&[dir.path()]);
        let text = stderr(&output);
        assert_eq!(code(&output), 1, "{text}");
        assert!(text.contains(sentence), "{text}");
        assert_eq!(stdout(&output), "");
    }
    let output = parity(&[Path::new("no/such/folder")]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).starts_with("error: cannot access no/such/folder: "),
        "{}",
        stderr(&output)
    );
}

#[test]
fn one_when_the_format_asked_for_is_not_there() {
    let legacy = golden("chatglm-6b-tiny-legacy");
    let output = parity(&[Path::new("--format=safetensors"), &legacy]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("looked for model.safetensors"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_markdown_table() {
    let output = parity(&[Path::new("--markdown"), &golden("chatglm-6b-tiny-int4")]);
    let text = stdout(&output);
    assert_eq!(code(&output), 0, "{text}");
    assert!(text.starts_with("### chatglm-6b-tiny-int4\n"), "{text}");
    // Three prompts in two weight formats.
    assert!(
        text.lines()
            .any(|line| line.starts_with("| layer.2 | 6 | ")),
        "{text}"
    );
    assert!(!text.contains("PASS"));
}

#[test]
fn two_when_the_options_are_wrong() {
    let folder = golden("chatglm-6b-tiny-int8");
    for wrong in [
        "--device=toaster",
        "--format=zip",
        "--no-such-option",
        #[cfg(not(feature = "cuda"))]
        "--device=cuda",
    ] {
        let output = parity(&[Path::new(wrong), &folder]);
        assert_eq!(code(&output), 2, "{wrong}");
        assert_eq!(stdout(&output), "", "{wrong}");
    }
    assert_eq!(code(&parity(&[])), 2);
}

/// What users in a Chinese locale meet: help, wrong options, and what fails.
#[test]
fn it_speaks_chinese() {
    for (arguments, code, texts) in [
        (
            &["--help"][..],
            0,
            vec![
                "用法：parity [选项] <DIR>...",
                "可选值：",
                "- bin：pytorch_model.bin",
            ],
        ),
        (
            &["--device", "toaster", "a"],
            2,
            vec!["错误：--device <DEVICE> 的值“toaster”无效：未知设备"],
        ),
        (
            &["--quiet", "--markdown", "a"],
            2,
            vec!["不能与以下参数同时使用", "--markdown"],
        ),
        (&["no/such"], 1, vec!["错误：", "no/such"]),
    ] {
        check_chinese(env!("CARGO_BIN_EXE_parity"), arguments, code, &texts).unwrap();
    }
}
