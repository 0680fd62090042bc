//! A quick look at a SentencePiece file: whose it is, without making a tokenizer of it.

use std::path::Path;

use crate::sentencepiece_file::{self, Algorithm, SentencePieceFile};
use crate::{Error, Family, TokenId, first_generation, special_tokens};

/// What tells whether a SentencePiece file belongs to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenizerFile {
    /// The family whose rules it is for.
    pub family: Family,
    /// The id of `<sop>`; `None` where it is missing, which is an error when a tokenizer is made.
    pub sop: Option<TokenId>,
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
        let sop = match family {
            Family::ChatGlm2 => Some(special_tokens::chatglm2_sop(ids.end)),
            Family::ChatGlm | Family::ChatGlmFirstGeneration => ids
                .zip(&model.pieces)
                .find(|(_, piece)| piece.text == "<sop>")
                .map(|(id, _)| id + family.id_offset()),
        };
        Ok(Self { family, sop })
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
