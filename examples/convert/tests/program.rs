//! The program on tiny checkpoints: every form, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use command_line::coverage::check_chinese;
use glm_core::{Model, load_tokenizer};

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../glm-core/tests/golden")
        .join(case)
}

fn q4_0() -> PathBuf {
    golden("ggml/chatglm-6b-tiny.q4_0.bin")
}

fn convert(source: &Path, to: &str, output: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_convert"))
        .args(["--lang", "en"])
        .arg(source)
        .args(["--to", to, "-o"])
        .arg(output)
        .args(arguments)
        .output()
        .unwrap()
}

fn succeed(output: &Output) -> String {
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{messages}");
    assert!(messages.contains("wrote"), "{messages}");
    messages
}

fn refusal(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn logits(model: &Model) -> Vec<f32> {
    let (logits, _) = model.prefill(&[&[5, 34, 43, 301, 304]]).unwrap();
    logits.into_data().try_to_vec().unwrap()
}

fn loaded(path: &Path) -> Vec<f32> {
    logits(&glm_core::load(path).unwrap())
}

#[test]
fn a_ggml_file_becomes_every_form_with_its_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let expected = load_tokenizer(q4_0()).unwrap().encode("bade luno?");
    for (to, name, arguments) in [
        ("safetensors", "f16", &[][..]),
        ("prepacked", "model.glm", &["--no-verify"]),
        ("int4", "int4", &["--requantize"]),
        ("int8", "int8", &["--requantize", "--no-verify"]),
        (
            "prepacked",
            "int8.glm",
            &["--precision", "int8-g32", "--head", "int8", "--requantize"],
        ),
    ] {
        let output = folder.path().join(name);
        let message = succeed(&convert(&q4_0(), to, &output, arguments));
        let verified = !arguments.contains(&"--no-verify");
        assert_eq!(message.contains(", verified,"), verified, "{message}");
        loaded(&output);
        let tokenizer = load_tokenizer(&output).unwrap();
        assert_eq!(tokenizer.encode("bade luno?"), expected);
    }
    assert_eq!(loaded(&folder.path().join("model.glm")), loaded(&q4_0()));
}

#[test]
fn an_official_folder_goes_through_a_prepacked_file_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let source = golden("chatglm-6b-tiny-int4-qe");
    let (file, back) = (folder.path().join("model.glm"), folder.path().join("back"));
    let prompt = |model: &Model| {
        let (logits, _) = model.prefill(&[&[318, 584, 621, 624]]).unwrap();
        logits.into_data().try_to_vec::<f32>().unwrap()
    };
    succeed(&convert(&source, "prepacked", &file, &[]));
    succeed(&convert(&file, "int4", &back, &[]));
    let expected = prompt(&glm_core::load(&source).unwrap());
    assert_eq!(prompt(&glm_core::load(&back).unwrap()), expected);
    let config = fs::read_to_string(back.join("config.json")).unwrap();
    assert!(
        config.contains("\"quantization_embeddings\": true"),
        "{config}"
    );
}

#[test]
fn what_cannot_be_done_is_said_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let tiny = golden("chatglm-6b-tiny");
    for (source, to, arguments, expected) in [
        (q4_0(), "int4", &[][..], "--requantize"),
        (
            golden("chatglm-6b-tiny-int8"),
            "prepacked",
            &["--precision", "int4"],
            "int8-row",
        ),
        (tiny.clone(), "gguf", &[], "safetensors"),
        (
            tiny.clone(),
            "int4",
            &["--precision", "int8"],
            "--to prepacked",
        ),
        (
            tiny.clone(),
            "safetensors",
            &["--head", "int8"],
            "--to prepacked",
        ),
        (
            tiny.clone(),
            "prepacked",
            &["--precision", "int5"],
            "int4-g32",
        ),
        (PathBuf::from("nowhere"), "int4", &[], "nowhere"),
        (
            tiny.join("model.safetensors"),
            "int4",
            &[],
            "is not a model",
        ),
        (
            tiny.join("pytorch_model-00001-of-00003.bin"),
            "int4",
            &[],
            "is not a model",
        ),
    ] {
        let refused = convert(&source, to, &output, arguments);
        // What is wrong with the options alone is wrong usage.
        let wrong_usage = source == tiny;
        let code = if wrong_usage { 2 } else { 1 };
        assert_eq!(refused.status.code(), Some(code), "{to} {arguments:?}");
        let message = refusal(&refused);
        assert!(message.contains(expected), "{to} {arguments:?}: {message}");
    }
    assert!(!output.exists());
}

#[test]
fn nothing_is_overwritten_unasked_and_the_source_never() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("model.bin");
    fs::copy(q4_0(), &source).unwrap();
    let before = fs::read(&source).unwrap();
    for arguments in [&[][..], &["--force"]] {
        let message = refusal(&convert(&source, "prepacked", &source, arguments));
        assert!(
            message.contains("model.bin is what the output is made from"),
            "{message}"
        );
    }
    assert_eq!(fs::read(&source).unwrap(), before);
    let output = folder.path().join("out.glm");
    fs::write(&output, "something").unwrap();
    assert!(refusal(&convert(&source, "prepacked", &output, &[])).contains("exists already"));
    succeed(&convert(&source, "prepacked", &output, &["--force"]));
    assert_eq!(loaded(&output), loaded(&source));
}

#[test]
fn help_names_every_form() {
    let output = Command::new(env!("CARGO_BIN_EXE_convert"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for name in [
        "safetensors",
        "int8",
        "int4",
        "prepacked",
        "--requantize",
        "--no-verify",
        "--force",
    ] {
        assert!(help.contains(name), "{help}");
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
                "用法：convert [选项]",
                "\n参数：\n",
                "--requantize\n",
                "示例：",
            ],
        ),
        (
            &["a", "--to", "zip", "-o", "b"],
            2,
            vec!["错误：--to <FORM> 的值“zip”无效", "可选值：safetensors"],
        ),
        (
            &["a", "--to", "int4", "--head", "int4", "-o", "b"],
            2,
            vec!["错误：", "--to prepacked"],
        ),
        (
            &["a"],
            2,
            vec!["缺少以下必需的参数", "--to <FORM>", "--output <OUT>"],
        ),
        (
            &["no/such", "--to", "int4", "-o", "b"],
            1,
            vec!["错误：", "no/such"],
        ),
    ] {
        check_chinese(env!("CARGO_BIN_EXE_convert"), arguments, code, &texts).unwrap();
    }
}
