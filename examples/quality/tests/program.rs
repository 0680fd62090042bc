//! The program itself, as far as it takes no time: the table takes minutes.
#![allow(clippy::unwrap_used)]

use command_line::coverage::check_chinese;

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
        check_chinese(env!("CARGO_BIN_EXE_quality"), arguments, code, &texts).unwrap();
    }
}
