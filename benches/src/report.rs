//! What is measured, as it is printed with `--json` and kept in `record/`. Rates are per second; GB and GOP are 10⁹.
//!
//! A share is the median of the shares of single runs: each is divided by what plain reading or the dot-product loop
//! reached right beside it, so that a neighbour who slows the machine down slows both.

use serde::{Deserialize, Serialize};

use crate::{machine::Machine, statistics::Spread};

/// Everything that was measured with one number of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The day, in UTC.
    pub date: String,
    /// The commit of the source, with `-dirty` when files differ from it.
    pub commit: Option<String>,
    /// The command line.
    pub command: String,
    /// The machine.
    pub machine: Machine,
    /// The model, as on the command line.
    pub model: String,
    /// Precision of the layers.
    pub precision: String,
    /// Precision of embedding and head.
    pub head: String,
    /// Threads.
    pub threads: usize,
    /// From the path to the model in memory.
    pub load_seconds: f64,
    /// The first prefill after that, of the shortest prompt: a mapped file comes from the disk here.
    pub first_pass_seconds: f64,
    /// Weights and biases that each token is multiplied with.
    pub weight_bytes: u64,
    /// Keys and values of one token.
    pub cache_bytes_per_token: u64,
    /// The largest resident set, without the memory that plain reading is measured with.
    pub peak_memory_bytes: Option<u64>,
    /// One for each `--prompt`.
    pub prefill: Vec<Prefill>,
    /// One for each `--context`.
    pub decode: Vec<Decode>,
}

/// A prompt that is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prefill {
    /// Its length in tokens.
    pub prompt: usize,
    /// From the ids of the prompt to the id of the first token of the answer.
    pub first_token_seconds: Spread,
    /// Prompt tokens per second.
    pub tokens_per_second: Spread,
    /// Multiplications and additions of the matrix products.
    pub operations: u64,
    /// The same per second of the whole pass.
    pub gop_per_second: Spread,
    /// What the dot-product instruction reaches in registers.
    pub peak_gop_per_second: Spread,
    /// Share of that peak.
    pub int8_share: f64,
    /// Share of the time that is not spent in the matrix products.
    pub outside_share: f64,
    /// The matrix products alone.
    pub products: Vec<Product>,
}

/// Tokens that are written one by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decode {
    /// Tokens in the cache before the first of them.
    pub context: usize,
    /// How many are timed in each run.
    pub generated: usize,
    /// Tokens per second, a run at a time.
    pub tokens_per_second: Spread,
    /// Share of the tokens per second behind the first context of the report, measured in turns with it. None for that one.
    #[serde(default)]
    pub share_of_first: Option<f64>,
    /// Weights, and keys and values in the middle of a run, that a token reads.
    pub bytes_per_token: u64,
    /// The same per second.
    pub gb_per_second: Spread,
    /// What plain reading reaches.
    pub read_gb_per_second: Spread,
    /// Share of plain reading.
    pub read_share: f64,
    /// Share of the time that is not spent in the matrix products.
    pub outside_share: f64,
    /// The matrix products alone.
    pub products: Vec<Product>,
}

/// The products with one matrix of every layer, alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// The matrix's name in the checkpoint.
    pub matrix: String,
    /// All layers together, median.
    pub seconds: f64,
    /// Bytes of the weights, all layers together.
    pub bytes: u64,
    /// Multiplications and additions, all layers together.
    pub operations: u64,
}

/// Writes reports as a JSON array, one line for each.
///
/// # Errors
/// When a number cannot be written.
pub fn to_json(reports: &[Report]) -> serde_json::Result<String> {
    let lines: Vec<String> = reports
        .iter()
        .map(serde_json::to_string)
        .collect::<Result<_, _>>()?;
    Ok(format!("[\n{}\n]\n", lines.join(",\n")))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Any report, all numbers different.
    pub(crate) fn example() -> Report {
        let mut next = 0.5;
        let mut spread = || {
            next += 1.25;
            Spread {
                median: next,
                min: next - 0.25,
                max: next + 0.1,
            }
        };
        let product = |matrix: &str, seconds| Product {
            matrix: matrix.to_owned(),
            seconds,
            bytes: 6_000_000,
            operations: 12_000_000,
        };
        let products = vec![product("dense", 0.01), product("lm_head", 0.03)];
        Report {
            date: "2026-01-31".to_owned(),
            commit: Some("0123456789ab-dirty".to_owned()),
            command: "glm-bench --model \"a b\"".to_owned(),
            machine: Machine::this(),
            model: "a b".to_owned(),
            precision: "int4".to_owned(),
            head: "int8".to_owned(),
            threads: 2,
            load_seconds: 1.0 / 3.0,
            first_pass_seconds: 0.1,
            weight_bytes: 3_000_000_000,
            cache_bytes_per_token: 458_752,
            peak_memory_bytes: Some(3_500_000_000),
            prefill: vec![Prefill {
                prompt: 128,
                first_token_seconds: spread(),
                tokens_per_second: spread(),
                operations: 1_500_000_000_000,
                gop_per_second: spread(),
                peak_gop_per_second: spread(),
                int8_share: 0.71,
                outside_share: 0.06,
                products: products.clone(),
            }],
            decode: [(32, None), (1024, Some(0.83))]
                .map(|(context, share_of_first)| Decode {
                    context,
                    generated: 32,
                    tokens_per_second: spread(),
                    share_of_first,
                    bytes_per_token: 3_400_000_000,
                    gb_per_second: spread(),
                    read_gb_per_second: spread(),
                    read_share: 0.91,
                    outside_share: 0.04,
                    products: products.clone(),
                })
                .to_vec(),
        }
    }

    #[test]
    fn reports_are_read_back_as_they_were() {
        let nobody_knows = Report {
            commit: None,
            peak_memory_bytes: None,
            ..example()
        };
        let reports = [example(), nobody_knows];
        for reports in [&reports[..], &reports[..1], &[]] {
            let json = to_json(reports).unwrap();
            let found: Vec<Report> = serde_json::from_str(&json).unwrap();
            assert_eq!(found, reports);
        }
        assert_eq!(to_json(&reports).unwrap().lines().count(), 4);
    }
}
