//! Every kind of damage to a weight file is an error that names the file; a pickle that would call something is not called.
#![allow(clippy::unwrap_used, clippy::panic)] // Also in helper functions.

mod opened_files;

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use glm_core::Error;
use glm_core::checkpoint::CheckpointFiles;
use opened_files::{
    Contents, contents, golden, named_file, open_all, overwrite, small_safetensors, zip_of,
};
use proptest::prelude::*;
use zip::ZipArchive;

fn torch_format(file: &str) -> Vec<u8> {
    fs::read(golden("torch-formats").join(file)).unwrap()
}

#[test]
fn truncation_at_any_byte_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    for (name, whole) in [
        ("model.safetensors", small_safetensors(&["a", "b"])),
        ("zip.bin", torch_format("zip.bin")),
        ("legacy.bin", torch_format("legacy.bin")),
    ] {
        let path = dir.path().join(name);
        for end in (0..whole.len()).rev() {
            overwrite(&path, &whole[..end]);
            let error = open_all(&path).unwrap_err();
            assert_eq!(named_file(&error), path, "{name} cut at {end}");
            // The first bytes are needed to tell what a file is.
            let is_truncated =
                matches!(error, Error::Truncated { found, .. } if found == end as u64);
            assert!(
                is_truncated || (name == "zip.bin" && end < 2),
                "{name} cut at {end}: {error}"
            );
        }
        fs::write(&path, &whole).unwrap();
        open_all(&path).unwrap();
    }
}

#[test]
fn a_damaged_zip_is_an_error_or_still_equal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("zip.bin");
    let mut bytes = torch_format("zip.bin");
    fs::write(&path, &bytes).unwrap();
    let expected = open_all(&path).unwrap();
    let mut refused = 0;
    for position in 0..bytes.len() {
        for flip in [0x01, 0xff] {
            bytes[position] ^= flip;
            overwrite(&path, &bytes);
            match open_all(&path) {
                Ok(found) => assert_eq!(found, expected, "byte {position} ^ {flip}"),
                Err(error) => {
                    assert_eq!(named_file(&error), path);
                    refused += 1;
                }
            }
            bytes[position] ^= flip;
        }
    }
    // Every tensor byte and every pickle byte is under a checksum.
    assert!(refused > bytes.len(), "{refused} of {}", 2 * bytes.len());
}

/// Neither format has a checksum, so a damaged name or value cannot be told from a sound one; sizes can.
#[test]
fn damage_to_other_formats_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    let safetensors = small_safetensors(&["a", "b"]);
    let header = safetensors.len() - 24;
    for (name, mut bytes, end) in [
        ("model.safetensors", safetensors, header),
        (
            "legacy.bin",
            torch_format("legacy.bin"),
            torch_format("legacy.bin").len(),
        ),
    ] {
        let path = dir.path().join(name);
        for position in 0..end {
            for flip in [0x01, 0xff] {
                bytes[position] ^= flip;
                overwrite(&path, &bytes);
                // `contents` asserts the size of what is read.
                if let Err(error) = open_all(&path) {
                    assert_eq!(named_file(&error), path, "{name} {position}");
                }
                bytes[position] ^= flip;
            }
        }
    }
}

#[test]
fn a_file_that_shrinks_after_opening_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    for (name, whole) in [
        ("model.safetensors", small_safetensors(&["a"])),
        ("legacy.bin", torch_format("legacy.bin")),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, &whole).unwrap();
        let files = CheckpointFiles::open_file(&path).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(whole.len() as u64 / 2).unwrap();
        assert_eq!(named_file(&contents(&files).unwrap_err()), path);
    }
}

#[test]
fn a_header_that_lies_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let with_header = |header: &str, data: usize| {
        let length = (header.len() as u64).to_le_bytes();
        fs::write(
            &path,
            [&length[..], header.as_bytes(), &vec![0; data]].concat(),
        )
        .unwrap();
        open_all(&path)
    };
    assert!(
        with_header(
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
            8
        )
        .is_ok()
    );
    for (header, data) in [
        // Shape and range disagree; a hole; an overlap; a backward range; an overflow; bytes left over.
        (
            r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
            8,
        ),
        (
            r#"{"a":{"dtype":"I8","shape":[4],"data_offsets":[4,8]}}"#,
            8,
        ),
        (
            r#"{"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}"#,
            4,
        ),
        (
            r#"{"a":{"dtype":"I8","shape":[0],"data_offsets":[8,0]}}"#,
            8,
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[9223372036854775807,9223372036854775807],"data_offsets":[0,8]}}"#,
            8,
        ),
        (
            r#"{"a":{"dtype":"I8","shape":[-1],"data_offsets":[0,8]}}"#,
            8,
        ),
        (
            r#"{"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}"#,
            8,
        ),
        (
            r#"{"a":{"dtype":"I9","shape":[4],"data_offsets":[0,4]}}"#,
            4,
        ),
        (r#"{"a":7}"#, 0),
        ("[]", 0),
    ] {
        let error = with_header(header, data).unwrap_err();
        assert!(
            matches!(error, Error::Malformed { .. }),
            "{header}: {error}"
        );
    }
    fs::write(&path, u64::MAX.to_le_bytes()).unwrap();
    assert!(matches!(open_all(&path), Err(Error::Malformed { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_end_in_a_result(bytes: Vec<u8>, start in 0_usize..4) {
        let start: &[u8] = [b"".as_slice(), b"PK\x03\x04", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", b"\x80\x02"][start];
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.bin", "a.safetensors"] {
            let path = dir.path().join(name);
            fs::write(&path, [start, &bytes].concat()).unwrap();
            if let Ok(found) = open_all(&path) {
                prop_assert!(found.is_empty());
            }
        }
    }
}

// ---- Pickles that would call something -----------------------------------------------------------------------

/// Bytes that call `os.system` with a command that leaves `marker` behind, and drop the result.
fn call(marker: &Path) -> Vec<u8> {
    format!("cos\nsystem\n(S'touch {}'\ntR0", marker.display()).into_bytes()
}

#[test]
fn a_pickle_that_would_call_something_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let marker = dir.path().join("marker");
    let call = call(&marker);
    // The usual attack: the call goes in front of the genuine pickle, whose tensors still load.
    let inject = |pickle: &[u8]| [&pickle[..2], &call, &pickle[2..]].concat();

    let original = torch_format("zip.bin");
    let mut archive = ZipArchive::new(Cursor::new(original)).unwrap();
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        entries.push((entry.name().unwrap().to_string(), bytes));
    }
    let rebuild = |change: &dyn Fn(&[u8]) -> Vec<u8>| {
        let changed: Vec<_> = entries
            .iter()
            .map(|(name, bytes)| {
                let is_pickle = name.ends_with("data.pkl");
                (
                    name.as_str(),
                    if is_pickle {
                        change(bytes)
                    } else {
                        bytes.clone()
                    },
                )
            })
            .collect();
        zip_of(
            &changed
                .iter()
                .map(|(name, bytes)| (*name, bytes.as_slice()))
                .collect::<Vec<_>>(),
        )
    };

    let stream = torch_format("legacy.bin");
    // The object is the fourth pickle; the third, the system description, ends with `u.`.
    let object = stream.windows(4).position(|w| w == b"u.\x80\x02").unwrap() + 2;
    let bare = [b"\x80\x02", call.as_slice(), b"}."].concat();

    let path = dir.path().join("pytorch_model.bin");
    fs::write(&path, rebuild(&<[u8]>::to_vec)).unwrap();
    open_all(&path).unwrap();
    for hostile in [
        rebuild(&inject),
        rebuild(&|_| bare.clone()),
        [&stream[..object], &inject(&stream[object..])].concat(),
        inject(&stream),
        bare.clone(),
        // The result of the call is the checkpoint.
        [b"\x80\x02", &call[..call.len() - 1], b"."].concat(),
    ] {
        fs::write(&path, hostile).unwrap();
        for result in [
            open_all(&path),
            CheckpointFiles::open(dir.path()).map(|_| Contents::new()),
        ] {
            match result {
                Err(Error::UnsafePickle {
                    path: named,
                    reason,
                }) => {
                    assert_eq!(named, path);
                    assert!(reason.english().contains("os.system"), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(!marker.exists());
}
