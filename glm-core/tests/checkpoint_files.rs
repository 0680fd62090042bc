//! Reading checkpoint folders as users have them: every format to the same tensors, and what is missing or
//! elsewhere to an error that names the file.

#![allow(clippy::unwrap_used, clippy::panic)] // Also in helper functions.

mod opened_files;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use glm_core::Error;
use glm_core::checkpoint::{CheckpointFiles, WeightDType, WeightFormat};
use opened_files::{contents, golden, named_file, open_all, small_safetensors, zip_of};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

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
