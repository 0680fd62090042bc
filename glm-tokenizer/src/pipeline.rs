//! SentencePiece model file → plain text to ids: normalise, segment, fall back to bytes.
//!
//! Nothing in the text is special here; `special_tokens` and `whitespace` come before it.

use crate::bpe::Bpe;
use crate::charsmap::Charsmap;
use crate::normalizer::Normalizer;
use crate::piece_trie::PieceTrie;
use crate::sentencepiece_file::{Algorithm, Piece, PieceKind, SentencePieceFile};
use crate::unigram::Unigram;
use crate::vocabulary::Vocabulary;
use crate::{Error, TokenId};

/// A SentencePiece processor.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) vocabulary: Vocabulary,
    normalizer: Normalizer,
    segmenter: Segmenter,
}

#[derive(Debug)]
enum Segmenter {
    Unigram(Unigram),
    Bpe(Bpe),
}

impl Pipeline {
    pub(crate) fn new(file: &str, model: SentencePieceFile) -> Result<Self, Error> {
        let SentencePieceFile {
            pieces,
            algorithm,
            precompiled_charsmap,
            ..
        } = model;
        let normalizer = Normalizer {
            charsmap: match precompiled_charsmap.as_slice() {
                [] => None,
                table => Some(Charsmap::parse(file, table)?),
            },
            user_defined: match trie(file, &pieces, &[PieceKind::UserDefined])? {
                Some(_) if algorithm == Algorithm::Bpe => {
                    return Err(Error::Unsupported {
                        file: file.into(),
                        field: "pieces.type",
                        found: "user defined in a BPE model".into(),
                        expected: "user-defined pieces in a Unigram model only",
                    });
                }
                user_defined => user_defined,
            },
            add_dummy_prefix: model.add_dummy_prefix,
            remove_extra_whitespaces: model.remove_extra_whitespaces,
        };
        // Control, unknown and byte pieces are left out: text that spells them is text.
        let kinds = [PieceKind::Normal, PieceKind::UserDefined];
        let trie = trie(file, &pieces, &kinds)?.ok_or_else(|| Error::Unsupported {
            file: file.into(),
            field: "pieces",
            found: "without a normal piece".into(),
            expected: "a vocabulary",
        })?;
        let segmenter = match algorithm {
            Algorithm::Unigram => Segmenter::Unigram(Unigram::new(trie, &pieces)),
            Algorithm::Bpe => Segmenter::Bpe(Bpe::new(trie, &pieces)),
        };
        let vocabulary = Vocabulary::new(file, pieces, model.unk_surface, model.byte_fallback)?;
        Ok(Self {
            vocabulary,
            normalizer,
            segmenter,
        })
    }

    /// Appends the ids of `text`.
    pub(crate) fn encode(&self, text: &str, ids: &mut Vec<TokenId>) {
        let normalized = self.normalizer.normalize(text);
        let segments = match &self.segmenter {
            Segmenter::Unigram(unigram) => unigram.segment(&normalized),
            Segmenter::Bpe(bpe) => bpe.segment(&normalized),
        };
        ids.reserve(segments.len());
        let mut after_unknown = false;
        for (range, id) in segments {
            match (id, self.vocabulary.byte_ids()) {
                (Some(id), _) => ids.push(id),
                (None, Some(byte_ids)) => {
                    let bytes = &normalized.as_bytes()[range];
                    ids.extend(bytes.iter().map(|&byte| byte_ids[usize::from(byte)]));
                }
                // A run of unknown characters is one token.
                (None, None) if after_unknown => {}
                (None, None) => ids.push(self.vocabulary.unknown()),
            }
            after_unknown = id.is_none();
        }
    }

    /// True if decoding drops the spaces that encoding put, or may have put, before the first word.
    pub(crate) fn strips_leading_space(&self) -> LeadingSpace {
        match (
            self.normalizer.add_dummy_prefix,
            self.normalizer.remove_extra_whitespaces,
        ) {
            (_, true) => LeadingSpace::DropAll,
            (true, false) => LeadingSpace::DropOne,
            (false, false) => LeadingSpace::Keep,
        }
    }
}

/// What decoding does with spaces at the start of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeadingSpace {
    Keep,
    /// The dummy prefix of encoding.
    DropOne,
    /// A normaliser that removes extra spaces leaves none, so neither does decoding.
    DropAll,
}

/// The trie of all pieces of some kinds; none if there is no such piece.
fn trie(file: &str, pieces: &[Piece], kinds: &[PieceKind]) -> Result<Option<PieceTrie>, Error> {
    let entries: Vec<_> = (0..)
        .zip(pieces)
        .filter(|(_, piece)| kinds.contains(&piece.kind))
        .map(|(id, piece)| (piece.text.as_bytes(), id))
        .collect();
    if entries.is_empty() {
        return Ok(None);
    }
    let trie = PieceTrie::new(entries).map_err(|duplicate| {
        let first = duplicate.first as usize;
        Error::DuplicatePiece {
            file: file.into(),
            piece: pieces
                .get(first)
                .map(|piece| piece.text.clone())
                .unwrap_or_default(),
            first,
            second: duplicate.second as usize,
        }
    })?;
    Ok(Some(trie))
}
