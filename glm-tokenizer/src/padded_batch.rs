//! Rows of different lengths as one batch: pads on the left, masks and positions to match.

use crate::{Family, SpecialTokens, TokenId};

/// A batch padded on the left to `len` columns, as the official `tokenizer(texts, padding=True)` makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PaddedBatch {
    /// `[batch][len]`
    pub input_ids: Vec<Vec<TokenId>>,
    /// Which tokens see which.
    pub attention_mask: AttentionMask,
    /// Where the tokens are; pads are at 0.
    pub position_ids: PositionIds,
    /// Number of pads at the start of each row: `[batch]`.
    pub pad_lengths: Vec<usize>,
}

/// The attention mask in the form that the family's official model takes.
///
/// Mind the opposite senses: they are the official ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttentionMask {
    /// ChatGLM-6B: `[batch][query][key]`, **true = masked out**. Everything before `<sop>` sees all of
    /// itself, what follows sees what is before it; pads neither see nor are seen. (The official mask has
    /// a further axis of size 1 after `batch`.)
    PrefixLm(Vec<Vec<Vec<bool>>>),
    /// ChatGLM2-6B: `[batch][len]`, **true = a token, false = a pad**. The model adds causality.
    Tokens(Vec<Vec<bool>>),
}

/// Positions in the form that the family's official model takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PositionIds {
    /// ChatGLM-6B: `[batch][2][len]`, the position in the text and the position in the generated part.
    TwoDimensional(Vec<[Vec<u32>; 2]>),
    /// ChatGLM2-6B: `[batch][len]`.
    OneDimensional(Vec<Vec<u32>>),
}

/// What [`encode_batch_with`](crate::GlmTokenizer::encode_batch_with) does besides encoding. The default is
/// the official `padding=True`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// Put `[gMASK]` and `<sop>` into each row; default true.
    pub add_special_tokens: bool,
    /// Cut rows to at most this many tokens, special ones included; text is lost at the end.
    pub truncate_to: Option<usize>,
    /// Pad to at least this many columns (`padding="max_length"`).
    pub pad_to: Option<usize>,
    /// Pad to a multiple of this; 0 and 1 do nothing.
    pub pad_to_multiple_of: usize,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            add_special_tokens: true,
            truncate_to: None,
            pad_to: None,
            pad_to_multiple_of: 1,
        }
    }
}

impl PaddedBatch {
    pub(crate) fn new(
        family: Family,
        special: &SpecialTokens,
        rows: &[Vec<TokenId>],
        min_len: usize,
        multiple_of: usize,
    ) -> Self {
        let longest = rows.iter().map(Vec::len).fold(min_len, usize::max);
        let len = longest
            .checked_next_multiple_of(multiple_of.max(1))
            .unwrap_or(longest);
        let pad_lengths: Vec<usize> = rows.iter().map(|row| len - row.len()).collect();
        let padded = || rows.iter().zip(&pad_lengths);
        Self {
            input_ids: padded()
                .map(|(row, &pads)| pad_left(pads, special.pad, row.clone()))
                .collect(),
            attention_mask: match family {
                Family::ChatGlm | Family::ChatGlmFirstGeneration => AttentionMask::PrefixLm(
                    padded()
                        .map(|(row, &pads)| prefix_lm_mask(special, row, pads))
                        .collect(),
                ),
                Family::ChatGlm2 => AttentionMask::Tokens(
                    padded()
                        .map(|(row, &pads)| pad_left(pads, false, vec![true; row.len()]))
                        .collect(),
                ),
            },
            position_ids: match family {
                Family::ChatGlm | Family::ChatGlmFirstGeneration => PositionIds::TwoDimensional(
                    padded()
                        .map(|(row, &pads)| two_dimensional(special, row, pads))
                        .collect(),
                ),
                Family::ChatGlm2 => PositionIds::OneDimensional(
                    padded()
                        .map(|(row, &pads)| pad_left(pads, 0, (0..row.len() as u32).collect()))
                        .collect(),
                ),
            },
            pad_lengths,
        }
    }
}

fn pad_left<T: Clone>(pads: usize, pad: T, row: Vec<T>) -> Vec<T> {
    let mut padded = vec![pad; pads];
    padded.extend(row);
    padded
}

/// Index of the first `<sop>`; without one, all is context.
fn context_length(special: &SpecialTokens, row: &[TokenId]) -> usize {
    row.iter()
        .position(|&id| id == special.sop)
        .unwrap_or(row.len())
}

fn prefix_lm_mask(special: &SpecialTokens, row: &[TokenId], pads: usize) -> Vec<Vec<bool>> {
    let context = context_length(special, row);
    let len = pads + row.len();
    (0..len)
        .map(|query| {
            let sees = |key| query >= pads && key >= pads && (key <= query || key - pads < context);
            (0..len).map(|key| !sees(key)).collect()
        })
        .collect()
}

fn two_dimensional(special: &SpecialTokens, row: &[TokenId], pads: usize) -> [Vec<u32>; 2] {
    let context = context_length(special, row);
    // The official tokenizer looks for [MASK] first, its model for [gMASK]: they differ when both occur.
    let mask = [special.mask, special.gmask]
        .iter()
        .find_map(|mask| row.iter().position(|id| id == mask));
    let position = |index: usize| match mask {
        Some(mask) if index >= context => mask as u32,
        _ => index as u32,
    };
    let block_position = |index: usize| {
        if index < context {
            0
        } else {
            (index - context + 1) as u32
        }
    };
    [
        pad_left(pads, 0, (0..row.len()).map(position).collect()),
        pad_left(pads, 0, (0..row.len()).map(block_position).collect()),
    ]
}
