//! The model: every prompt's positions, mask, hidden states and logits, alone and in batches.

use glm_core::{
    Model, TokenId,
    chatglm::Stage,
    model::{ModelInput, PaddingSide},
};
use serde::Deserialize;

use crate::{
    array::{Array, booleans, floats, integers},
    cached_decoding::{check_batch_incremental, check_incremental},
    check::{Outcome, Recorder, Tolerance, close, equal},
    error::Result,
    expected::Expected,
};

/// An entry of `single` or `incremental` in `expected.json`.
#[derive(Deserialize)]
struct Entry {
    index: usize,
    name: Option<String>,
}

/// `batch` in `expected.json`.
#[derive(Deserialize, Default)]
pub(crate) struct Batch {
    /// Number of pads on the left of each row.
    pub(crate) pad_lengths: Vec<usize>,
}

/// Runs every check but generation.
pub(crate) fn check(model: &Model, expected: &Expected, recorder: &mut Recorder<'_>) -> Result<()> {
    for (index, name) in entries(expected, "single")? {
        let result = check_single(model, expected, index, &name, recorder);
        recorder.record_refusal(&format!("single.{index}{name}"), result)?;
    }
    for (index, name) in entries(expected, "incremental")? {
        let result = check_incremental(model, expected, index, &name, recorder);
        recorder.record_refusal(&format!("incremental.{index}{name}"), result)?;
    }
    if expected.has("batch.input_ids") {
        let result = check_batch(model, expected, recorder);
        recorder.record_refusal("batch", result)?;
    }
    Ok(())
}

/// The indices that `expected.json` or `expected.safetensors` speaks of, each with its name in brackets.
fn entries(expected: &Expected, group: &str) -> Result<Vec<(usize, String)>> {
    let listed: Vec<Entry> = expected.json(group)?;
    let mut indices = expected.indices(group);
    indices.extend(listed.iter().map(|entry| entry.index));
    let name = |index| {
        let entry = listed.iter().find(|entry| entry.index == index);
        let name = entry.and_then(|entry| entry.name.as_deref());
        name.map_or_else(String::new, |name| format!(" [{name}]"))
    };
    Ok(indices
        .into_iter()
        .map(|index| (index, name(index)))
        .collect())
}

/// `single.I.*`: one prompt, everything on the way.
fn check_single(
    model: &Model,
    expected: &Expected,
    index: usize,
    name: &str,
    recorder: &mut Recorder<'_>,
) -> Result<()> {
    let prefix = format!("single.{index}.");
    let (ids, [_]) = expected.token_ids(&format!("{prefix}input_ids"))?;
    let rows = [ids.values.as_slice()];
    let layouts = model.layouts(&rows)?;
    let input = model.input(&rows, &layouts, PaddingSide::Left);

    let (positions, mask) = positions_and_mask(&input)?;
    for (suffix, found) in [("position_ids", &positions), ("attention_mask", &mask)] {
        let tensor = format!("{prefix}{suffix}");
        if expected.has(&tensor) {
            // One prompt: the official tensors have no batch axis, and one of positions no axis for their kind.
            let wanted = expected.integers(&tensor)?;
            let found = found.clone().without_batch();
            let found = if wanted.shape.len() == 1 {
                found.without_batch()
            } else {
                found
            };
            recorder.record(format!("{tensor}{name}"), suffix, equal(&found, &wanted));
        }
    }

    let mut stages = Vec::new();
    let logits = model.forward_observed(input, |stage, hidden_states| {
        stages.push((stage_name(stage), hidden_states.clone()));
    });
    stages.push(("logits".to_owned(), logits));
    for (stage, found) in &stages {
        let tensor = format!("{prefix}{stage}");
        if expected.has(&tensor) {
            let found = floats(found.clone())?.without_batch();
            let outcome = close(&found, &expected.floats(&tensor)?, recorder.activations);
            recorder.record(format!("{tensor}{name}"), stage, outcome);
        }
    }
    for stage in expected.names_under(&prefix) {
        if stage.starts_with("layer.") && !stages.iter().any(|(name, _)| name == stage) {
            let tensor = format!("{prefix}{stage}");
            expected.floats(&tensor)?;
            recorder.record(
                format!("{tensor}{name}"),
                stage,
                Outcome::Failed("the model has no such layer".to_owned()),
            );
        }
    }
    Ok(())
}

/// `batch.*` and `batch_ids_only.logits`: rows of different lengths, padded on the left.
fn check_batch(model: &Model, expected: &Expected, recorder: &mut Recorder<'_>) -> Result<()> {
    let Batch { pad_lengths } = expected.json("batch")?;
    let (padded, [batch, len]) = expected.token_ids("batch.input_ids")?;
    let padded_rows: Vec<&[TokenId]> = padded.values.chunks(len.max(1)).collect();
    if pad_lengths.len() != batch
        || padded_rows.len() != batch
        || pad_lengths.iter().any(|&pads| pads >= len)
    {
        return Err(expected.malformed(format!(
            "`batch.pad_lengths` must be {batch} numbers below {len}, found {pad_lengths:?}"
        )));
    }
    let rows: Vec<&[TokenId]> = padded_rows
        .iter()
        .zip(&pad_lengths)
        .filter_map(|(row, &pads)| row.get(pads..))
        .collect();

    let layouts = model.layouts(&rows)?;
    let input = model.input(&rows, &layouts, PaddingSide::Left);
    let (positions, mask) = positions_and_mask(&input)?;
    let ids = integers(input.input_ids.clone())?;
    for (suffix, found) in [
        ("input_ids", &ids),
        ("position_ids", &positions),
        ("attention_mask", &mask),
    ] {
        let tensor = format!("batch.{suffix}");
        if expected.has(&tensor) {
            let outcome = equal(found, &expected.integers(&tensor)?);
            recorder.record(tensor, format!("batch.{suffix}"), outcome);
        }
    }
    if expected.has("batch.logits") {
        let wanted = expected.floats("batch.logits")?;
        let found = floats(model.forward_observed(input, |_, _| {}))?;
        for (row, (ids, &pads)) in rows.iter().zip(&pad_lengths).enumerate() {
            let outcome = compare_row(&found, &wanted, row, pads, recorder.activations);
            recorder.record(format!("batch.logits, row {row}"), "batch.logits", outcome);
            let alone = forward(model, ids)?;
            let outcome = match wanted.get(row, pads) {
                Some(wanted) => close(&alone.without_batch(), &wanted, recorder.activations),
                None => missing_row(row, &wanted),
            };
            recorder.record(
                format!("batch.logits, row {row} alone"),
                "batch.logits, each row alone",
                outcome,
            );
        }
    }
    if expected.has("batch.incremental.tokens") {
        check_batch_incremental(model, expected, &rows, recorder)?;
    }
    if expected.has("batch_ids_only.logits") {
        let wanted = expected.floats("batch_ids_only.logits")?;
        let layouts = model.layouts(&padded_rows)?;
        let input = model.input(&padded_rows, &layouts, PaddingSide::Left);
        let found = floats(model.forward_observed(input, |_, _| {}))?;
        for row in 0..batch {
            let outcome = compare_row(&found, &wanted, row, 0, recorder.activations);
            recorder.record(
                format!("batch_ids_only.logits, row {row}"),
                "batch_ids_only.logits",
                outcome,
            );
        }
    }
    Ok(())
}

/// Logits of one row, `[1, seq, vocab_size]`.
fn forward(model: &Model, ids: &[TokenId]) -> Result<Array<f32>> {
    let rows = [ids];
    let layouts = model.layouts(&rows)?;
    let input = model.input(&rows, &layouts, PaddingSide::Left);
    floats(model.forward_observed(input, |_, _| {}))
}

/// What the model is given: positions `[batch, kinds, seq]` and mask `[batch, 1, seq, seq]`, 1 = masked.
fn positions_and_mask(input: &ModelInput) -> Result<(Array<i64>, Array<i64>)> {
    let [batch, seq] = input.input_ids.dims();
    let device = input.input_ids.device();
    let mask = match input.attention_mask.to_tensor(0, seq, &device) {
        Some(mask) => booleans(mask)?,
        None => Array {
            shape: vec![batch, 1, seq, seq],
            values: vec![0; batch * seq * seq],
        },
    };
    Ok((integers(input.position_ids.clone())?, mask))
}

fn stage_name(stage: Stage) -> String {
    match stage {
        Stage::Embedding => "embed".to_owned(),
        Stage::Layer(index) => format!("layer.{index}"),
        Stage::FinalLayerNorm => "final_layernorm".to_owned(),
    }
}

/// Compares one row of a batch behind its padding.
fn compare_row(
    found: &Array<f32>,
    wanted: &Array<f32>,
    row: usize,
    pads: usize,
    tolerance: Tolerance,
) -> Outcome {
    match (found.get(row, pads), wanted.get(row, pads)) {
        (Some(found), Some(wanted)) => close(&found, &wanted, tolerance),
        _ => missing_row(row, wanted),
    }
}

pub(crate) fn missing_row<T>(row: usize, wanted: &Array<T>) -> Outcome {
    Outcome::Failed(format!(
        "there is no row {row} in the expected shape {:?}",
        wanted.shape
    ))
}
