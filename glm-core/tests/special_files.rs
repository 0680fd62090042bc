//! Whatever lies in the place of a file that is read, nothing waits for it and nothing reads it for ever.
#![cfg(target_os = "linux")] // Where pipes and devices can be made without a privilege.
#![allow(clippy::unwrap_used, clippy::panic)] // Also in helper functions.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
};

use glm_core::{
    Error, LoadOptions, Model,
    checkpoint::{CheckpointFiles, Converter, Precision, Target},
    inspect, load, load_tokenizer,
    prefix_cache::Prefix,
    regular_file::FileKind,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(case)
}

/// Puts each thing that is no regular file at `path`, and asks `refused` about it.
fn each_special_file(path: &Path, mut refused: impl FnMut(FileKind)) {
    let owner = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, path, FileType::Fifo, owner, 0).unwrap();
    refused(FileKind::Fifo);
    fs::remove_file(path).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    refused(FileKind::Socket);
    drop(listener);
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    refused(FileKind::Folder);
    fs::remove_dir(path).unwrap();
    for device in ["/dev/zero", "/dev/urandom"] {
        symlink(device, path).unwrap();
        refused(FileKind::CharacterDevice);
        fs::remove_file(path).unwrap();
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, Error>, path: &Path, kind: FileKind) {
    match result {
        Err(Error::NotAFile { path: named, found }) => assert_eq!((&*named, found), (path, kind)),
        Err(Error::Tokenizer(glm_tokenizer::Error::NotAFile { path: named, found })) => {
            assert_eq!((&*named, found), (path, kind));
        }
        other => panic!("{kind:?} at {}: {other:?}", path.display()),
    }
}

/// A copy of a golden folder, of links to its files as a hub's cache has them, without `left_out`.
fn linked(case: &str, left_out: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden(case)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name != left_out {
            symlink(&path, folder.path().join(name)).unwrap();
        }
    }
    folder
}

#[test]
fn every_file_of_a_folder_is_a_regular_one_or_refused() {
    load(linked("chatglm-6b-tiny", "").path()).unwrap();
    for name in ["config.json", "model.safetensors"] {
        let folder = linked("chatglm-6b-tiny", name);
        let path = folder.path().join(name);
        each_special_file(&path, |kind| {
            assert_refused(load(folder.path()), &path, kind);
            let quantised = LoadOptions::default().precision(Precision::INT4);
            let cache = tempfile::tempdir().unwrap();
            let quantised = quantised.cached_in(cache.path()).load(folder.path());
            assert_refused(quantised, &path, kind);
            // The report names what it found.
            let report = format!("{:?}", inspect(folder.path()));
            assert!(report.contains(name), "{report}");
        });
    }
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        "model.safetensors.index.json",
    ] {
        let path = folder.path().join(name);
        each_special_file(&path, |kind| {
            assert_refused(CheckpointFiles::open(folder.path()), &path, kind);
        });
    }
    for name in ["ice_text.model", "tokenizer.model"] {
        let path = folder.path().join(name);
        each_special_file(&path, |kind| {
            assert_refused(load_tokenizer(folder.path()), &path, kind);
        });
    }
    for name in ["model.bin", "model.safetensors"] {
        let path = folder.path().join(name);
        each_special_file(&path, |kind| {
            assert_refused(CheckpointFiles::open_file(&path), &path, kind);
        });
    }
}

/// The same where the folder or file of a model is to be.
#[test]
fn a_model_is_a_folder_or_a_regular_file_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    each_special_file(&path, |kind| {
        if kind != FileKind::Folder {
            assert_refused(load(&path), &path, kind);
            assert_refused(load_tokenizer(&path), &path, kind);
            let inspection = inspect(&path);
            assert!(!inspection.is_loadable());
            let message = inspection.problems[0].message.english();
            assert!(message.contains(&kind.to_string()), "{message}");
        }
    });
}

#[test]
fn a_saved_prefix_is_a_regular_file_or_refused_and_never_replaces_anything_else() {
    let model: Model = load(golden("chatglm2-tiny")).unwrap();
    let tokens = [508, 510, 361, 312, 223, 391, 422, 409, 323];
    let prefix = Prefix::read(&model, &tokens).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved");
    each_special_file(&path, |kind| {
        assert_refused(Prefix::load(&model, &path), &path, kind);
        assert_refused(prefix.save(&model, &path), &path, kind);
        assert!(!path.is_file());
    });
    prefix.save(&model, &path).unwrap();
    Prefix::load(&model, &path).unwrap();
}

#[test]
fn a_conversion_replaces_files_only() {
    let source = golden("chatglm-6b-tiny");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("output");
    let file = Target::Prepacked {
        layers: Precision::Stored,
        head: None,
    };
    let convert = |target| {
        let converter = Converter::default().overwrite(true).verify(false);
        converter.convert(&source, target, &path)
    };
    each_special_file(&path, |kind| {
        assert_refused(convert(file), &path, kind);
        if kind != FileKind::Folder {
            assert_refused(convert(Target::Safetensors), &path, kind);
        }
        assert!(!path.is_file());
    });
    symlink("nothing", &path).unwrap();
    assert_refused(convert(file), &path, FileKind::DanglingLink);
    assert_refused(convert(Target::Safetensors), &path, FileKind::DanglingLink);
    fs::remove_file(&path).unwrap();

    // A file where a folder is to be, and special files inside the folder.
    fs::write(&path, "a file").unwrap();
    match convert(Target::Safetensors) {
        Err(Error::NotAFolder { path: named, found }) => {
            assert_eq!((named, found), (path.clone(), FileKind::Regular));
        }
        other => panic!("{other:?}"),
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    for name in ["model.safetensors", "config.json"] {
        let inside = path.join(name);
        each_special_file(&inside, |kind| {
            assert_refused(convert(Target::Safetensors), &inside, kind);
            assert!(!inside.is_file());
        });
    }
}
