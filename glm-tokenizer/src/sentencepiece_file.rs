//! Reader of a SentencePiece `.model` file, which is one protobuf message, `ModelProto`
//! (`sentencepiece_model.proto` of google/sentencepiece).
//!
//! The file comes from the network, so nothing in it is believed: every length is compared with the
//! bytes that are left, sizes have named limits, and the wire type of every known field is checked.
//! Unknown fields are skipped, as protobuf asks for.

use crate::Error;

/// Largest file read, in bytes. The largest published one has 2.7 million.
pub(crate) const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;
/// Most pieces in one file. The largest published one has 130,344.
pub(crate) const MAX_PIECES: usize = 1 << 20;
/// Longest piece, in bytes of UTF-8.
pub(crate) const MAX_PIECE_BYTES: usize = 1024;

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
            return Err(limit(
                file,
                "the file size in bytes",
                bytes.len(),
                MAX_FILE_BYTES,
            ));
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
                        return Err(limit(file, "the number of pieces", id + 1, MAX_PIECES));
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
                                found: other.to_string(),
                                expected: "1 (Unigram) or 2 (BPE)",
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
                44 => self.unk_surface = field.string("trainer_spec.unk_surface")?.into(),
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
                        return Err(bad(
                            "has a type other than normal, unknown, control, user defined or byte",
                        ));
                    }
                };
            }
            _ => {}
        }
    }
    if piece.text.is_empty() {
        return Err(bad("has no text"));
    }
    if piece.text.len() > MAX_PIECE_BYTES {
        return Err(limit(
            file,
            "the length of a piece in bytes",
            piece.text.len(),
            MAX_PIECE_BYTES,
        ));
    }
    if !piece.score.is_finite() {
        return Err(bad("has a score that is not a finite number"));
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
                    found: format!("a table of {} bytes", table.len()),
                    expected: "no table",
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
        found: found.to_string(),
        expected: if expected { "true" } else { "false" },
    })
}

fn limit(file: &str, what: &'static str, found: usize, limit: usize) -> Error {
    Error::LimitExceeded {
        file: file.into(),
        what,
        found,
        limit,
    }
}

/// A protobuf message being read: a window of the file.
struct Message<'a> {
    file: &'a str,
    name: &'static str,
    /// What is left of the message.
    bytes: &'a [u8],
    /// Where `bytes` starts in the file.
    offset: usize,
}

struct Field<'a> {
    file: &'a str,
    offset: usize,
    number: u64,
    value: Value<'a>,
}

enum Value<'a> {
    Varint(u64),
    Fixed64,
    Bytes { bytes: &'a [u8], offset: usize },
    Fixed32([u8; 4]),
}

impl<'a> Message<'a> {
    fn whole(file: &'a str, bytes: &'a [u8]) -> Self {
        Self {
            file,
            name: "the model",
            bytes,
            offset: 0,
        }
    }

    fn next_field(&mut self) -> Result<Option<Field<'a>>, Error> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let offset = self.offset;
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return Err(self.malformed(offset, "an impossible field number"));
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8, offset)?;
                Value::Fixed64
            }
            2 => {
                let length = self.varint()?;
                let start = self.offset;
                Value::Bytes {
                    bytes: self.take(length, offset)?,
                    offset: start,
                }
            }
            5 => {
                let mut word = [0; 4];
                word.copy_from_slice(self.take(4, offset)?);
                Value::Fixed32(word)
            }
            _ => return Err(self.malformed(offset, "an unknown wire type")),
        };
        Ok(Some(Field {
            file: self.file,
            offset,
            number,
            value,
        }))
    }

    /// Seven bits a byte, low ones first; the top bit says that more follow.
    fn varint(&mut self) -> Result<u64, Error> {
        let start = self.offset;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some((&byte, rest)) = self.bytes.split_first() else {
                return Err(self.truncated(start, 1));
            };
            self.bytes = rest;
            self.offset += 1;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.malformed(start, "a number of more than 64 bits"))
    }

    fn take(&mut self, length: u64, field_offset: usize) -> Result<&'a [u8], Error> {
        let split = usize::try_from(length)
            .ok()
            .and_then(|length| self.bytes.split_at_checked(length));
        let Some((taken, rest)) = split else {
            return Err(self.truncated(field_offset, length));
        };
        self.bytes = rest;
        self.offset += taken.len();
        Ok(taken)
    }

    fn truncated(&self, offset: usize, expected: u64) -> Error {
        Error::Truncated {
            file: self.file.into(),
            field: self.name,
            offset,
            expected,
            found: self.bytes.len(),
        }
    }

    fn malformed(&self, offset: usize, problem: &'static str) -> Error {
        Error::Malformed {
            file: self.file.into(),
            field: self.name,
            offset,
            problem,
        }
    }
}

impl<'a> Field<'a> {
    fn varint(&self, name: &'static str) -> Result<u64, Error> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.wire_type(name, 0)),
        }
    }

    fn bool(&self, name: &'static str) -> Result<bool, Error> {
        Ok(self.varint(name)? != 0)
    }

    fn float(&self, name: &'static str) -> Result<f32, Error> {
        match self.value {
            Value::Fixed32(word) => Ok(f32::from_le_bytes(word)),
            _ => Err(self.wire_type(name, 5)),
        }
    }

    fn bytes(&self, name: &'static str) -> Result<&'a [u8], Error> {
        match self.value {
            Value::Bytes { bytes, .. } => Ok(bytes),
            _ => Err(self.wire_type(name, 2)),
        }
    }

    fn string(&self, name: &'static str) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes(name)?).map_err(|_| Error::Malformed {
            file: self.file.into(),
            field: name,
            offset: self.offset,
            problem: "text that is not UTF-8",
        })
    }

    fn message(&self, name: &'static str) -> Result<Message<'a>, Error> {
        match self.value {
            Value::Bytes { bytes, offset } => Ok(Message {
                file: self.file,
                name,
                bytes,
                offset,
            }),
            _ => Err(self.wire_type(name, 2)),
        }
    }

    fn wire_type(&self, field: &'static str, expected: u8) -> Error {
        let found = match self.value {
            Value::Varint(_) => 0,
            Value::Fixed64 => 1,
            Value::Bytes { .. } => 2,
            Value::Fixed32(_) => 5,
        };
        Error::WireType {
            file: self.file.into(),
            field,
            offset: self.offset,
            expected,
            found,
        }
    }
}
