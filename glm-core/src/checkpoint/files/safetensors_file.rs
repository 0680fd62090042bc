//! One `.safetensors` file: its header is parsed at once, its tensors are read one at a time.
//!
//! The format is 8 bytes of header length, a JSON header, then the tensors back to back
//! (<https://github.com/huggingface/safetensors>). The `safetensors` crate checks that names, shapes and
//! ranges agree; here the ranges are held against the real length of the file before any is read.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use glm_tokenizer::{Phrase, phrase};
use safetensors::tensor::{Dtype, Metadata, TensorInfo as HeaderTensor};
use serde::Deserialize;

use super::byte_source::ByteSource;
use super::tensor_info::{TensorInfo, WeightDType};
use super::unique_entries::{Shape, UniqueEntries};
use super::weight_file::{self, truncated};
use crate::error::{Error, Result};

/// Bytes of the header length at the start.
const LENGTH_BYTES: u64 = 8;
/// Largest header accepted, in bytes. With as many tensors as are possible it has fewer.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// What the header says of a tensor.
#[derive(Deserialize)]
struct HeaderEntry {
    dtype: Dtype,
    shape: Shape,
    data_offsets: (usize, usize),
}

/// An open file, or an embedded one.
pub(super) struct SafetensorsFile {
    source: ByteSource,
    /// Bytes of each tensor from the start of the file.
    ranges: HashMap<String, Range<u64>>,
}

impl SafetensorsFile {
    /// Opens `path` and gives what it holds.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<TensorInfo>)> {
        let (mut file, length) = weight_file::open(path)?;
        let mut header = Vec::new();
        let header_length = read_header_length(path, &mut file, length)?;
        (&mut file)
            .take(header_length)
            .read_to_end(&mut header)
            .map_err(|e| Error::io(path, e))?;
        Self::from_header(path, ByteSource::file(path, file), &header, length)
    }

    /// A file that is part of the program; `path` is its name in errors.
    pub(super) fn from_memory(
        path: &Path,
        bytes: &'static [u8],
    ) -> Result<(Self, Vec<TensorInfo>)> {
        let mut rest = bytes;
        let length = bytes.len() as u64;
        let header_length = read_header_length(path, &mut rest, length)?;
        let header = usize::try_from(header_length)
            .ok()
            .and_then(|end| rest.get(..end));
        let header = header.ok_or_else(|| {
            truncated(
                path,
                length,
                phrase!("safetensors-header-cut", "its header is cut off"),
            )
        })?;
        Self::from_header(path, ByteSource::memory(path, bytes), header, length)
    }

    fn from_header(
        path: &Path,
        source: ByteSource,
        header: &[u8],
        length: u64,
    ) -> Result<(Self, Vec<TensorInfo>)> {
        let UniqueEntries(entries) = serde_json::from_slice(header)
            .map_err(|e| Error::malformed(path, Phrase::verbatim(e)))?;
        let mut entries: Vec<_> = entries.into_iter().map(tensor_of_header).collect();
        entries.sort_by_key(|(_, info)| info.data_offsets);
        let metadata = Metadata::new(None, entries)
            .map_err(|e| Error::malformed(path, Phrase::verbatim(e)))?;
        let data_start = LENGTH_BYTES + header.len() as u64;
        let found = length - data_start;
        let promised = metadata.data_len() as u64;
        if found < promised {
            return Err(truncated(
                path,
                length,
                phrase!(
                    "safetensors-data-cut",
                    "its header describes {promised} bytes of tensors, {found} are there",
                    promised,
                    found
                ),
            ));
        }
        if found > promised {
            return Err(Error::malformed(
                path,
                phrase!(
                    "safetensors-bytes-left",
                    "{bytes} bytes follow the last tensor",
                    bytes = found - promised
                ),
            ));
        }

        let mut ranges = HashMap::new();
        let mut tensors = Vec::new();
        for name in metadata.offset_keys() {
            let Some(info) = metadata.info(&name) else {
                continue;
            };
            let (start, end) = info.data_offsets;
            let range = data_start + start as u64..data_start + end as u64;
            ranges.insert(name.clone(), range);
            tensors.push(TensorInfo {
                dtype: WeightDType::from_safetensors(info.dtype, path, &name)?,
                shape: info.shape.clone(),
                blocks: None,
                file: path.to_path_buf(),
                name,
            });
        }
        Ok((Self { source, ranges }, tensors))
    }

    /// The bytes of one tensor, `None` if there is no such tensor.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(range) = self.ranges.get(name) else {
            return Ok(None);
        };
        let what = phrase!("file-part-tensor", "tensor `{name}`", name);
        self.source.read(range, &what).map(Some)
    }
}

/// An entry of the header in the words of the format's library, which compares shapes and ranges.
fn tensor_of_header((name, entry): (String, HeaderEntry)) -> (String, HeaderTensor) {
    let HeaderEntry {
        dtype,
        shape: Shape(shape),
        data_offsets,
    } = entry;
    let tensor = HeaderTensor {
        dtype,
        shape,
        data_offsets,
    };
    (name, tensor)
}

/// Reads the first 8 bytes of a file of `length` bytes and checks them against it.
fn read_header_length(path: &Path, source: &mut impl Read, length: u64) -> Result<u64> {
    let mut bytes = [0; LENGTH_BYTES as usize];
    if length < LENGTH_BYTES {
        return Err(truncated(
            path,
            length,
            phrase!(
                "safetensors-length-cut",
                "not even its header length is complete"
            ),
        ));
    }
    source
        .read_exact(&mut bytes)
        .map_err(|e| Error::io(path, e))?;
    let header_length = u64::from_le_bytes(bytes);
    if header_length > MAX_HEADER_BYTES {
        return Err(Error::malformed(
            path,
            phrase!(
                "safetensors-header-too-long",
                "a header has at most {most} bytes, this one claims {found}",
                most = MAX_HEADER_BYTES,
                found = header_length
            ),
        ));
    }
    if header_length > length - LENGTH_BYTES {
        return Err(truncated(
            path,
            length,
            phrase!(
                "safetensors-header-length",
                "its header has {bytes} bytes",
                bytes = header_length
            ),
        ));
    }
    Ok(header_length)
}
