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
//! (shifted by 8 when bit 9 is set), bit 31 "this unit is a value".

use crate::Error;

const HAS_VALUE: u32 = 1 << 8;
const IS_VALUE: u32 = 1 << 31;

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
            .ok_or_else(|| broken("is shorter than 4 bytes"))?;
        let size = usize::try_from(u32::from_le_bytes(*size)).ok();
        let (trie, replacements) = size
            .and_then(|size| rest.split_at_checked(size))
            .ok_or_else(|| broken("has a trie longer than the table"))?;
        let (units, []) = trie.as_chunks::<4>() else {
            return Err(broken("has a trie that is not made of 4-byte units"));
        };
        let units: Vec<u32> = units.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        if units.is_empty() {
            return Err(broken("has an empty trie"));
        }
        let replacements = std::str::from_utf8(replacements)
            .map_err(|_| broken("has replacements that are not UTF-8"))?
            .to_owned();
        if !replacements.ends_with('\0') {
            return Err(broken("has a last replacement without its closing zero"));
        }

        for (index, &unit) in units.iter().enumerate() {
            if unit & IS_VALUE != 0 {
                let start = (unit & !IS_VALUE) as usize;
                if start >= replacements.len() || !replacements.is_char_boundary(start) {
                    return Err(broken("has a rule whose replacement is outside the table"));
                }
            } else if unit & HAS_VALUE != 0 {
                let value = units.get(index ^ offset(unit));
                if value.is_none_or(|value| value & IS_VALUE == 0) {
                    return Err(broken("has a rule without a replacement"));
                }
            }
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
            if unit & (IS_VALUE | 0xff) != u32::from(byte) {
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

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}
