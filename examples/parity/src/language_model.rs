//! The model: every prompt's positions, mask, hidden states and logits, alone and in batches.

use glm_core::{
    Model, TokenId,
    layers::Stage,
    model::{ModelInput, PaddingSide},
};
use serde::Deserialize;

use crate::{
    array::{Array, booleans, floats, integers},
    cached_decoding::{check_batch_incremental, check_continuation, check_incremental},
    check::{Outcome, Recorder, Tolerance, close, equal},
    error::Result,
    expected::Expected,
};

/// An entry of `single` or `incremental` in `expected.json`.
#[derive(Deserialize, Default)]
pub(crate) struct Entry {
    index: usize,
    name: Option<String>,
    /// Of `incremental`, where no tensor holds it.
    pub(crate) prompt: Option<Vec<TokenId>>,
    /// Of `single`: the ids of the highest last logits, highest first, and the logits.
    #[serde(default)]
    last_top10_ids: Vec<TokenId>,
    #[serde(default)]
    last_top10_logits: Vec<f32>,
    /// Of `single`: ln Σ exp of the last logits.
    last_logsumexp: Option<f32>,
}

impl Entry {
    /// The tensors of this entry begin with it.
    pub(crate) fn prefix(&self, group: &str) -> String {
        format!("{group}.{}.", self.index)
    }

    /// What `expected.json` calls it, for people.
    pub(crate) fn label(&self) -> String {
        let name = self.name.as_ref();
        name.map_or_else(String::new, |name| format!(" [{name}]"))
    }
}

/// `batch` in `expected.json`.
#[derive(Deserialize, Default)]
pub(crate) struct Batch {
    /// Number of pads on the left of each row.
    #[serde(default)]
    pub(crate) pad_lengths: Vec<usize>,
    /// The rows without them, in place of `pad_lengths`.
    #[serde(default)]
    prompts: Vec<Vec<TokenId>>,
}

/// Runs every check but generation.
pub(crate) fn check(model: &Model, expected: &Expected, recorder: &mut Recorder<'_>) -> Result<()> {
    for entry in entries(expected, "single")? {
        let result = check_single(model, expected, &entry, recorder);
        let name = format!("single.{}{}", entry.index, entry.label());
        recorder.record_refusal(&name, result)?;
    }
    for entry in entries(expected, "incremental")? {
        let result = check_incremental(model, expected, &entry, recorder);
        let name = format!("incremental.{}{}", entry.index, entry.label());
        recorder.record_refusal(&name, result)?;
    }
    if expected.has("batch.input_ids") {
        let result = check_batch(model, expected, recorder);
        recorder.record_refusal("batch", result)?;
    }
    if expected.has("continue.logits") {
        let result = check_continuation(model, expected, recorder);
        recorder.record_refusal("continue", result)?;
    }
    Ok(())
}

/// What `expected.json` or `expected.safetensors` speaks of, by index.
fn entries(expected: &Expected, group: &str) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = expected.json(group)?;
    for index in expected.indices(group) {
        if !entries.iter().any(|entry| entry.index == index) {
            entries.push(Entry {
                index,
                ..Entry::default()
            });
        }
    }
    entries.sort_by_key(|entry| entry.index);
    entries.dedup_by_key(|entry| entry.index);
    Ok(entries)
}

/// `single.I.*`: one prompt, everything on the way.
fn check_single(
    model: &Model,
    expected: &Expected,
    entry: &Entry,
    recorder: &mut Recorder<'_>,
) -> Result<()> {
    let prefix = entry.prefix("single");
    let name = entry.label();
    let (ids, [_]) = expected.token_ids(&format!("{prefix}input_ids"))?;
    let rows = [ids.values.as_slice()];
    let layouts = model.layouts(&rows)?;
    let input = model.input(&rows, &layouts, PaddingSide::Left);

    let (positions, mask) = positions_and_mask(&input)?;
    for (suffix, found) in [("position_ids", &positions), ("attention_mask", &mask)] {
        let tensor = format!("{prefix}{suffix}");
        if expected.has(&tensor) {
            // One prompt: the official tensors have no batch axis, and one kind of positions has no axis for it.
            let wanted = expected.integers(&tensor)?;
            let found = found.clone().without_batch().with_axes(wanted.shape.len());
            recorder.record(format!("{tensor}{name}"), suffix, equal(&found, &wanted));
        }
    }

    let mut stages = Vec::new();
    let logits = model.forward_observed(input, |stage, hidden_states| {
        stages.push((stage_name(stage), hidden_states.clone()));
    });
    check_last(&floats(logits.clone())?.without_batch(), entry, recorder);
    stages.push(("logits".to_owned(), logits));
    for (stage, found) in &stages {
        let tensor = format!("{prefix}{stage}");
        if expected.has(&tensor) {
            let wanted = expected.floats(&tensor)?;
            let found = floats(found.clone())?.without_batch();
            let found = recorded(expected, &prefix, stage, found, &wanted)?;
            let outcome = close(&found, &wanted, recorder.activations);
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

/// What `expected.safetensors` holds of a stage: all of it, or of a long prompt the rows that `logits_rows` lists and the
/// last rows of everything before.
fn recorded(
    expected: &Expected,
    prefix: &str,
    stage: &str,
    found: Array<f32>,
    wanted: &Array<f32>,
) -> Result<Array<f32>> {
    let tensor = format!("{prefix}logits_rows");
    if !expected.has(&tensor) {
        return match stage {
            "logits" => expected.recorded_logits(found, wanted),
            _ => Ok(found),
        };
    }
    if stage != "logits" {
        return Ok(found.last_rows(wanted.shape.first().copied().unwrap_or(0)));
    }
    let (rows, [_]) = expected.token_ids(&tensor)?;
    let rows: Vec<usize> = rows.values.iter().map(|&row| row as usize).collect();
    let found = found.rows(&rows);
    found.ok_or_else(|| expected.wrong_tensor(&tensor, "rows of the logits", "others"))
}

/// `last_top10_*` and `last_logsumexp` of `single`: the whole vocabulary behind the prompt.
fn check_last(logits: &Array<f32>, entry: &Entry, recorder: &mut Recorder<'_>) {
    let last = logits.clone().last_rows(1).values;
    let tolerance = recorder.activations;
    let mut record = |what: &str, outcome| {
        let name = format!("{}{what}{}", entry.prefix("single"), entry.label());
        recorder.record(name, what, outcome);
    };
    if !entry.last_top10_ids.is_empty() {
        let mut ids: Vec<TokenId> = (0..).take(last.len()).collect();
        ids.sort_by(|&a, &b| last[b as usize].total_cmp(&last[a as usize]));
        ids.truncate(entry.last_top10_ids.len());
        let logits = ids.iter().map(|&id| last[id as usize]).collect();
        let wanted = Array::vector(entry.last_top10_ids.clone());
        record("last_top10_ids", equal(&Array::vector(ids), &wanted));
        let wanted = Array::vector(entry.last_top10_logits.clone());
        let outcome = close(&Array::vector(logits), &wanted, tolerance);
        record("last_top10_logits", outcome);
    }
    if let Some(wanted) = entry.last_logsumexp {
        let sum: f64 = last.iter().map(|&logit| f64::from(logit).exp()).sum();
        let found = Array::vector(vec![sum.ln() as f32]);
        let outcome = close(&found, &Array::vector(vec![wanted]), tolerance);
        record("last_logsumexp", outcome);
    }
}

/// `batch.*` and `batch_ids_only.logits`: rows of different lengths, padded on the left.
fn check_batch(model: &Model, expected: &Expected, recorder: &mut Recorder<'_>) -> Result<()> {
    let (padded, [batch, len]) = expected.token_ids("batch.input_ids")?;
    let Batch {
        mut pad_lengths,
        prompts,
    } = expected.json("batch")?;
    if pad_lengths.is_empty() {
        pad_lengths = prompts
            .iter()
            .map(|row| len.saturating_sub(row.len()))
            .collect();
    }
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
            let wanted = expected.integers(&tensor)?;
            let found = match suffix {
                // That of a causal model has one number for each token: 1 where it is seen.
                "attention_mask" if wanted.shape.len() == 2 => seen_tokens(&pad_lengths, len),
                _ => found.clone().with_axes(wanted.shape.len()),
            };
            recorder.record(tensor, format!("batch.{suffix}"), equal(&found, &wanted));
        }
    }
    if expected.has("batch.logits") {
        let wanted = expected.floats("batch.logits")?;
        let found = floats(model.forward_observed(input, |_, _| {}))?;
        for (row, (ids, &pads)) in rows.iter().zip(&pad_lengths).enumerate() {
            // Sets of a large vocabulary hold the last rows only.
            let first =
                pads.saturating_sub(len - wanted.shape.get(1).map_or(0, |&rows| rows.min(len)));
            let Some(wanted) = wanted.get(row, first) else {
                let outcome = missing_row(row, &wanted);
                recorder.record(format!("batch.logits, row {row}"), "batch.logits", outcome);
                continue;
            };
            let alone = forward(model, ids)?.without_batch();
            let together = found.get(row, pads).unwrap_or_else(|| found.clone());
            for (found, how, quantity) in [
                (together, "", "batch.logits"),
                (alone, " alone", "batch.logits, each row alone"),
            ] {
                let found = expected.recorded_logits(found, &wanted)?;
                let outcome = close(&found, &wanted, recorder.activations);
                recorder.record(format!("batch.logits, row {row}{how}"), quantity, outcome);
            }
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

/// 1 for every token of a left-padded batch, 0 for padding: `[batch, len]`.
fn seen_tokens(pad_lengths: &[usize], len: usize) -> Array<i64> {
    let row = |&pads: &usize| (0..len).map(move |index| i64::from(index >= pads));
    Array {
        shape: vec![pad_lengths.len(), len],
        values: pad_lengths.iter().flat_map(row).collect(),
    }
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
