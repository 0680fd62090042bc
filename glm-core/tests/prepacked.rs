//! A prepacked file is the model that it was made of; the cache makes it once, for any number of processes, and is not
//! fooled by what a crash leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use glm_core::{
    Error, LoadOptions, Model,
    checkpoint::{CACHE_DIR_VARIABLE, LoadStage, Precision, save_prepacked},
    config::ModelConfig,
};

const CASES: [(&str, &[&str]); 7] = [
    (
        "chatglm-6b-tiny",
        &[
            "stored", "int4", "int8", "int4-row", "int4-g32", "int8-row", "int8-g32",
        ],
    ),
    // The head is another matrix than the embedding.
    ("chatglm-6b-tiny-no2d", &["stored", "int4", "int8-row"]),
    ("chatglm-6b-tiny-int8", &["stored", "int8"]),
    ("chatglm-6b-tiny-int4", &["stored", "int4-row"]),
    ("chatglm2-tiny", &["stored", "int4", "int8-row"]),
    ("chatglm2-tiny-int4", &["stored", "int4-row"]),
    ("codegeex2-tiny", &["stored", "int4"]),
];

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(case)
}

fn precision(name: &str) -> Precision {
    name.parse().unwrap()
}

fn logits(model: &Model) -> Vec<f32> {
    let prompt: &[u32] = match model.config() {
        ModelConfig::ChatGlm(_) => &[318, 584, 207, 604, 621, 624],
        _ => &[318, 184, 207],
    };
    let (logits, _) = model.prefill(&[prompt]).unwrap();
    logits.into_data().try_to_vec().unwrap()
}

#[test]
fn a_file_is_the_model_that_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    for (case, names) in CASES {
        for name in names {
            let options = || LoadOptions::default().precision(precision(name));
            let file = folder.path().join(format!("{case}-{name}.glm"));
            options().prepack(golden(case), &file).unwrap();
            let model = glm_core::load(&file).unwrap();
            let converted = options().load(golden(case)).unwrap();
            assert_eq!(logits(&model), logits(&converted), "{case} {name}");
            assert_eq!(model.config(), converted.config());

            // A model in memory gives such a file too.
            let saved = folder.path().join("saved.glm");
            save_prepacked(&converted, &saved).unwrap();
            assert_eq!(logits(&glm_core::load(&saved).unwrap()), logits(&model));
            let lengths = [&saved, &file].map(|file| fs::metadata(file).unwrap().len());
            assert!(
                lengths[0].abs_diff(lengths[1]) <= 4096,
                "{case} {name}: {lengths:?}"
            );
        }
    }
}

/// Whatever another program does to the file in place, a copied model stays what it was. (A mapped one would change, or
/// end the process.)
#[test]
fn a_copied_model_does_not_change_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    for case in ["chatglm-6b-tiny", "chatglm2-tiny"] {
        let file = folder.path().join(format!("{case}.glm"));
        let options = || LoadOptions::default().precision(Precision::INT4);
        options().prepack(golden(case), &file).unwrap();
        let expected = logits(&glm_core::load(&file).unwrap());
        let copied = options().copied().load(&file).unwrap();
        let cache = folder.path().join("cache");
        let from_cache = || options().cached_in(&cache).copied().load(golden(case));
        let (made, found) = (from_cache().unwrap(), from_cache().unwrap());
        let kept = fs::read_dir(&cache)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        for file in kept
            .chain([file])
            .filter(|path| path.extension().is_some_and(|end| end == "glm"))
        {
            let file = File::options().write(true).open(file).unwrap();
            // Not locked: nothing maps it any more.
            file.try_lock().unwrap();
            file.set_len(0).unwrap();
        }
        for model in [copied, made, found] {
            assert_eq!(logits(&model), expected, "{case}");
        }
        fs::remove_dir_all(&cache).unwrap();
    }
}

#[test]
fn a_file_is_only_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.glm");
    LoadOptions::default()
        .precision(Precision::INT4)
        .prepack(golden("chatglm-6b-tiny"), &file)
        .unwrap();
    let load = |layers: &str, head: &str| {
        LoadOptions::default()
            .precision(precision(layers))
            .head(precision(head))
            .load(&file)
    };
    for (layers, head) in [
        ("stored", "stored"),
        ("int4", "int8"),
        ("int4-g128", "int8-g128"),
    ] {
        load(layers, head).unwrap();
    }
    for (layers, head) in [("int8", "stored"), ("int4-g32", "stored"), ("int4", "int4")] {
        assert!(matches!(
            load(layers, head),
            Err(Error::AlreadyQuantized { .. })
        ));
    }
}

#[test]
fn a_missing_file_and_a_folder_that_cannot_be_written_are_named() {
    let missing = Path::new("nowhere/model.glm");
    assert!(matches!(glm_core::load(missing), Err(Error::NotFound { path }) if path == missing));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("missing/model.glm");
    let result = LoadOptions::default().prepack(golden("chatglm-6b-tiny"), &file);
    assert!(matches!(result, Err(Error::NotFound { .. })));
}

// ---- The cache ---------------------------------------------------------------------------------------------

/// A copy of the tiny checkpoint, and an empty cache.
struct Cache {
    folder: tempfile::TempDir,
}

impl Cache {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("chatglm");
        fs::create_dir(&source).unwrap();
        for name in ["config.json", "model.safetensors"] {
            fs::copy(golden("chatglm-6b-tiny").join(name), source.join(name)).unwrap();
        }
        Self { folder }
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("chatglm")
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("cache/glm")
    }

    /// Loads, and says whether the file had to be made.
    fn load(&self, name: &str) -> bool {
        let mut stages = Vec::new();
        let model = LoadOptions::default()
            .precision(precision(name))
            .cached_in(self.dir())
            .progress(|progress| stages.push(progress.stage))
            .load(self.source())
            .unwrap();
        let converted = LoadOptions::default()
            .precision(precision(name))
            .load(self.source())
            .unwrap();
        assert_eq!(logits(&model), logits(&converted));
        let made = !stages.is_empty();
        assert_eq!(made, stages.contains(&LoadStage::Prepacking));
        assert_eq!(made, stages.last() == Some(&LoadStage::Saving));
        made
    }

    /// The files of the cache with this ending.
    fn files(&self, ending: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.dir()) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .collect()
    }

    /// Starts another process that loads from this cache; see [`child`].
    fn spawn(&self, task: &str) -> (Child, BufReader<ChildStdout>) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env("GLM_TEST_TASK", task)
            .env("GLM_TEST_SOURCE", self.source())
            .env(CACHE_DIR_VARIABLE, self.dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        (child, output)
    }
}

/// Not a test but the other process of some: it loads, prints each stage that begins, and with the task `stop` waits
/// in the middle until it is killed.
#[test]
fn child() {
    let Ok(task) = std::env::var("GLM_TEST_TASK") else {
        return;
    };
    let mut stage = None;
    LoadOptions::default()
        .precision(Precision::INT4)
        .cached()
        .progress(|progress| {
            if stage.replace(progress.stage) != Some(progress.stage) {
                println!("stage {:?}", progress.stage);
            }
            if task == "stop" && 2 * progress.bytes_read > progress.bytes_total {
                println!("in the middle");
                let _ = std::io::stdin().read(&mut [0]);
            }
        })
        .load(std::env::var("GLM_TEST_SOURCE").unwrap())
        .unwrap();
    println!("loaded");
}

fn wait_for(output: &mut impl BufRead, line: &str) {
    let mut seen = String::new();
    while !seen.ends_with(&format!("{line}\n")) {
        assert_ne!(
            output.read_line(&mut seen).unwrap(),
            0,
            "no `{line}` in: {seen}"
        );
    }
}

fn rest(mut child: Child, mut output: impl Read) -> String {
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
    text
}

#[test]
fn a_model_is_quantised_once_for_each_precision() {
    let cache = Cache::new();
    assert!(cache.load("int4"));
    assert!(!cache.load("int4"));
    // The same by another name.
    assert!(!cache.load("int4-g128"));
    assert!(cache.load("int8"));
    assert!(!cache.load("int4"));
    assert_eq!(cache.files(".glm").len(), 2);
    assert_eq!(cache.files(".partial").len(), 0);
}

#[test]
fn what_needs_no_quantising_is_not_cached() {
    let cache = Cache::new();
    LoadOptions::default()
        .cached_in(cache.dir())
        .load(cache.source())
        .unwrap();
    assert!(!cache.dir().exists());
}

#[test]
fn a_changed_checkpoint_is_quantised_again_and_the_old_file_removed() {
    let cache = Cache::new();
    assert!(cache.load("int4"));
    let [old] = cache.files(".glm").try_into().unwrap();
    let weights = File::options()
        .append(true)
        .open(cache.source().join("model.safetensors"))
        .unwrap();
    let time = weights.metadata().unwrap().modified().unwrap();
    weights
        .set_modified(time + std::time::Duration::from_secs(1))
        .unwrap();
    assert!(cache.load("int4"));
    let [new] = cache.files(".glm").try_into().unwrap();
    assert_ne!(old, new);
    assert!(!cache.load("int4"));

    // Another configuration, of another size.
    let config = cache.source().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + "\n\n").unwrap();
    assert!(cache.load("int4"));
    assert_eq!(cache.files(".glm").len(), 1);
}

#[test]
fn a_damaged_file_is_made_again() {
    let cache = Cache::new();
    assert!(cache.load("int4"));
    let [path] = cache.files(".glm").try_into().unwrap();
    let whole = fs::read(&path).unwrap();
    let mut other_version = whole.clone();
    other_version[8] += 1;
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    for damaged in [&whole[..whole.len() - 1], &[], &other_version, &flipped] {
        fs::remove_file(&path).unwrap();
        fs::write(&path, damaged).unwrap();
        assert!(cache.load("int4"));
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn two_processes_make_one_file() {
    let cache = Cache::new();
    let children = [cache.spawn("load"), cache.spawn("load")];
    let output = children.map(|(child, output)| rest(child, output));
    let made = output
        .iter()
        .filter(|text| text.contains("stage Prepacking"))
        .count();
    assert_eq!(made, 1, "{output:?}");
    assert_eq!(cache.files(".glm").len(), 1);
}

#[test]
fn a_process_waits_for_the_one_that_makes_the_file_and_uses_it() {
    let cache = Cache::new();
    assert!(cache.load("int4"));
    // As if this process were just making it.
    let [path] = cache.files(".glm").try_into().unwrap();
    let aside = cache.folder.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    let [lock] = cache.files(".lock").try_into().unwrap();
    let lock = File::options().write(true).open(lock).unwrap();
    lock.lock().unwrap();

    let (child, mut output) = cache.spawn("load");
    wait_for(&mut output, "stage Waiting");
    fs::rename(&aside, &path).unwrap();
    lock.unlock().unwrap();
    let text = rest(child, output);
    assert!(
        text.contains("loaded") && !text.contains("Prepacking"),
        "{text}"
    );
}

#[test]
fn a_killed_process_leaves_nothing_that_is_used() {
    let cache = Cache::new();
    let (mut child, mut output) = cache.spawn("stop");
    wait_for(&mut output, "in the middle");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(cache.files(".glm").len(), 0);
    // None at all where the system has files without a name.
    assert!(cache.files(".partial").len() <= 1);
    assert!(cache.load("int4"));
    assert_eq!(cache.files(".glm").len(), 1);
    assert_eq!(cache.files(".partial").len(), 0);
}

#[test]
fn a_cache_that_cannot_be_made_is_named() {
    let cache = Cache::new();
    let taken = cache.folder.path().join("taken");
    fs::write(&taken, "a file").unwrap();
    let result = LoadOptions::default()
        .precision(Precision::INT4)
        .cached_in(&taken)
        .load(cache.source());
    assert!(matches!(result, Err(Error::Io { path, .. }) if path == taken));
}
