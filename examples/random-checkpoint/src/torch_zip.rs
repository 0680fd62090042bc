//! A state dict as `torch.save` writes it since PyTorch 1.6: a ZIP archive, nothing compressed, with `data.pkl` (a
//! pickle of the names, shapes and storage numbers), one entry per storage under `data/`, and `version`.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Storages start at multiples of this in the file, as PyTorch's do.
const ALIGNMENT: u16 = 64;

/// The element type of a storage, by the class that its pickle names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StorageType {
    /// f16.
    Half,
    /// i8.
    Char,
}

/// One file being written: [`TorchZip::begin`], then every storage in the same order, then [`TorchZip::finish`].
pub(crate) struct TorchZip {
    zip: ZipWriter<BufWriter<File>>,
    storages: usize,
}

impl TorchZip {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            zip: ZipWriter::new(BufWriter::new(File::create(path)?)),
            storages: 0,
        })
    }

    /// Writes the pickle that describes the tensors: name, shape, type.
    pub(crate) fn begin<'a>(
        &mut self,
        tensors: impl Iterator<Item = (&'a str, &'a [usize], StorageType)>,
    ) -> io::Result<()> {
        self.entry("data.pkl", &state_dict_pickle(tensors))?;
        self.entry("byteorder", b"little")
    }

    /// Writes the next storage.
    pub(crate) fn storage(&mut self, bytes: &[u8]) -> io::Result<()> {
        let name = format!("data/{}", self.storages);
        self.storages += 1;
        self.entry(&name, bytes)
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.entry("version", b"3\n")?;
        self.zip.finish()?.flush()
    }

    fn entry(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(u32::try_from(bytes.len()).is_err())
            .with_alignment(ALIGNMENT);
        self.zip.start_file(format!("archive/{name}"), options)?;
        self.zip.write_all(bytes)
    }
}

/// Pickle protocol 2 of `{name: torch._utils._rebuild_tensor_v2(storage, 0, shape, stride, False, OrderedDict())}`.
fn state_dict_pickle<'a>(
    tensors: impl Iterator<Item = (&'a str, &'a [usize], StorageType)>,
) -> Vec<u8> {
    let mut pickle = b"\x80\x02}(".to_vec(); // PROTO 2, EMPTY_DICT, MARK
    for (index, (name, shape, storage)) in tensors.enumerate() {
        let count: usize = shape.iter().product();
        let strides: Vec<usize> = (0..shape.len())
            .map(|axis| shape[axis + 1..].iter().product())
            .collect();
        text(&mut pickle, name);
        pickle.extend_from_slice(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut pickle, "storage");
        pickle.extend_from_slice(match storage {
            StorageType::Half => b"ctorch\nHalfStorage\n",
            StorageType::Char => b"ctorch\nCharStorage\n",
        });
        text(&mut pickle, &index.to_string());
        text(&mut pickle, "cpu");
        integer(&mut pickle, count);
        pickle.push(b't'); // TUPLE: the persistent id of the storage
        pickle.push(b'Q'); // BINPERSID
        integer(&mut pickle, 0); // offset
        tuple(&mut pickle, shape);
        tuple(&mut pickle, &strides);
        // NEWFALSE: requires_grad; no hooks; TUPLE of the arguments; REDUCE.
        pickle.extend_from_slice(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    pickle.extend_from_slice(b"u."); // SETITEMS, STOP
    pickle
}

fn text(pickle: &mut Vec<u8>, text: &str) {
    pickle.push(b'X'); // BINUNICODE
    pickle.extend_from_slice(&(text.len() as u32).to_le_bytes());
    pickle.extend_from_slice(text.as_bytes());
}

fn integer(pickle: &mut Vec<u8>, value: usize) {
    pickle.extend_from_slice(b"\x8a\x08"); // LONG1 of eight bytes
    pickle.extend_from_slice(&(value as u64).to_le_bytes());
}

fn tuple(pickle: &mut Vec<u8>, values: &[usize]) {
    pickle.push(b'('); // MARK
    for &value in values {
        integer(pickle, value);
    }
    pickle.push(b't'); // TUPLE
}
