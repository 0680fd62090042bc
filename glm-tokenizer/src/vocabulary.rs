//! The pieces of a model file by id: what each one says in decoded text.

use crate::sentencepiece_file::{Piece, PieceKind};
use crate::{Error, TokenId, phrase};

/// Checked pieces of a model file.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pieces: Vec<Piece>,
    unknown: TokenId,
    unk_surface: String,
    /// Ids of `<0x00>` to `<0xFF>`, if unknown characters are written as bytes.
    byte_ids: Option<Vec<TokenId>>,
}

/// What an id stands for in decoded text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    /// A piece in which `▁` stands for a space.
    Piece(&'a str),
    /// Text to be taken as it is.
    Verbatim(&'a str),
    /// One byte of a UTF-8 character.
    Byte(u8),
    /// Nothing.
    Control,
}

impl Vocabulary {
    pub(crate) fn new(
        file: &str,
        pieces: Vec<Piece>,
        unk_surface: String,
        byte_fallback: bool,
    ) -> Result<Self, Error> {
        let mut unknown = None;
        let mut byte_ids = vec![None; 256];
        for (id, piece) in (0..).zip(&pieces) {
            let bad = |problem| Error::BadPiece {
                file: file.into(),
                id: id as usize,
                problem,
            };
            match piece.kind {
                PieceKind::Unknown if unknown.replace(id).is_some() => {
                    return Err(bad(phrase!(
                        "piece-second-unknown",
                        "is a second piece for unknown characters"
                    )));
                }
                PieceKind::Byte => {
                    let byte = parse_byte(&piece.text).ok_or_else(|| {
                        bad(phrase!(
                            "piece-byte",
                            "is a byte piece, but not written like `<0x41>`"
                        ))
                    })?;
                    // The same byte twice would be the same text twice, which the pipeline has refused.
                    byte_ids[usize::from(byte)] = Some(id);
                }
                _ => {}
            }
        }
        let missing = |piece: String, why| Error::MissingPiece {
            file: file.into(),
            piece,
            why,
        };
        let unknown = unknown.ok_or_else(|| {
            missing(
                "<unk>".into(),
                phrase!("piece-for-unknown", "which stands for unknown characters"),
            )
        })?;
        let byte_ids = byte_fallback.then(|| {
            (0u8..=255)
                .zip(byte_ids)
                .map(|(byte, id)| {
                    id.ok_or_else(|| {
                        missing(
                            format!("<0x{byte:02X}>"),
                            phrase!(
                                "piece-for-bytes",
                                "but unknown characters are to be written as bytes"
                            ),
                        )
                    })
                })
                .collect()
        });
        Ok(Self {
            pieces,
            unknown,
            unk_surface,
            byte_ids: byte_ids.transpose()?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    #[cfg(feature = "tokenizers")]
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    pub(crate) fn piece(&self, id: TokenId) -> Option<&str> {
        Some(&self.pieces.get(usize::try_from(id).ok()?)?.text)
    }

    pub(crate) fn unknown(&self) -> TokenId {
        self.unknown
    }

    /// The ids of the 256 bytes, by byte; none if the model writes `<unk>` instead.
    pub(crate) fn byte_ids(&self) -> Option<&[TokenId]> {
        self.byte_ids.as_deref()
    }

    pub(crate) fn meaning(&self, id: TokenId) -> Option<Meaning<'_>> {
        let piece = self.pieces.get(usize::try_from(id).ok()?)?;
        Some(match piece.kind {
            PieceKind::Normal | PieceKind::UserDefined => Meaning::Piece(&piece.text),
            PieceKind::Unknown => Meaning::Verbatim(&self.unk_surface),
            PieceKind::Control => Meaning::Control,
            // Every byte piece has been parsed once in `new`.
            PieceKind::Byte => parse_byte(&piece.text).map_or(Meaning::Control, Meaning::Byte),
        })
    }

    /// The id of a control piece such as `[gMASK]`. A piece of another kind is an error: if text could
    /// become it, a user could write it.
    pub(crate) fn control(&self, file: &str, text: &str) -> Result<Option<TokenId>, Error> {
        let Some((id, piece)) = (0..)
            .zip(&self.pieces)
            .find(|(_, piece)| piece.text == text)
        else {
            return Ok(None);
        };
        if piece.kind != PieceKind::Control {
            let problem = phrase!(
                "piece-no-control",
                "spells a special token, but is not a control piece"
            );
            return Err(Error::BadPiece {
                file: file.into(),
                id: id as usize,
                problem,
            });
        }
        Ok(Some(id))
    }
}

/// `<0x41>` → 0x41.
fn parse_byte(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    let written_as_by_sentencepiece = digits.len() == 2
        && digits
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
    written_as_by_sentencepiece.then(|| u8::from_str_radix(digits, 16).ok())?
}
