//! The tokenizers of this crate inside the Hugging Face crate [`tokenizers`] (feature `tokenizers`).
//!
//! [`GlmTokenizer::to_hugging_face`] gives a [`HuggingFaceTokenizer`], the `TokenizerImpl` of that crate with the exact
//! segmentation of this one: its padding, truncation, offsets, added tokens, batches and pairs, with the official ids.
//! Text becomes tokens in these parts:
//!
//! | part | what it does here |
//! |---|---|
//! | added tokens | those that the official tokenizer finds in a text, none for ChatGLM2-6B; `set_encode_special_tokens(true)` leaves them text, as [`GlmTokenizer::encode`] does |
//! | normalizer, pre-tokenizer | none; those of the crate can be put in |
//! | [`GlmModel`] | white space symbols, SentencePiece's normalisation and segmentation, bytes; offsets into the text that was given |
//! | [`GlmPostProcessor`] | what asks for an answer, `[gMASK]` and `<sop>` |
//! | [`GlmDecoder`] | the official `decode` |
//!
//! Normalisation is a part of the model, not a `Normalizer`, because that trait's text cannot say that one character
//! came from two, as under NFKC; the model can, so that offsets cover them.
//!
//! [`GlmTokenizer::to_stock`] gives the crate's own `Tokenizer`, which can be saved as `tokenizer.json`, where its parts
//! suffice.

mod decoder;
mod model;
mod post_processor;
mod stock;

use std::path::Path;

pub use tokenizers;
use tokenizers::{
    AddedToken, NormalizerWrapper, PaddingDirection, PaddingParams, PreTokenizerWrapper,
    TokenizerImpl,
};

pub use self::decoder::GlmDecoder;
pub use self::model::{GlmModel, NoTrainer};
pub use self::post_processor::GlmPostProcessor;
use crate::{Error, GlmTokenizer};

/// A tokenizer of the crate `tokenizers` whose ids are the official ones.
pub type HuggingFaceTokenizer =
    TokenizerImpl<GlmModel, NormalizerWrapper, PreTokenizerWrapper, GlmPostProcessor, GlmDecoder>;

/// Reads the SentencePiece file of a checkpoint folder; see [`GlmTokenizer::from_dir`].
///
/// # Errors
/// As [`GlmTokenizer::from_dir`] and [`GlmTokenizer::to_hugging_face`].
pub fn from_dir(dir: impl AsRef<Path>) -> Result<HuggingFaceTokenizer, Error> {
    GlmTokenizer::from_dir(dir)?.to_hugging_face()
}

/// Reads one SentencePiece file; see [`GlmTokenizer::from_file`].
///
/// # Errors
/// As [`GlmTokenizer::from_file`] and [`GlmTokenizer::to_hugging_face`].
pub fn from_file(path: impl AsRef<Path>) -> Result<HuggingFaceTokenizer, Error> {
    GlmTokenizer::from_file(path)?.to_hugging_face()
}

impl GlmTokenizer {
    /// This tokenizer as one of the crate `tokenizers`, without padding or truncation.
    ///
    /// # Errors
    /// [`Error::AmbiguousPiece`] for a vocabulary in which a piece has the name of a special token, since that crate
    /// knows tokens by their names; no published one has any.
    pub fn to_hugging_face(&self) -> Result<HuggingFaceTokenizer, Error> {
        self.check_names()?;
        let mut tokenizer = TokenizerImpl::new(GlmModel::new(self.clone()));
        tokenizer.with_post_processor(Some(GlmPostProcessor::new(self)?));
        tokenizer.with_decoder(Some(GlmDecoder::new(self.clone())));
        // White space beside them goes in the model, which knows what Python counts as such.
        let special = self.official_texts().iter();
        let special = special.map(|(text, _)| AddedToken::from(*text, true));
        tokenizer
            .add_special_tokens(special)
            .map_err(Error::HuggingFace)?;
        Ok(tokenizer)
    }

    /// How the official tokenizer pads: on the left, to the longest row, with `<pad>` (ChatGLM2-6B: `<unk>`).
    pub fn padding_params(&self) -> PaddingParams {
        let pad = self.special_tokens().pad;
        PaddingParams {
            direction: PaddingDirection::Left,
            pad_id: pad,
            pad_token: self.id_to_piece(pad).unwrap_or_default().to_owned(),
            ..PaddingParams::default()
        }
    }

    /// Tokens are told apart by name, so each name has to be the name of one.
    fn check_names(&self) -> Result<(), Error> {
        for &(name, id) in self.added_tokens() {
            if let Some(piece) = self.piece_to_id(name).filter(|piece| *piece != id) {
                return Err(Error::AmbiguousPiece {
                    piece: name.into(),
                    first: piece as usize,
                    second: id as usize,
                });
            }
        }
        Ok(())
    }
}
