//! A file in memory without reading it: tensors that lie in a mapped file.
//!
//! The system brings a page in when a kernel first reads it, keeps it in its file cache between runs, and drops it when
//! memory is short: a mapped weight is never written to swap, and two processes share it.

use std::{
    fmt,
    fs::{File, TryLockError},
    io,
    ops::Range,
    path::Path,
};

use burn::tensor::{AllocationProperty, Bytes, DType, Shape, TensorData};
use memmap2::Mmap;

/// A whole file, mapped for reading. Tensors made of it keep it mapped.
///
/// A shared lock is held on the file for as long as it is mapped, so that programs which ask for the lock do not change
/// it meanwhile. Others are not kept from it: whoever changes the file changes the weights, and a process that reads a
/// page behind a file's new end is killed. Replace such a file by renaming another over it, never in place.
#[derive(Clone)]
pub struct MappedFile {
    bytes: bytes::Bytes,
}

/// What the bytes keep alive; fields are dropped in order, the map before the lock.
struct LockedMap {
    map: Mmap,
    _lock: File,
}

impl AsRef<[u8]> for LockedMap {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

impl MappedFile {
    /// Maps the file at `path`. Nothing of it is read.
    ///
    /// # Errors
    /// As [`File::open`]; [`io::ErrorKind::WouldBlock`] when another process holds the file to write it;
    /// [`io::ErrorKind::InvalidInput`] when `path` is a folder; what the system says when it cannot map the file.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        match file.try_lock_shared() {
            // Some file systems, as of networks, have no locks: better without than not at all.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
        }
        // SAFETY: the map is read-only and its file is open for reading only. That no one else truncates or writes the
        // file is beyond any check; the shared lock taken above asks for it, and this type's documentation says it.
        let map = unsafe { Mmap::map(&file) }?;
        // With the first read the system then brings in 2 MiB at a time, and has one entry for them. Where it cannot, as
        // is no matter.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let owner = LockedMap { map, _lock: file };
        Ok(Self {
            bytes: bytes::Bytes::from_owner(owner),
        })
    }

    /// The content.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of `range` as the data of a tensor, not copied; `None` when they are not in the file, are not as many
    /// as shape and type say, or do not lie at a multiple of the type's size.
    #[must_use]
    pub fn tensor_data(
        &self,
        range: Range<usize>,
        shape: impl Into<Shape>,
        dtype: DType,
    ) -> Option<TensorData> {
        let shape = shape.into();
        let size = shape
            .iter()
            .try_fold(dtype.size(), |size, &extent| size.checked_mul(extent))?;
        let part = self.bytes.get(range.clone())?;
        if part.len() != size || !part.as_ptr().addr().is_multiple_of(dtype.size()) {
            return None;
        }
        let bytes = Bytes::from_shared(self.bytes.slice(range), AllocationProperty::File);
        Some(TensorData::from_bytes(bytes, shape, dtype))
    }
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedFile")
            .field("length", &self.bytes.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use burn::tensor::{Device, Tensor};

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn a_tensor_lies_in_the_file() {
        let values: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let file = file(&values);
        let map = MappedFile::open(file.path()).unwrap();
        let data = map.tensor_data(4..12, [2], DType::F32).unwrap();
        assert_eq!(
            data.as_bytes().as_ptr(),
            map.as_bytes()[4..].as_ptr(),
            "copied"
        );
        // The tensor outlives the map's handle.
        drop(map);
        let tensor = Tensor::<1>::from_data(data, (&Device::flex(), DType::F32));
        // Writing to a tensor that lies in the file makes a copy.
        let sum = tensor.clone() + 1.0;
        assert_eq!(sum.into_data().try_to_vec::<f32>().unwrap(), [3.0, 4.0]);
        assert_eq!(tensor.into_data().try_to_vec::<f32>().unwrap(), [2.0, 3.0]);
        assert_eq!(std::fs::read(file.path()).unwrap(), values);
    }

    #[test]
    fn ranges_that_do_not_fit_give_nothing() {
        let file = file(&[0; 16]);
        let map = MappedFile::open(file.path()).unwrap();
        assert!(map.tensor_data(0..16, [4], DType::F32).is_some());
        assert!(map.tensor_data(0..12, [4], DType::F32).is_none());
        assert!(map.tensor_data(4..20, [4], DType::F32).is_none());
        assert!(map.tensor_data(2..6, [1], DType::F32).is_none());
        assert!(
            map.tensor_data(0..16, [usize::MAX, 2], DType::F32)
                .is_none()
        );
    }

    #[test]
    fn a_file_that_is_being_written_is_refused_and_a_folder_too() {
        let file = file(&[0; 16]);
        let lock = File::open(file.path()).unwrap();
        lock.lock().unwrap();
        let error = MappedFile::open(file.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        let first = MappedFile::open(file.path()).unwrap();
        let second = MappedFile::open(file.path()).unwrap();
        assert_eq!(first.as_bytes(), second.as_bytes());
        assert!(MappedFile::open(std::env::temp_dir()).is_err());
    }
}
