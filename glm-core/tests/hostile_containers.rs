//! Containers that ask for more than there is, say the same thing twice, or hide a call from a quick look.
#![allow(clippy::unwrap_used, clippy::panic)] // Also in helper functions.

mod opened_files;

use std::{
    fs,
    io::{Cursor, Write},
    path::Path,
};

use glm_core::{Error, checkpoint::CheckpointFiles};
use opened_files::{Contents, golden, named_file, open_all, small_safetensors, zip_of};
use zip::{
    CompressionMethod,
    write::{SimpleFileOptions, ZipWriter},
};

/// What `bytes` are as a file of this name.
fn opened(name: &str, bytes: &[u8]) -> Result<Contents, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let result = open_all(&path);
    if let Err(error) = &result {
        assert_eq!(named_file(error), path);
    }
    result
}

#[track_caller]
fn assert_too_large(name: &str, bytes: &[u8]) -> String {
    match opened(name, bytes) {
        Err(Error::TooLarge { what, .. }) => what.to_string(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn malformed(name: &str, bytes: &[u8]) -> String {
    match opened(name, bytes) {
        Err(Error::Malformed { reason, .. }) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

// ---- The pickle stream -------------------------------------------------------------------------------------

/// The magic number as each protocol writes it.
fn magic_numbers() -> Vec<Vec<u8>> {
    let number = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
    let text = b"L119547037146038801333356L\n.".to_vec();
    let framed = |protocol| [&[0x80, protocol], &b"\x95\x0d\0\0\0\0\0\0\0"[..], number].concat();
    vec![
        text.clone(),
        // Behind what a pickle may begin with.
        [&b"N0"[..], &text].concat(),
        [&b"\x80\x02"[..], number].concat(),
        [&b"\x80\x03"[..], number].concat(),
        framed(4),
        framed(5),
    ]
}

/// Version, system, object and keys of a file without tensors, in text and in binary opcodes.
const EMPTY_STREAMS: [[&[u8]; 4]; 2] = [
    [
        b"I1001\n.",
        b"(dp0\nVlittle_endian\np1\nI01\ns.",
        b"(dp0\n.",
        b"(lp0\n.",
    ],
    [
        b"\x80\x02M\xe9\x03.",
        b"\x80\x02}q\x00X\x0d\x00\x00\x00little_endianq\x01\x88s.",
        b"\x80\x02}q\x00.",
        b"\x80\x02]q\x00.",
    ],
];

#[test]
fn every_pickle_of_a_stream_is_looked_at_whatever_its_protocol() {
    for magic in magic_numbers() {
        for rest in EMPTY_STREAMS {
            let pickles: Vec<&[u8]> = [&magic[..]].into_iter().chain(rest).collect();
            let found = opened("pytorch_model.bin", &pickles.concat()).unwrap();
            assert!(found.is_empty());
            for position in 0..pickles.len() {
                // In front of what the pickle is, behind its protocol.
                let protocol = if pickles[position][0] == 0x80 { 2 } else { 0 };
                let (head, tail) = pickles[position].split_at(protocol);
                for call in [
                    &b"cposix\nsystem\n(S'id'\ntR0"[..],
                    b"(S'id'\niposix\nsystem\n0",
                    b"Vposix\nVsystem\n\x93(Vid\ntR0",
                    b"\x8c\x05posix\x94\x8c\x06system\x94\x93\x8c\x02id\x85R0",
                ] {
                    let pickle = [head, call, tail].concat();
                    let mut hostile = pickles.clone();
                    hostile[position] = &pickle;
                    match opened("pytorch_model.bin", &hostile.concat()) {
                        Err(Error::UnsafePickle { reason, .. }) => {
                            assert!(reason.english().contains("posix.system"), "{reason}");
                        }
                        other => panic!("pickle {position}: {other:?}"),
                    }
                }
            }
        }
    }
}

#[test]
fn truncation_of_any_stream_is_an_error() {
    for magic in magic_numbers() {
        for rest in EMPTY_STREAMS {
            let whole = [&magic[..], &rest.concat()].concat();
            for end in 0..whole.len() {
                opened("pytorch_model.bin", &whole[..end]).unwrap_err();
            }
        }
    }
}

// ---- Zip ---------------------------------------------------------------------------------------------------

/// An archive whose entries are compressed.
fn packed_zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let packed = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file(*name, packed).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut position = 0;
    while let Some(found) = bytes[position..]
        .windows(from.len())
        .position(|window| window == from)
    {
        position += found;
        bytes[position..position + to.len()].copy_from_slice(to);
        position += to.len();
    }
    bytes
}

#[test]
fn a_small_archive_cannot_ask_for_much() {
    // 97 kB that a reader without limits makes 8.5 GB of, and relatives.
    for (repeated, what) in [
        (&b"N"[..], "stack"),
        (b"(", "marks"),
        (b"N0", "opcodes"),
        (b"\x88\x940", "memo"),
    ] {
        let pickle = [b"\x80\x02", &repeated.repeat(5_000_000)[..], b"."].concat();
        let archive = packed_zip(&[("a/data.pkl", &pickle)]);
        assert!(archive.len() < 200_000);
        assert!(assert_too_large("model.bin", &archive).contains(what));
    }
    // An innocent pickle with much behind it, which no one would look at but all is unpacked.
    let padded = [&b"}."[..], &vec![0; 40 << 20]].concat();
    let archive = packed_zip(&[("a/data.pkl", &padded)]);
    assert!(assert_too_large("model.bin", &archive).contains("bytes of pickles"));
    // A tensor's data that unpack to a thousand times their size.
    let zeros = vec![0; 80 << 20];
    let archive = packed_zip(&[("a/data.pkl", b"}."), ("a/data/0", &zeros)]);
    assert!(assert_too_large("model.bin", &archive).contains("compressed"));
}

#[test]
fn an_archive_with_a_name_twice_is_refused() {
    let call = b"cposix\nsystem\n(S'id'\ntR.";
    for second in ["a/data.pkX", "a/DATA.pkX"] {
        for pickles in [[&b"}."[..], call], [call, b"}."], [b"}.", b"}."]] {
            let entries = [("a/data.pkl", pickles[0]), (second, pickles[1])];
            let archive = zip_of(&entries);
            let hidden = replaced(&archive, b"pkX", b"pkl");
            assert!(malformed("model.bin", &hidden).contains("twice"));
        }
    }
    // Names that are not the same are looked at, each.
    for name in ["b/data.pkl", "a/DATA.PKL", "c/data.pkl/../../b/data.pkl"] {
        let archive = zip_of(&[("deep/a/data.pkl", b"}."), (name, call)]);
        assert!(matches!(
            opened("model.bin", &archive),
            Err(Error::UnsafePickle { .. })
        ));
    }
}

#[test]
fn an_archive_that_lies_about_its_size_is_refused() {
    let whole = zip_of(&[("a/data.pkl", b"}."), ("a/data/0", &[7; 64])]);
    assert!(opened("model.bin", &whole).unwrap().is_empty());
    let end = whole.len() - 22;
    let with = |position: usize, bytes: &[u8]| {
        let mut lying = whole.clone();
        lying[position..position + bytes.len()].copy_from_slice(bytes);
        lying
    };
    // Number of entries, bytes of the directory, its place.
    for (offset, bytes) in [(8, 2), (10, 2), (12, 4), (16, 4)] {
        for value in [[0xff; 4], [0xfe, 0xff, 0xff, 0x7f], [1, 0, 0, 0], [0; 4]] {
            let lying = with(end + offset, &value[..bytes]);
            opened("model.bin", &lying).unwrap_err();
        }
    }
    // Bytes after the end, and before the beginning.
    opened("model.bin", &[&whole[..], b"more"].concat()).unwrap_err();
    opened("model.bin", &[b"PK\x03\x04", &whole[..]].concat()).unwrap_err();
    // Sizes of the entries in the directory: stored bytes, then bytes.
    let directory = whole
        .windows(4)
        .position(|window| window == b"PK\x01\x02")
        .unwrap();
    for offset in [20, 24] {
        for value in [u32::MAX - 1, 1 << 30, 66, 1] {
            let lying = with(directory + offset, &value.to_le_bytes());
            opened("model.bin", &lying).unwrap_err();
        }
    }
    // Two entries that are the same bytes.
    let second = directory
        + whole[directory + 4..]
            .windows(4)
            .position(|window| window == b"PK\x01\x02")
            .unwrap()
        + 4;
    let lying = with(second + 42, &[0; 4]);
    opened("model.bin", &lying).unwrap_err();
}

/// The 64-bit records of a real file are read; in a hostile one they say that there are 2^40 entries.
#[test]
fn an_archive_with_wide_numbers_is_checked_by_them() {
    let narrow = zip_of(&[("a/data.pkl", b"}.")]);
    let end = narrow.len() - 22;
    let directory = u32::from_le_bytes(narrow[end + 16..end + 20].try_into().unwrap());
    let wide = |entries: u64, bytes: u64, start: u64| {
        let mut record = b"PK\x06\x06".to_vec();
        record.extend(44_u64.to_le_bytes());
        record.extend([45, 0, 45, 0]);
        record.extend([0; 8]);
        record.extend(entries.to_le_bytes());
        record.extend(entries.to_le_bytes());
        record.extend(bytes.to_le_bytes());
        record.extend(start.to_le_bytes());
        record.extend(b"PK\x06\x07\0\0\0\0");
        record.extend((end as u64).to_le_bytes());
        record.extend(1_u32.to_le_bytes());
        let mut last = narrow[end..].to_vec();
        last[8..20].fill(0xff);
        [&narrow[..end], &record, &last].concat()
    };
    let (start, bytes) = (u64::from(directory), end as u64 - u64::from(directory));
    assert!(
        opened("model.bin", &wide(1, bytes, start))
            .unwrap()
            .is_empty()
    );
    assert!(assert_too_large("model.bin", &wide(1 << 40, bytes, start)).contains("entries"));
    assert!(assert_too_large("model.bin", &wide(1, 1 << 40, start)).contains("directory"));
    malformed("model.bin", &wide(1, bytes, start + 1));
    malformed("model.bin", &wide(1, bytes, 1 << 40));
}

// ---- JSON --------------------------------------------------------------------------------------------------

fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn a_safetensors_header_has_each_name_once_and_not_too_many() {
    let entry = |name: &str, start: usize| {
        format!(
            r#""{name}":{{"dtype":"I8","shape":[1],"data_offsets":[{start},{}]}}"#,
            start + 1
        )
    };
    let header = |entries: &[String]| format!("{{{}}}", entries.join(","));
    let whole = header(&[
        r#""__metadata__":{"format":"pt"}"#.to_owned(),
        entry("b", 1),
        entry("a", 0),
    ]);
    assert_eq!(
        opened("a.safetensors", &safetensors(&whole, 2))
            .unwrap()
            .len(),
        2
    );
    let twice = header(&[entry("a", 0), entry("a", 1)]);
    assert!(malformed("a.safetensors", &safetensors(&twice, 2)).contains("`a` is there twice"));
    let same = header(&[entry("a", 0), entry("a", 0)]);
    assert!(malformed("a.safetensors", &safetensors(&same, 1)).contains("twice"));

    let many: Vec<_> = (0..=1 << 16)
        .map(|i| format!(r#""{i}":{{"dtype":"I8","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    assert!(malformed("a.safetensors", &safetensors(&header(&many), 0)).contains("65536"));
    let long = entry(&"n".repeat(5000), 0);
    malformed("a.safetensors", &safetensors(&header(&[long]), 1));
    let shape = vec!["1"; 1_000_000].join(",");
    let deep = format!(r#"{{"a":{{"dtype":"I8","shape":[{shape}],"data_offsets":[0,1]}}}}"#);
    assert!(malformed("a.safetensors", &safetensors(&deep, 1)).contains("16"));
    let nested = format!(r#"{{"__metadata__":{}"#, "[".repeat(100_000));
    malformed("a.safetensors", &safetensors(&nested, 0));
    // A header of a length that no file needs, and that is really there.
    let spaces = " ".repeat(17 << 20);
    malformed("a.safetensors", &safetensors(&format!("{{}}{spaces}"), 0));
}

#[test]
fn an_index_has_each_tensor_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("1.safetensors"),
        small_safetensors(&["a"]),
    )
    .unwrap();
    fs::write(
        folder.path().join("2.safetensors"),
        small_safetensors(&["b"]),
    )
    .unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    let open = |weight_map: &str| {
        fs::write(&index, format!(r#"{{"weight_map":{{{weight_map}}}}}"#)).unwrap();
        CheckpointFiles::open(folder.path())
    };
    open(r#""a":"1.safetensors","b":"2.safetensors""#).unwrap();
    for twice in [
        r#""a":"2.safetensors","a":"1.safetensors","b":"2.safetensors""#,
        r#""a":"1.safetensors","b":"2.safetensors","b":"2.safetensors""#,
    ] {
        assert!(matches!(open(twice), Err(Error::Malformed { path, .. }) if path == index));
    }
    fs::write(
        &index,
        r#"{"weight_map":{"a":"1.safetensors"},"weight_map":{"b":"2.safetensors"}}"#,
    )
    .unwrap();
    assert!(CheckpointFiles::open(folder.path()).is_err());
    fs::write(&index, vec![b' '; 17 << 20]).unwrap();
    assert!(matches!(
        CheckpointFiles::open(folder.path()),
        Err(Error::TooLarge { .. })
    ));
}

// ---- Little memory -----------------------------------------------------------------------------------------

/// Set for a process that opens the files in this folder with little memory.
const FOLDER: &str = "GLM_TEST_HOSTILE_FILES";

#[cfg(target_os = "linux")]
#[test]
fn hostile_files_are_refused_in_little_memory() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let mut refused = 0;
        for entry in fs::read_dir(Path::new(&folder)).unwrap() {
            let path = entry.unwrap().path();
            assert!(open_all(&path).is_err(), "{}", path.display());
            refused += 1;
        }
        println!("refused {refused} files");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    for (name, pickle) in [
        ("values.bin", b"N".repeat(30_000_000)),
        ("lists.bin", b"]".repeat(30_000_000)),
        ("memo.bin", b"N\x94".repeat(10_000_000)),
        (
            "copies.bin",
            [b"]".to_vec(), b"q\x00h\x00\x86".repeat(200)].concat(),
        ),
    ] {
        write(
            name,
            &packed_zip(&[("a/data.pkl", &[&pickle[..], b"."].concat())]),
        );
    }
    let shape = "1,".repeat(5_000_000);
    let deep = format!(r#"{{"a":{{"dtype":"I8","shape":[{shape}1],"data_offsets":[0,1]}}}}"#);
    write("shape.safetensors", &safetensors(&deep, 1));
    // A file that is longer than the disk is large, and asks for all of it.
    let sparse = fs::File::create(folder.path().join("sparse.safetensors")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let files = fs::read_dir(folder.path()).unwrap().count();
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 400000; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([
            "hostile_files_are_refused_in_little_memory",
            "--exact",
            "--nocapture",
        ])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains(&format!("refused {files} files")), "{said}");
}

#[test]
fn real_files_are_within_the_limits() {
    for name in ["zip.bin", "legacy.bin"] {
        open_all(&golden("torch-formats").join(name)).unwrap();
    }
}
