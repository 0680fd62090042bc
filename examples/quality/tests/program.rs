//! The program itself, as far as it takes no time: the table takes minutes.
#![allow(clippy::unwrap_used)]

use std::process::Command;

/// What users in a Chinese locale meet: help, wrong options, and what fails.
#[test]
fn it_speaks_chinese() {
    for (arguments, code, texts) in [
        (
            &["--help"][..],
            0,
            vec![
                "用法：quality [选项]",
                "--calibration-step <N>\n",
                "[默认值：16]",
            ],
        ),
        (
            &["--threads", "0"],
            2,
            vec!["错误：", "必须是 1 到 1024 之间的整数"],
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_quality"))
            .args(["--lang", "zh"])
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        for text in texts {
            assert!(said.contains(text), "`{text}` in {said}");
        }
        assert!(
            !said.contains("error:") && !said.contains("Usage:"),
            "{said}"
        );
    }
}
