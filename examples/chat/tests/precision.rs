//! Quantised weights: made once, kept in the cache, used in place.
#![allow(clippy::unwrap_used)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

const QUESTION: &str = "What is 2 plus 3?";

/// Asks the demonstration model as a folder or file would be asked, with a cache of its own.
fn chat(cache: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chat"))
        .args(["--lang", "en", "--greedy", "-p", QUESTION])
        .args(arguments)
        .env("GLM_CACHE_DIR", cache)
        .output()
        .unwrap()
}

fn answer(output: &Output) -> String {
    assert!(output.status.success(), "{}", notes(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn notes(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn mini_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mini-model/chatglm-mini")
}

#[test]
fn what_is_quantised_is_kept_and_that_is_said_once() {
    let cache = tempfile::tempdir().unwrap();
    let folder = mini_folder();
    let folder = folder.to_str().unwrap();
    let stored = answer(&chat(cache.path(), &["--model", folder]));
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);

    for precision in ["int8", "int4"] {
        let arguments = ["--model", folder, "--precision", precision];
        let first = chat(cache.path(), &arguments);
        assert_eq!(answer(&first), stored, "{precision}");
        assert!(
            notes(&first).contains("quantised once"),
            "{}",
            notes(&first)
        );
        let second = chat(cache.path(), &arguments);
        assert_eq!(answer(&second), stored, "{precision}");
        assert_eq!(notes(&second), "", "{precision}");
    }
}

#[test]
fn a_quantised_file_is_a_model_with_the_tokenizer_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mini-int4.glm");
    glm_core::LoadOptions::default()
        .precision(glm_core::Precision::INT4)
        .prepack(mini_folder(), &file)
        .unwrap();
    let path = file.to_str().unwrap();
    let missing = chat(dir.path(), &["--model", path]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        notes(&missing).contains("ice_text.model"),
        "{}",
        notes(&missing)
    );

    let tokenizer = "ice_text.model";
    std::fs::copy(mini_folder().join(tokenizer), dir.path().join(tokenizer)).unwrap();
    let found = answer(&chat(dir.path(), &["--model", path]));
    assert_eq!(found, answer(&chat(dir.path(), &[])));
}

#[test]
fn a_ggml_file_needs_no_tokenizer_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../glm-core/tests/golden/ggml");
    let file = dir.path().join("chatglm-ggml.bin");
    std::fs::copy(golden.join("chatglm-6b-tiny.f16.bin"), &file).unwrap();
    let chat = |model: &Path| {
        let model = model.to_str().unwrap();
        answer(&chat(
            dir.path(),
            &["--model", model, "--max-new-tokens", "8", "--raw"],
        ))
    };
    let found = chat(&file);
    assert!(found.trim().len() > 4, "{found:?}");

    // The same weights and tokenizer as the folder that other programs take.
    let folder = dir.path().join("folder");
    glm_core::checkpoint::Converter::default()
        .convert(&file, glm_core::checkpoint::Target::Safetensors, &folder)
        .unwrap();
    assert_eq!(chat(&folder), found);
}

#[test]
fn guesses_exactness_and_the_cache_change_no_greedy_answer() {
    let cache = tempfile::tempdir().unwrap();
    let plain = answer(&chat(cache.path(), &[]));
    for arguments in [
        &["--prompt-lookup", "8"][..],
        &["--kv-cache", "int8"],
        &["--kv-cache", "f32"],
        &["--exact"],
    ] {
        assert_eq!(
            answer(&chat(cache.path(), arguments)),
            plain,
            "{arguments:?}"
        );
    }
}

#[test]
fn a_cpu_level_that_is_none_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_chat"))
        .args(["--lang", "en", "-p", QUESTION])
        .env("GLM_CPU_LEVEL", "mmx")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(notes(&output).contains("`mmx`"), "{}", notes(&output));
}
