//! One ggml file as [chatglm.cpp](https://github.com/li-plus/chatglm.cpp) writes it.
//!
//! ```text
//! "ggml"  model type, i32  version, i32  header (see `ggml_header`)
//! n, i32  n bytes: the SentencePiece model
//! tensors to the end of the file, each:
//!   name length, i32  name  ndim, i32  ndim × i32: the shape, rows first  type, i32
//!   zeros up to a multiple of 16 of the file  data
//! ```
//!
//! All numbers are little-endian. Opening reads the headers and seeks over the data; whatever they claim is held against
//! the length of the file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use glm_quant::GgmlBlock;
use glm_tokenizer::{Phrase, phrase, regular_file};

use super::MAX_TENSORS;
use super::byte_source::ByteSource;
use super::ggml_header::GgmlHeader;
use super::tensor_info::{TensorInfo, WeightDType};
use super::weight_file::{self, truncated};
use crate::config::{ModelConfig, ModelFamily};
use crate::error::{Error, Result};

/// How these files begin.
const MAGIC: [u8; 4] = *b"ggml";
/// How the files of llama.cpp begin.
const GGUF_MAGIC: [u8; 4] = *b"GGUF";
/// Data begin at a multiple of this.
const ALIGNMENT: u64 = 16;
/// Longest name of a tensor, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// Most extents of a tensor: ggml's own limit.
const MAX_DIMS: usize = 4;
/// Largest SentencePiece model that is read, in bytes. That of ChatGLM-6B has 2.7 MB.
const MAX_TOKENIZER_BYTES: u64 = 64 << 20;

/// An open file.
pub(super) struct GgmlFile {
    path: PathBuf,
    source: ByteSource,
    header: GgmlHeader,
    sentencepiece: Range<u64>,
    /// Bytes of each tensor from the start of the file.
    ranges: HashMap<String, Range<u64>>,
}

/// Whether `path` begins as a ggml or GGUF file. What cannot be read does not.
pub(super) fn has_magic(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    let file = regular_file::open(path).ok();
    let read = file.and_then(|mut file| file.read_exact(&mut start).ok());
    read.is_some() && [MAGIC, GGUF_MAGIC].contains(&start)
}

impl GgmlFile {
    /// Opens `path` and gives what it holds.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::PermissionDenied`], [`Error::LfsPointer`]; [`Error::UnsupportedModel`] for GGUF, another
    /// model or an unknown version; [`Error::Truncated`], [`Error::Malformed`], [`Error::TensorType`].
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<TensorInfo>)> {
        let (file, length) = weight_file::open(path)?;
        let mut reader = Reader {
            path,
            file: BufReader::new(file),
            position: 0,
            length,
        };
        match reader.bytes::<{ MAGIC.len() }>()? {
            MAGIC => {}
            GGUF_MAGIC => {
                return Err(Error::UnsupportedModel {
                    path: path.to_path_buf(),
                    found: phrase!(
                        "found-gguf",
                        "a model in GGUF, a format that has no ChatGLM-6B (chatglm.cpp's own files begin with `ggml`)",
                    ),
                });
            }
            _ => {
                return Err(Error::malformed(
                    path,
                    phrase!("ggml-no-magic", "it does not begin with `ggml`"),
                ));
            }
        }
        let header = GgmlHeader::read(&mut reader)?;
        let sentencepiece = reader.sentencepiece()?;
        let mut ranges = HashMap::new();
        let mut tensors = Vec::new();
        while reader.position < length {
            if tensors.len() == MAX_TENSORS {
                let reason = phrase!(
                    "ggml-too-many-tensors",
                    "a file has at most {most} tensors",
                    most = MAX_TENSORS
                );
                return Err(Error::malformed(path, reason));
            }
            let (info, range) = reader.tensor()?;
            ranges.insert(info.name.clone(), range);
            tensors.push(info);
        }
        let file = Self {
            path: path.to_path_buf(),
            source: ByteSource::file(path, reader.file.into_inner()),
            header,
            sentencepiece,
            ranges,
        };
        Ok((file, tensors))
    }

    /// The bytes of one tensor as they are stored, `None` if there is no such tensor.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(range) = self.ranges.get(name) else {
            return Ok(None);
        };
        let what = phrase!("file-part-tensor", "tensor `{name}`", name = &name);
        self.source.read(range, &what).map(Some)
    }

    /// The SentencePiece model: what other checkpoints have as `ice_text.model` or `tokenizer.model`.
    pub(super) fn sentencepiece(&self) -> Result<Vec<u8>> {
        self.source.read(&self.sentencepiece, &the_tokenizer())
    }

    /// The model family of the header.
    pub(super) fn family(&self) -> ModelFamily {
        self.header.family
    }

    /// The configuration that header and tokenizer describe.
    pub(super) fn config(&self) -> Result<ModelConfig> {
        self.header.config(&self.path, || self.sentencepiece())
    }
}

/// Reads headers, and never behind the end of the file.
pub(super) struct Reader<'path> {
    path: &'path Path,
    file: BufReader<File>,
    position: u64,
    length: u64,
}

impl Reader<'_> {
    pub(super) fn path(&self) -> &Path {
        self.path
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        self.bytes().map(i32::from_le_bytes)
    }

    pub(super) fn f32(&mut self) -> Result<f32> {
        self.bytes().map(f32::from_le_bytes)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        let range = self.range(bytes.len() as u64, &phrase!("file-part-header", "a header"))?;
        self.file
            .read_exact(bytes)
            .map_err(|e| Error::io(self.path, e))?;
        self.position = range.end;
        Ok(())
    }

    /// The next `count` bytes, which are `what`.
    fn range(&self, count: u64, what: &Phrase) -> Result<Range<u64>> {
        let end = self.position.checked_add(count);
        match end.filter(|&end| end <= self.length) {
            Some(end) => Ok(self.position..end),
            None => {
                let reason = phrase!(
                    "ggml-part-cut",
                    "{what} should have {count} bytes from byte {position} on",
                    what,
                    count,
                    position = self.position
                );
                Err(truncated(self.path, self.length, reason))
            }
        }
    }

    /// Goes on behind the next `count` bytes, which are `what`.
    fn skip(&mut self, count: u64, what: &Phrase) -> Result<Range<u64>> {
        let range = self.range(count, what)?;
        let distance =
            i64::try_from(count).map_err(|e| Error::malformed(self.path, Phrase::verbatim(e)))?;
        self.file
            .seek_relative(distance)
            .map_err(|e| Error::io(self.path, e))?;
        self.position = range.end;
        Ok(range)
    }

    fn sentencepiece(&mut self) -> Result<Range<u64>> {
        let found = self.i32()?;
        match u64::try_from(found) {
            Ok(count @ 1..=MAX_TOKENIZER_BYTES) => self.skip(count, &the_tokenizer()),
            _ => Err(Error::malformed(
                self.path,
                phrase!(
                    "ggml-tokenizer-length",
                    "its tokenizer should have 1 to {most} bytes, found {found}",
                    most = MAX_TOKENIZER_BYTES,
                    found
                ),
            )),
        }
    }

    /// One tensor, without its data.
    fn tensor(&mut self) -> Result<(TensorInfo, Range<u64>)> {
        let start = self.position;
        let refuse = |path: &Path, what: Phrase, limit: usize, found: i32| {
            let reason = phrase!(
                "ggml-tensor-number",
                "the {what} of the tensor at byte {start} should be 1 to {limit}, found {found}",
                what,
                start,
                limit,
                found,
            );
            Err(Error::malformed(path, reason))
        };
        let found = self.i32()?;
        let mut name = match usize::try_from(found) {
            Ok(length @ 1..=MAX_NAME_BYTES) => vec![0; length],
            _ => {
                let what = phrase!("ggml-name-length", "length of the name");
                return refuse(self.path, what, MAX_NAME_BYTES, found);
            }
        };
        self.fill(&mut name)?;
        let name = String::from_utf8(name).map_err(|_| {
            let reason = phrase!(
                "ggml-name-no-text",
                "the name of the tensor at byte {start} is no text",
                start
            );
            Error::malformed(self.path, reason)
        })?;
        let found = self.i32()?;
        let dims = match usize::try_from(found) {
            Ok(dims @ 1..=MAX_DIMS) => dims,
            _ => {
                let what = phrase!("ggml-number-of-extents", "number of extents");
                return refuse(self.path, what, MAX_DIMS, found);
            }
        };
        let mut shape = Vec::with_capacity(dims);
        for _ in 0..dims {
            let found = self.i32()?;
            match usize::try_from(found) {
                Ok(extent @ 1..) => shape.push(extent),
                _ => {
                    let what = phrase!("ggml-extents", "extents");
                    return refuse(self.path, what, i32::MAX as usize, found);
                }
            }
        }
        let (dtype, blocks) = WeightDType::from_ggml(self.i32()?, self.path, &name)?;
        let bytes = byte_len(&shape, dtype, blocks).ok_or_else(|| {
            let reason = phrase!(
                "ggml-tensor-too-large",
                "tensor `{name}` of shape {shape} is too large, or no whole blocks",
                name = &name,
                shape = format!("{shape:?}")
            );
            Error::malformed(self.path, reason)
        })?;
        let padding = self.position.next_multiple_of(ALIGNMENT) - self.position;
        let what = phrase!("file-part-tensor", "tensor `{name}`", name = &name);
        self.skip(padding, &what)?;
        let range = self.skip(bytes, &what)?;
        let info = TensorInfo {
            name,
            dtype,
            shape,
            blocks,
            file: self.path.to_path_buf(),
        };
        Ok((info, range))
    }
}

fn the_tokenizer() -> Phrase {
    phrase!("file-part-tokenizer", "the tokenizer")
}

/// Bytes of a tensor in the file; `None` when they cannot be counted, or a row is no whole blocks.
fn byte_len(shape: &[usize], dtype: WeightDType, blocks: Option<GgmlBlock>) -> Option<u64> {
    let elements = shape
        .iter()
        .try_fold(1_u64, |count, &extent| count.checked_mul(extent as u64))?;
    // What the weights take, also those of blocks, must be countable.
    let bytes = elements.checked_mul(dtype.size() as u64)?;
    let Some(block) = blocks else {
        return Some(bytes);
    };
    let columns = GgmlBlock::COLUMNS;
    shape.last().filter(|last| last.is_multiple_of(columns))?;
    Some(elements / columns as u64 * block.byte_len() as u64)
}
