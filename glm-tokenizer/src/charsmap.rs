//! The compiled normalisation table of a SentencePiece model (`precompiled_charsmap`).
//!
//! ```text
//! ┌────────────┬──────────────────────────────────┬───────────────────────────────┐
//! │ u32 LE: n  │ n bytes: u32 LE units of a Darts │ replacements, UTF-8, each one │
//! │            │ double-array trie                │ ended by a zero byte          │
//! └────────────┴──────────────────────────────────┴───────────────────────────────┘
//! ```
//! A key of the trie is a character sequence, its value the position of the replacement. The unit
//! layout is that of darts-clone: label in the low byte, bit 8 "a value follows", bits 10.. the offset
//! (shifted by 8 when bit 9 is set), bit 31 "this unit is a value". Label 0 marks values, so no key contains a zero byte.
//!
//! A table may lie: its trie may loop, which would make normalising take the square of the text's length, and one
//! replacement may be as long as the file, which would make a word millions of tokens. Both have limits, checked once,
//! in time proportional to the table.

use crate::{Error, phrase};

const HAS_VALUE: u32 = 1 << 8;
const IS_VALUE: u32 = 1 << 31;
const LABEL: u32 = 0xff;

/// Longest key of a rule, in bytes. The longest published one has 10.
pub(crate) const MAX_KEY_BYTES: usize = 64;
/// Longest replacement, in bytes. The longest published one has 33: U+FDFA, an Arabic phrase in one character.
pub(crate) const MAX_REPLACEMENT_BYTES: usize = 256;

/// Normalisation rules: the longest rule that matches is applied.
#[derive(Debug)]
pub(crate) struct Charsmap {
    units: Vec<u32>,
    replacements: String,
}

impl Charsmap {
    /// Reads the table and checks every value in it, so that a look-up cannot fail later.
    pub(crate) fn parse(file: &str, table: &[u8]) -> Result<Self, Error> {
        let broken = |problem| Error::Charsmap {
            file: file.into(),
            problem,
        };
        let (size, rest) = table
            .split_first_chunk::<4>()
            .ok_or_else(|| broken(phrase!("charsmap-too-short", "is shorter than 4 bytes")))?;
        let size = usize::try_from(u32::from_le_bytes(*size)).ok();
        let (trie, replacements) = size
            .and_then(|size| rest.split_at_checked(size))
            .ok_or_else(|| {
                broken(phrase!(
                    "charsmap-trie-too-long",
                    "has a trie longer than the table"
                ))
            })?;
        let (units, []) = trie.as_chunks::<4>() else {
            return Err(broken(phrase!(
                "charsmap-trie-units",
                "has a trie that is not made of 4-byte units"
            )));
        };
        let units: Vec<u32> = units.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        if units.is_empty() {
            return Err(broken(phrase!("charsmap-trie-empty", "has an empty trie")));
        }
        let replacements = std::str::from_utf8(replacements)
            .map_err(|_| {
                broken(phrase!(
                    "charsmap-no-utf-8",
                    "has replacements that are not UTF-8"
                ))
            })?
            .to_owned();
        if !replacements.ends_with('\0') {
            return Err(broken(phrase!(
                "charsmap-no-closing-zero",
                "has a last replacement without its closing zero"
            )));
        }
        let longest = replacements.split('\0').map(str::len).max().unwrap_or(0);
        if longest > MAX_REPLACEMENT_BYTES {
            return Err(Error::LimitExceeded {
                file: file.into(),
                what: phrase!(
                    "size-of-replacement",
                    "the length in bytes of a replacement in normalizer_spec.precompiled_charsmap",
                ),
                found: longest,
                limit: MAX_REPLACEMENT_BYTES,
            });
        }

        for (index, &unit) in units.iter().enumerate() {
            if unit & IS_VALUE != 0 {
                let start = (unit & !IS_VALUE) as usize;
                if start >= replacements.len() || !replacements.is_char_boundary(start) {
                    return Err(broken(phrase!(
                        "charsmap-replacement-outside",
                        "has a rule whose replacement is outside the table"
                    )));
                }
            } else if unit & HAS_VALUE != 0 {
                let value = units.get(index ^ offset(unit));
                if value.is_none_or(|value| value & IS_VALUE == 0) {
                    return Err(broken(phrase!(
                        "charsmap-no-replacement",
                        "has a rule without a replacement"
                    )));
                }
            }
        }
        if Heights::new(&units).of(offset(units[0]), 0).is_none() {
            return Err(broken(phrase!(
                "charsmap-trie-loops",
                "has a trie that loops, or whose keys are longer than 64 bytes"
            )));
        }
        Ok(Self {
            units,
            replacements,
        })
    }

    /// The longest rule that `text` starts with: its length in bytes and what replaces it.
    pub(crate) fn longest_rule(&self, text: &[u8]) -> Option<(usize, &str)> {
        let mut position = offset(*self.units.first()?);
        let mut longest = None;
        for (index, &byte) in text.iter().enumerate() {
            position ^= usize::from(byte);
            let Some(&unit) = self.units.get(position) else {
                break;
            };
            if byte == 0 || unit & (IS_VALUE | LABEL) != u32::from(byte) {
                break;
            }
            position ^= offset(unit);
            if unit & HAS_VALUE != 0 {
                longest = Some((index + 1, position));
            }
        }
        let (length, position) = longest?;
        let start = (self.units.get(position)? & !IS_VALUE) as usize;
        let replacement = self.replacements.get(start..)?.split('\0').next()?;
        Some((length, replacement))
    }
}

/// How long the keys below each place of a trie are, without trying 256 bytes at each of them.
///
/// The children of a unit lie at `base ^ label`, so a unit's own index and label say whose child it is, and one pass
/// over the units sorts them by parent. Units that end in the same ways share their children, which are therefore
/// looked at once by base, not once by parent.
struct Heights<'a> {
    units: &'a [u32],
    /// Units by base: those of base `b` are `children[starts[b]..starts[b + 1]]`.
    starts: Vec<u32>,
    children: Vec<u32>,
    /// By base, once known.
    heights: Vec<Option<u8>>,
}

impl<'a> Heights<'a> {
    fn new(units: &'a [u32]) -> Self {
        // A label changes no more than the low byte of an index.
        let bases = units.len().next_multiple_of(1 + LABEL as usize);
        let edges = || {
            (0u32..)
                .zip(units)
                .filter(|&(_, unit)| unit & IS_VALUE == 0 && unit & LABEL != 0)
                .map(|(index, unit)| (index, (index ^ (unit & LABEL)) as usize))
        };
        let mut starts = vec![0; bases + 1];
        for (_, base) in edges() {
            starts[base + 1] += 1;
        }
        for base in 0..bases {
            starts[base + 1] += starts[base];
        }
        let mut next = starts.clone();
        let mut children = vec![0; starts[bases] as usize];
        for (index, base) in edges() {
            children[next[base] as usize] = index;
            next[base] += 1;
        }
        Self {
            units,
            starts,
            children,
            heights: vec![None; bases],
        }
    }

    /// The length of the longest key that continues at `base`, `depth` bytes into the key; none if the whole of it is
    /// longer than the limit, as every key of a loop is.
    fn of(&mut self, base: usize, depth: usize) -> Option<usize> {
        let height = match self.heights.get(base) {
            // Beyond the units there is nothing.
            None => 0,
            Some(Some(height)) => usize::from(*height),
            // Also bounds the depth of the calls.
            Some(None) if depth > MAX_KEY_BYTES => return None,
            Some(None) => {
                let mut height = 0;
                for child in self.starts[base]..self.starts[base + 1] {
                    let index = self.children[child as usize] as usize;
                    let below = self.of(index ^ offset(self.units[index]), depth + 1)?;
                    height = height.max(1 + below);
                }
                // At most MAX_KEY_BYTES, which fits.
                self.heights[base] = Some(height as u8);
                height
            }
        };
        (depth + height <= MAX_KEY_BYTES).then_some(height)
    }
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(units: &[u32], replacements: &str) -> Vec<u8> {
        let mut table = (units.len() as u32 * 4).to_le_bytes().to_vec();
        table.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        table.extend(replacements.as_bytes());
        table
    }

    /// A trie whose level `k` of children lies at base `256 * (k + 1)`, with `labels` leading from each level to the
    /// next; the last level leads to the base `end`.
    fn levels(count: usize, labels: &[u8], end: usize) -> Vec<u32> {
        let mut units = vec![0; 256 * (count + 2)];
        units[0] = 256 << 10;
        for level in 1..=count {
            for &label in labels {
                let index = (256 * level) ^ usize::from(label);
                let target = if level == count {
                    end
                } else {
                    256 * (level + 1)
                };
                units[index] = ((index ^ target) as u32) << 10 | u32::from(label);
            }
        }
        units
    }

    fn parse(units: &[u32]) -> Result<Charsmap, Error> {
        Charsmap::parse("some.model", &table(units, "x\0"))
    }

    /// All parents of a level share its children, as in the tables that darts-clone makes: 3^64 ways through 64 levels,
    /// so that looking at each of them would never end.
    #[test]
    fn shared_levels_are_looked_at_once() {
        let beyond = 256 * (MAX_KEY_BYTES + 1);
        parse(&levels(MAX_KEY_BYTES, b"abc", beyond)).unwrap();
        let units = levels(MAX_KEY_BYTES, b"abc", beyond);
        let mut heights = Heights::new(&units);
        assert_eq!(heights.of(256, 0), Some(MAX_KEY_BYTES));
        let known = heights.heights.iter().filter(|height| height.is_some());
        assert_eq!(known.count(), MAX_KEY_BYTES + 1);
    }

    #[test]
    fn keys_that_are_too_long_or_endless_are_refused() {
        let beyond = 256 * (MAX_KEY_BYTES + 2);
        let too_long = levels(MAX_KEY_BYTES + 1, b"ab", beyond);
        let loop_of_one = levels(1, b"a", 256);
        let loop_of_three = levels(3, b"abc", 256);
        let back_to_the_root = levels(2, b"a", 0);
        let mut root_loop = levels(1, b"a", 512);
        root_loop[0] |= u32::from(b'a');
        for units in [too_long, loop_of_one, loop_of_three] {
            let error = parse(&units).unwrap_err();
            assert!(matches!(error, Error::Charsmap { .. }), "{error:?}");
        }
        // The root is a child of nothing: its label is 0.
        for units in [back_to_the_root, root_loop] {
            parse(&units).unwrap();
        }
    }

    #[test]
    fn a_replacement_has_a_limit() {
        let units = [256 << 10];
        for (length, fits) in [
            (MAX_REPLACEMENT_BYTES, true),
            (MAX_REPLACEMENT_BYTES + 1, false),
            (5_000_000, false),
        ] {
            let replacements = format!("a\0{}\0", "x".repeat(length));
            let parsed = Charsmap::parse("some.model", &table(&units, &replacements));
            match parsed {
                Ok(_) => assert!(fits, "{length}"),
                Err(Error::LimitExceeded { found, limit, .. }) => {
                    assert!(!fits && found == length && limit == MAX_REPLACEMENT_BYTES);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}
