//! The header of a prepacked file: laid out for writing, and checked in full when it is read.

#[cfg(test)]
mod tests;

use std::{ops::Range, path::Path};

use glm_tokenizer::{Phrase, phrase};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3;

use super::place::{Entry, Layout, MATRIX_ALIGNMENT, Place, form_of};
use crate::{
    checkpoint::{
        files::WeightDType,
        names::{is_head, model_tensors},
        precision::{Form, Forms, Precision},
        weight::FloatType,
    },
    config::ModelConfig,
    error::{Error, Mix, Result},
};

/// How every prepacked file begins. The line feed shows a transfer that changed line ends.
pub(in crate::checkpoint) const MAGIC: [u8; 8] = *b"GLMPACK\n";
/// Raised whenever the meaning of any byte changes, that of packed words included.
pub(in crate::checkpoint) const VERSION: u32 = 1;
/// Bytes before the header.
pub(super) const PREAMBLE_BYTES: usize = 32;
/// Where the checksum is, and what is before it is checked.
const CHECKSUM: Range<usize> = 24..32;
/// Largest header that is read. That of ChatGLM-6B has 60 kB, that of a thousand layers 2.5 MB.
const MAX_HEADER_BYTES: usize = 16 << 20;

/// What a file holds, and where.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) config: ModelConfig,
    pub(super) forms: Forms,
    /// The head last, and left out when it is the embedding.
    pub(super) tensors: Vec<Entry>,
    /// Bytes of the JSON with its padding.
    json_bytes: usize,
}

/// The header as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    config: Map<String, Value>,
    layers: String,
    head: String,
    tensors: Vec<JsonTensor>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum JsonTensor {
    Float {
        name: String,
        dtype: FloatType,
        shape: Vec<usize>,
        data: JsonRange,
    },
    Packed {
        name: String,
        rows: usize,
        cols: usize,
        /// As a [`Precision`] with its group.
        format: String,
        codes: JsonRange,
        scales: JsonRange,
    },
}

/// Counted from the start of the tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRange {
    offset: u64,
    length: u64,
}

impl Header {
    /// The layout of a file that holds the whole model. `dtype` gives the stored type of a matrix that stays float, or
    /// `None` for one that is not in the checkpoint.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the model is too large for a file, or a matrix is no float.
    pub(super) fn plan(
        path: &Path,
        config: &ModelConfig,
        forms: Forms,
        dtype: impl Fn(&str) -> Option<WeightDType>,
    ) -> Result<Self> {
        let mut layout = Layout::default();
        let mut tensors = Vec::new();
        for tensor in model_tensors(config) {
            let Some(stored) = dtype(&tensor.name) else {
                continue;
            };
            let place = layout.place(&tensor, forms, stored);
            tensors.push(Entry {
                name: tensor.name,
                place: place.ok_or_else(|| {
                    Error::malformed(
                        path,
                        phrase!("prepacked-tensor-too-large", "a tensor is too large"),
                    )
                })?,
            });
        }
        let mut header = Self {
            config: config.clone(),
            forms,
            tensors,
            json_bytes: 0,
        };
        // Ranges in the JSON count from the start of the tensors, so that its length does not depend on itself.
        header.json_bytes = header.json(0)?.len();
        let start = header.data_start();
        for entry in &mut header.tensors {
            entry.place.shift(start);
        }
        Ok(header)
    }

    /// Leaves the head out; the file ends where it would have begun.
    pub(super) fn drop_head(&mut self) {
        self.tensors.retain(|entry| !is_head(&entry.name));
    }

    /// Length of the file in bytes.
    pub(super) fn file_bytes(&self) -> usize {
        self.tensors
            .iter()
            .map(|entry| entry.place.end())
            .max()
            .unwrap_or(0)
    }

    /// The start of the file, up to the end of the header.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the header is too large.
    pub(super) fn to_bytes(&self, path: &Path) -> Result<Vec<u8>> {
        let json = self.json(self.data_start())?;
        let too_large = |_| {
            Error::malformed(
                path,
                phrase!("prepacked-header-too-large", "its header is too large"),
            )
        };
        let json_bytes = u32::try_from(self.json_bytes).map_err(too_large)?;
        let mut bytes = Vec::with_capacity(PREAMBLE_BYTES + self.json_bytes);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(json_bytes.to_le_bytes());
        bytes.extend((self.file_bytes() as u64).to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(json.into_bytes());
        bytes.resize(PREAMBLE_BYTES + self.json_bytes, b' ');
        let checksum = checksum(&bytes).to_le_bytes();
        bytes
            .iter_mut()
            .skip(CHECKSUM.start)
            .zip(checksum)
            .for_each(|(byte, value)| *byte = value);
        Ok(bytes)
    }

    /// How many bytes of a file, from its first on, [`Header::read`] takes, given at least [`PREAMBLE_BYTES`] of them.
    pub(super) fn bytes_to_read(start: &[u8]) -> usize {
        let json_bytes = start
            .get(12..16)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_le_bytes);
        let json_bytes = usize::try_from(json_bytes).unwrap_or(usize::MAX);
        PREAMBLE_BYTES + json_bytes.min(MAX_HEADER_BYTES)
    }

    /// Reads the header of a file of `file_bytes` bytes, of which `start` are the first, and holds it against the
    /// configuration in it.
    ///
    /// # Errors
    /// As [`PrepackedFile::open`](super::PrepackedFile::open).
    pub(super) fn read(path: &Path, start: &[u8], file_bytes: usize) -> Result<Self> {
        let json_bytes = check_preamble(path, start, file_bytes)?;
        let json = start.get(PREAMBLE_BYTES..PREAMBLE_BYTES + json_bytes);
        let json: Json = serde_json::from_slice(json.unwrap_or_default()).map_err(|error| {
            Error::malformed(
                path,
                phrase!(
                    "prepacked-header",
                    "its header: {reason}",
                    reason = error.to_string()
                ),
            )
        })?;
        let config = serde_json::to_vec(&json.config)
            .map_err(|error| Error::malformed(path, Phrase::verbatim(error)))?;
        let config = ModelConfig::from_json(path, &config)?;
        let forms = Forms {
            layers: form(path, &json.layers)?,
            head: form(path, &json.head)?,
        };
        let data_start = data_start(json_bytes);
        let mut tensors = Vec::with_capacity(json.tensors.len());
        for tensor in json.tensors {
            let (name, place) = tensor.read(path, data_start)?;
            tensors.push(Entry { name, place });
        }
        let header = Self {
            config,
            forms,
            tensors,
            json_bytes,
        };
        header.check_table(path)?;
        header.check_ranges(path, file_bytes)?;
        Ok(header)
    }

    /// The tensors are those of the configuration, in its order, each of the form that the header names.
    fn check_table(&self, path: &Path) -> Result<()> {
        if self.config.pre_seq_len().is_some() {
            return Err(Error::Mixed {
                mix: Mix::MissingPrefix,
                path: path.to_path_buf(),
                other: path.to_path_buf(),
            });
        }
        let mut entries = self.tensors.iter();
        for expected in model_tensors(&self.config) {
            match entries.next() {
                None if is_head(&expected.name) => return Ok(()),
                Some(entry) if entry.name == expected.name => {
                    entry.check(path, &expected, self.forms)?;
                }
                _ => {
                    return Err(Error::MissingTensor {
                        path: path.to_path_buf(),
                        tensor: expected.name,
                    });
                }
            }
        }
        match entries.next() {
            None => Ok(()),
            Some(entry) => Err(Error::UnexpectedTensor {
                path: path.to_path_buf(),
                tensor: entry.name.clone(),
            }),
        }
    }

    /// Every range is aligned, as long as its tensor, inside the file, and shared with no other.
    fn check_ranges(&self, path: &Path, file_bytes: usize) -> Result<()> {
        let mut ranges = Vec::with_capacity(2 * self.tensors.len());
        for entry in &self.tensors {
            entry.place.check(path, &entry.name)?;
            ranges.extend(
                entry
                    .place
                    .ranges()
                    .map(|range| (range.clone(), &entry.name)),
            );
        }
        ranges.sort_by_key(|(range, _)| range.start);
        let mut end = self.data_start();
        for (range, name) in ranges {
            if range.start < end || range.end > file_bytes {
                return Err(Error::malformed(
                    path,
                    phrase!(
                        "prepacked-tensor-outside",
                        "tensor `{name}` should lie between bytes {end} and {file_bytes}, found {from} to {to}",
                        name,
                        end,
                        file_bytes,
                        from = range.start,
                        to = range.end,
                    ),
                ));
            }
            end = range.end;
        }
        if end == file_bytes {
            Ok(())
        } else {
            Err(Error::malformed(
                path,
                phrase!(
                    "prepacked-length",
                    "its tensors end at byte {end}, the file at {file_bytes}",
                    end,
                    file_bytes
                ),
            ))
        }
    }

    fn data_start(&self) -> usize {
        data_start(self.json_bytes)
    }

    /// The JSON text; the ranges in memory count from byte `start` less than those in the text.
    fn json(&self, start: usize) -> Result<String> {
        let malformed =
            |error: serde_json::Error| Error::malformed("the header", Phrase::verbatim(error));
        let config = self.config.to_json()?;
        let json = Json {
            config: serde_json::from_str(&config).map_err(malformed)?,
            layers: self.forms.layers.precision().to_string(),
            head: self.forms.head.precision().to_string(),
            tensors: self
                .tensors
                .iter()
                .map(|entry| entry.to_json(start))
                .collect(),
        };
        serde_json::to_string(&json).map_err(malformed)
    }
}

impl Entry {
    fn to_json(&self, start: usize) -> JsonTensor {
        let range = |range: &Range<usize>| JsonRange {
            offset: (range.start - start) as u64,
            length: range.len() as u64,
        };
        let name = self.name.clone();
        match &self.place {
            Place::Float { dtype, shape, data } => JsonTensor::Float {
                name,
                dtype: *dtype,
                shape: shape.clone(),
                data: range(data),
            },
            Place::Packed {
                layout,
                codes,
                scales,
            } => JsonTensor::Packed {
                name,
                rows: layout.rows,
                cols: layout.cols,
                format: form_of(layout).precision().to_string(),
                codes: range(codes),
                scales: range(scales),
            },
        }
    }
}

impl JsonTensor {
    fn read(self, path: &Path, start: usize) -> Result<(String, Place)> {
        let range = |name: &str, range: &JsonRange| {
            let range = range.from(start);
            range.ok_or_else(|| {
                Error::malformed(
                    path,
                    phrase!(
                        "prepacked-tensor-beyond",
                        "tensor `{name}` lies outside of any file",
                        name
                    ),
                )
            })
        };
        match self {
            Self::Float {
                name,
                dtype,
                shape,
                data,
            } => {
                let data = range(&name, &data)?;
                Ok((name, Place::Float { dtype, shape, data }))
            }
            Self::Packed {
                name,
                rows,
                cols,
                format,
                codes,
                scales,
            } => {
                let codes = range(&name, &codes)?;
                let scales = range(&name, &scales)?;
                let layout = form(path, &format)?.layout(rows, cols).ok_or_else(|| {
                    Error::malformed(
                        path,
                        phrase!(
                            "prepacked-tensor-format",
                            "tensor `{name}` is packed as `{format}`",
                            name = &name,
                            format = &format
                        ),
                    )
                })?;
                let place = Place::Packed {
                    layout,
                    codes,
                    scales,
                };
                Ok((name, place))
            }
        }
    }
}

impl JsonRange {
    /// Counted from the start of the file, where the tensors begin at byte `start`.
    fn from(&self, start: usize) -> Option<Range<usize>> {
        let begin = usize::try_from(self.offset).ok()?.checked_add(start)?;
        let end = begin.checked_add(usize::try_from(self.length).ok()?)?;
        Some(begin..end)
    }
}

/// Checks what does not depend on the header and gives the header's length. A file of `found_bytes` bytes begins with
/// `bytes`.
fn check_preamble(path: &Path, bytes: &[u8], found_bytes: usize) -> Result<usize> {
    let found = found_bytes as u64;
    let truncated = |reason| Error::Truncated {
        path: path.to_path_buf(),
        found,
        reason,
    };
    let beginning_cut = || {
        truncated(phrase!(
            "prepacked-beginning-cut",
            "its first bytes are missing"
        ))
    };
    let magic = bytes.get(..MAGIC.len());
    if magic.is_none_or(|magic| magic != MAGIC) {
        return Err(if MAGIC.starts_with(bytes) {
            beginning_cut()
        } else {
            Error::malformed(
                path,
                phrase!(
                    "prepacked-no-model",
                    "it is no prepacked model and no ggml file; give the folder of a checkpoint, a ggml file of \
                     chatglm.cpp, or a file that `quantize` or `convert` wrote"
                ),
            )
        });
    }
    let word = |start: usize| {
        let bytes = bytes.get(start..start + 4)?;
        bytes.try_into().ok().map(u32::from_le_bytes)
    };
    let long = |start: usize| {
        let bytes = bytes.get(start..start + 8)?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    };
    match word(8) {
        Some(VERSION) => {}
        Some(found) => {
            return Err(Error::OtherVersion {
                path: path.to_path_buf(),
                found,
                expected: VERSION,
            });
        }
        None => return Err(beginning_cut()),
    }
    let (Some(json_bytes), Some(file_bytes), Some(sum)) =
        (word(12), long(16), long(CHECKSUM.start))
    else {
        return Err(beginning_cut());
    };
    let json_bytes = usize::try_from(json_bytes).unwrap_or(usize::MAX);
    if json_bytes > MAX_HEADER_BYTES {
        return Err(Error::malformed(
            path,
            phrase!(
                "prepacked-header-too-long",
                "a header has at most {most} bytes, this one {found}",
                most = MAX_HEADER_BYTES,
                found = json_bytes
            ),
        ));
    }
    let Some(checked) = bytes.get(..PREAMBLE_BYTES + json_bytes) else {
        return Err(truncated(phrase!(
            "prepacked-header-cut",
            "its header is cut off"
        )));
    };
    if checksum(checked) != sum {
        return Err(Error::malformed(
            path,
            phrase!(
                "prepacked-header-checksum",
                "the checksum of its header is wrong; quantise the checkpoint again"
            ),
        ));
    }
    if found < file_bytes {
        return Err(truncated(phrase!(
            "prepacked-file-cut",
            "it should have {file_bytes}",
            file_bytes
        )));
    }
    if found > file_bytes {
        return Err(Error::malformed(
            path,
            phrase!(
                "prepacked-file-too-long",
                "it should have {file_bytes} bytes, found {found}",
                file_bytes,
                found
            ),
        ));
    }
    Ok(json_bytes)
}

/// Of everything before the tensors but the checksum itself.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(bytes.get(..CHECKSUM.start).unwrap_or_default());
    hash.update(bytes.get(CHECKSUM.end..).unwrap_or_default());
    hash.digest()
}

fn data_start(json_bytes: usize) -> usize {
    (PREAMBLE_BYTES + json_bytes).next_multiple_of(MATRIX_ALIGNMENT)
}

fn form(path: &Path, name: &str) -> Result<Form> {
    let form = match name.parse::<Precision>() {
        Ok(Precision::Stored) => Some(Form::Float),
        Ok(Precision::Quantized { bits, group }) => group.map(|group| Form::Packed { bits, group }),
        Err(_) => None,
    };
    form.ok_or_else(|| {
        Error::malformed(
            path,
            phrase!(
                "prepacked-no-precision",
                "`{name}` is no precision",
                name = format!("{name:.40}")
            ),
        )
    })
}
