//! Segmentation by byte-pair merging: neighbours are joined while their concatenation is a piece,
//! the piece with the best score first and, among equals, the leftmost.
//!
//! R. Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016),
//! <https://arxiv.org/abs/1508.07909>, in the form of google/sentencepiece (`bpe_model.cc`): there is no
//! table of merges, every piece can be made from any two parts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::piece_trie::{PieceTrie, TrieNode};
use crate::sentencepiece_file::Piece;
use crate::unigram::Segment;

/// Pieces and the order in which they are merged.
#[derive(Debug)]
pub(crate) struct Bpe {
    trie: PieceTrie,
    /// By id; the lowest is merged first.
    ranks: Vec<u32>,
}

/// A run of bytes that will be merged no further than with a neighbour.
struct Symbol {
    previous: Option<usize>,
    next: Option<usize>,
    start: usize,
    /// 0 once it has been merged into the symbol to its left.
    length: usize,
    /// Its place in the trie, if any piece starts with it.
    node: Option<TrieNode>,
}

/// Two neighbours that may be merged; the least one goes first. Outdated when one of them has been merged
/// elsewhere.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Merge {
    rank: u32,
    left: usize,
    right: usize,
    length: usize,
    node: TrieNode,
}

impl Bpe {
    /// `trie` holds the normal ones of `pieces`.
    pub(crate) fn new(trie: PieceTrie, pieces: &[Piece]) -> Self {
        let mut by_score: Vec<usize> = (0..pieces.len()).collect();
        by_score.sort_by(|&a, &b| pieces[b].score.total_cmp(&pieces[a].score));
        let mut ranks = vec![0; pieces.len()];
        // Equal scores share a rank, so that the leftmost is merged first.
        let groups = by_score.chunk_by(|&a, &b| pieces[a].score == pieces[b].score);
        for (rank, group) in (0..).zip(groups) {
            for &id in group {
                ranks[id] = rank;
            }
        }
        Self { trie, ranks }
    }

    /// The pieces by their bytes.
    pub(crate) fn trie(&self) -> &PieceTrie {
        &self.trie
    }

    pub(crate) fn segment(&self, text: &str) -> Vec<Segment> {
        let mut symbols: Vec<Symbol> = Vec::with_capacity(text.len());
        for (start, character) in text.char_indices() {
            let index = symbols.len();
            let length = character.len_utf8();
            if let Some(last) = symbols.last_mut() {
                last.next = Some(index);
            }
            symbols.push(Symbol {
                previous: index.checked_sub(1),
                next: None,
                start,
                length,
                node: self
                    .trie
                    .walk(PieceTrie::ROOT, &text.as_bytes()[start..start + length]),
            });
        }

        let mut queue: BinaryHeap<Reverse<Merge>> = (1..symbols.len())
            .filter_map(|right| self.merge(text, &symbols, right - 1, right))
            .collect();
        while let Some(Reverse(merge)) = queue.pop() {
            let Merge {
                left,
                right,
                length,
                node,
                ..
            } = merge;
            let outdated = symbols[left].length == 0
                || symbols[right].length == 0
                || symbols[left].length + symbols[right].length != length;
            if outdated {
                continue;
            }
            let next = symbols[right].next;
            symbols[right].length = 0;
            symbols[left].length = length;
            symbols[left].node = Some(node);
            symbols[left].next = next;
            if let Some(next) = next {
                symbols[next].previous = Some(left);
                queue.extend(self.merge(text, &symbols, left, next));
            }
            if let Some(previous) = symbols[left].previous {
                queue.extend(self.merge(text, &symbols, previous, left));
            }
        }

        symbols
            .iter()
            .filter(|symbol| symbol.length > 0)
            .map(|symbol| {
                let id = symbol.node.and_then(|node| self.trie.id(node));
                (symbol.start..symbol.start + symbol.length, id)
            })
            .collect()
    }

    /// The merge of two neighbours, if their concatenation is a piece.
    fn merge(
        &self,
        text: &str,
        symbols: &[Symbol],
        left: usize,
        right: usize,
    ) -> Option<Reverse<Merge>> {
        let Symbol { start, length, .. } = symbols[right];
        let node = self
            .trie
            .walk(symbols[left].node?, &text.as_bytes()[start..start + length])?;
        let id = self.trie.id(node)?;
        Some(Reverse(Merge {
            rank: self.ranks[id as usize],
            left,
            right,
            length: symbols[left].length + length,
            node,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sentencepiece_file::PieceKind;
    use proptest::prelude::*;

    /// Looks for the best pair from the left, merges it and starts again.
    fn naive(text: &str, scored: &[(String, i8)]) -> Vec<String> {
        let mut symbols: Vec<String> = text.chars().map(String::from).collect();
        let score = |pair: &[String]| {
            let joined = pair.concat();
            scored
                .iter()
                .find(|(piece, _)| *piece == joined)
                .map(|(_, score)| *score)
        };
        loop {
            let scores: Vec<_> = symbols.windows(2).map(score).collect();
            let Some(best) = scores.iter().flatten().max() else {
                return symbols;
            };
            let Some(left) = scores.iter().position(|score| score.as_ref() == Some(best)) else {
                return symbols;
            };
            let right = symbols.remove(left + 1);
            symbols[left].push_str(&right);
        }
    }

    proptest! {
        /// Few scores, so that many are equal.
        #[test]
        fn merges_as_the_naive_loop(
            scored in proptest::collection::btree_map("[ab你]{1,4}", 0i8..4, 1..20),
            text in "[abc你]{0,24}",
        ) {
            let scored: Vec<(String, i8)> = scored.into_iter().collect();
            let pieces: Vec<Piece> = scored
                .iter()
                .map(|(text, score)| Piece { text: text.clone(), score: (*score).into(), kind: PieceKind::Normal })
                .collect();
            let entries = pieces.iter().zip(0..).map(|(piece, id)| (piece.text.as_bytes(), id));
            let bpe = Bpe::new(PieceTrie::new(entries.collect()).unwrap(), &pieces);
            let segments = bpe.segment(&text);
            let found: Vec<_> = segments.iter().map(|(range, _)| &text[range.clone()]).collect();
            prop_assert_eq!(&found, &naive(&text, &scored));
            for (range, id) in segments {
                let expected = scored.iter().position(|(piece, _)| *piece == text[range.clone()]);
                prop_assert_eq!(id.map(|id| id as usize), expected);
            }
        }
    }
}
