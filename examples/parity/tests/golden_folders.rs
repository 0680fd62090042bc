//! Every folder of recorded official results in the workspace passes, and as many checks run as the folder has data for.

#![allow(clippy::unwrap_used)] // Also in the function that runs a folder.

use std::path::PathBuf;

use parity::{Options, Report, check_folder};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name)
}

/// Runs a folder in which all must pass and nothing may be left out.
fn check_all(folder: &str, checks: usize) -> Report {
    let report = check_folder(golden(folder), &Options::default(), |_| {}).unwrap();
    let failed: Vec<String> = report
        .checks
        .iter()
        .filter(|check| !check.passed())
        .map(ToString::to_string)
        .collect();
    assert!(failed.is_empty(), "{folder}: {failed:#?}");
    assert_eq!(report.not_checked, Vec::<String>::new(), "{folder}");
    assert_eq!(report.checks.len(), checks, "{folder}");
    report
}

/// The number of checks of one quantity.
fn count(report: &Report, quantity: &str) -> usize {
    report
        .checks
        .iter()
        .filter(|check| check.quantity == quantity)
        .count()
}

#[test]
fn chatglm_6b() {
    let report = check_all("glm-core/tests/golden/chatglm-6b-tiny", 215);
    // Eight prompts in two weight formats.
    for quantity in [
        "position_ids",
        "attention_mask",
        "embed",
        "layer.0",
        "layer.2",
        "final_layernorm",
        "logits",
    ] {
        assert_eq!(count(&report, quantity), 16, "{quantity}");
    }
    // Eight calls, six of them with a single prompt, which the library's own iterator repeats.
    assert_eq!(count(&report, "generate"), 28);
    assert_eq!(count(&report, "batch_ids_only.logits"), 6);
}

/// 150528 ids make the folder too large for this repository.
#[test]
#[ignore = "needs the folder of all fixtures: set GLM_TEST_FIXTURES and run with --include-ignored"]
fn first_generation() {
    let fixtures = std::env::var_os("GLM_TEST_FIXTURES").unwrap();
    let folder = PathBuf::from(fixtures).join("chatglm-6b-tiny-first-generation");
    let report = check_all(folder.to_str().unwrap(), 248);
    // Nine prompts by either rule for positions.
    for quantity in ["position_ids", "logits", "last_top10_ids", "last_logsumexp"] {
        assert_eq!(count(&report, quantity), 18, "{quantity}");
    }
    assert_eq!(count(&report, "incremental.tokens"), 10);
    assert_eq!(count(&report, "batch.logits"), 2);
}

#[test]
fn as_many_layers_as_the_published_model() {
    let report = check_all("glm-core/tests/golden/chatglm-6b-tiny-28layers", 267);
    assert_eq!(count(&report, "layer.27"), 6);
}

#[test]
fn one_position_per_token() {
    let report = check_all("glm-core/tests/golden/chatglm-6b-tiny-no2d", 153);
    assert_eq!(count(&report, "incremental.position_ids"), 4);
}

#[test]
fn the_pickle_stream_of_early_pytorch() {
    check_all("glm-core/tests/golden/chatglm-6b-tiny-legacy", 108);
}

#[test]
fn quantised_checkpoints() {
    for folder in ["chatglm-6b-tiny-int8", "chatglm-6b-tiny-int4"] {
        let report = check_all(&format!("glm-core/tests/golden/{folder}"), 49);
        assert_eq!(
            count(&report, "dequant_f32") + count(&report, "dequant_f16"),
            8,
            "{folder}"
        );
    }
}

#[test]
fn chatglm2_6b() {
    let report = check_all("glm-core/tests/golden/chatglm2-tiny", 137);
    // Five prompts in two weight formats.
    for quantity in ["embed", "layer.0", "layer.2", "logits"] {
        assert_eq!(count(&report, quantity), 10, "{quantity}");
    }
    // A second turn behind the cache of the first, a row alone and in a batch.
    for (quantity, checks) in [
        ("continue.logits", 2),
        ("batch.logits", 6),
        ("batch.incremental.tokens", 6),
        ("batch.attention_mask", 2),
        ("incremental.cached against recomputed", 6),
    ] {
        assert_eq!(count(&report, quantity), checks, "{quantity}");
    }
    for folder in ["chatglm2-tiny-int8", "chatglm2-tiny-int4"] {
        let report = check_all(&format!("glm-core/tests/golden/{folder}"), 33);
        assert_eq!(count(&report, "dequant_f32"), 4, "{folder}");
    }
}

#[test]
fn keys_for_each_head_and_a_residual_behind_the_norm() {
    check_all("glm-core/tests/golden/chatglm2-tiny-mha", 97);
}

#[test]
fn codegeex2_6b() {
    check_all("glm-core/tests/golden/codegeex2-tiny", 97);
}

#[test]
fn quantised_embeddings() {
    let report = check_all("glm-core/tests/golden/chatglm-6b-tiny-int4-qe", 53);
    assert_eq!(
        count(&report, "dequant_f32") + count(&report, "dequant_f16"),
        12
    );
}

#[test]
fn torch_files_in_every_form() {
    let report = check_all("glm-core/tests/golden/torch-formats", 60);
    for file in ["zip.bin", "legacy.bin", "nested.bin"] {
        assert_eq!(count(&report, file), 19, "{file}");
    }
    assert_eq!(count(&report, "module_state_dict.bin"), 2);
}

#[test]
fn sampling() {
    let report = check_all("glm-core/tests/golden/sampling", 470);
    for quantity in ["after_processors", "scores", "probs"] {
        assert_eq!(count(&report, quantity), 117, "{quantity}");
    }
}

#[test]
fn the_quantiser() {
    check_all("glm-quant/tests/golden/quantizer", 62);
}

#[test]
fn the_fast_way_stays_within_its_bound() {
    for name in [
        "chatglm-6b-tiny",
        "chatglm-6b-tiny-28layers",
        "chatglm-6b-tiny-int8",
        "chatglm-6b-tiny-int4",
        "chatglm2-tiny",
        "chatglm2-tiny-int8",
        "chatglm2-tiny-int4",
        "codegeex2-tiny",
    ] {
        let options = Options {
            fast: true,
            ..Options::default()
        };
        let report = check_folder(
            golden(&format!("glm-core/tests/golden/{name}")),
            &options,
            |_| {},
        )
        .unwrap();
        assert!(report.passed(), "{}", report.summary());
    }
}
