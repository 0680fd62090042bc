//! Decoding with the cache, one token at a time: positions, choices and logits of every step.

use burn::tensor::{Int, Tensor, TensorData};
use glm_core::{
    Model, TokenId,
    generate::{GenerationOptions, Sampler},
    model::PaddingSide,
    row_layout::RowLayout,
};

use crate::{
    array::{Array, floats},
    check::{Recorder, close, equal},
    error::Result,
    expected::Expected,
    language_model::{Entry, missing_row},
};

/// `incremental.J.*`: greedy decoding with the cache, and the same tokens in one pass without it.
pub(crate) fn check_incremental(
    model: &Model,
    expected: &Expected,
    entry: &Entry,
    recorder: &mut Recorder<'_>,
) -> Result<()> {
    let prefix = entry.prefix("incremental");
    let name = entry.label();
    let tolerance = recorder.activations;
    let prompt = match &entry.prompt {
        Some(prompt) if !expected.has(&format!("{prefix}input_ids")) => prompt.clone(),
        _ => {
            let (prompt, [_]) = expected.token_ids(&format!("{prefix}input_ids"))?;
            prompt.values
        }
    };
    let (tokens, [_]) = expected.token_ids(&format!("{prefix}tokens"))?;
    let decoded = decode(model, &[&prompt], std::slice::from_ref(&tokens.values))?;
    let [row] = decoded.as_slice() else {
        return Ok(());
    };

    let mut record = |suffix: &str, outcome| {
        recorder.record(
            format!("{prefix}{suffix}{name}"),
            format!("incremental.{suffix}"),
            outcome,
        );
    };
    if expected.has(&format!("{prefix}position_ids")) {
        let wanted = expected.integers(&format!("{prefix}position_ids"))?;
        let found = row.position_ids.clone().with_axes(wanted.shape.len());
        record("position_ids", equal(&found, &wanted));
    }
    record("tokens", equal(&Array::vector(row.tokens.clone()), &tokens));
    let wanted = expected.floats(&format!("{prefix}logits"))?;
    let found = expected.recorded_logits(row.logits.clone(), &wanted)?;
    record("logits", close(&found, &wanted, tolerance));
    let recomputed = recompute(model, &prompt, &tokens.values)?;
    record(
        "cached against recomputed",
        close(&row.logits, &recomputed, tolerance),
    );
    Ok(())
}

/// `batch.incremental.*`: the batch decoded together.
pub(crate) fn check_batch_incremental(
    model: &Model,
    expected: &Expected,
    rows: &[&[TokenId]],
    recorder: &mut Recorder<'_>,
) -> Result<()> {
    let tolerance = recorder.activations;
    let (tokens, [batch, steps]) = expected.token_ids("batch.incremental.tokens")?;
    if batch != rows.len() {
        let wanted = format!("[{}, steps]", rows.len());
        return Err(expected.wrong_tensor(
            "batch.incremental.tokens",
            wanted,
            format!("{:?}", tokens.shape),
        ));
    }
    let tokens: Vec<Vec<TokenId>> = tokens
        .values
        .chunks(steps.max(1))
        .map(<[TokenId]>::to_vec)
        .collect();
    let decoded = decode(model, rows, &tokens)?;
    let logits = expected.floats("batch.incremental.logits")?;
    let positions = match expected.has("batch.incremental.position_ids") {
        true => Some(expected.integers("batch.incremental.position_ids")?),
        false => None,
    };
    for (row, (found, tokens)) in decoded.iter().zip(&tokens).enumerate() {
        let mut record = |suffix: &str, outcome| {
            let quantity = format!("batch.incremental.{suffix}");
            recorder.record(format!("{quantity}, row {row}"), quantity, outcome);
        };
        if let Some(positions) = &positions {
            let outcome = match positions.get(row, 0) {
                Some(wanted) => {
                    let found = found.position_ids.clone();
                    equal(&found.with_axes(wanted.shape.len()), &wanted)
                }
                None => missing_row(row, positions),
            };
            record("position_ids", outcome);
        }
        record(
            "tokens",
            equal(
                &Array::vector(found.tokens.clone()),
                &Array::vector(tokens.clone()),
            ),
        );
        let outcome = match logits.get(row, 0) {
            Some(wanted) => close(&found.logits, &wanted, tolerance),
            None => missing_row(row, &logits),
        };
        record("logits", outcome);
    }
    Ok(())
}

/// `continue.*`: several tokens at once behind those of an earlier pass.
pub(crate) fn check_continuation(
    model: &Model,
    expected: &Expected,
    recorder: &mut Recorder<'_>,
) -> Result<()> {
    let (first, [_]) = expected.token_ids("continue.first_ids")?;
    let (second, [_]) = expected.token_ids("continue.second_ids")?;
    let (_, mut state) = model.prefill(&[&first.values])?;
    let found = floats(model.extend(&mut state, &second.values)?)?;
    let wanted = expected.floats("continue.logits")?;
    let outcome = close(&found, &wanted, recorder.activations);
    recorder.record("continue.logits", "continue.logits", outcome);
    Ok(())
}

/// What cached decoding of one row gave.
struct Decoded {
    logits: Array<f32>,       // [steps, vocab_size]
    tokens: Vec<TokenId>,     // [steps]
    position_ids: Array<i64>, // [kinds, steps], of the query token of each step
}

/// Decodes all rows together. The given tokens are fed, so that one wrong choice does not hide what follows.
fn decode(model: &Model, rows: &[&[TokenId]], tokens: &[Vec<TokenId>]) -> Result<Vec<Decoded>> {
    let steps = tokens.first().map_or(0, Vec::len);
    let vocab_size = model.vocab_size();
    let mut sampler = Sampler::new(&GenerationOptions::greedy())?;
    let mut decoded: Vec<Decoded> = model
        .layouts(rows)?
        .iter()
        .zip(rows)
        .map(|(layout, row)| Decoded {
            logits: Array {
                shape: vec![steps, vocab_size],
                values: Vec::new(),
            },
            tokens: Vec::new(),
            position_ids: decode_positions(layout, row.len(), steps),
        })
        .collect();
    let (mut logits, mut state) = model.prefill(rows)?;
    for step in 0..steps {
        let values = floats(logits.clone())?.values;
        for (decoded, row) in decoded.iter_mut().zip(values.chunks(vocab_size)) {
            decoded.logits.values.extend_from_slice(row);
            decoded
                .tokens
                .push(sampler.sample(&mut row.to_vec(), &[])?.token);
        }
        let fed: Vec<TokenId> = tokens
            .iter()
            .filter_map(|row| row.get(step))
            .copied()
            .collect();
        if step + 1 < steps {
            logits = model.decode(&mut state, &fed)?;
        }
    }
    Ok(decoded)
}

/// Positions of the last prompt token and of the tokens decoded after it: `[kinds, steps]`.
fn decode_positions(layout: &RowLayout, prompt: usize, steps: usize) -> Array<i64> {
    let mut kinds: Vec<Vec<i64>> = layout
        .position_ids(prompt)
        .iter()
        .map(|positions| {
            positions
                .last()
                .map(|&last| last as i64)
                .into_iter()
                .collect()
        })
        .collect();
    for step in 1..steps {
        for (kind, position) in kinds
            .iter_mut()
            .zip(layout.decode_position_ids(prompt + step))
        {
            kind.push(position as i64);
        }
    }
    Array {
        shape: vec![kinds.len(), steps],
        values: kinds.concat(),
    }
}

/// The logits of cached decoding, from one pass over prompt and tokens without a cache: `[steps, vocab_size]`.
///
/// The official code may decode with other positions than it reads a whole text with (see
/// [`RowLayout::decode_position_ids`]); the pass takes those of decoding, since it is the cache that is checked here.
fn recompute(model: &Model, prompt: &[TokenId], tokens: &[TokenId]) -> Result<Array<f32>> {
    let fed = tokens.len().saturating_sub(1);
    let ids: Vec<TokenId> = prompt
        .iter()
        .chain(tokens.iter().take(fed))
        .copied()
        .collect();
    let layouts = model.layouts(&[prompt])?;
    let mut input = model.input(&[&ids], &layouts, PaddingSide::Left);
    let [_, kinds, len] = input.position_ids.dims();
    if let [layout] = layouts.as_slice() {
        let mut positions = layout.position_ids(prompt.len());
        for total in prompt.len() + 1..=len {
            let of_token = layout.decode_position_ids(total);
            for (kind, position) in positions.iter_mut().zip(of_token) {
                kind.push(position);
            }
        }
        let positions = positions
            .concat()
            .into_iter()
            .map(|position| position as i64);
        let data = TensorData::new(positions.collect(), [1, kinds, len]);
        input.position_ids = Tensor::<3, Int>::from_data(data, model.device());
    }
    let logits = floats(model.forward_observed(input, |_, _| {}))?;
    let rows = logits.get(0, prompt.len().saturating_sub(1));
    Ok(rows.unwrap_or(logits))
}
