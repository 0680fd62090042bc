//! The program on good and bad folders: what it prints, and how it ends.
#![allow(clippy::unwrap_used)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use command_line::coverage::check_chinese;
use serde_json::Value;

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../glm-core/tests/golden")
        .join(case)
}

fn inspect(arguments: &[&Path]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_inspect"))
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

#[test]
fn a_good_folder_is_described_and_a_bad_one_fails() {
    let (output, text) = inspect(&[&golden("chatglm-6b-tiny-int4")]);
    assert!(output.status.success());
    for part in [
        "ChatGLM-6B",
        "int4",
        "second generation",
        "longest context",
        "suggestion",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let empty = tempfile::tempdir().unwrap();
    let (output, text) = inspect(&[&golden("chatglm-6b-tiny"), empty.path()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("no checkpoint") && text.contains("ChatGLM-6B"),
        "{text}"
    );
}

#[test]
fn json_has_the_same_for_programs() {
    let empty = tempfile::tempdir().unwrap();
    let folder = golden("chatglm-6b-tiny-int8");
    let (_, text) = inspect(&[Path::new("--json"), &folder, empty.path()]);
    let found: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["family"], "ChatGLM-6B");
    assert_eq!(found[0]["stored"], "int8");
    assert_eq!(found[0]["weights"][0]["format"], "safetensors");
    let size = std::fs::metadata(folder.join("model.safetensors"))
        .unwrap()
        .len();
    assert_eq!(found[0]["weights"][0]["files"][0]["bytes"], size);
    assert!(
        found[0]["plan"]["precisions"][0]["weights"]
            .as_u64()
            .is_some()
    );
    assert_eq!(found[0]["verdict"], "loads");
    assert_eq!(found[1]["content"], "nothing");
    assert_eq!(found[1]["verdict"], "not_a_model");
    assert_eq!(found[1]["problems"][0]["severity"], "error");
    assert_eq!(found[1]["plan"], Value::Null);
}

/// Whoever downloads in a script learns from the exit code that the tokenizer is no tokenizer.
#[test]
fn a_tokenizer_that_cannot_be_used_fails() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(
            golden("chatglm-6b-tiny").join(name),
            folder.path().join(name),
        )
        .unwrap();
    }
    let (output, text) = inspect(&[folder.path()]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("can be loaded"), "{text}");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:5e97\nsize 2706249\n";
    for stand_in in [pointer, "garbage", ""] {
        std::fs::write(folder.path().join("ice_text.model"), stand_in).unwrap();
        let (output, text) = inspect(&[folder.path()]);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("ice_text.model"), "{text}");
        assert!(text.contains("cannot be loaded as it is"), "{text}");
    }
}

/// What users in a Chinese locale meet: help, wrong options, and what fails.
#[test]
fn it_speaks_chinese() {
    for (arguments, code, texts) in [
        (
            &["--help"][..],
            0,
            vec![
                "用法：inspect [选项] <PATH>...",
                "说明检查点是什么",
                "显示帮助",
            ],
        ),
        (
            &["no/such"],
            1,
            vec!["\n  结论        ", "\n  问题        ", "no/such"],
        ),
        (
            &["--jsom", "a"],
            2,
            vec!["错误：未知的参数 --jsom", "提示：是否想用 --json？"],
        ),
        (&[], 2, vec!["缺少以下必需的参数", "<PATH>..."]),
    ] {
        check_chinese(env!("CARGO_BIN_EXE_inspect"), arguments, code, &texts).unwrap();
    }
}
