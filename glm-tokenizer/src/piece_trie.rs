//! A byte trie over pieces: the longest, or every, piece that a text starts with.
//!
//! The children of a node lie next to each other, so a node is 12 bytes plus one label byte, and the
//! trie of 130,000 pieces is built in one pass over the sorted pieces.

use crate::TokenId;

const NONE: u32 = u32::MAX;

/// Maps byte strings to ids.
#[derive(Debug)]
pub(crate) struct PieceTrie {
    nodes: Vec<Node>,
    /// The byte on the edge to each node, at the node's index.
    labels: Vec<u8>,
    /// The root's children by byte: the first step of every walk is a table look-up.
    first_bytes: Box<[u32; 256]>,
}

/// A place in the trie: a byte string that some piece starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TrieNode(u32);

#[derive(Debug, Clone, Copy)]
struct Node {
    first_child: u32,
    id: u32,
    /// Number of children.
    children: u16,
    /// Label of the first child, which is most often the only one and then need not be fetched.
    first_label: u8,
}

impl Node {
    const LEAF: Self = Self {
        first_child: 0,
        id: NONE,
        children: 0,
        first_label: 0,
    };
}

/// Two entries have the same bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Duplicate {
    pub(crate) first: TokenId,
    pub(crate) second: TokenId,
}

impl PieceTrie {
    pub(crate) const ROOT: TrieNode = TrieNode(0);

    /// Builds the trie of `(bytes, id)` pairs, given in any order; ids are below `u32::MAX`.
    pub(crate) fn new(mut entries: Vec<(&[u8], TokenId)>) -> Result<Self, Duplicate> {
        entries.sort_unstable();
        if let Some([(_, first), (_, second)]) = entries.array_windows().find(|[a, b]| a.0 == b.0) {
            return Err(Duplicate {
                first: *first,
                second: *second,
            });
        }

        let mut trie = Self {
            nodes: vec![Node::LEAF],
            labels: vec![0],
            first_bytes: Box::new([NONE; 256]),
        };
        // Breadth first: when a node is expanded, all its children are appended at once.
        let mut level = vec![&entries[..]];
        let mut node = 0;
        let mut depth = 0;
        while !level.is_empty() {
            let mut next_level = Vec::new();
            for mut group in level {
                if let Some(((bytes, id), rest)) = group.split_first()
                    && bytes.len() == depth
                {
                    trie.nodes[node].id = *id;
                    group = rest;
                }
                trie.nodes[node].first_child = trie.nodes.len() as u32;
                if let Some((first, _)) = group.first() {
                    trie.nodes[node].first_label = first[depth];
                }
                for siblings in group.chunk_by(|a, b| a.0[depth] == b.0[depth]) {
                    trie.labels.push(siblings[0].0[depth]);
                    trie.nodes.push(Node::LEAF);
                    trie.nodes[node].children += 1;
                    next_level.push(siblings);
                }
                node += 1;
            }
            level = next_level;
            depth += 1;
        }
        for child in 1..=u32::from(trie.nodes[0].children) {
            trie.first_bytes[usize::from(trie.labels[child as usize])] = child;
        }
        Ok(trie)
    }

    /// One step down.
    #[inline]
    pub(crate) fn child(&self, node: TrieNode, byte: u8) -> Option<TrieNode> {
        if node == Self::ROOT {
            let child = self.first_bytes[usize::from(byte)];
            return (child != NONE).then_some(TrieNode(child));
        }
        let Node {
            first_child,
            children,
            first_label,
            ..
        } = self.nodes[node.0 as usize];
        if children <= 1 {
            return (children == 1 && first_label == byte).then_some(TrieNode(first_child));
        }
        let labels = &self.labels[first_child as usize..][..usize::from(children)];
        // The bytes after the first of a Chinese character have up to 64 labels; there halving pays.
        let found = if labels.len() <= 8 {
            labels.iter().position(|&label| label == byte)
        } else {
            labels.binary_search(&byte).ok()
        };
        found.map(|index| TrieNode(first_child + index as u32))
    }

    /// Follows all of `bytes` down from `node`.
    #[inline]
    pub(crate) fn walk(&self, node: TrieNode, bytes: &[u8]) -> Option<TrieNode> {
        bytes
            .iter()
            .try_fold(node, |node, &byte| self.child(node, byte))
    }

    /// The id of the piece that ends exactly here, if one does.
    #[inline]
    pub(crate) fn id(&self, node: TrieNode) -> Option<TokenId> {
        let id = self.nodes[node.0 as usize].id;
        (id != NONE).then_some(id)
    }

    /// The id of a whole piece.
    pub(crate) fn find(&self, piece: &[u8]) -> Option<TokenId> {
        self.id(self.walk(Self::ROOT, piece)?)
    }

    /// Length in bytes of the longest piece that `text` starts with.
    pub(crate) fn longest_prefix(&self, text: &[u8]) -> Option<usize> {
        let mut node = Self::ROOT;
        let mut longest = None;
        for (index, &byte) in text.iter().enumerate() {
            let Some(next) = self.child(node, byte) else {
                break;
            };
            node = next;
            if self.id(node).is_some() {
                longest = Some(index + 1);
            }
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn duplicates_are_named() {
        let entries: Vec<(&[u8], TokenId)> = vec![(b"b", 0), (b"a", 1), (b"a", 2)];
        assert_eq!(
            PieceTrie::new(entries).err(),
            Some(Duplicate {
                first: 1,
                second: 2
            })
        );
    }

    #[test]
    fn an_empty_trie_matches_nothing() {
        let trie = PieceTrie::new(Vec::new()).unwrap();
        assert_eq!(trie.longest_prefix(b"abc"), None);
    }

    proptest! {
        /// Against a list that is searched from end to end.
        #[test]
        fn finds_what_a_linear_search_finds(
            keys in proptest::collection::btree_set(proptest::collection::vec(0u8..4, 1..6), 0..40),
            wide in proptest::collection::btree_set(any::<u8>(), 0..200),
            text in proptest::collection::vec(0u8..4, 0..10),
        ) {
            let mut keys: Vec<Vec<u8>> = keys.into_iter().collect();
            // Nodes with many children, to reach the binary search.
            keys.extend(wide.into_iter().map(|byte| vec![9, byte]));
            let entries = keys.iter().zip(0u32..).map(|(key, id)| (key.as_slice(), id)).collect();
            let trie = PieceTrie::new(entries).unwrap();
            for (key, id) in keys.iter().zip(0u32..) {
                let node = trie.walk(PieceTrie::ROOT, key);
                prop_assert_eq!(node.and_then(|node| trie.id(node)), Some(id));
            }
            let naive = keys.iter().filter(|key| text.starts_with(key)).map(Vec::len).max();
            prop_assert_eq!(trie.longest_prefix(&text), naive);
        }
    }
}
