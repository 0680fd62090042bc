//! A quick look at a SentencePiece file: whose it is, without making a tokenizer of it.

use std::path::Path;

use crate::sentencepiece_file::{self, Algorithm, SentencePieceFile};
use crate::{Error, Family, TokenId, first_generation, special_tokens};

/// Tokens that a configuration names by their ids, where they are pieces of ChatGLM-6B.
const CHATGLM_PIECES: [&str; 4] = ["[MASK]", "[gMASK]", "<sop>", "<eop>"];
/// The only one that ChatGLM2-6B has as a piece.
const CHATGLM2_PIECES: [&str; 1] = ["</s>"];

/// What tells whether a SentencePiece file belongs to a model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenizerFile {
    /// The family whose rules it is for.
    pub family: Family,
    /// Whether a text is encoded as if a space stood before it. The file of CodeGeeX2-6B is that of ChatGLM2-6B without.
    pub dummy_prefix: bool,
    /// Special tokens that are there, with their ids.
    special: Vec<(&'static str, TokenId)>,
}

impl TokenizerFile {
    /// Looks at the file at `path`.
    ///
    /// # Errors
    /// As [`GlmTokenizer::from_file`](crate::GlmTokenizer::from_file), of those that the list of pieces shows.
    pub fn look(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = sentencepiece_file::read(path)?;
        let mut model = SentencePieceFile::parse(&path.display().to_string(), &bytes)?;
        let family = Family::complete(&mut model);
        // At most MAX_PIECES, which fits.
        let ids = 0..model.pieces.len() as TokenId;
        let (pieces, added) = match family {
            Family::ChatGlm | Family::ChatGlmFirstGeneration => (&CHATGLM_PIECES[..], None),
            Family::ChatGlm2 => (
                &CHATGLM2_PIECES[..],
                Some(("<sop>", special_tokens::chatglm2_sop(ids.end))),
            ),
        };
        let found = ids.zip(&model.pieces).filter_map(|(id, piece)| {
            let name = pieces.iter().find(|name| **name == &*piece.text)?;
            Some((*name, id + family.id_offset()))
        });
        let special = found.chain(added).collect();
        Ok(Self {
            family,
            dummy_prefix: model.add_dummy_prefix,
            special,
        })
    }

    /// The id of `[MASK]`, `[gMASK]`, `<sop>` or `<eop>` in ChatGLM-6B, of `<sop>` or `</s>` in ChatGLM2-6B; `None` where
    /// it is missing, which is an error when a tokenizer is made, or for another token.
    pub fn special_id(&self, token: &str) -> Option<TokenId> {
        let special = self.special.iter().find(|(name, _)| *name == token);
        special.map(|(_, id)| *id)
    }
}

impl Family {
    /// The family of a model file, whose pieces are made complete.
    pub(crate) fn complete(model: &mut SentencePieceFile) -> Self {
        match model.algorithm {
            Algorithm::Bpe => Self::ChatGlm2,
            Algorithm::Unigram if first_generation::is_first_generation(model) => {
                first_generation::complete(model);
                Self::ChatGlmFirstGeneration
            }
            // Special pieces that it lacks are an error when the tokenizer is made.
            Algorithm::Unigram => Self::ChatGlm,
        }
    }
}
