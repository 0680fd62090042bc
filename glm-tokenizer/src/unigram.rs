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

    /// The pieces by their bytes.
    pub(crate) fn trie(&self) -> &PieceTrie {
        &self.trie
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn model(scored: &[(String, f32)]) -> Unigram {
        let piece = |(text, score): &(String, f32)| Piece {
            text: text.clone(),
            score: *score,
            kind: PieceKind::Normal,
        };
        let pieces: Vec<Piece> = scored.iter().map(piece).collect();
        let entries = pieces
            .iter()
            .zip(0..)
            .map(|(piece, id)| (piece.text.as_bytes(), id));
        Unigram::new(PieceTrie::new(entries.collect()).unwrap(), &pieces)
    }

    /// The best sum over all segmentations, each of them tried.
    fn best_sum(text: &str, scored: &[(String, f32)], unknown: f32) -> f32 {
        let Some(first) = text.chars().next() else {
            return 0.0;
        };
        let known = scored.iter().filter_map(|(piece, score)| {
            let rest = text.strip_prefix(piece.as_str())?;
            Some(score + best_sum(rest, scored, unknown))
        });
        let single_known = scored.iter().any(|(piece, _)| piece.chars().eq([first]));
        let alone =
            (!single_known).then(|| unknown + best_sum(&text[first.len_utf8()..], scored, unknown));
        known.chain(alone).fold(f32::MIN, f32::max)
    }

    /// A run of one character has many segmentations of the same sum; the first one met stays.
    #[test]
    fn the_earlier_start_wins_a_tie() {
        let model = model(&[("a".into(), -1.0), ("aa".into(), -1.5)]);
        let lengths = |text: &str| -> Vec<usize> {
            model
                .segment(text)
                .into_iter()
                .map(|(range, _)| range.len())
                .collect()
        };
        assert_eq!(lengths("aaa"), [1, 2]);
        assert_eq!(lengths("aaaaa"), [1, 2, 2]);
    }

    proptest! {
        /// Scores are quarters, so sums are exact.
        #[test]
        fn the_sum_is_the_best_there_is(
            scored in proptest::collection::btree_map("[ab你]{1,3}", -40i8..0, 1..8),
            text in "[abc你]{0,9}",
        ) {
            let scored: Vec<(String, f32)> =
                scored.into_iter().map(|(piece, score)| (piece, f32::from(score) / 4.0)).collect();
            let model = model(&scored);
            let segments = model.segment(&text);
            let covered: String = segments.iter().map(|(range, _)| &text[range.clone()]).collect();
            prop_assert_eq!(&covered, &text);
            let sum: f32 = segments
                .iter()
                .map(|(_, id)| id.map_or(model.unknown_score, |id| scored[id as usize].1))
                .sum();
            prop_assert_eq!(sum, best_sum(&text, &scored, model.unknown_score));
        }
    }
}
