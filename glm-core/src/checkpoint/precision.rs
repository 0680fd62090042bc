//! What the matrices of a model are kept as: as the checkpoint stores them, or as INT8 or INT4 codes with scales.
//!
//! A [`Precision`] is what a user asks for, by a name such as `int4-g128`. What becomes of it for one checkpoint is
//! [`Forms`]: a checkpoint of codes keeps its own, and is never quantised a second time.

use std::{fmt, path::Path, str::FromStr};

use glm_quant::{Bits, GroupSize, PackedLayout};
use glm_tokenizer::{Phrase, phrase};

use crate::{
    checkpoint::{
        files::{CheckpointFiles, TensorInfo},
        names::{ExpectedTensor, Names, is_embedding, is_head},
    },
    config::{ModelConfig, QuantizationBit},
    error::{Error, Result},
};

/// Columns that share a scale where the name does not say: `int4` is `int4-g128`.
pub const DEFAULT_INT4_GROUP: GroupSize = GroupSize::G128;
/// Columns that share a scale where the name does not say: `int8` is `int8-g128`.
pub const DEFAULT_INT8_GROUP: GroupSize = GroupSize::G128;
/// Precision of embedding and head beside quantised layers, where nothing is said.
pub const DEFAULT_HEAD: Precision = Precision::INT8;

/// What matrices are kept as. [`FromStr`] and [`Display`](fmt::Display) speak the names of the table:
///
/// | name | |
/// |---|---|
/// | `stored` | as in the checkpoint |
/// | `int8-row`, `int8-g128`, `int8-g32` | INT8 codes, one scale per row, 128 or 32 columns |
/// | `int4-row`, `int4-g128`, `int4-g32` | INT4 codes, likewise |
/// | `int8`, `int4` | [`DEFAULT_INT8_GROUP`], [`DEFAULT_INT4_GROUP`]; of a checkpoint of such codes, its own |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Precision {
    /// As in the checkpoint: f32, f16, bf16, or codes.
    #[default]
    Stored,
    /// Codes and scales.
    Quantized {
        /// Bits of a code.
        bits: Bits,
        /// Columns that share a scale; `None` for the default, or the checkpoint's own.
        group: Option<GroupSize>,
    },
}

impl Precision {
    /// `int4`.
    pub const INT4: Self = Self::Quantized {
        bits: Bits::Four,
        group: None,
    };
    /// `int8`.
    pub const INT8: Self = Self::Quantized {
        bits: Bits::Eight,
        group: None,
    };
    /// Every name.
    pub const NAMES: [&str; 9] = [
        "stored",
        "int8",
        "int4",
        "int8-row",
        "int8-g128",
        "int8-g32",
        "int4-row",
        "int4-g128",
        "int4-g32",
    ];

    /// The precision of embedding and head that goes with layers of this one, where nothing is said.
    pub fn default_head(self) -> Self {
        match self {
            Self::Stored => Self::Stored,
            Self::Quantized { .. } => DEFAULT_HEAD,
        }
    }

    /// The layout of a float matrix `[rows, cols]` in this precision; `None` when it stays as it is.
    #[cfg(feature = "tensor")]
    pub(crate) fn layout(self, rows: usize, cols: usize) -> Option<PackedLayout> {
        self.form().layout(rows, cols)
    }

    /// What a float matrix becomes.
    fn form(self) -> Form {
        match self {
            Self::Stored => Form::Float,
            Self::Quantized { bits, group } => Form::Packed {
                bits,
                group: group.unwrap_or(match bits {
                    Bits::Four => DEFAULT_INT4_GROUP,
                    Bits::Eight => DEFAULT_INT8_GROUP,
                }),
            },
        }
    }

    /// Whether a matrix that is in this form already is what was asked for.
    fn is_met_by(self, form: Form) -> bool {
        match (self, form) {
            (Self::Stored, _) => true,
            (Self::Quantized { .. }, Form::Float) => false,
            (Self::Quantized { bits, group }, Form::Packed { bits: b, group: g }) => {
                bits == b && group.is_none_or(|group| group == g)
            }
        }
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let (bits, group) = name.split_once('-').unwrap_or((name, ""));
        let bits = match bits {
            "stored" if name == "stored" => return Ok(Self::Stored),
            "int4" => Some(Bits::Four),
            "int8" => Some(Bits::Eight),
            _ => None,
        };
        let group = match group {
            "" if !name.contains('-') => Some(None),
            "row" => Some(Some(GroupSize::Row)),
            "g32" => Some(Some(GroupSize::G32)),
            "g128" => Some(Some(GroupSize::G128)),
            _ => None,
        };
        match (bits, group) {
            (Some(bits), Some(group)) => Ok(Self::Quantized { bits, group }),
            _ => Err(Error::InvalidOption {
                option: "precision",
                expected: phrase!(
                    "option-one-of",
                    "one of {names}",
                    names = Self::NAMES.join(", ")
                ),
                found: Phrase::verbatim(name.chars().take(60).collect::<String>()),
            }),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Stored => "stored".to_owned(),
            Self::Quantized { bits, group } => {
                let bits = match bits {
                    Bits::Four => "int4",
                    Bits::Eight => "int8",
                };
                let group = match group {
                    None => "",
                    Some(GroupSize::Row) => "-row",
                    Some(GroupSize::G32) => "-g32",
                    Some(GroupSize::G128) => "-g128",
                };
                format!("{bits}{group}")
            }
        };
        f.pad(&name)
    }
}

/// How a matrix lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In its stored float type.
    Float,
    /// As codes.
    Packed { bits: Bits, group: GroupSize },
}

impl Form {
    /// The layout of a matrix `[rows, cols]`; `None` for floats.
    pub(super) fn layout(self, rows: usize, cols: usize) -> Option<PackedLayout> {
        match self {
            Self::Float => None,
            Self::Packed { bits, group } => Some(PackedLayout {
                rows,
                cols,
                bits,
                group,
            }),
        }
    }

    /// Of the codes that a matrix in a ggml file has; floats, when it is none or has blocks without a packed form.
    pub(super) fn of_blocks(info: &TensorInfo) -> Self {
        let bits = info.blocks.and_then(|block| block.packed_bits());
        bits.map_or(Self::Float, |bits| Self::Packed {
            bits,
            group: GroupSize::G32,
        })
    }

    /// The precision that asks for exactly this form.
    pub(super) fn precision(self) -> Precision {
        match self {
            Self::Float => Precision::Stored,
            Self::Packed { bits, group } => Precision::Quantized {
                bits,
                group: Some(group),
            },
        }
    }
}

/// The forms of a model's matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forms {
    /// The four matrices of each layer.
    pub(super) layers: Form,
    /// The embedding, and the head when it is another matrix.
    pub(super) head: Form,
}

impl Forms {
    /// Of a model without codes.
    pub(super) const FLOAT: Self = Self {
        layers: Form::Float,
        head: Form::Float,
    };

    /// The form of one matrix.
    pub(super) fn of(self, tensor: &ExpectedTensor) -> Form {
        match tensor.name.as_str() {
            name if is_embedding(name) || is_head(name) => self.head,
            _ => self.layers,
        }
    }

    /// How the matrices of a folder with this configuration are stored.
    pub(super) fn of_config(config: &ModelConfig) -> Self {
        let layers = stored_codes(config).unwrap_or(Form::Float);
        let head = match config.quantization_embeddings() {
            true => layers,
            false => Form::Float,
        };
        Self { layers, head }
    }

    /// How the matrices of a ggml file are stored, judged by the embedding and the first matrix of a layer.
    pub(super) fn of_blocks(files: &CheckpointFiles, config: &ModelConfig) -> Self {
        let names = Names::of(config);
        let form = |name: &str| files.get(name).map_or(Form::Float, Form::of_blocks);
        Self {
            layers: form(&format!("{}.weight", names.layer(0).query_key_value)),
            head: form(names.word_embeddings),
        }
    }

    /// What the checkpoint at `path`, whose matrices are `stored` like this, becomes. Codes stay what they are; with
    /// `requantize` they become others when others are asked for, and lose by it.
    ///
    /// # Errors
    /// [`Error::AlreadyQuantized`] when they are codes of another precision.
    pub(super) fn of_checkpoint(
        path: &Path,
        stored: Self,
        layers: Precision,
        head: Option<Precision>,
        requantize: bool,
    ) -> Result<Self> {
        let head = head.unwrap_or(match stored.head {
            Form::Float => layers.default_head(),
            Form::Packed { .. } => Precision::Stored,
        });
        let form = |stored: Form, asked: Precision| match stored {
            _ if asked == Precision::Stored => Ok(stored),
            Form::Packed { .. } if !requantize || asked.is_met_by(stored) => {
                check(path, stored, asked)
            }
            _ => Ok(asked.form()),
        };
        Ok(Self {
            head: form(stored.head, head)?,
            layers: form(stored.layers, layers)?,
        })
    }

    /// [`Error::AlreadyQuantized`] when the file at `path`, which is of these forms, is not what was asked for.
    #[cfg(feature = "tensor")]
    pub(super) fn check(
        self,
        path: &Path,
        layers: Precision,
        head: Option<Precision>,
    ) -> Result<()> {
        check(path, self.layers, layers)?;
        check(path, self.head, head.unwrap_or_default())?;
        Ok(())
    }
}

/// The form of the codes that a quantised checkpoint holds.
fn stored_codes(config: &ModelConfig) -> Option<Form> {
    let bits = match config.quantization_bit()? {
        QuantizationBit::Int4 => Bits::Four,
        QuantizationBit::Int8 => Bits::Eight,
    };
    let group = GroupSize::Row;
    Some(Form::Packed { bits, group })
}

fn check(path: &Path, stored: Form, asked: Precision) -> Result<Form> {
    if asked.is_met_by(stored) {
        Ok(stored)
    } else {
        Err(Error::AlreadyQuantized {
            path: path.to_path_buf(),
            found: stored.precision(),
            asked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for name in Precision::NAMES {
            let precision: Precision = name.parse().unwrap();
            assert_eq!(precision.to_string(), name);
        }
        assert_eq!(format!("{:>8}", Precision::INT4), "    int4");
    }

    #[test]
    fn other_names_are_refused_with_the_list() {
        for name in [
            "",
            "int",
            "int5",
            "int4-",
            "int4-g64",
            "stored-row",
            "INT4",
            "int4-g32-",
            "-row",
            " int4",
        ] {
            let error = name.parse::<Precision>().unwrap_err();
            for known in Precision::NAMES {
                assert!(error.to_string().contains(known), "{error}");
            }
        }
    }

    #[test]
    fn codes_are_kept_and_never_quantised_twice() {
        let row = |bits| Form::Packed {
            bits,
            group: GroupSize::Row,
        };
        let int4 = row(Bits::Four);
        let check = |name: &str| check(Path::new("x"), int4, name.parse().unwrap());
        for name in ["stored", "int4", "int4-row"] {
            assert_eq!(check(name).unwrap(), int4, "{name}");
        }
        for name in ["int8", "int8-row", "int4-g32", "int4-g128"] {
            let error = check(name).unwrap_err().to_string();
            assert!(
                error.contains(name) && error.contains("int4-row"),
                "{error}"
            );
        }
    }
}
