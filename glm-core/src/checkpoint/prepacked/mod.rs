//! The prepacked file: a whole model as it lies in memory, mapped and used in place, or copied.
//!
//! ```text
//! offset  bytes
//!      0      8   magic: "GLMPACK\n"
//!      8      4   format version, u32
//!     12      4   H, length of the header, u32
//!     16      8   length of the file, u64
//!     24      8   checksum, u64: XXH3-64 of bytes 0..24 and the header
//!     32      H   header, JSON, padded with spaces
//!      D          the tensors; D is the first multiple of 4096 behind the header
//! ```
//!
//! All numbers are little-endian. The header holds the configuration, the precision of layers and of the head, and for
//! every tensor its kind, type, shape, and where its bytes lie, counted from `D`; see `docs/weights.md`. Matrices begin
//! at a multiple of 4096, scales and vectors of 64.
//!
//! Opening checks the header against the length of the file and against every tensor that the configuration asks for,
//! and reads none of them: a file of 3 GB opens in milliseconds, and its pages come in as they are used.

mod header;
mod place;
#[cfg(feature = "tensor")]
mod save;
mod writer;

use std::{
    collections::HashMap,
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Bytes;
#[cfg(feature = "tensor")]
use glm_backends::LargePages;
use glm_backends::MappedFile;
use glm_tokenizer::{phrase, regular_file};

#[cfg(feature = "tensor")]
use crate::checkpoint::memory::check_fits;
use crate::{
    checkpoint::{files::TensorInfo, names::ExpectedTensor, precision::Forms, weight::Weight},
    config::ModelConfig,
    error::{Error, Result},
};
use header::{Header, PREAMBLE_BYTES};
use place::{Place, packed_bytes};

pub(super) use header::MAGIC;
#[cfg(feature = "tensor")]
pub(super) use header::VERSION;
#[cfg(feature = "tensor")]
pub use save::save_prepacked;
pub(super) use writer::{verify, write};

/// An open file whose header was found right.
#[derive(Debug)]
pub(super) struct PrepackedFile {
    path: PathBuf,
    /// All of it, mapped or in memory.
    bytes: Bytes,
    header: Header,
    /// Of each tensor in the header's list.
    positions: HashMap<String, usize>,
}

impl PrepackedFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::PermissionDenied`], [`Error::Io`], [`Error::NotAFile`]; [`Error::Malformed`], [`Error::Truncated`],
    /// [`Error::OtherVersion`]; [`Error::MissingTensor`], [`Error::UnexpectedTensor`], [`Error::TensorShape`],
    /// [`Error::TensorType`] when the tensors are not those of the configuration; those of its `config`;
    /// [`Error::BigEndian`].
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (map, header) = open(path)?;
        Ok(Self::new(path, map.into_bytes(), header))
    }

    /// The same file, read into memory of this process instead of mapped, so that it no longer matters what becomes of
    /// it.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when there is no room for it; as [`PrepackedFile::open`], since it is opened again.
    #[cfg(feature = "tensor")]
    pub(super) fn into_memory(self) -> Result<Self> {
        let path = self.path;
        let (map, header) = open(&path)?;
        let bytes = header.file_bytes();
        check_fits(&path, bytes as u64)?;
        let mut pages = LargePages::zeroed(bytes).map_err(|error| Error::io(&path, error))?;
        map.read(&mut pages)
            .map_err(|error| Error::io(&path, error))?;
        // Checked as it was read: the file may have changed since.
        Self::from_bytes(&path, Bytes::from_owner(pages))
    }

    /// The file `bytes`; `path` is where it comes from.
    #[cfg(feature = "tensor")]
    fn from_bytes(path: &Path, bytes: Bytes) -> Result<Self> {
        let header = Header::read(path, &bytes, bytes.len())?;
        Ok(Self::new(path, bytes, header))
    }

    fn new(path: &Path, bytes: Bytes, header: Header) -> Self {
        let names = header.tensors.iter().map(|entry| entry.name.clone());
        let positions = names.zip(0..).collect();
        Self {
            path: path.to_path_buf(),
            bytes,
            header,
            positions,
        }
    }

    /// What the matrices are kept as.
    pub(super) fn forms(&self) -> Forms {
        self.header.forms
    }

    /// The configuration in it.
    pub(super) fn config(&self) -> &ModelConfig {
        &self.header.config
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors in it.
    pub(super) fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.header.tensors.iter().map(|entry| &*entry.name)
    }

    /// What the file holds of a tensor of its model, and the bytes that it takes; `None` for a head that is left out. Of
    /// codes the type is meaningless.
    pub(super) fn tensor(&self, tensor: &ExpectedTensor) -> Option<(TensorInfo, u64)> {
        let place = self.place(&tensor.name)?;
        let info = TensorInfo {
            name: tensor.name.clone(),
            dtype: place.float_type(),
            shape: tensor.shape.clone(),
            blocks: None,
            file: self.path.clone(),
        };
        let bytes = place.ranges().map(|range| range.len() as u64).sum();
        Some((info, bytes))
    }

    /// One tensor, in the file.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the tensor does not lie where the header says, which opening has ruled out.
    pub(super) fn weight(&self, name: &str) -> Result<Weight> {
        let place = self.place(name);
        let weight = place.and_then(|place| match place {
            Place::Float { dtype, shape, data } => Some(Weight::Float {
                dtype: *dtype,
                shape: shape.clone(),
                bytes: self.bytes(data, dtype.byte_len(shape)?)?,
            }),
            Place::Packed {
                layout,
                codes,
                scales,
            } => {
                let (codes_len, scales_len) = packed_bytes(layout)?;
                Some(Weight::Packed {
                    layout: *layout,
                    codes: self.bytes(codes, codes_len)?,
                    scales: self.bytes(scales, scales_len)?,
                })
            }
        });
        weight.ok_or_else(|| {
            Error::malformed(
                &self.path,
                phrase!(
                    "prepacked-tensor-misplaced",
                    "tensor `{name}` is out of place",
                    name
                ),
            )
        })
    }

    fn place(&self, name: &str) -> Option<&Place> {
        let entry = self.header.tensors.get(*self.positions.get(name)?)?;
        Some(&entry.place)
    }

    /// The bytes of `range`, which are to be `len`.
    fn bytes(&self, range: &Range<usize>, len: usize) -> Option<Bytes> {
        let fits = range.len() == len && self.bytes.get(range.clone()).is_some();
        fits.then(|| self.bytes.slice(range.clone()))
    }
}

/// Maps the file at `path` and reads its header, through the system and not from the map: whoever wants the file in
/// memory does not trust that it stays as long as it is.
fn open(path: &Path) -> Result<(MappedFile, Header)> {
    if cfg!(target_endian = "big") {
        return Err(Error::BigEndian {
            path: path.to_path_buf(),
        });
    }
    let file = regular_file::open(path).map_err(|error| Error::file(path, error))?;
    let map = MappedFile::of(file).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::malformed(
            path,
            phrase!("prepacked-being-written", "another process is writing it"),
        ),
        _ => Error::io(path, error),
    })?;
    let file_bytes = map.as_bytes().len();
    let read = |len: usize| -> Result<Vec<u8>> {
        let mut start = vec![0; len.min(file_bytes)];
        map.read(&mut start)
            .map_err(|error| Error::io(path, error))?;
        Ok(start)
    };
    let start = read(PREAMBLE_BYTES)?;
    let start = read(Header::bytes_to_read(&start))?;
    let header = Header::read(path, &start, file_bytes)?;
    Ok((map, header))
}
