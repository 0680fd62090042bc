//! Reader of a SentencePiece `.model` file, which is one protobuf message, `ModelProto`
//! (`sentencepiece_model.proto` of google/sentencepiece).
//!
//! The file comes from the network, so nothing in it is believed: sizes have named limits, every piece is
//! checked, and what no ChatGLM model uses is refused rather than half supported. Unknown fields are
//! skipped, as protobuf asks for.

use std::path::Path;

use crate::protobuf::Message;
use crate::regular_file::{self, FileError};
use crate::{Error, Phrase, phrase};

/// Largest file read, in bytes. The largest published one has 2.7 million.
pub(crate) const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;
/// Most pieces in one file. The largest published one has 130,344.
pub(crate) const MAX_PIECES: usize = 1 << 20;
/// Longest piece, in bytes of UTF-8.
pub(crate) const MAX_PIECE_BYTES: usize = 1024;
/// Longest text for unknown pieces, in bytes: each of them gives it when it is decoded. The published ones have 5.
pub(crate) const MAX_UNK_SURFACE_BYTES: usize = 64;
/// Largest score of a piece, up or down, so that sums of scores stay finite. Log probabilities are near 0; the scores of
/// BPE pieces count down to minus their number.
pub(crate) const MAX_SCORE: f32 = 1e9;

/// The parts of a SentencePiece model that decide about text and ids.
#[derive(Debug)]
pub(crate) struct SentencePieceFile {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) algorithm: Algorithm,
    pub(crate) byte_fallback: bool,
    /// Text that stands for `<unk>` in decoded text.
    pub(crate) unk_surface: String,
    /// Compiled normalisation rules; empty means identity.
    pub(crate) precompiled_charsmap: Vec<u8>,
    pub(crate) add_dummy_prefix: bool,
    pub(crate) remove_extra_whitespaces: bool,
}

/// One entry of the vocabulary; its index is its token id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) score: f32,
    pub(crate) kind: PieceKind,
}

/// `ModelProto.SentencePiece.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Byte,
}

/// `TrainerSpec.ModelType`, as far as ChatGLM models use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Unigram,
    Bpe,
}

impl SentencePieceFile {
    /// Reads a whole file; `file` is its name in error messages.
    pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(Error::Empty { file: file.into() });
        }
        if bytes.len() > MAX_FILE_BYTES {
            return Err(limit(file, file_size(), bytes.len(), MAX_FILE_BYTES));
        }
        if bytes.starts_with(b"version https://git-lfs") {
            return Err(Error::LfsPointer { file: file.into() });
        }

        // Defaults are those of sentencepiece_model.proto.
        let mut model = Self {
            pieces: Vec::new(),
            algorithm: Algorithm::Unigram,
            byte_fallback: false,
            unk_surface: " \u{2047} ".into(),
            precompiled_charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
        };
        let mut message = Message::whole(file, bytes);
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => {
                    let id = model.pieces.len();
                    if id == MAX_PIECES {
                        return Err(limit(
                            file,
                            phrase!("size-of-vocabulary", "the number of pieces"),
                            id + 1,
                            MAX_PIECES,
                        ));
                    }
                    let piece = read_piece(field.message("pieces")?, id)?;
                    model.pieces.push(piece);
                }
                2 => model.read_trainer_spec(field.message("trainer_spec")?)?,
                3 => model.read_normalizer_spec(field.message("normalizer_spec")?)?,
                5 => refuse_denormalizer(field.message("denormalizer_spec")?)?,
                _ => {}
            }
        }
        Ok(model)
    }

    fn read_trainer_spec(&mut self, mut message: Message<'_>) -> Result<(), Error> {
        while let Some(field) = message.next_field()? {
            match field.number {
                3 => {
                    self.algorithm = match field.varint("trainer_spec.model_type")? {
                        1 => Algorithm::Unigram,
                        2 => Algorithm::Bpe,
                        other => {
                            return Err(Error::Unsupported {
                                file: message.file.into(),
                                field: "trainer_spec.model_type",
                                found: Phrase::verbatim(other),
                                expected: phrase!("tokenizer-algorithms", "1 (Unigram) or 2 (BPE)"),
                            });
                        }
                    };
                }
                24 => refuse(
                    message.file,
                    "trainer_spec.treat_whitespace_as_suffix",
                    field.bool("trainer_spec.treat_whitespace_as_suffix")?,
                    false,
                )?,
                35 => self.byte_fallback = field.bool("trainer_spec.byte_fallback")?,
                44 => {
                    let surface = field.string("trainer_spec.unk_surface")?;
                    if surface.len() > MAX_UNK_SURFACE_BYTES {
                        return Err(limit(
                            message.file,
                            phrase!(
                                "size-of-unk-surface",
                                "the length in bytes of trainer_spec.unk_surface"
                            ),
                            surface.len(),
                            MAX_UNK_SURFACE_BYTES,
                        ));
                    }
                    self.unk_surface = surface.into();
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normalizer_spec(&mut self, mut message: Message<'_>) -> Result<(), Error> {
        while let Some(field) = message.next_field()? {
            match field.number {
                2 => {
                    let table = field.bytes("normalizer_spec.precompiled_charsmap")?;
                    self.precompiled_charsmap = table.to_vec();
                }
                3 => self.add_dummy_prefix = field.bool("normalizer_spec.add_dummy_prefix")?,
                4 => {
                    self.remove_extra_whitespaces =
                        field.bool("normalizer_spec.remove_extra_whitespaces")?;
                }
                5 => refuse(
                    message.file,
                    "normalizer_spec.escape_whitespaces",
                    field.bool("normalizer_spec.escape_whitespaces")?,
                    true,
                )?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The bytes of a SentencePiece file, if it is not too large to be one.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let too_long = |found| {
        let file = path.display().to_string();
        limit(&file, file_size(), found, MAX_FILE_BYTES)
    };
    let refused = |error| match error {
        FileError::Io(source) => Error::Io {
            path: path.into(),
            source,
        },
        FileError::Kind(found) => Error::NotAFile {
            path: path.into(),
            found,
        },
        FileError::TooLong { .. } => too_long(MAX_FILE_BYTES + 1),
    };
    let file = regular_file::open(path).map_err(refused)?;
    let size = file
        .metadata()
        .map_err(|error| refused(error.into()))?
        .len();
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    // Before reading: the wrong file may well be a shard of ten gigabytes.
    if size > MAX_FILE_BYTES {
        return Err(too_long(size));
    }
    regular_file::read_at_most(file, MAX_FILE_BYTES as u64).map_err(refused)
}

fn read_piece(mut message: Message<'_>, id: usize) -> Result<Piece, Error> {
    let file = message.file;
    let bad = |problem| Error::BadPiece {
        file: file.into(),
        id,
        problem,
    };
    let mut piece = Piece {
        text: String::new(),
        score: 0.0,
        kind: PieceKind::Normal,
    };
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => piece.text = field.string("pieces.piece")?.into(),
            // Adding 0.0 turns -0.0, which BPE files do contain, into 0.0: scores that are equal
            // have to compare as equal.
            2 => piece.score = field.float("pieces.score")? + 0.0,
            3 => {
                piece.kind = match field.varint("pieces.type")? {
                    1 => PieceKind::Normal,
                    2 => PieceKind::Unknown,
                    3 => PieceKind::Control,
                    4 => PieceKind::UserDefined,
                    6 => PieceKind::Byte,
                    _ => {
                        return Err(bad(phrase!(
                            "piece-type",
                            "has a type other than normal, unknown, control, user defined or byte",
                        )));
                    }
                };
            }
            _ => {}
        }
    }
    if piece.text.is_empty() {
        return Err(bad(phrase!("piece-no-text", "has no text")));
    }
    if piece.text.len() > MAX_PIECE_BYTES {
        return Err(limit(
            file,
            phrase!("size-of-piece", "the length of a piece in bytes"),
            piece.text.len(),
            MAX_PIECE_BYTES,
        ));
    }
    if !piece.score.is_finite() {
        return Err(bad(phrase!(
            "piece-score-not-finite",
            "has a score that is not a finite number"
        )));
    }
    if piece.score.abs() > MAX_SCORE {
        return Err(bad(phrase!(
            "piece-score-too-large",
            "has a score beyond 1e9 or -1e9"
        )));
    }
    Ok(piece)
}

/// A denormaliser would rewrite decoded text; no ChatGLM model has one.
fn refuse_denormalizer(mut message: Message<'_>) -> Result<(), Error> {
    while let Some(field) = message.next_field()? {
        if field.number == 2 {
            let table = field.bytes("denormalizer_spec.precompiled_charsmap")?;
            if !table.is_empty() {
                return Err(Error::Unsupported {
                    file: message.file.into(),
                    field: "denormalizer_spec.precompiled_charsmap",
                    found: phrase!(
                        "tokenizer-table",
                        "a table of {bytes} bytes",
                        bytes = table.len()
                    ),
                    expected: phrase!("tokenizer-no-table", "no table"),
                });
            }
        }
    }
    Ok(())
}

fn refuse(file: &str, field: &'static str, found: bool, expected: bool) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Unsupported {
        file: file.into(),
        field,
        found: Phrase::verbatim(found),
        expected: Phrase::verbatim(expected),
    })
}

fn file_size() -> Phrase {
    phrase!("size-of-file", "the file size in bytes")
}

fn limit(file: &str, what: Phrase, found: usize, limit: usize) -> Error {
    Error::LimitExceeded {
        file: file.into(),
        what,
        found,
        limit,
    }
}
