//! Training through the program: the loss falls, and a run that was stopped ends at the same weights.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

const LINES: &str = r#"{"topic":"t","history":[],"prompt":"你好","response":"你好！"}
{"topic":"t","history":[],"prompt":"hello","response":"Hello!"}
{"topic":"t","history":[["1","2"]],"prompt":"3","response":"4"}
{"topic":"t","history":[],"prompt":"a b","response":"c"}
{"topic":"t","history":[],"prompt":"再见","response":"再见！"}
"#;

/// A demonstration model: the folder, the tokenizer's file, the key of the width in the feed-forward layer, and the
/// name of the embedding.
struct Mini {
    folder: &'static str,
    tokenizer: &'static str,
    inner_size: &'static str,
    embedding: &'static str,
}

const CHATGLM: Mini = Mini {
    folder: "chatglm-mini",
    tokenizer: "ice_text.model",
    inner_size: "inner_hidden_size",
    embedding: "transformer.word_embeddings.weight",
};

const CHATGLM2: Mini = Mini {
    folder: "chatglm2-mini",
    tokenizer: "tokenizer.model",
    inner_size: "ffn_hidden_size",
    embedding: "transformer.embedding.word_embeddings.weight",
};

/// A model folder with the mini model's tokenizer and a network of one small layer.
fn folders(root: &Path, mini: &Mini) -> (PathBuf, PathBuf) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mini-model");
    let folder = folder.join(mini.folder);
    let (data, model) = (root.join("data"), root.join("model"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::create_dir_all(&model).unwrap();
    std::fs::write(data.join("train.jsonl"), LINES).unwrap();
    std::fs::write(data.join("heldout.jsonl"), LINES).unwrap();
    std::fs::copy(folder.join(mini.tokenizer), model.join(mini.tokenizer)).unwrap();
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let mut config: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&config).unwrap();
    for (key, value) in [
        ("num_layers", 1),
        ("hidden_size", 32),
        (mini.inner_size, 64),
        ("num_attention_heads", 2),
    ] {
        config.insert(key.to_owned(), value.into());
    }
    std::fs::write(
        model.join("config.json"),
        serde_json::to_string(&config).unwrap(),
    )
    .unwrap();
    (data, model)
}

fn run(command: &str, root: &Path, more: &[&str]) -> (bool, String) {
    let (data, model) = (root.join("data"), root.join("model"));
    let mut program = Command::new(env!("CARGO_BIN_EXE_train-mini"));
    program
        .arg(command)
        .arg("--data")
        .arg(data)
        .arg("--model")
        .arg(model)
        .args(more);
    if command == "train" {
        let recipe = [
            "--batch-size",
            "4",
            "--warmup",
            "10",
            "--learning-rate",
            "0.01",
        ];
        program.arg("--run").arg(root.join("run")).args(recipe);
    }
    let output = program.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_stopped_run_ends_at_the_same_weights() {
    [CHATGLM, CHATGLM2].iter().for_each(stop_and_go_on);
}

fn stop_and_go_on(mini: &Mini) {
    let (whole, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    folders(whole.path(), mini);
    folders(stopped.path(), mini);
    let recipe = ["--epochs", "20", "--random-turns", "2"];

    let (ok, log) = run("train", whole.path(), &recipe);
    assert!(ok && log.contains("40 steps"), "{log}");
    let (ok, log) = run(
        "train",
        stopped.path(),
        &[&recipe[..], &["--max-steps", "17"]].concat(),
    );
    assert!(ok && log.contains("stopped at step 17"), "{log}");
    assert!(!stopped.path().join("model/model.safetensors").exists());
    // As a crash in the middle of saving leaves it.
    std::fs::rename(stopped.path().join("run"), stopped.path().join("run.old")).unwrap();
    let (ok, log) = run("train", stopped.path(), &recipe);
    assert!(ok && log.contains("going on at step 17"), "{log}");
    let weights = |root: &Path| std::fs::read(root.join("model/model.safetensors")).unwrap();
    assert!(
        weights(whole.path()) == weights(stopped.path()),
        "a resumed run is another run"
    );

    // A second part starts from these weights, not from random ones.
    std::fs::remove_dir_all(whole.path().join("run")).unwrap();
    let (ok, log) = run("train", whole.path(), &["--epochs", "1", "--from-model"]);
    assert!(ok, "{log}");
    let halves = |bytes: &[u8]| -> Vec<f32> {
        let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let (values, _) = file.tensor(mini.embedding).unwrap().data().as_chunks::<2>();
        values
            .iter()
            .map(|&value| half::f16::from_le_bytes(value).to_f32())
            .collect()
    };
    let (before, after) = (
        halves(&weights(stopped.path())),
        halves(&weights(whole.path())),
    );
    let moved = before
        .iter()
        .zip(&after)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    // Two steps of at most 0.01; two random embeddings are some 0.1 apart.
    assert!(moved < 0.03, "the embedding moved by {moved}");
}

#[test]
fn a_small_corpus_is_learnt_by_heart() {
    for mini in [CHATGLM, CHATGLM2] {
        let root = tempfile::tempdir().unwrap();
        folders(root.path(), &mini);
        let (ok, log) = run("train", root.path(), &["--epochs", "200"]);
        assert!(ok, "{log}");
        let (ok, report) = run("evaluate", root.path(), &[]);
        assert!(ok, "{report}");
        let all = report.lines().find(|line| line.starts_with("all")).unwrap();
        assert!(all.contains("5 of    5"), "{report}");
    }
}

#[test]
fn other_flags_than_those_of_the_state_are_refused() {
    let root = tempfile::tempdir().unwrap();
    folders(root.path(), &CHATGLM);
    assert!(run("train", root.path(), &["--max-steps", "1"]).0);
    std::fs::write(root.path().join("data/train.jsonl"), LINES.repeat(3)).unwrap();
    let (ok, log) = run("train", root.path(), &[]);
    assert!(!ok && log.contains("is of a run of"), "{log}");
}

#[test]
fn a_broken_line_of_the_corpus_is_named() {
    let root = tempfile::tempdir().unwrap();
    folders(root.path(), &CHATGLM);
    std::fs::write(root.path().join("data/train.jsonl"), "{\"topic\":\"t\"}\n").unwrap();
    let (ok, log) = run("train", root.path(), &[]);
    assert!(!ok && log.contains("train.jsonl line 1"), "{log}");
}

#[test]
fn the_models_of_the_repository_answer_most_held_out_questions() {
    at_least_answers("chatglm", 90.0);
    at_least_answers("chatglm2", 85.0);
}

fn at_least_answers(family: &str, expected: f64) {
    let output = Command::new(env!("CARGO_BIN_EXE_train-mini"))
        .args(["evaluate", "--family", family])
        .output()
        .unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    let all = report.lines().find(|line| line.starts_with("all")).unwrap();
    let numbers: Vec<f64> = all
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [right, questions, percent] = numbers[..] else {
        panic!("unexpected: {all}")
    };
    assert!(
        questions >= 200.0 && 100.0 * right >= expected * questions && percent >= expected,
        "{all}"
    );
}
