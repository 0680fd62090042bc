//! `generate[]` of `expected.json`: the tokens of the official `generate()`.

use glm_core::{
    Model, TokenId,
    generate::{FinishReason, GenerationOptions, Generator, Sampler},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    array::{Array, floats},
    check::{Outcome, Recorder, equal},
    error::Result,
    expected::Expected,
    language_model::Batch,
};

/// `max_length` of transformers when neither it nor `max_new_tokens` is given.
const DEFAULT_MAX_LENGTH: usize = 20;

/// One call of `generate()`.
#[derive(Deserialize)]
struct Case {
    name: String,
    /// Rows of equal length, padded on the left when there are several.
    input_ids: Vec<Vec<TokenId>>,
    kwargs: Map<String, Value>,
    /// Prompt included, padded on the right to the longest.
    output_ids: Vec<Vec<TokenId>>,
}

/// The arguments of `generate()` that have an influence on greedy decoding.
struct Arguments {
    max_new_tokens: Option<usize>,
    max_length: usize,
    repetition_penalty: f64,
    eos_token_ids: Vec<TokenId>,
    pad_token_id: TokenId,
    /// Length at which generation ends whatever the arguments say.
    longest: usize,
}

/// Runs every case.
pub(crate) fn check(model: &Model, expected: &Expected, recorder: &mut Recorder<'_>) -> Result<()> {
    let cases: Vec<Case> = expected.json("generate")?;
    for case in &cases {
        let name = format!("generate [{}]", case.name);
        let result = check_case(model, expected, case, &name, recorder);
        recorder.record_refusal(&name, result)?;
    }
    Ok(())
}

fn check_case(
    model: &Model,
    expected: &Expected,
    case: &Case,
    name: &str,
    recorder: &mut Recorder<'_>,
) -> Result<()> {
    let mut arguments = match Arguments::read(&case.kwargs, model) {
        Ok(arguments) => arguments,
        Err(reason) => {
            recorder.record(name, "generate", Outcome::Failed(reason));
            return Ok(());
        }
    };
    // One token too many is enough to fail: no argument can make this run on.
    arguments.longest = case.output_ids.iter().map(Vec::len).max().unwrap_or(0) + 1;

    let pad_lengths = pad_lengths(expected, case, &arguments)?;
    let found = generate(model, &case.input_ids, &pad_lengths, &arguments)?;
    recorder.record(
        name,
        "generate",
        equal(&flatten(&found), &flatten(&case.output_ids)),
    );
    if let ([prompt], [output]) = (case.input_ids.as_slice(), case.output_ids.as_slice())
        && prompt.len() < arguments.limit(prompt.len())
        && arguments.ends_like(model, output)
    {
        let found = iterate(model, prompt, &arguments)?;
        let outcome = equal(&Array::vector(found), &Array::vector(output.clone()));
        recorder.record(format!("{name} by Generator"), "generate", outcome);
    }
    Ok(())
}

/// Number of pads on the left of each row: as `batch` says if these are its rows, else by looking for pads.
fn pad_lengths(expected: &Expected, case: &Case, arguments: &Arguments) -> Result<Vec<usize>> {
    if case.input_ids.len() == 1 {
        // A single prompt is given without a mask: all of it counts.
        return Ok(vec![0]);
    }
    if expected.has("batch.input_ids") {
        let batch = expected.integers("batch.input_ids")?.values;
        let Batch { pad_lengths, .. } = expected.json("batch")?;
        let ids = case.input_ids.iter().flatten().map(|&id| i64::from(id));
        if pad_lengths.len() == case.input_ids.len() && ids.eq(batch) {
            return Ok(pad_lengths);
        }
    }
    let is_pad = |id: &&TokenId| **id == arguments.pad_token_id;
    Ok(case
        .input_ids
        .iter()
        .map(|row| row.iter().take_while(is_pad).count())
        .collect())
}

impl Arguments {
    /// Reads the keyword arguments; a sentence when one asks for what greedy decoding here does not do.
    fn read(kwargs: &Map<String, Value>, model: &Model) -> std::result::Result<Self, String> {
        let mut arguments = Self {
            max_new_tokens: None,
            max_length: DEFAULT_MAX_LENGTH,
            repetition_penalty: 1.0,
            eos_token_ids: vec![model.eos_token_id()],
            pad_token_id: model.config().pad_token_id() as TokenId,
            longest: usize::MAX,
        };
        for (key, value) in kwargs {
            let refuse = || format!("argument `{key}` = {value} of generate() is not supported");
            let size = || {
                value
                    .as_u64()
                    .and_then(|size| usize::try_from(size).ok())
                    .ok_or_else(refuse)
            };
            let token = |value: &Value| {
                value
                    .as_u64()
                    .and_then(|id| TokenId::try_from(id).ok())
                    .ok_or_else(refuse)
            };
            match key.as_str() {
                "max_new_tokens" => arguments.max_new_tokens = Some(size()?),
                "max_length" => arguments.max_length = size()?,
                "repetition_penalty" => {
                    arguments.repetition_penalty = value.as_f64().ok_or_else(refuse)?
                }
                "eos_token_id" => {
                    arguments.eos_token_ids = match value {
                        Value::Array(ids) => ids
                            .iter()
                            .map(token)
                            .collect::<std::result::Result<_, _>>()?,
                        id => vec![token(id)?],
                    }
                }
                "pad_token_id" => arguments.pad_token_id = token(value)?,
                // A remark for the reader, and what greedy decoding does not look at.
                "note" | "use_cache" | "temperature" | "top_k" | "top_p" => {}
                "do_sample" if *value == Value::Bool(false) => {}
                "num_beams" | "num_return_sequences" if *value == 1 => {}
                _ => return Err(refuse()),
            }
        }
        Ok(arguments)
    }

    /// Length at which rows of `prompt` tokens, padding included, are complete. The number of new tokens wins, as in
    /// transformers.
    fn limit(&self, prompt: usize) -> usize {
        self.max_new_tokens
            .map_or(self.max_length, |new| prompt.saturating_add(new))
            .min(self.longest)
    }

    /// Whether the model's own end token, which [`Generator`] always obeys, changes nothing about `output`.
    fn ends_like(&self, model: &Model, output: &[TokenId]) -> bool {
        let eos = model.eos_token_id();
        self.eos_token_ids.contains(&eos) || !output.contains(&eos)
    }

    fn options(&self, prompt: usize) -> GenerationOptions {
        GenerationOptions::greedy()
            .with_max_length(self.limit(prompt).max(1))
            .with_repetition_penalty(self.repetition_penalty)
    }
}

/// Decodes all rows together, as transformers does: a row that has ended is fed pads until the others have.
fn generate(
    model: &Model,
    padded: &[Vec<TokenId>],
    pad_lengths: &[usize],
    arguments: &Arguments,
) -> Result<Vec<Vec<TokenId>>> {
    let width = padded.first().map_or(0, Vec::len);
    let rows: Vec<&[TokenId]> = padded
        .iter()
        .zip(pad_lengths)
        .map(|(row, &pads)| row.get(pads..).unwrap_or(row))
        .collect();

    let mut sampler = Sampler::new(&arguments.options(width))?;
    let mut output = padded.to_vec();
    let mut ended = vec![false; padded.len()];
    let (mut logits, mut state) = model.prefill(&rows)?;
    let mut len = width;
    loop {
        let values = floats(logits)?.values;
        let mut next = Vec::with_capacity(output.len());
        for ((row, ended), scores) in output
            .iter_mut()
            .zip(&mut ended)
            .zip(values.chunks(model.vocab_size()))
        {
            let token = match *ended {
                true => arguments.pad_token_id,
                false => sampler.sample(&mut scores.to_vec(), row)?.token,
            };
            *ended |= arguments.eos_token_ids.contains(&token);
            row.push(token);
            next.push(token);
        }
        len += 1;
        if len >= arguments.limit(width) || ended.iter().all(|&ended| ended) {
            return Ok(output);
        }
        logits = model.decode(&mut state, &next)?;
    }
}

/// The same by the library's own iterator, which handles one row and knows the model's own end token only.
fn iterate(model: &Model, prompt: &[TokenId], arguments: &Arguments) -> Result<Vec<TokenId>> {
    let mut generator = Generator::new(model, prompt, &arguments.options(prompt.len()))?;
    let mut output = prompt.to_vec();
    while let Some(token) = generator.next().transpose()? {
        output.push(token);
        if arguments.eos_token_ids.contains(&token) {
            return Ok(output);
        }
    }
    if generator.finish_reason() == Some(FinishReason::Eos) {
        // The iterator keeps the end token to itself; the official output shows it.
        output.push(model.eos_token_id());
    }
    Ok(output)
}

/// All rows as one array; rows of unequal length get a shape that equals no other.
fn flatten(rows: &[Vec<TokenId>]) -> Array<TokenId> {
    let width = rows.first().map_or(0, Vec::len);
    let shape = match rows.iter().all(|row| row.len() == width) {
        true => vec![rows.len(), width],
        false => rows.iter().map(Vec::len).collect(),
    };
    Array {
        shape,
        values: rows.concat(),
    }
}
