//! The program as a user runs it, on a tiny checkpoint.

#![allow(clippy::unwrap_used)] // In the helpers of tests, too.

use std::process::{Command, Output};

use glm_bench::report::Report;

const TINY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../glm-core/tests/golden/chatglm-6b-tiny"
);

fn glm_bench(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_glm-bench"))
        .args(["--model", TINY, "--read-buffer", "1"])
        .args(arguments.split_whitespace())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn json_has_one_report_for_each_number_of_threads() {
    let output = glm_bench(
        "--precision int8-g32 --prompt 2,9 --context 0,6 --gen 5 --repeat 2 --threads 1,2 --json",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let reports: Vec<Report> = serde_json::from_slice(&output.stdout).unwrap();
    let threads: Vec<usize> = reports.iter().map(|report| report.threads).collect();
    assert_eq!(threads, [1, 2]);
    for report in &reports {
        assert_eq!(
            (report.precision.as_str(), report.head.as_str()),
            ("int8-g32", "int8")
        );
        // Codes of three layers of width 64 and of the head, and more than that.
        assert!(report.weight_bytes > 3 * 12 * 64 * 64 + 640 * 64);
        assert!(report.load_seconds > 0.0 && report.first_pass_seconds > 0.0);
        let prompts: Vec<usize> = report
            .prefill
            .iter()
            .map(|prefill| prefill.prompt)
            .collect();
        assert_eq!(prompts, [2, 9]);
        for prefill in &report.prefill {
            assert_eq!(
                prefill.operations,
                2 * (prefill.prompt * 3 * 12 * 64 * 64 + 640 * 64) as u64
            );
            assert!(prefill.tokens_per_second.min > 0.0 && prefill.int8_share > 0.0);
            assert!(prefill.outside_share < 1.0);
        }
        // An empty cache is that of the two tokens of every prompt.
        let contexts: Vec<usize> = report.decode.iter().map(|decode| decode.context).collect();
        assert_eq!(contexts, [2, 6]);
        let in_turns = report.decode.iter().map(|decode| decode.share_of_first);
        assert!(in_turns.eq([None, report.decode[1].share_of_first]));
        assert!(report.decode[1].share_of_first.unwrap() > 0.0);
        for decode in &report.decode {
            let cache = (decode.context as u64 + 2) * report.cache_bytes_per_token;
            assert_eq!(decode.bytes_per_token, report.weight_bytes + cache);
            assert!(decode.read_share > 0.0 && decode.outside_share < 1.0);
            let matrices: Vec<&str> = decode.products.iter().map(|p| p.matrix.as_str()).collect();
            assert_eq!(
                matrices,
                [
                    "query_key_value",
                    "dense",
                    "dense_h_to_4h",
                    "dense_4h_to_h",
                    "lm_head"
                ]
            );
        }
    }
}

#[test]
fn the_second_family_is_measured_with_a_head_of_its_own() {
    let folder = TINY.replace("chatglm-6b-tiny", "chatglm2-tiny");
    let output = Command::new(env!("CARGO_BIN_EXE_glm-bench"))
        .args([
            "--model",
            &folder,
            "--precision",
            "int4",
            "--head",
            "int4",
            "--json",
        ])
        .args([
            "--prompt",
            "600",
            "--context",
            "1300",
            "--gen",
            "4",
            "--repeat",
            "1",
        ])
        .args(["--read-buffer", "1", "--threads", "1"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let reports: Vec<Report> = serde_json::from_slice(&output.stdout).unwrap();
    let (report, decode) = (&reports[0], &reports[0].decode[0]);
    // Weights of three layers; a head, but no embedding, is multiplied with.
    let layer = 128 * 64 + 64 * 64 + 320 * 64 + 64 * 160;
    assert_eq!(
        report.prefill[0].operations,
        2 * (600 * 3 * layer + 512 * 64)
    );
    assert!(report.weight_bytes > (3 * layer + 512 * 64) / 2);
    assert!(report.weight_bytes < (3 * layer + 2 * 512 * 64) / 2);
    // Two key heads of 16 values, in int16 with scales.
    assert_eq!(report.cache_bytes_per_token, 3 * 2 * 2 * 36);
    let cache = (1300 + 2) * report.cache_bytes_per_token;
    assert_eq!(decode.bytes_per_token, report.weight_bytes + cache);
    let head = decode
        .products
        .last()
        .map(|product| product.matrix.as_str());
    assert_eq!(head, Some("output_layer"));
}

#[test]
fn tables_are_printed_for_stored_weights() {
    let output = glm_bench("--prompt 4 --context 0 --gen 2 --repeat 1 --threads 1");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    for part in ["layers stored", "1 thread\n", "prefill 4", "decode at 2"] {
        assert!(table.contains(part), "{part:?} is not in\n{table}");
    }
}

#[test]
fn what_is_wrong_is_said_once() {
    let output = glm_bench(
        "--precision int4 --threads 1,2 --prompt 4 --context 0 --repeat 1 --gen 1 --head int9",
    );
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("int9"));
    let output = Command::new(env!("CARGO_BIN_EXE_glm-bench"))
        .args(["--model", "/no/such/folder", "--threads", "1,2"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("/no/such/folder"), "{message}");
    assert!(
        message.contains("the measurement with 1 threads failed"),
        "{message}"
    );
}
