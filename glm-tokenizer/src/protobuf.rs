//! Just enough of the protobuf wire format to read a message field by field.
//!
//! <https://protobuf.dev/programming-guides/encoding/>. Every length is compared with the bytes that are
//! left, and a value of another wire type than the caller asks for is an error, never a guess. All
//! errors say where in the file they are.

use crate::{Error, Phrase, phrase};

/// The name of the message that is the whole file; other names are those of the format.
pub(crate) const WHOLE: &str = "the model";

/// A protobuf message being read: a window of the file.
pub(crate) struct Message<'a> {
    pub(crate) file: &'a str,
    name: &'static str,
    /// What is left of the message.
    bytes: &'a [u8],
    /// Where `bytes` starts in the file.
    offset: usize,
}

/// One field of a message.
pub(crate) struct Field<'a> {
    file: &'a str,
    offset: usize,
    pub(crate) number: u64,
    value: Value<'a>,
}

enum Value<'a> {
    Varint(u64),
    Fixed64,
    Bytes { bytes: &'a [u8], offset: usize },
    Fixed32([u8; 4]),
}

impl<'a> Message<'a> {
    /// The message that is the whole file.
    pub(crate) fn whole(file: &'a str, bytes: &'a [u8]) -> Self {
        Self {
            file,
            name: WHOLE,
            bytes,
            offset: 0,
        }
    }

    /// The next field; none at the end of the message.
    pub(crate) fn next_field(&mut self) -> Result<Option<Field<'a>>, Error> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let offset = self.offset;
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return Err(self.malformed(
                offset,
                phrase!("protobuf-field-number", "an impossible field number"),
            ));
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
            _ => {
                return Err(self.malformed(
                    offset,
                    phrase!("protobuf-wire-type", "an unknown wire type"),
                ));
            }
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
        Err(self.malformed(
            start,
            phrase!("protobuf-number-too-long", "a number of more than 64 bits"),
        ))
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

    fn malformed(&self, offset: usize, problem: Phrase) -> Error {
        Error::Malformed {
            file: self.file.into(),
            field: self.name,
            offset,
            problem,
        }
    }
}

impl<'a> Field<'a> {
    pub(crate) fn varint(&self, name: &'static str) -> Result<u64, Error> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.wire_type(name, 0)),
        }
    }

    pub(crate) fn bool(&self, name: &'static str) -> Result<bool, Error> {
        Ok(self.varint(name)? != 0)
    }

    pub(crate) fn float(&self, name: &'static str) -> Result<f32, Error> {
        match self.value {
            Value::Fixed32(word) => Ok(f32::from_le_bytes(word)),
            _ => Err(self.wire_type(name, 5)),
        }
    }

    pub(crate) fn bytes(&self, name: &'static str) -> Result<&'a [u8], Error> {
        match self.value {
            Value::Bytes { bytes, .. } => Ok(bytes),
            _ => Err(self.wire_type(name, 2)),
        }
    }

    pub(crate) fn string(&self, name: &'static str) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes(name)?).map_err(|_| Error::Malformed {
            file: self.file.into(),
            field: name,
            offset: self.offset,
            problem: phrase!("protobuf-no-utf-8", "text that is not UTF-8"),
        })
    }

    pub(crate) fn message(&self, name: &'static str) -> Result<Message<'a>, Error> {
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
