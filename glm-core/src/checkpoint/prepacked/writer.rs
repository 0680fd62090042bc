//! Writes a prepacked file, one tensor at a time.

use std::{
    fs::File,
    io::{Seek, Write},
    ops::Range,
    path::Path,
};

use bytes::Bytes;
use glm_tokenizer::phrase;

use super::{PrepackedFile, header::Header, place::Place};
use crate::{
    checkpoint::{
        atomic_file::PartWriter,
        conversion::Conversion,
        progress::{LoadStage, Meter},
        weight::Weight,
    },
    config::ModelConfig,
    error::{Error, Result},
};

/// Converts a checkpoint and writes it to `path`. The meter counts the bytes that are read.
///
/// # Errors
/// As [`Conversion::run`]; [`Error::Io`], [`Error::PermissionDenied`] and [`Error::StorageFull`] for the file,
/// [`Error::NotAFile`] when a device is in its place. Nothing is left of the file then.
pub(in crate::checkpoint) fn write(
    conversion: &Conversion<'_>,
    config: &ModelConfig,
    path: &Path,
    meter: &mut Meter<'_>,
) -> Result<()> {
    write_through(|file| file, conversion, config, path, meter)
}

/// Opens the file at `path` and holds each of its tensors against another conversion.
///
/// # Errors
/// [`Error::Verification`] for the first tensor that is not what it should be; as [`PrepackedFile::open`] and
/// [`Conversion::run`].
pub(in crate::checkpoint) fn verify(
    conversion: &Conversion<'_>,
    path: &Path,
    meter: &mut Meter<'_>,
) -> Result<()> {
    let file = PrepackedFile::open(path)?;
    meter.begin(LoadStage::Verifying, conversion.bytes_to_read());
    conversion.run(|tensor, weight, bytes_read| {
        let equal = match (weight, file.tensor(tensor)) {
            (Some(weight), Some(_)) => weight == file.weight(&tensor.name)?,
            (weight, place) => weight.is_none() && place.is_none(),
        };
        if !equal {
            return Err(Error::Verification {
                path: path.to_path_buf(),
                tensor: tensor.name.clone(),
            });
        }
        meter.add(bytes_read);
        Ok(())
    })
}

/// As [`write`], with something between the tensors and the file.
fn write_through<W: Write + Seek>(
    through: impl FnOnce(File) -> W,
    conversion: &Conversion<'_>,
    config: &ModelConfig,
    path: &Path,
    meter: &mut Meter<'_>,
) -> Result<()> {
    let float_type = |name: &str| conversion.float_type(name);
    let header = Header::plan(path, config, conversion.forms(), float_type)?;
    let mut writer = Writer::create(path, header, through)?;
    meter.begin(LoadStage::Prepacking, conversion.bytes_to_read());
    conversion.run(|tensor, weight, bytes_read| {
        match weight {
            None => writer.header.drop_head(),
            Some(weight) => writer.put(&tensor.name, &weight)?,
        }
        meter.add(bytes_read);
        Ok(())
    })?;
    writer.finish(meter)
}

/// A file being written.
pub(super) struct Writer<'path, W> {
    path: &'path Path,
    header: Header,
    file: PartWriter<W>,
}

impl<'path, W: Write + Seek> Writer<'path, W> {
    pub(super) fn create(
        path: &'path Path,
        header: Header,
        through: impl FnOnce(File) -> W,
    ) -> Result<Self> {
        if cfg!(target_endian = "big") {
            return Err(Error::BigEndian {
                path: path.to_path_buf(),
            });
        }
        let file = PartWriter::create_through(path, header.file_bytes() as u64, through)?;
        Ok(Self { path, header, file })
    }

    /// Writes one tensor to its place. They may come in any order.
    pub(super) fn put(&mut self, name: &str, weight: &Weight) -> Result<()> {
        let entry = self.header.tensors.iter().find(|entry| entry.name == name);
        let sections = match (entry.map(|entry| &entry.place), weight) {
            (Some(Place::Float { data, .. }), Weight::Float { bytes, .. }) => {
                vec![(data.clone(), bytes)]
            }
            (
                Some(Place::Packed {
                    layout: planned,
                    codes,
                    scales,
                }),
                Weight::Packed {
                    layout,
                    codes: words,
                    scales: factors,
                },
            ) if planned == layout => vec![(codes.clone(), words), (scales.clone(), factors)],
            _ => vec![],
        };
        let fits = |(range, data): &(Range<usize>, &Bytes)| range.len() == data.len();
        if sections.is_empty() || !sections.iter().all(fits) {
            return Err(Error::UnsupportedModel {
                path: self.path.to_path_buf(),
                found: phrase!(
                    "found-mixed-precisions",
                    "a model whose tensor `{name}` is of another precision than others",
                    name
                ),
            });
        }
        for (range, data) in sections {
            self.file.write_at(range.start as u64, data)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self, meter: &mut Meter<'_>) -> Result<()> {
        // Last, so that even under the final name a file without all its tensors would be no prepacked file.
        let start = self.header.to_bytes(self.path)?;
        self.file.write_at(0, &start)?;
        meter.enter(LoadStage::Saving);
        self.file.commit()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, SeekFrom};

    use super::*;
    use crate::checkpoint::{CheckpointFiles, Precision, precision::Forms};

    /// A disk with room for `left` bytes.
    struct FullDisk {
        file: File,
        left: usize,
    }

    impl Write for FullDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = bytes.len().min(self.left);
            if room == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.left -= room;
            self.file.write(&bytes[..room])
        }

        fn flush(&mut self) -> io::Result<()> {
            self.file.flush()
        }
    }

    impl Seek for FullDisk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.file.seek(to)
        }
    }

    #[test]
    fn a_full_disk_is_an_error_that_says_what_is_needed_and_leaves_nothing() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chatglm-6b-tiny");
        let config = ModelConfig::from_dir(&source).unwrap();
        let files = CheckpointFiles::open(&source).unwrap();
        let stored = Forms::of_config(&config);
        let [layers, head] = [Precision::INT4, Precision::INT8];
        let forms = Forms::of_checkpoint(&source, stored, layers, Some(head), false).unwrap();
        let conversion = Conversion::new(&files, &config, stored, forms).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.glm");
        let write = |left| {
            let through = |file| FullDisk { file, left };
            write_through(through, &conversion, &config, &path, &mut Meter::silent())
        };

        let mut room = 0;
        let whole = loop {
            match write(room) {
                Ok(()) => break std::fs::metadata(&path).unwrap().len(),
                Err(Error::StorageFull {
                    path: named,
                    required,
                }) => {
                    assert_eq!(named, path);
                    assert!(
                        required as usize > room,
                        "{room} of {required} were not enough"
                    );
                    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
                }
                Err(other) => panic!("{other}"),
            }
            room += 10_007;
        };
        assert!((whole as usize) < room + 100_000);
        super::super::PrepackedFile::open(&path).unwrap();
    }
}
