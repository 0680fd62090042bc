//! Reading checkpoint folders as users have them: every format to the same tensors, every kind of damage to
//! an error that names the file.

#![allow(clippy::unwrap_used, clippy::panic)] // Also in helper functions.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use glm_core::Error;
use glm_core::checkpoint::{CheckpointFiles, WeightDType, WeightFormat};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;
use zip::ZipArchive;
use zip::write::{SimpleFileOptions, ZipWriter};

type Contents = BTreeMap<String, (WeightDType, Vec<usize>, Vec<u8>)>;

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(case)
}

/// Reads everything; the error of the first tensor that cannot be read.
fn contents(files: &CheckpointFiles) -> Result<Contents, Error> {
    files
        .tensors()
        .map(|info| {
            let bytes = files.read(&info.name)?;
            assert_eq!(bytes.len() as u64, info.byte_len(), "{}", info.name);
            Ok((info.name.clone(), (info.dtype, info.shape.clone(), bytes)))
        })
        .collect()
}

fn open_all(path: &Path) -> Result<Contents, Error> {
    contents(&CheckpointFiles::open_file(path)?)
}

/// Replaces the content of a file without emptying it first, which some file systems answer with a slow
/// flush to disk at every close.
fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

/// A `.safetensors` file of small f32 vectors.
fn small_safetensors(names: &[&str]) -> Vec<u8> {
    let data: Vec<u8> = (1..=12_u8).collect();
    let views = names
        .iter()
        .map(|name| (*name, TensorView::new(Dtype::F32, vec![3], &data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// The path in an error about one file.
fn named_file(error: &Error) -> &Path {
    match error {
        Error::Io { path, .. }
        | Error::PermissionDenied { path }
        | Error::LfsPointer { path }
        | Error::Truncated { path, .. }
        | Error::Malformed { path, .. }
        | Error::UnsafePickle { path, .. }
        | Error::TensorType { path, .. }
        | Error::MissingTensor { path, .. } => path,
        other => panic!("unexpected kind of error: {other}"),
    }
}

// ---- The same tensors from every format --------------------------------------------------------------------

#[test]
fn both_formats_of_a_folder_hold_the_same_tensors() {
    for (case, tensors) in [
        ("chatglm-6b-tiny", 43),
        ("chatglm-6b-tiny-no2d", 30),
        ("chatglm-6b-tiny-28layers", 368),
        ("chatglm-6b-tiny-int8", 55),
        ("chatglm-6b-tiny-int4", 55),
    ] {
        let dir = golden(case);
        assert_eq!(
            CheckpointFiles::formats_in(&dir),
            [WeightFormat::Safetensors, WeightFormat::PytorchBin]
        );
        let preferred = CheckpointFiles::open(&dir).unwrap();
        assert_eq!(preferred.format(), WeightFormat::Safetensors);
        let bin = CheckpointFiles::open_with_format(&dir, WeightFormat::PytorchBin).unwrap();
        let expected = contents(&preferred).unwrap();
        assert_eq!(expected.len(), tensors, "{case}");
        assert!(contents(&bin).unwrap() == expected, "{case}");
    }
}

#[test]
fn the_pickle_stream_holds_the_same_tensors() {
    let legacy = CheckpointFiles::open(golden("chatglm-6b-tiny-legacy")).unwrap();
    assert_eq!(legacy.format(), WeightFormat::PytorchBin);
    let expected = contents(&CheckpointFiles::open(golden("chatglm-6b-tiny")).unwrap()).unwrap();
    assert!(contents(&legacy).unwrap() == expected);
}

#[test]
fn every_way_torch_writes_a_tensor_is_read() {
    let dir = golden("torch-formats");
    let expected = open_all(&dir.join("expected.safetensors")).unwrap();
    for file in ["zip.bin", "legacy.bin", "nested.bin"] {
        let mut found = open_all(&dir.join(file)).unwrap();
        // The expected file has no booleans.
        let boolean = found.get_mut("bool").unwrap();
        assert_eq!(boolean.0, WeightDType::Bool);
        boolean.0 = WeightDType::U8;
        // The linear layer is a file of its own.
        let mut expected = expected.clone();
        expected.retain(|name, _| found.contains_key(name) || !name.starts_with("linear."));
        assert_eq!(found, expected, "{file}");
    }
    let module = open_all(&dir.join("module_state_dict.bin")).unwrap();
    assert_eq!(module.len(), 2);
    for (name, tensor) in module {
        assert_eq!(tensor, expected[&format!("linear.{name}")]);
    }
}

#[test]
fn an_embedded_file_equals_the_one_on_disk() {
    let path = golden("chatglm-6b-tiny").join("model.safetensors");
    let embedded: &'static [u8] = fs::read(&path).unwrap().leak();
    let files = CheckpointFiles::from_memory("embedded", embedded).unwrap();
    assert!(contents(&files).unwrap() == open_all(&path).unwrap());
    for end in [0, 7, 8, 100, embedded.len() - 1] {
        let error = CheckpointFiles::from_memory("embedded", &embedded[..end]).unwrap_err();
        assert!(matches!(&error, Error::Truncated { found, .. } if *found == end as u64));
        assert_eq!(named_file(&error), Path::new("embedded"));
    }
}

#[test]
fn threads_read_from_one_checkpoint() {
    for format in [WeightFormat::Safetensors, WeightFormat::PytorchBin] {
        let files = CheckpointFiles::open_with_format(golden("chatglm-6b-tiny"), format).unwrap();
        let expected = contents(&files).unwrap();
        std::thread::scope(|scope| {
            let threads = [0; 4].map(|_| scope.spawn(|| contents(&files).unwrap()));
            for thread in threads {
                assert!(thread.join().unwrap() == expected);
            }
        });
    }
}

#[test]
fn a_training_checkpoint_gives_up_its_weights_only() {
    // As `torch.save({"module": {"a": w}, "optimizer": {"a": w}})` nests them, with the pickle by hand.
    let tensor = |key: &str| {
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00",
            key.as_bytes(),
            b"X\x03\x00\x00\x00cpuK\x02tQK\x00K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR",
        ]
        .concat()
    };
    let pickle = [
        b"\x80\x02}(X\x06\x00\x00\x00module}X\x01\x00\x00\x00a".as_slice(),
        &tensor("0"),
        b"sX\x09\x00\x00\x00optimizer}X\x01\x00\x00\x00a",
        &tensor("1"),
        b"su.",
    ]
    .concat();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pytorch_model.bin");
    fs::write(
        &path,
        zip_of(&[
            ("m/data.pkl", &pickle),
            ("m/data/0", &[1; 8]),
            ("m/data/1", &[2; 8]),
        ]),
    )
    .unwrap();
    let found = open_all(&path).unwrap();
    assert_eq!(
        found,
        BTreeMap::from([("a".into(), (WeightDType::F32, vec![2], vec![1; 8]))])
    );
}

// ---- Shards --------------------------------------------------------------------------------------------------

/// A folder with two shards, `a` and `b` in the first and `c` in the second, and the given index.
fn sharded(index: &serde_json::Value) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("1.safetensors"),
        small_safetensors(&["a", "b"]),
    )
    .unwrap();
    fs::write(dir.path().join("2.safetensors"), small_safetensors(&["c"])).unwrap();
    fs::write(
        dir.path().join("model.safetensors.index.json"),
        index.to_string(),
    )
    .unwrap();
    dir
}

#[test]
fn shards_are_merged_and_a_stale_size_is_ignored() {
    let dir = sharded(&json!({
        "metadata": {"total_size": 13_744_473_856_u64},
        "weight_map": {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"}
    }));
    let files = CheckpointFiles::open(dir.path()).unwrap();
    let names: Vec<_> = files.tensors().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(
        files.get("c").unwrap().file,
        dir.path().join("2.safetensors")
    );
    assert_eq!(
        contents(&files).unwrap()["c"].2,
        (1..=12).collect::<Vec<u8>>()
    );
    let error = files.read("d").unwrap_err();
    assert!(matches!(error, Error::MissingTensor { tensor, .. } if tensor == "d"));
}

#[test]
fn a_missing_shard_is_named() {
    let dir = sharded(&json!({"weight_map": {"a": "1.safetensors", "x": "3.safetensors"}}));
    match CheckpointFiles::open(dir.path()) {
        Err(Error::MissingShard {
            index,
            shard,
            tensor,
        }) => {
            assert_eq!(index, dir.path().join("model.safetensors.index.json"));
            assert_eq!((shard.as_str(), tensor.as_str()), ("3.safetensors", "x"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_shard_without_its_tensor_is_named() {
    for tensor in ["c", "nowhere"] {
        let dir = sharded(&json!({"weight_map": {"a": "1.safetensors", tensor: "1.safetensors"}}));
        let error = CheckpointFiles::open(dir.path()).unwrap_err();
        assert!(matches!(&error, Error::MissingTensor { tensor: found, .. } if found == tensor));
        assert_eq!(named_file(&error), dir.path().join("1.safetensors"));
    }
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let dir = sharded(&json!({"weight_map": {"a": "1.safetensors", "c": "2.safetensors"}}));
    fs::write(
        dir.path().join("2.safetensors"),
        small_safetensors(&["c", "b"]),
    )
    .unwrap();
    let error = CheckpointFiles::open(dir.path()).unwrap_err();
    assert_eq!(named_file(&error), dir.path().join("2.safetensors"));
    assert!(
        error.to_string().contains("tensor `b` is in")
            && error.to_string().contains("1.safetensors")
    );
}

#[test]
fn a_shard_outside_the_folder_is_not_touched() {
    let dir = sharded(&json!({"weight_map": {"a": "../outside.safetensors"}}));
    let error = CheckpointFiles::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
}

// ---- What users have instead of a checkpoint -----------------------------------------------------------------

#[test]
fn a_pointer_file_is_recognised_wherever_it_lies() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1740651802\n";
    let weight_map = json!({"weight_map": {"a": "1.safetensors", "c": "2.safetensors"}});
    for name in [
        "1.safetensors",
        "2.safetensors",
        "model.safetensors.index.json",
        "model.safetensors",
    ] {
        let dir = sharded(&weight_map);
        fs::write(dir.path().join(name), pointer).unwrap();
        let error = CheckpointFiles::open(dir.path()).unwrap_err();
        assert!(
            matches!(&error, Error::LfsPointer { path } if *path == dir.path().join(name)),
            "{error}"
        );
    }
}

#[test]
fn a_folder_without_weights_says_what_was_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), "{}").unwrap();
    assert_eq!(CheckpointFiles::formats_in(dir.path()), []);
    let error = CheckpointFiles::open(dir.path()).unwrap_err();
    assert!(matches!(error, Error::NoCheckpoint { .. }));
    for name in [
        "model.safetensors,",
        "pytorch_model.bin,",
        "pytorch_model.bin.index.json",
    ] {
        assert!(error.to_string().contains(name), "{error}");
    }
    let error = CheckpointFiles::open_with_format(
        golden("chatglm-6b-tiny-legacy"),
        WeightFormat::Safetensors,
    );
    assert!(matches!(error, Err(Error::NoCheckpoint { .. })));
    let missing = dir.path().join("missing");
    assert_eq!(
        named_file(&CheckpointFiles::open(&missing).unwrap_err()),
        missing
    );
}

#[cfg(unix)]
#[test]
fn a_folder_without_read_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = sharded(&json!({"weight_map": {"a": "1.safetensors"}}));
    let set =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let file = dir.path().join("1.safetensors");
    set(&file, 0);
    if fs::File::open(&file).is_ok() {
        eprintln!("the user of this test may read everything, so nothing can be denied");
        return;
    }
    let error = CheckpointFiles::open(dir.path()).unwrap_err();
    assert!(
        matches!(&error, Error::PermissionDenied { path } if *path == file),
        "{error}"
    );
    // No listing; listing without entering.
    for mode in [0o300, 0o400, 0] {
        set(dir.path(), mode);
        let error = CheckpointFiles::open(dir.path()).unwrap_err();
        assert!(
            matches!(&error, Error::PermissionDenied { path } if path.starts_with(dir.path())),
            "{error}"
        );
    }
    set(dir.path(), 0o700);
}

#[test]
fn an_element_type_without_a_place_is_named() {
    let data = [0; 4];
    let view = TensorView::new(Dtype::F8_E4M3, vec![4], &data).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    fs::write(&path, safetensors::serialize([("w", view)], None).unwrap()).unwrap();
    let error = open_all(&path).unwrap_err();
    assert!(
        matches!(&error, Error::TensorType { tensor, .. } if tensor == "w"),
        "{error}"
    );
    assert_eq!(named_file(&error), path);
}

// ---- Damage ----------------------------------------------------------------------------------------------------

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

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let stored =
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file(*name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

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
                    assert!(reason.contains("os.system"), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(!marker.exists());
}
