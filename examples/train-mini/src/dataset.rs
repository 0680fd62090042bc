//! The corpus: JSON lines to token rows, rows to batches of similar length.

use std::path::Path;

use glm_core::{
    GlmTokenizer, TokenId,
    chat::{PromptStyle, Turn},
};
use rand::{
    RngExt, SeedableRng,
    seq::{IndexedRandom, SliceRandom},
};
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

/// One training row, as `ptuning/main.py` of the official repositories builds it.
///
/// ```text
/// ChatGLM-6B    prompt, [gMASK] <sop>, response, <eop>
/// ChatGLM2-6B   [gMASK] sop, prompt, response, </s>
/// ```
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) ids: Vec<TokenId>,
    /// First index whose token is predicted: `<sop>` in ChatGLM-6B, the response in ChatGLM2-6B.
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

/// How a run's rows and their order are drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draws {
    pub(crate) seed: u64,
    /// At most this many turns about something else go before a row.
    pub(crate) random_turns: usize,
    /// A row with such turns is at most this many tokens long.
    pub(crate) max_length: usize,
}

impl Draws {
    /// A function of the seed and the epoch alone, so that a resumed run draws what it would have drawn.
    fn generator(&self, epoch: usize) -> Pcg64 {
        Pcg64::seed_from_u64(self.seed.wrapping_mul(1 << 20).wrapping_add(epoch as u64))
    }
}

/// The rows of one epoch, in the order of `pairs`. Each stands behind a random number of whole turns of other pairs: a
/// conversation goes on after a change of subject, and its last question is the one to answer.
pub(crate) fn rows(
    pairs: &[Pair],
    tokenizer: &GlmTokenizer,
    style: PromptStyle,
    draws: Draws,
    epoch: usize,
) -> Vec<Row> {
    let mut rng = draws.generator(epoch);
    let openings: Vec<&Pair> = pairs
        .iter()
        .filter(|pair| pair.history.is_empty())
        .collect();
    pairs
        .iter()
        .map(|pair| {
            let mut row = Row::new(&pair.history, pair, tokenizer, style);
            let mut history = pair.history.clone();
            for _ in 0..rng.random_range(0..=draws.random_turns) {
                let Some(other) = openings.choose(&mut rng) else {
                    break;
                };
                history.insert(0, Turn::new(&other.prompt, &other.response));
                let longer = Row::new(&history, pair, tokenizer, style);
                if longer.ids.len() > draws.max_length {
                    break;
                }
                row = longer;
            }
            row
        })
        .collect()
}

impl Row {
    fn new(history: &[Turn], pair: &Pair, tokenizer: &GlmTokenizer, style: PromptStyle) -> Self {
        let prompt = style.build_prompt(history, &pair.prompt);
        let mut ids = tokenizer.with_special_tokens(tokenizer.encode(&prompt));
        let first_label = match style {
            PromptStyle::ChatGlm => ids.len() - 1,
            _ => ids.len(),
        };
        ids.extend(tokenizer.encode(&pair.response));
        ids.push(tokenizer.special_tokens().eos);
        Self { ids, first_label }
    }
}

/// The batches of one epoch, as indices into its rows.
pub(crate) fn batches(
    rows: &[Row],
    batch_size: usize,
    draws: Draws,
    epoch: usize,
) -> Vec<Vec<usize>> {
    let mut rng = draws.generator(epoch);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.shuffle(&mut rng);
    for stretch in order.chunks_mut(batch_size * SORTED_BATCHES) {
        stretch.sort_by_key(|&row| rows[row].ids.len());
    }
    let mut batches: Vec<Vec<usize>> = order.chunks(batch_size).map(<[usize]>::to_vec).collect();
    batches.shuffle(&mut rng);
    batches
}
