//! Segmentation by byte-pair merging: neighbours are joined while their concatenation is a piece,
//! the piece with the best score first and, among equals, the leftmost.
//!
//! R. Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016),
//! <https://arxiv.org/abs/1508.07909>, in the form of google/sentencepiece (`bpe_model.cc`): there is no
//! table of merges, every piece can be made from any two parts.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::piece_trie::{PieceTrie, TrieNode};
use crate::sentencepiece_file::Piece;
use crate::unigram::Segment;

/// Pieces and the order in which they are merged.
#[derive(Debug)]
pub(crate) struct Bpe {
    trie: PieceTrie,
    /// By id; the highest is merged first.
    scores: Vec<f32>,
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

/// Two neighbours that may be merged. Outdated when one of them has been merged elsewhere.
#[derive(PartialEq)]
struct Merge {
    score: f32,
    left: usize,
    right: usize,
    length: usize,
    node: TrieNode,
}

impl Eq for Merge {}

impl PartialOrd for Merge {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Merge {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then_with(|| Reverse(self.left).cmp(&Reverse(other.left)))
    }
}

impl Bpe {
    /// `trie` holds the normal ones of `pieces`.
    pub(crate) fn new(trie: PieceTrie, pieces: &[Piece]) -> Self {
        Self {
            trie,
            scores: pieces.iter().map(|piece| piece.score).collect(),
        }
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

        let mut queue: BinaryHeap<Merge> = (1..symbols.len())
            .filter_map(|right| self.merge(text, &symbols, right - 1, right))
            .collect();
        while let Some(Merge {
            left,
            right,
            length,
            node,
            ..
        }) = queue.pop()
        {
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
    fn merge(&self, text: &str, symbols: &[Symbol], left: usize, right: usize) -> Option<Merge> {
        let Symbol { start, length, .. } = symbols[right];
        let node = self
            .trie
            .walk(symbols[left].node?, &text.as_bytes()[start..start + length])?;
        let id = self.trie.id(node)?;
        Some(Merge {
            score: self.scores[id as usize],
            left,
            right,
            length: symbols[left].length + length,
            node,
        })
    }
}
