//! The model: text to tokens, as the official tokenizer does it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use tokenizers::{
    AddedToken, Model, NormalizedString, OffsetReferential, OffsetType, PreTokenizedString, Result,
    Token, Trainer, TruncationDirection,
};

use crate::special_tokens::is_python_space;
use crate::{GlmTokenizer, TokenId};

const FIXED_VOCABULARY: &str =
    "the vocabulary of a ChatGLM model is fixed, so its tokenizer cannot be trained";

/// A [`GlmTokenizer`] as a model of the crate `tokenizers`: normalisation and segmentation in one.
///
/// Its vocabulary has the tokens that ChatGLM2-6B adds behind its pieces, too. It cannot be trained or saved: a
/// checkpoint keeps its own file.
#[derive(Debug, Clone)]
pub struct GlmModel {
    tokenizer: GlmTokenizer,
}

impl GlmModel {
    pub(super) fn new(tokenizer: GlmTokenizer) -> Self {
        Self { tokenizer }
    }

    /// The tokenizer that does the work.
    pub fn tokenizer(&self) -> &GlmTokenizer {
        &self.tokenizer
    }

    /// Tokens of `text`, which begins `shift` bytes into the text that offsets count in.
    fn tokens(&self, text: &str, shift: usize) -> Vec<Token> {
        let tokens = self.tokenizer.encode_with_offsets(text).into_iter();
        tokens
            .map(|(id, range)| {
                let piece = self.tokenizer.id_to_piece(id).unwrap_or_default();
                let offsets = (shift + range.start, shift + range.end);
                Token::new(id, piece.to_owned(), offsets)
            })
            .collect()
    }
}

impl Model for GlmModel {
    type Trainer = NoTrainer;

    fn tokenize(&self, sequence: &str) -> Result<Vec<Token>> {
        Ok(self.tokens(sequence, 0))
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.piece_to_id(token)
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_piece(id).map(str::to_owned)
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        let ids = 0..self.get_vocab_size() as TokenId;
        ids.filter_map(|id| Some((self.id_to_token(id)?, id)))
            .collect()
    }

    /// The number of ids: with those that have no piece, the image tokens of ChatGLM-6B's first generation, so that
    /// tokens that are added get ids behind all others.
    fn get_vocab_size(&self) -> usize {
        self.tokenizer.vocab_size()
    }

    fn save(&self, _folder: &Path, _prefix: Option<&str>) -> Result<Vec<PathBuf>> {
        Err("a model file of ChatGLM is not written again: copy that of the checkpoint".into())
    }

    fn get_trainer(&self) -> NoTrainer {
        NoTrainer
    }

    /// The official tokenizer strips white space beside a special token from the text, not from other added tokens.
    fn tokenize_in_pretokenized(
        &self,
        pretokenized: &mut PreTokenizedString,
        truncation: Option<(usize, TruncationDirection)>,
    ) -> Result<()> {
        let cuts = SpecialTokenCuts::of(&self.tokenizer, pretokenized);
        let tokenize = |normalized: &NormalizedString| {
            let text = normalized.get();
            let (start, end) = normalized.offsets_original();
            let trimmed = if cuts.ends.contains(&start) {
                text.trim_start_matches(is_python_space)
            } else {
                text
            };
            let shift = text.len() - trimmed.len();
            let trimmed = if cuts.starts.contains(&end) {
                trimmed.trim_end_matches(is_python_space)
            } else {
                trimmed
            };
            Ok(self.tokens(trimmed, shift))
        };
        match truncation {
            Some((max_tokens, direction)) => {
                pretokenized.tokenize_with_limit(tokenize, max_tokens, direction)
            }
            None => pretokenized.tokenize(tokenize),
        }
    }
}

/// Where the special tokens of a text begin and end, in bytes.
struct SpecialTokenCuts {
    starts: HashSet<usize>,
    ends: HashSet<usize>,
}

impl SpecialTokenCuts {
    fn of(tokenizer: &GlmTokenizer, pretokenized: &PreTokenizedString) -> Self {
        let special = tokenizer.official_texts();
        let splits = if special.is_empty() {
            Vec::new()
        } else {
            pretokenized.get_splits(OffsetReferential::Original, OffsetType::Byte)
        };
        let is_special = |token: &Token| special.iter().any(|(_, id)| *id == token.id);
        let tokens = splits.iter().filter(|(_, _, tokens)| {
            let tokens = tokens.as_deref().unwrap_or_default();
            tokens.iter().any(is_special)
        });
        let (starts, ends) = tokens.map(|(_, offsets, _)| *offsets).unzip();
        Self { starts, ends }
    }
}

/// The trainer of a model that is not trained: the published vocabularies are what the models were trained with.
#[derive(Debug, Clone, Copy)]
pub struct NoTrainer;

impl Trainer for NoTrainer {
    type Model = GlmModel;

    fn should_show_progress(&self) -> bool {
        false
    }

    fn train(&self, _model: &mut GlmModel) -> Result<Vec<AddedToken>> {
        Err(FIXED_VOCABULARY.into())
    }

    fn feed<I, S, F>(&mut self, _iterator: I, _process: F) -> Result<()>
    where
        I: Iterator<Item = S> + Send,
        S: AsRef<str> + Send,
        F: Fn(&str) -> Result<Vec<String>> + Sync,
    {
        Err(FIXED_VOCABULARY.into())
    }
}
