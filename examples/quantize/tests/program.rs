//! The program on a tiny checkpoint: both forms of output, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use command_line::coverage::check_chinese;
use glm_core::{LoadOptions, Model, checkpoint::Precision};

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../glm-core/tests/golden")
        .join(case)
}

fn quantize(dir: &Path, output: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quantize"))
        .args(["--lang", "en"])
        .arg(dir)
        .arg("-o")
        .arg(output)
        .args(arguments)
        .output()
        .unwrap()
}

fn succeed(output: &Output) {
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}");
    assert!(messages.contains("wrote"), "{messages}");
}

fn refusal(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn logits(model: &Model) -> Vec<f32> {
    let (logits, _) = model.prefill(&[&[318, 584, 207, 604, 621, 624]]).unwrap();
    logits.into_data().try_to_vec().unwrap()
}

fn converted(layers: &str, head: &str) -> Vec<f32> {
    let model = LoadOptions::default()
        .precision(layers.parse().unwrap())
        .head(head.parse::<Precision>().unwrap())
        .load(golden("chatglm-6b-tiny"))
        .unwrap();
    logits(&model)
}

#[test]
fn a_file_is_written_once_and_again_with_force() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.glm");
    let dir = golden("chatglm-6b-tiny");
    succeed(&quantize(
        &dir,
        &file,
        &["--precision", "int4", "--head", "int4"],
    ));
    assert_eq!(
        logits(&glm_core::load(&file).unwrap()),
        converted("int4", "int4")
    );

    let message = refusal(&quantize(&dir, &file, &["--precision", "int8"]));
    assert!(message.contains("exists already"), "{message}");
    succeed(&quantize(&dir, &file, &["--precision", "int8", "--force"]));
    assert_eq!(
        logits(&glm_core::load(&file).unwrap()),
        converted("int8", "int8")
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_official_folder_holds_the_weights_and_the_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("source");
    fs::create_dir(&dir).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden("chatglm-6b-tiny").join(name), dir.join(name)).unwrap();
    }
    fs::write(dir.join("ice_text.model"), "tokenizer").unwrap();
    let output = folder.path().join("int4");
    succeed(&quantize(
        &dir,
        &output,
        &["--precision", "int4", "--official"],
    ));
    assert_eq!(
        logits(&glm_core::load(&output).unwrap()),
        converted("int4-row", "stored")
    );
    assert_eq!(
        fs::read(output.join("ice_text.model")).unwrap(),
        b"tokenizer"
    );
    let config = fs::read_to_string(output.join("config.json")).unwrap();
    assert!(config.contains("\"quantization_bit\": 4"), "{config}");

    let again = quantize(&dir, &output, &["--precision", "int8", "--official"]);
    assert!(refusal(&again).contains("exists already"));
    // The checkpoint itself is never the output.
    let over = quantize(
        &dir,
        &dir,
        &["--precision", "int8", "--official", "--force"],
    );
    assert!(refusal(&over).contains("is what the output is made from"));
    succeed(&quantize(
        &dir,
        &output,
        &["--precision", "int8", "--official", "--force"],
    ));
}

#[test]
fn what_cannot_be_done_is_said_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let dir = golden("chatglm-6b-tiny");
    for (arguments, expected) in [
        (&["--precision", "int5"][..], "int4-g32"),
        (&["--precision", "int4", "--head", "int16"], "int8"),
        (
            &["--precision", "int4-g32", "--official"],
            "one scale for each row",
        ),
        (
            &["--precision", "stored", "--official"],
            "one scale for each row",
        ),
        (
            &["--precision", "int4", "--head", "int8", "--official"],
            "cannot be used with",
        ),
        (
            &[
                "--precision",
                "int4",
                "--gptq",
                "a",
                "--encoding",
                "klingon",
            ],
            "is no encoding that is known",
        ),
        (&[], "--precision"),
    ] {
        let refused = quantize(&dir, &output, arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        let message = refusal(&refused);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    let twice = quantize(
        &golden("chatglm-6b-tiny-int8"),
        &output,
        &["--precision", "int4"],
    );
    assert_eq!(twice.status.code(), Some(1));
    assert!(refusal(&twice).contains("holds int8-row weights"));
    let missing = quantize(Path::new("nowhere"), &output, &["--precision", "int4"]);
    assert!(refusal(&missing).contains("nowhere"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn help_names_every_precision() {
    let output = Command::new(env!("CARGO_BIN_EXE_quantize"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for name in ["int4-g32", "int8-row", "stored", "--official", "--force"] {
        assert!(help.contains(name), "{help}");
    }
}

#[test]
fn gptq_needs_a_text_and_gives_a_model_that_answers() {
    let out = tempfile::tempdir().unwrap();
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mini-model/chatglm-mini");
    let (text, file) = (out.path().join("text.txt"), out.path().join("mini.glm"));
    let arguments = ["--precision", "int4", "--gptq", text.to_str().unwrap()];

    let missing = refusal(&quantize(&mini, &file, &arguments));
    assert!(missing.contains("text.txt"), "{missing}");
    fs::write(&text, "\n \n").unwrap();
    let empty = refusal(&quantize(&mini, &file, &arguments));
    assert!(empty.contains("no text"), "{empty}");
    assert!(!file.exists());

    let line = "The capital of France is Paris. 北京是中国的首都。 Two plus three is five.\n";
    fs::write(&text, line.repeat(40)).unwrap();
    succeed(&quantize(&mini, &file, &arguments));
    let rounded = out.path().join("rounded.glm");
    succeed(&quantize(&mini, &rounded, &["--precision", "int4"]));
    assert_ne!(fs::read(&file).unwrap(), fs::read(&rounded).unwrap());

    let tokenizer = glm_core::GlmTokenizer::from_dir(&mini).unwrap();
    let model = glm_core::load(&file).unwrap();
    let reply = model.chat(&tokenizer, "法国的首都是哪里？", &[]).unwrap();
    assert_eq!(reply.response, "法国的首都是巴黎。");
}

#[cfg(unix)]
#[test]
fn a_device_stays_a_device_and_a_limit_leaves_nothing() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.glm");
    let dir = golden("chatglm-6b-tiny");
    for target in ["/dev/null", "nothing"] {
        symlink(target, &file).unwrap();
        for arguments in [
            &["--precision", "int4", "--force"][..],
            &["--precision", "int4", "--force", "--official"],
            &["--precision", "int4"],
        ] {
            let message = refusal(&quantize(&dir, &file, arguments));
            assert!(message.contains("model.glm is a"), "{message}");
        }
        assert_eq!(fs::read_link(&file).unwrap(), Path::new(target));
        fs::remove_file(&file).unwrap();
    }
    // The signal of the limit would end the process; its limit is known before.
    for shell in ["ulimit -f 8", "trap '' XFSZ; ulimit -f 8"] {
        let output = Command::new("sh")
            .args(["-c", &format!("{shell}; exec \"$0\" \"$@\"")])
            .arg(env!("CARGO_BIN_EXE_quantize"))
            .args(["--precision", "int4", "-o"])
            .args([&file, &dir])
            .output()
            .unwrap();
        let message = refusal(&output);
        assert!(message.contains("ulimit -f"), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
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
                "用法：quantize [选项]",
                "\n参数：\n",
                "--official\n",
                "示例：",
            ],
        ),
        (
            &["a", "--precision", "int5", "-o", "b"],
            2,
            vec!["错误：--precision <NAME> 的值“int5”无效"],
        ),
        (
            &["a", "-p", "int4-g32", "--official", "-o", "b"],
            2,
            vec!["错误：", "官方布局每行一个缩放系数"],
        ),
        (
            &["a", "-p", "int4", "--official", "--head", "int8", "-o", "b"],
            2,
            vec!["错误：", "不能与以下参数同时使用", "--official"],
        ),
        (
            &["no/such", "-p", "int4", "-o", "b"],
            1,
            vec!["错误：", "no/such"],
        ),
    ] {
        check_chinese(env!("CARGO_BIN_EXE_quantize"), arguments, code, &texts).unwrap();
    }
}
