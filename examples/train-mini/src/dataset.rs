//! The corpus: JSON lines to token rows, rows to batches of similar length.

use std::path::Path;

use glm_core::{
    GlmTokenizer, TokenId,
    chat::{PromptStyle, Turn},
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64;
use serde::Deserialize;

use crate::Result;

/// Batches that are filled from rows sorted by length: similar lengths, little padding, still a random order.
const SORTED_BATCHES: usize = 32;

/// One line of the corpus.
#[derive(Debug, Deserialize)]
pub(crate) struct Pair {
    pub(crate) topic: String,
    pub(crate) history: Vec<Turn>,
    pub(crate) prompt: String,
    pub(crate) response: String,
    /// `template` or `free`; held-out lines only.
    #[serde(default)]
    pub(crate) kind: String,
}

/// One training row, as `ptuning/main.py` of the official repository builds it: the prompt, `[gMASK] <sop>`, the
/// response, `<eop>`.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) ids: Vec<TokenId>,
    /// First index whose token is predicted: `<sop>`.
    pub(crate) first_label: usize,
}

pub(crate) fn read_pairs(path: &Path) -> Result<Vec<Pair>> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line)
                .map_err(|error| format!("{} line {}: {error}", path.display(), index + 1).into())
        })
        .collect()
}

pub(crate) fn rows(pairs: &[Pair], tokenizer: &GlmTokenizer) -> Vec<Row> {
    pairs
        .iter()
        .map(|pair| {
            let prompt = PromptStyle::ChatGlm.build_prompt(&pair.history, &pair.prompt);
            let mut ids = tokenizer.with_special_tokens(tokenizer.encode(&prompt));
            let first_label = ids.len() - 1;
            ids.extend(tokenizer.encode(&pair.response));
            ids.push(tokenizer.special_tokens().eop);
            Row { ids, first_label }
        })
        .collect()
}

/// The batches of one epoch, as indices into `rows`: a function of the seed and the epoch alone, so that a resumed
/// run goes on with the batches it would have had.
pub(crate) fn batches(rows: &[Row], batch_size: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
    let mut rng = Pcg64::seed_from_u64(seed.wrapping_mul(1 << 20).wrapping_add(epoch as u64));
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.shuffle(&mut rng);
    for stretch in order.chunks_mut(batch_size * SORTED_BATCHES) {
        stretch.sort_by_key(|&row| rows[row].ids.len());
    }
    let mut batches: Vec<Vec<usize>> = order.chunks(batch_size).map(<[usize]>::to_vec).collect();
    batches.shuffle(&mut rng);
    batches
}
