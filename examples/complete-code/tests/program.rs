//! The program as people, scripts and editors use it, with a small CodeGeeX2.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
};

use command_line::coverage::check_chinese;
use glm_core::LoadOptions;
use glm_core::code::{CodeCompletion, CodeOptions, Cursor, Language, Until};
use serde_json::{Value, json};
use tempfile::TempDir;

#[path = "../../../glm-core/tests/support/codegeex2.rs"]
mod codegeex2;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../glm-core/tests/golden")
}

fn folder() -> TempDir {
    codegeex2::folder(&golden())
}

fn spawn(arguments: &[&str]) -> (Child, ChildStdin) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_complete-code"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let (child, mut stdin) = spawn(arguments);
    let input = input.to_vec();
    // The program may end before it has read everything, so a refused write is no failure.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Runs the program with the small model.
fn complete(folder: &TempDir, arguments: &[&str], input: &[u8]) -> Output {
    let model = ["--model", folder.path().to_str().unwrap()];
    run(&[&model, arguments].concat(), input)
}

fn stdout(output: &Output) -> &str {
    assert!(output.status.success(), "{}", stderr(output));
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// What the library completes.
fn expected(
    folder: &TempDir,
    cursor: &Cursor<'_>,
    until: Until,
    max_new_tokens: usize,
) -> CodeCompletion {
    let model = glm_core::load(folder.path()).unwrap();
    let tokenizer = glm_core::load_tokenizer(folder.path()).unwrap();
    let mut options = CodeOptions::default().with_until(until);
    options.generation.max_new_tokens = Some(max_new_tokens);
    let mut stream = model.stream_code(&tokenizer, cursor, &options).unwrap();
    stream.by_ref().for_each(|piece| drop(piece.unwrap()));
    stream.into_completion().0
}

fn python(before: &str) -> Cursor<'_> {
    Cursor::new(before).with_language(Language::by_name("python"))
}

#[test]
fn a_completion_is_that_of_the_library_wherever_the_code_comes_from() {
    let folder = folder();
    let file = folder.path().join("a.py");
    let code = "def f(x):\n    y = x\n";
    fs::write(&file, code).unwrap();
    let file = file.to_str().unwrap();
    let short = ["--max-new-tokens", "30", "--until", "end"];
    for (place, before) in [
        ("", code),
        (":1", "def f(x):"),
        (":2:7", "def f(x):\n    y "),
    ] {
        let place = format!("{file}{place}");
        let output = complete(&folder, &[&short[..], &[&place]].concat(), b"");
        let completion = expected(&folder, &python(before), Until::End, 30);
        assert_ne!(completion.text, "");
        assert_eq!(stdout(&output), completion.text.clone() + "\n");
    }
    let arguments = [&short[..], &["--language", "Python"]].concat();
    let output = complete(&folder, &arguments, code.as_bytes());
    let completion = expected(&folder, &python(code), Until::End, 30);
    assert_eq!(stdout(&output), completion.text + "\n");
    assert!(
        stderr(&output).contains("cut at 30 tokens"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn json_tells_what_a_completion_took() {
    let folder = folder();
    let arguments = [
        "--json",
        "-l",
        "py",
        "--until",
        "line",
        "--max-new-tokens",
        "40",
    ];
    let output = complete(&folder, &arguments, b"x = ");
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    let completion = expected(&folder, &python("x = "), Until::Line, 40);
    assert_eq!(report["text"], completion.text);
    assert_eq!(report["prompt_tokens"], completion.prompt_tokens);
    assert_eq!(report["completion_tokens"], completion.completion_tokens);
    assert_eq!(report["cached_tokens"], 0);
    assert_eq!(report["omitted_bytes"], 0);
    let reasons = ["eos", "code_complete", "length"].map(Value::from);
    assert!(reasons.contains(&report["finish_reason"]), "{report}");
}

#[test]
fn without_a_language_the_model_is_told_none() {
    let folder = folder();
    let output = complete(&folder, &["--max-new-tokens", "5", "--until", "end"], b"x");
    let cursor = Cursor::new("x");
    let completion = expected(&folder, &cursor, Until::End, 5);
    assert_eq!(stdout(&output), completion.text + "\n");
    assert!(
        stderr(&output).contains("--language names it"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn what_is_wrong_is_told_in_one_line() {
    let folder = folder();
    let file = folder.path().join("a.py");
    fs::write(&file, "x\n").unwrap();
    let line = format!("{}:7", file.display());
    for (arguments, reason) in [
        (&["--language", "klingon"][..], "`klingon` is not known"),
        (&["no/such/file.py"], "cannot read no/such/file.py"),
        (&[&line], "has no line 7: it has 2"),
        (&["--temperature", "NaN"], "`temperature`"),
        (&["--top-p", "0"], "`top_p`"),
        (&["--temperature", "-1"], "`temperature`"),
        (&["--max-new-tokens", "0"], "'--max-new-tokens <TOKENS>'"),
        (&["--top-k", "-1"], "must be a whole number of at least 0"),
        (
            &["--threads", "20000"],
            "must be a whole number from 1 to 1024",
        ),
        (&["--encoding", "klingon"], "is no encoding that is known"),
        (&["--stop", ""], "`stop`"),
    ] {
        let output = complete(&folder, arguments, b"x");
        // Options are refused before anything is read; the code is no option.
        let code = if arguments.len() == 2 { 2 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(output.stdout.is_empty());
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
        assert!(!stderr(&output).contains("panic"), "{}", stderr(&output));
    }
    for (arguments, input, reason) in [
        (
            &["--encoding=utf-8"][..],
            &b"x\xff"[..],
            "not text in UTF-8",
        ),
        (&["--encoding=gbk"], b"\xff\xff", "not text in GBK"),
        (&[], b"\x7fELF\0\xff", "no text: it holds zero bytes"),
        (&[], b"\xef\xbb\xbfx\xff", "not text in UTF-8"),
    ] {
        let output = complete(&folder, arguments, input);
        assert_eq!(output.status.code(), Some(1), "{reason}");
        let reason = format!("error: standard input is {reason}");
        assert!(stderr(&output).starts_with(&reason), "{}", stderr(&output));
    }
    #[cfg(unix)]
    {
        let output = complete(&folder, &["/dev/zero"], b"");
        let reason = "/dev/zero has more than 16777216 bytes";
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
}

/// What a Chinese editor of Windows saves: GBK, or Unicode with a byte-order mark.
#[test]
fn code_in_other_encodings_is_completed_as_the_same_in_utf8() {
    let folder = folder();
    let code = "# 计算两个数的和\ndef add(a, b):\n    ";
    let gbk = b"# \xbc\xc6\xcb\xe3\xc1\xbd\xb8\xf6\xca\xfd\xb5\xc4\xba\xcd\ndef add(a, b):\n    ";
    let utf16: Vec<u8> = code.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let short = ["--max-new-tokens", "12", "--until", "end", "-l", "python"];
    let completion = expected(&folder, &python(code), Until::End, 12).text + "\n";
    let at_line_2 = code.trim_end();
    let at_line_2 = expected(&folder, &python(at_line_2), Until::End, 12).text + "\n";
    for (bytes, encoding, note) in [
        (code.as_bytes().to_vec(), None, ""),
        (format!("\u{feff}{code}").into_bytes(), None, ""),
        ([b"\xff\xfe", &*utf16].concat(), None, ""),
        (utf16.clone(), Some("utf-16le"), ""),
        (gbk.to_vec(), None, "was read as GBK"),
        (gbk.to_vec(), Some("gb18030"), ""),
    ] {
        let file = folder.path().join("a.py");
        fs::write(&file, &bytes).unwrap();
        let named: Vec<&str> = encoding.map_or(vec![], |name| vec!["--encoding", name]);
        for (place, expected) in [("", &completion), (":2", &at_line_2)] {
            let place = format!("{}{place}", file.display());
            let output = complete(&folder, &[&short[..], &named, &[&place]].concat(), b"");
            assert_eq!(stdout(&output), expected, "{encoding:?}");
            let said = stderr(&output).contains("was read as");
            assert_eq!(said, !note.is_empty(), "{}", stderr(&output));
            assert!(stderr(&output).contains(note), "{}", stderr(&output));
        }
        let output = complete(&folder, &[&short[..], &named].concat(), &bytes);
        assert_eq!(stdout(&output), completion, "{encoding:?}");
    }
}

/// A tokenizer that is there proves nothing about the model.
#[test]
fn a_model_with_the_tokenizer_of_another_is_refused_before_it_serves() {
    let folder = folder();
    let chatglm = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mini-model/chatglm-mini");
    let file = folder.path().join("chatglm.glm");
    LoadOptions::default().prepack(chatglm, &file).unwrap();
    for arguments in [&["--stdio"][..], &[]] {
        let output = run(
            &[&["--model", file.to_str().unwrap()], arguments].concat(),
            b"",
        );
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        assert!(
            stderr(&output).starts_with("error: "),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_chatglm_6b_is_refused_by_name() {
    let file = golden().join("ggml/chatglm-6b-tiny.q8_0.bin");
    let output = run(&["--model", file.to_str().unwrap()], b"x");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("use CodeGeeX2-6B"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn any_model_of_the_family_goes() {
    let file = golden().join("ggml/chatglm2-tiny.q8_0.bin");
    let arguments = [
        "--model",
        file.to_str().unwrap(),
        "--max-new-tokens",
        "4",
        "--until",
        "end",
    ];
    let output = run(&arguments, b"bade luno");
    assert!(stdout(&output).len() > 1);
}

#[test]
fn help_says_what_the_model_sees_and_languages_are_listed() {
    let output = run(&["--help"], b"");
    let help = stdout(&output);
    for text in [
        "sees only what is before the cursor",
        "--stdio",
        "--until <WHERE>",
        "Examples:",
    ] {
        assert!(help.contains(text), "{text}");
    }
    let output = run(&["--languages"], b"");
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert_eq!(lines.len(), Language::all().len());
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with("# language: Python"))
    );
    assert!(!run(&[], b"").status.success());
}

/// The lines that the program answers.
fn serve(folder: &TempDir, requests: &[String]) -> Vec<Value> {
    let output = complete(
        folder,
        &["--stdio", "--until", "end"],
        requests.join("\n").as_bytes(),
    );
    let lines = stdout(&output).lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn an_editor_gets_pieces_and_an_end_for_each_request_in_order() {
    let folder = folder();
    let first = "def f(x):\n";
    let second = "def f(x):\n    y";
    let request = |id: Value, before: &str| json!({"id": id, "path": "a.py", "prefix": before, "suffix": "\n", "max_new_tokens": 20});
    let requests = [request(1.into(), first), request("b".into(), second)];
    let answers = serve(&folder, &requests.map(|request| request.to_string()));
    let ids: Vec<&Value> = answers.iter().map(|answer| &answer["id"]).collect();
    let of_first = ids.iter().take_while(|id| **id == 1).count();
    assert!(ids[of_first..].iter().all(|id| *id == "b"), "{ids:?}");
    for (answers, before) in [
        (&answers[..of_first], first),
        (&answers[of_first..], second),
    ] {
        let (end, pieces) = answers.split_last().unwrap();
        let text: String = pieces
            .iter()
            .map(|piece| piece["text"].as_str().unwrap())
            .collect();
        let completion = expected(&folder, &python(before), Until::End, 20);
        assert_eq!(text, completion.text);
        assert_eq!(end["done"], true);
        assert_eq!(end["prompt_tokens"], completion.prompt_tokens);
        assert_eq!(end["completion_tokens"], completion.completion_tokens);
    }
    assert_eq!(answers[of_first - 1]["cached_tokens"], 0);
    // Everything that the first one has read.
    let known = answers[of_first - 1]["prompt_tokens"].as_u64().unwrap();
    let cached = answers.last().unwrap()["cached_tokens"].as_u64().unwrap();
    assert!(cached + 1 >= known, "{cached} of {known}");
}

#[test]
fn a_line_that_is_no_request_is_answered_and_the_next_one_served() {
    let folder = folder();
    let mut input = b"{\n\n[]\n{\"id\":7}\n{\"cancel\":\"nobody\"}\n\xff\n".to_vec();
    input.extend(br#"{"id":8,"prefix":"x","language":"klingon"}"#);
    input.extend(b"\n");
    input.extend(br#"{"id":9,"prefix":"x","top_p":0}"#);
    input.extend(b"\r\n");
    input.extend(br#"{"id":10,"prefix":"x","max_new_tokens":3}"#);
    let output = complete(&folder, &["--stdio"], &input);
    let answers: Vec<Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let errors: Vec<&Value> = answers
        .iter()
        .filter(|answer| answer["error"].is_string())
        .collect();
    assert_eq!(errors.len(), 6, "{answers:?}");
    let of = |id: u64| errors.iter().find(|error| error["id"] == id).unwrap()["error"].as_str();
    assert!(of(7).unwrap().contains("prefix"));
    assert!(of(8).unwrap().contains("klingon"));
    assert!(of(9).unwrap().contains("`top_p`"));
    let end = answers
        .iter()
        .find(|answer| answer["done"] == true)
        .unwrap();
    assert_eq!(end["id"], 10);
}

#[test]
fn a_line_without_measure_is_answered_and_the_next_one_served() {
    let folder = folder();
    let long = format!(r#"{{"id":1,"prefix":"{}"}}"#, "x".repeat(5 << 20));
    let next = r#"{"id":2,"prefix":"x","max_new_tokens":3}"#;
    let answers = serve(&folder, &[long, next.to_owned()]);
    let reason = answers[0]["error"].as_str().unwrap();
    assert!(reason.contains("more than 4194304 bytes"), "{reason}");
    assert!(answers[0].get("id").is_none());
    let end = answers.last().unwrap();
    assert_eq!((&end["id"], &end["done"]), (&json!(2), &json!(true)));
    // One that never ends.
    #[cfg(unix)]
    {
        let mut endless = Command::new(env!("CARGO_BIN_EXE_complete-code"));
        endless
            .args(["--stdio", "--model", folder.path().to_str().unwrap()])
            .stdin(fs::File::open("/dev/zero").unwrap());
        let output = endless.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("a line does not end"));
    }
}

#[test]
fn an_id_is_free_again_as_soon_as_its_request_was_answered() {
    let folder = folder();
    let (mut child, mut stdin) = spawn(&["--stdio", "--model", folder.path().to_str().unwrap()]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        writeln!(stdin, "{{\"id\":1,\"prefix\":\"x\",\"max_new_tokens\":2}}").unwrap();
        let end = lines.find(|line| !line.as_ref().unwrap().contains("text"));
        let end: Value = serde_json::from_str(&end.unwrap().unwrap()).unwrap();
        assert_eq!(end["done"], true, "{end}");
    }
    drop(stdin);
    assert!(lines.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn no_request_is_no_answer_and_a_reader_that_goes_away_ends_the_program() {
    let folder = folder();
    assert!(serve(&folder, &[]).is_empty());
    let (mut child, mut stdin) = spawn(&["--stdio", "--model", folder.path().to_str().unwrap()]);
    drop(child.stdout.take());
    // Standard input stays open: the program has to end by itself.
    stdin.write_all(b"{\"id\":1,\"prefix\":\"x\"}\n").unwrap();
    assert!(child.wait().unwrap().success());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(stderr(&output), "");
}

/// What users in a Chinese locale meet: help, wrong options, and what fails.
#[test]
fn it_speaks_chinese() {
    for (arguments, code, texts) in [
        (
            &["--help"][..],
            0,
            vec![
                "用法：complete-code [选项]",
                "模型不读取光标之后的内容",
                "- block：到代码块",
                "{\"cancel\": 1}",
            ],
        ),
        (&[], 2, vec!["缺少以下必需的参数", "用法：complete-code "]),
        (
            &["a.py"],
            2,
            vec!["缺少以下必需的参数", "--model <PATH|ORG/NAME>"],
        ),
        (
            &["-m", "m", "--encoding", "klingon"],
            2,
            vec!["的值“klingon”无效：不是已知的编码"],
        ),
        (
            &["-m", "m", "-l", "klingon"],
            2,
            vec!["错误：未知的编程语言 `klingon`"],
        ),
        (
            &["-m", "m", "no/such.py"],
            1,
            vec!["错误：无法读取 no/such.py："],
        ),
    ] {
        check_chinese(env!("CARGO_BIN_EXE_complete-code"), arguments, code, &texts).unwrap();
    }
}
