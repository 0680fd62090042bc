//! Flags, and what is said when they are wrong.
#![allow(clippy::unwrap_used)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use glm_core::{
    chat::ChatOptions,
    generate::{BeamSearchOptions, CancelToken, EarlyStopping},
};

fn chat(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chat"))
        .args(arguments)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The folder of the model that is built in.
fn mini_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mini-model/chatglm-mini")
}

#[test]
fn help_shows_every_group_and_flag_in_order() {
    let output = chat(&["--help"]);
    assert!(output.status.success());
    let mut rest = stdout(&output);
    for text in [
        "Usage: chat [OPTIONS]",
        "Options:",
        "--lang <LANG>",
        "Model:",
        "--model <PATH|ORG/NAME>",
        "--revision <NAME>",
        "[default: main]",
        "--offline",
        "--precision <NAME>",
        "[default: stored]",
        "--head <NAME>",
        "--kv-cache <KV_CACHE>",
        "--exact",
        "--device <DEVICE>",
        "--threads <N>",
        "--plan",
        "--json",
        "Conversation:",
        "--once <PROMPT>",
        "--file <FILE>",
        "--encoding <NAME>",
        "--infill <TEXT>",
        "--num-return-sequences <N>",
        "--raw",
        "--prompt-cache <FILE>",
        "Length:",
        "--max-length <TOKENS>",
        "[default: 2048, with ChatGLM2-6B 8192]",
        "--max-new-tokens <TOKENS>",
        "--min-new-tokens <TOKENS>",
        "--stop <STRING>",
        "Sampling:",
        "--temperature <T>",
        "[default: 0.95, with ChatGLM2-6B 0.8]",
        "--top-p <P>",
        "[default: 0.7, with ChatGLM2-6B 0.8]",
        "--top-k <K>",
        "[default: 50]",
        "--repetition-penalty <X>",
        "--presence-penalty <X>",
        "--frequency-penalty <X>",
        "--no-repeat-ngram-size <N>",
        "--greedy",
        "--prompt-lookup <N>",
        "--seed <N>",
        "Beam search:",
        "--num-beams <N>",
        "--length-penalty <X>",
        "--early-stopping <WHEN>",
        "[default: heuristic]",
        "Examples:",
    ] {
        let (_, after) = rest
            .split_once(text)
            .unwrap_or_else(|| panic!("no `{text}` in {rest}"));
        rest = after;
    }
}

#[test]
fn a_wrong_folder_is_told_with_what_was_looked_for() {
    let empty = tempfile::tempdir().unwrap();
    let file = mini_folder().join("config.json");
    let adapter = tempfile::tempdir().unwrap();
    let settings = adapter.path().join("adapter_config.json");
    std::fs::write(settings, r#"{"peft_type": "LORA"}"#).unwrap();
    for (path, reasons) in [
        (adapter.path(), vec!["a LoRA adapter"]),
        (
            Path::new("no/such/folder"),
            vec!["there is no file or folder no/such/folder"],
        ),
        (
            empty.path(),
            vec![
                "config.json",
                "ice_text.model",
                "model.safetensors",
                "pytorch_model.bin",
            ],
        ),
        (&file, vec!["config.json", "is not a model"]),
    ] {
        let output = chat(&["--lang", "en", "--model", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stdout(&output), "");
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        assert!(
            stderr(&output).starts_with("error: "),
            "{}",
            stderr(&output)
        );
        for reason in reasons {
            assert!(
                stderr(&output).contains(reason),
                "`{reason}` in {}",
                stderr(&output)
            );
        }
    }
}

#[test]
fn each_missing_file_of_a_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (present, missing) in [
        ("config.json", "ice_text.model"),
        ("ice_text.model", "model.safetensors"),
    ] {
        std::fs::copy(mini_folder().join(present), dir.path().join(present)).unwrap();
        let output = chat(&["--lang", "en", "--model", dir.path().to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains(missing),
            "`{missing}` in {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(dir.path().to_str().unwrap()),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_folder_answers_as_the_same_model_built_in() {
    let answer = |more: &[&str]| {
        let output = chat(&[&["--greedy", "--max-new-tokens", "12", "-p", "你好"], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        output.stdout
    };
    let folder = mini_folder();
    assert_eq!(
        answer(&["--model", folder.to_str().unwrap(), "--threads", "1"]),
        answer(&[])
    );
}

#[test]
fn a_folder_is_not_announced_as_the_demonstration_model() {
    let folder = mini_folder();
    let output = chat(&[
        "--max-new-tokens",
        "1",
        "-p",
        "hello",
        "-m",
        folder.to_str().unwrap(),
    ]);
    assert!(
        !stderr(&output).contains("demonstration"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn options_out_of_range_are_refused_with_one_sentence() {
    for (arguments, reason) in [
        (["--temperature", "NaN"], "`temperature`"),
        (["--top-p", "0"], "`top_p`"),
        (["--repetition-penalty", "0"], "`repetition_penalty`"),
        (["--presence-penalty", "NaN"], "`presence_penalty`"),
        (["--frequency-penalty", "inf"], "`frequency_penalty`"),
        (["--temperature", "-1"], "`temperature`"),
        (["--top-p", "-0.5"], "`top_p`"),
        (["--repetition-penalty", "-1"], "`repetition_penalty`"),
        (["--stop", ""], "`stop`"),
        #[cfg(not(feature = "cuda"))]
        (["--device", "cuda:1"], "`--features cuda`"),
    ] {
        let output = chat(&[&arguments[..], &["--lang", "en", "-p", "hello"]].concat());
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        assert!(
            stderr(&output).contains(reason),
            "`{reason}` in {}",
            stderr(&output)
        );
    }
}

#[test]
fn arguments_that_cannot_be_read_are_refused() {
    for arguments in [
        &["--temperature", "warm"][..],
        &["--temperature=-1", "--top-k=-1"],
        &["--device", "toaster"],
        &["--precision", "int3"],
        &["--lang", "fr"],
        &["--greedy", "--top-p", "0.5"],
        &["--num-beams", "0"],
        &["--num-beams", "2", "--temperature", "0.5"],
        &["--num-beams", "2", "--seed", "1"],
        &["--num-beams", "2", "--prompt-lookup", "8"],
        &["--length-penalty", "2"],
        &["--early-stopping", "never"],
        &["--num-beams", "2", "--early-stopping", "soon"],
        &["--num-return-sequences", "2"],
        &["--infill", "[MASK]", "--once", "hello"],
        &["--infill", "[MASK]", "--num-beams", "2"],
        &["--infill", "[MASK]", "--file", "question.txt"],
        &["--once", "hello", "--file", "question.txt"],
        &["--lang", "en", "--once", ""],
        &["--lang", "en", "--once", " \n"],
        &["--once", "hello", "--encoding", "klingon"],
        &["--lang", "en", "--encoding", "utf-16le"],
        &["--no-such-flag"],
        &["question"],
    ] {
        let output = chat(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            stderr(&output).starts_with("error: "),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn messages_follow_the_locale_unless_told_otherwise() {
    for (locale, arguments, expected) in [
        ("zh_CN.UTF-8", &[][..], "演示模型"),
        ("en_US.UTF-8", &[], "demonstration model"),
        ("C", &[], "demonstration model"),
        ("en_US.UTF-8", &["--lang", "zh"], "演示模型"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_chat"))
            .args(["--max-new-tokens", "1", "-p", "hello"])
            .args(arguments)
            .env_remove("LANGUAGE")
            .env("LC_ALL", locale)
            .output()
            .unwrap();
        assert!(
            stderr(&output).contains(expected),
            "{locale}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn help_and_what_is_wrong_with_options_follow_the_language_too() {
    for (arguments, code, texts) in [
        (
            &["--help"][..],
            0,
            &[
                "用法：chat [选项]",
                "模型：\n",
                "-m, --model <PATH|ORG/NAME>",
                "- int16：每个值 2 字节",
                "[默认值：heuristic]",
                "示例：",
            ][..],
        ),
        (&["-h"], 0, &["用法：chat [选项]", "可选值："]),
        (
            &["--temprature", "1"],
            2,
            &[
                "错误：未知的参数 --temprature",
                "提示：是否想用 --temperature？",
            ],
        ),
        (
            &["--greedy", "--top-p", "1"],
            2,
            &["--greedy 不能与以下参数同时使用", "--top-p <P>"],
        ),
        (
            &["--top-k=-1"],
            2,
            &["--top-k <K> 的值“-1”无效：必须是不小于 0 的整数"],
        ),
        (&["--infill", "a"], 2, &["错误：--infill 的文本中没有空白"]),
        (
            &["--model", "no/such/model"],
            1,
            &["错误：没有名为 no/such/model 的文件或文件夹"],
        ),
    ] {
        let output = chat(&[&["--lang", "zh"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let said = stdout(&output).to_owned() + stderr(&output);
        for text in texts {
            assert!(said.contains(text), "`{text}` in {said}");
        }
        assert!(!said.contains("Usage") && !said.contains("error"), "{said}");
    }
}

#[test]
fn options_that_contradict_each_other_are_refused_with_one_sentence() {
    for (arguments, reason) in [
        (
            &["--num-return-sequences", "2", "--greedy"][..],
            "greedy decoding",
        ),
        (
            &["--num-return-sequences", "2", "--temperature", "0"],
            "--num-beams",
        ),
        (
            &["--num-return-sequences", "3", "--num-beams", "2"],
            "`num_return_sequences`",
        ),
        (
            &["--min-new-tokens", "6", "--max-new-tokens", "5"],
            "`min_new_tokens` must be at most max_new_tokens, 5, found 6",
        ),
        (
            &["--num-beams", "2", "--length-penalty", "nan"],
            "`length_penalty`",
        ),
    ] {
        let output = chat(&[arguments, &["--lang", "en", "--once", "hello"]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
}

/// What is printed for these arguments, which must be right.
fn answer(arguments: &[&str]) -> String {
    let output = chat(arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).to_owned()
}

#[test]
fn the_best_answers_of_a_beam_search_are_printed_when_they_are_ready() {
    let (tokenizer, model) = mini_model::load().unwrap();
    let mut options = ChatOptions::default();
    options.generation.max_new_tokens = Some(12);
    let beams = BeamSearchOptions::default()
        .with_num_beams(3)
        .with_length_penalty(-0.5)
        .with_early_stopping(EarlyStopping::AtOnce)
        .with_num_return_sequences(2);
    let never = CancelToken::new();
    let replies = model
        .chat_beams(&tokenizer, "你好", &[], &options, &beams, &never)
        .unwrap();
    let expected = format!("{}\n\n{}\n", replies[0].response, replies[1].response);
    let arguments = [
        "--num-beams=3",
        "--length-penalty=-0.5",
        "--early-stopping=at-once",
        "--num-return-sequences=2",
        "--max-new-tokens=12",
        "--once=你好",
        "--lang=zh",
    ];
    assert_eq!(answer(&arguments), expected);
    assert!(stderr(&chat(&arguments)).contains("束搜索"));
}

#[test]
fn the_first_of_several_answers_is_that_of_the_seed() {
    let arguments = [
        "--seed=5",
        "--temperature=3",
        "--top-p=1",
        "--max-new-tokens=9",
        "-p",
        "a",
    ];
    let one = answer(&arguments);
    let several = answer(&[&arguments[..], &["--num-return-sequences=3"]].concat());
    assert!(
        several.starts_with(&(one.trim_end().to_owned() + "\n\n")),
        "{several}"
    );
}

#[test]
fn blanks_of_a_text_are_filled() {
    let text = "法国的首都是[MASK]，日本的首都是[MASK]。";
    let (tokenizer, model) = mini_model::load().unwrap();
    let mut options = ChatOptions::default();
    options.generation.do_sample = false;
    options.generation.max_new_tokens = Some(3);
    let expected = model.infill(&tokenizer, text, &options).unwrap().text + "\n";
    let arguments = [
        "--greedy",
        "--max-new-tokens=3",
        "--lang=en",
        "--infill",
        text,
    ];
    assert_eq!(answer(&arguments), expected);
    assert!(stderr(&chat(&arguments)).contains("cut at the length limit"));
}

#[test]
fn what_cannot_be_filled_is_told_in_plain_words() {
    let chatglm2 = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../glm-core/tests/golden/ggml/chatglm2-tiny.q8_0.bin");
    let chatglm2 = [
        "--infill",
        "a [MASK]",
        "--model",
        chatglm2.to_str().unwrap(),
    ];
    for (arguments, code, reason) in [
        (
            &["--infill", "no blank"][..],
            2,
            "write [MASK] for a few words",
        ),
        (&["--infill", ""], 2, "write [MASK] for a few words"),
        (
            &["--infill", "[mask] (MASK)"],
            2,
            "write [MASK] for a few words",
        ),
        (&chatglm2, 1, "have not learned to fill blanks"),
    ] {
        let output = chat(&[arguments, &["--lang", "en"]].concat());
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
        assert!(!stderr(&output).contains("token"), "{}", stderr(&output));
    }
}

/// Before a model is loaded, and with the values that are possible.
#[test]
fn numbers_out_of_range_are_told_with_the_range() {
    let least = |least: usize| format!("must be a whole number of at least {least}");
    for (option, range) in [
        ("--max-length", least(1)),
        ("--max-new-tokens", least(1)),
        ("--min-new-tokens", least(0)),
        ("--top-k", least(0)),
        ("--no-repeat-ngram-size", least(0)),
        ("--prompt-lookup", least(0)),
        ("--seed", least(0)),
        ("--num-beams", least(1)),
        ("--num-return-sequences", least(1)),
        (
            "--threads",
            "must be a whole number from 1 to 1024".to_owned(),
        ),
    ] {
        let below = if range.contains("at least 0") {
            "-3"
        } else {
            "0"
        };
        for value in ["-1", "1.5", "x", below, "99999999999999999999999"] {
            let output = chat(&[option, value, "--once", "hello"]);
            assert_eq!(output.status.code(), Some(2), "{option} {value}");
            let said = stderr(&output);
            assert!(said.contains(&range) && said.contains(option), "{said}");
        }
    }
    for threads in ["1025", "4000", "20000"] {
        let output = chat(&["--threads", threads, "--once", "hello"]);
        assert_eq!(output.status.code(), Some(2), "{threads}");
        assert!(stderr(&output).contains("from 1 to 1024"));
    }
}

/// Whether or not there is a tokenizer beside it.
#[test]
fn a_file_that_is_no_model_is_blamed_itself() {
    let folder = tempfile::tempdir().unwrap();
    for with_tokenizer in [false, true] {
        if with_tokenizer {
            let tokenizer = mini_folder().join("ice_text.model");
            std::fs::copy(tokenizer, folder.path().join("ice_text.model")).unwrap();
        }
        for (name, bytes) in [
            ("notes.flm", &b"this is no model\n"[..]),
            ("empty.flm", b""),
            ("empty-ggml.bin", b"ggml"),
            ("zeros.bin", &[0; 4096]),
        ] {
            let file = folder.path().join(name);
            std::fs::write(&file, bytes).unwrap();
            let output = chat(&["--lang", "en", "-p", "a", "-m", file.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(1), "{name}");
            assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
            assert!(stderr(&output).contains(name), "{}", stderr(&output));
            assert!(!stderr(&output).contains("ice_text"), "{}", stderr(&output));
        }
    }
}

/// What `inspect` says, without a chat.
#[test]
fn the_plan_is_printed_in_place_of_a_chat() {
    let folder = mini_folder();
    let folder = folder.to_str().unwrap();
    let output = chat(&["--model", folder, "--plan"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("longest context"),
        "{}",
        stdout(&output)
    );
    let output = chat(&["--model", folder, "--plan", "--json"]);
    assert!(stdout(&output).starts_with('{'), "{}", stdout(&output));
    let output = chat(&["--model", "/nowhere", "--plan"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("/nowhere"), "{}", stdout(&output));
    // There is nothing to plan for the built-in model.
    assert!(!chat(&["--plan"]).status.success());
    assert!(!chat(&["--json"]).status.success());
}
