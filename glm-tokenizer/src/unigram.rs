//! Segmentation by a Unigram language model: the pieces with the highest sum of scores.
//!
//! T. Kudo, "Subword Regularization" (2018), <https://arxiv.org/abs/1804.10959>. The search is the
//! one-pass Viterbi of google/sentencepiece (`unigram_model.cc`, `EncodeOptimized`). The order in
//! which candidates are met and the rounding of sums decide between equally good segmentations, as in
//! a run of one character, so both are as in its version 0.2.3: all sums are `f32`, and the earlier
//! start wins a tie. In `f64`, 2 of the 3,092 golden strings of ChatGLM-6B come out otherwise.

use std::ops::Range;

use crate::TokenId;
use crate::piece_trie::PieceTrie;
use crate::sentencepiece_file::{Piece, PieceKind};

/// An unknown character costs this much more than the rarest piece.
const UNKNOWN_PENALTY: f32 = 10.0;
/// Score of a user-defined piece for each byte after its first. (Versions before 0.2.3 gave -0.1 in all.)
const USER_DEFINED_BONUS: f64 = 0.1;

/// A piece of a normalised text: where it is, and its id unless it is unknown.
pub(crate) type Segment = (Range<usize>, Option<TokenId>);

/// Pieces and their log probabilities.
#[derive(Debug)]
pub(crate) struct Unigram {
    trie: PieceTrie,
    /// By id.
    scores: Vec<f32>,
    unknown_score: f32,
}

/// The best path to one position of the text, by its last step.
#[derive(Clone, Copy)]
struct Step {
    score: f32,
    /// Length of the last piece in bytes; 0 while no path has been found.
    length: u32,
    id: Option<TokenId>,
}

impl Unigram {
    /// `trie` holds the normal and user-defined ones of `pieces`.
    pub(crate) fn new(trie: PieceTrie, pieces: &[Piece]) -> Self {
        let lowest = pieces
            .iter()
            .filter(|piece| piece.kind == PieceKind::Normal)
            .map(|piece| piece.score)
            .fold(f32::MAX, f32::min);
        let scores = pieces.iter().map(|piece| match piece.kind {
            // Log probabilities are negative, so a user-defined piece always wins. The product is taken
            // in `f64` because the last bit of it can decide a tie later in the text.
            PieceKind::UserDefined => ((piece.text.len() - 1) as f64 * USER_DEFINED_BONUS) as f32,
            _ => piece.score,
        });
        Self {
            trie,
            scores: scores.collect(),
            unknown_score: lowest - UNKNOWN_PENALTY,
        }
    }

    pub(crate) fn segment(&self, text: &str) -> Vec<Segment> {
        let bytes = text.as_bytes();
        let mut best = vec![
            Step {
                score: 0.0,
                length: 0,
                id: None
            };
            bytes.len() + 1
        ];
        for (start, character) in text.char_indices() {
            let score_here = best[start].score;
            let character_length = character.len_utf8();
            let mut single_character_known = false;
            let mut node = PieceTrie::ROOT;
            for (length, &byte) in (1..).zip(&bytes[start..]) {
                let Some(next) = self.trie.child(node, byte) else {
                    break;
                };
                node = next;
                let Some(id) = self.trie.id(node) else {
                    continue;
                };
                let candidate = self.scores[id as usize] + score_here;
                let target = &mut best[start + length];
                if target.length == 0 || candidate > target.score {
                    *target = Step {
                        score: candidate,
                        length: length as u32,
                        id: Some(id),
                    };
                }
                single_character_known |= length == character_length;
            }
            if !single_character_known {
                let candidate = self.unknown_score + score_here;
                let target = &mut best[start + character_length];
                if target.length == 0 || candidate > target.score {
                    *target = Step {
                        score: candidate,
                        length: character_length as u32,
                        id: None,
                    };
                }
            }
        }

        let mut segments = Vec::new();
        let mut end = bytes.len();
        while end > 0 {
            let step = best[end];
            let start = end - step.length as usize;
            segments.push((start..end, step.id));
            end = start;
        }
        segments.reverse();
        segments
    }
}
