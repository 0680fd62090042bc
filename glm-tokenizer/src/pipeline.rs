//! SentencePiece model file → plain text to ids: normalise, segment, fall back to bytes.
//!
//! Nothing in the text is special here; `special_tokens` and `whitespace` come before it.

use std::collections::HashMap;
use std::ops::Range;

use crate::bpe::Bpe;
use crate::charsmap::Charsmap;
use crate::normalizer::Normalizer;
use crate::piece_trie::{Duplicate, PieceTrie};
use crate::sentencepiece_file::{Algorithm, Piece, PieceKind, SentencePieceFile};
use crate::unigram::Unigram;
use crate::vocabulary::Vocabulary;
use crate::{Error, TokenId, phrase};

/// A SentencePiece processor.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) vocabulary: Vocabulary,
    normalizer: Normalizer,
    segmenter: Segmenter,
    /// The pieces that no text becomes: control, unknown and byte pieces.
    reserved: HashMap<String, TokenId>,
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
                        found: phrase!(
                            "tokenizer-user-defined-in-bpe",
                            "user defined in a BPE model"
                        ),
                        expected: phrase!(
                            "tokenizer-user-defined-in-unigram",
                            "user-defined pieces in a Unigram model only"
                        ),
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
            found: phrase!("tokenizer-no-normal-piece", "without a normal piece"),
            expected: phrase!("tokenizer-a-vocabulary", "a vocabulary"),
        })?;
        let reserved = reserved(file, &pieces, &trie)?;
        let segmenter = match algorithm {
            Algorithm::Unigram => Segmenter::Unigram(Unigram::new(trie, &pieces)),
            Algorithm::Bpe => Segmenter::Bpe(Bpe::new(trie, &pieces)),
        };
        let vocabulary = Vocabulary::new(file, pieces, model.unk_surface, model.byte_fallback)?;
        Ok(Self {
            vocabulary,
            normalizer,
            segmenter,
            reserved,
        })
    }

    /// Gives `emit` the ids of `text`.
    pub(crate) fn encode(&self, text: &str, mut emit: impl FnMut(TokenId)) {
        let normalized = self.normalizer.normalize(text);
        self.tokens(&normalized, |id, _| emit(id));
    }

    /// Gives `emit` the ids of `text`, each with the bytes of the text that it stands for.
    pub(crate) fn encode_with_offsets(
        &self,
        text: &str,
        mut emit: impl FnMut(TokenId, Range<usize>),
    ) {
        let normalized = self.normalizer.normalize_aligned(text);
        self.tokens(normalized.text(), |id, range| {
            emit(id, normalized.source(range));
        });
    }

    /// Gives `emit` the tokens of a normalised text, and where they are.
    fn tokens(&self, normalized: &str, mut emit: impl FnMut(TokenId, Range<usize>)) {
        let segments = match &self.segmenter {
            Segmenter::Unigram(unigram) => unigram.segment(normalized),
            Segmenter::Bpe(bpe) => bpe.segment(normalized),
        };
        // A run of unknown characters is one token.
        let mut unknown: Option<Range<usize>> = None;
        for (range, id) in segments {
            match (id, self.vocabulary.byte_ids()) {
                (Some(id), _) => {
                    if let Some(run) = unknown.take() {
                        emit(self.vocabulary.unknown(), run);
                    }
                    emit(id, range);
                }
                (None, Some(byte_ids)) => {
                    for &byte in &normalized.as_bytes()[range.clone()] {
                        emit(byte_ids[usize::from(byte)], range.clone());
                    }
                }
                (None, None) => {
                    let start = unknown.map_or(range.start, |run| run.start);
                    unknown = Some(start..range.end);
                }
            }
        }
        if let Some(run) = unknown {
            emit(self.vocabulary.unknown(), run);
        }
    }

    /// The id of a piece, of whatever kind.
    pub(crate) fn piece_to_id(&self, piece: &str) -> Option<TokenId> {
        let trie = match &self.segmenter {
            Segmenter::Unigram(unigram) => unigram.trie(),
            Segmenter::Bpe(bpe) => bpe.trie(),
        };
        let reserved = || self.reserved.get(piece).copied();
        trie.find(piece.as_bytes()).or_else(reserved)
    }

    /// True if nothing in a text changes but its spaces, each of them, to `▁`.
    #[cfg(feature = "tokenizers")]
    pub(crate) fn normalizes_spaces_only(&self) -> bool {
        let normalizer = &self.normalizer;
        normalizer.charsmap.is_none()
            && normalizer.user_defined.is_none()
            && !normalizer.remove_extra_whitespaces
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
        let Duplicate { first, second } = duplicate;
        let piece = pieces.get(first as usize);
        duplicate_piece(file, piece.map_or("", |piece| &piece.text), first, second)
    })?;
    Ok(Some(trie))
}

/// The pieces that are not in `trie`, by text. A text that two pieces have, of whatever kinds, has no one id.
fn reserved(
    file: &str,
    pieces: &[Piece],
    trie: &PieceTrie,
) -> Result<HashMap<String, TokenId>, Error> {
    let mut reserved = HashMap::new();
    let kinds = [PieceKind::Control, PieceKind::Unknown, PieceKind::Byte];
    for (id, piece) in (0..).zip(pieces) {
        if kinds.contains(&piece.kind)
            && let Some(first) = trie
                .find(piece.text.as_bytes())
                .or_else(|| reserved.insert(piece.text.clone(), id))
        {
            return Err(duplicate_piece(file, &piece.text, first, id));
        }
    }
    Ok(reserved)
}

fn duplicate_piece(file: &str, piece: &str, first: TokenId, second: TokenId) -> Error {
    Error::DuplicatePiece {
        file: file.into(),
        piece: piece.into(),
        first: first.min(second) as usize,
        second: first.max(second) as usize,
    }
}
