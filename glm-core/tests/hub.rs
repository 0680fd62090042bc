//! Downloads from a hub on loopback: what is asked for, what is continued, what is refused.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/hub_server.rs"]
mod hub_server;

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use glm_core::{
    Error, LoadProgress, Result,
    checkpoint::LoadStage,
    hub::{DEFAULT_REVISION, Hub, HubError},
};
use hub_server::{COMMIT, Etags, Fault, Held, HubServer, REPO, Repository, Server};

const SHARDS: [&str; 3] = [
    "pytorch_model-00001-of-00003.bin",
    "pytorch_model-00002-of-00003.bin",
    "pytorch_model-00003-of-00003.bin",
];
const INDEX: &str = "pytorch_model.bin.index.json";
/// What every checkpoint has.
const SMALL: [&str; 3] = ["config.json", "ice_text.model", "tokenizer_config.json"];

/// A tiny checkpoint in three shards, with a tokenizer.
fn sharded() -> Repository {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mini = here.join("../examples/mini-model/chatglm-mini");
    let mut repository =
        Repository::of_folders(&[&mini, &here.join("tests/golden/chatglm-6b-tiny")]);
    repository.files.remove("model.safetensors");
    repository
}

/// A server, a cache, and how to fetch.
struct Setup {
    server: HubServer,
    cache: tempfile::TempDir,
}

impl Setup {
    fn new(repository: Repository) -> Self {
        Self {
            server: HubServer::start(repository),
            cache: tempfile::tempdir().unwrap(),
        }
    }

    /// Retries once, so that no test waits.
    fn hub<'a>(&self) -> Hub<'a> {
        Hub::default()
            .endpoint(&self.server.endpoint)
            .cache_dir(self.cache.path())
            .retries(1)
    }

    fn fetch(&self) -> Result<PathBuf> {
        self.hub().fetch(REPO, DEFAULT_REVISION)
    }

    fn size(&self, name: &str) -> usize {
        self.server.repository.files[name].len()
    }

    fn repo_folder(&self) -> PathBuf {
        self.cache
            .path()
            .join(format!("models--{}", REPO.replace('/', "--")))
    }

    fn partial(&self, name: &str) -> PathBuf {
        let etag = self.server.repository.etag(name);
        self.repo_folder().join(format!("blobs/{etag}.incomplete"))
    }

    /// The snapshot holds these files and no others, each as the server has it.
    fn assert_snapshot(&self, folder: &Path, names: &[&str]) {
        let found = fs::read_dir(folder).unwrap();
        let found: BTreeSet<_> = found
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(found, names.iter().map(|&name| name.to_owned()).collect());
        for &name in names {
            assert!(
                fs::read(folder.join(name)).unwrap() == self.server.repository.files[name],
                "{name}"
            );
        }
    }

    /// The names whose content was asked for.
    fn downloaded(&self) -> BTreeSet<String> {
        let seen = self.server.seen().into_iter();
        seen.filter(|seen| seen.path.contains("/resolve/"))
            .map(|seen| seen.name().to_owned())
            .collect()
    }
}

fn hub_error(result: Result<PathBuf>) -> HubError {
    match result {
        Err(Error::Hub(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn names(of: &[&[&str]]) -> BTreeSet<String> {
    of.concat().into_iter().map(str::to_owned).collect()
}

#[test]
fn a_sharded_checkpoint_is_downloaded_once_and_loads() {
    let setup = Setup::new(sharded());
    let mut steps: Vec<LoadProgress> = Vec::new();
    let folder = setup
        .hub()
        .progress(|step| steps.push(step))
        .fetch(REPO, DEFAULT_REVISION)
        .unwrap();

    assert_eq!(folder, setup.repo_folder().join("snapshots").join(COMMIT));
    let needed = [&SMALL[..], &SHARDS, &[INDEX]].concat();
    setup.assert_snapshot(&folder, &needed);
    assert_eq!(setup.downloaded(), names(&[&needed]));
    let etag = setup.server.repository.etag(SHARDS[0]);
    assert!(setup.repo_folder().join("blobs").join(etag).is_file());
    assert_eq!(
        fs::read_to_string(setup.repo_folder().join("refs/main")).unwrap(),
        COMMIT
    );
    glm_core::load(&folder).unwrap();

    let total: usize = needed.iter().map(|name| setup.size(name)).sum();
    assert!(
        steps
            .iter()
            .all(|step| step.stage == LoadStage::Downloading)
    );
    assert!(
        steps
            .windows(2)
            .all(|pair| pair[0].bytes_read <= pair[1].bytes_read)
    );
    let last = steps.last().unwrap();
    assert_eq!(
        (last.bytes_read, last.bytes_total),
        (total as u64, total as u64)
    );

    // From now on a branch costs one request, a commit none, and a tag of the same commit no file.
    let before = setup.server.seen().len();
    assert_eq!(setup.fetch().unwrap(), folder);
    assert_eq!(setup.server.seen().len(), before + 1);
    assert_eq!(setup.hub().fetch(REPO, COMMIT).unwrap(), folder);
    assert_eq!(
        setup
            .hub()
            .offline(true)
            .fetch(REPO, DEFAULT_REVISION)
            .unwrap(),
        folder
    );
    assert_eq!(setup.server.seen().len(), before + 1);
    assert_eq!(setup.hub().fetch(REPO, "v1.1.0").unwrap(), folder);
    assert_eq!(setup.server.seen().len(), before + 2);
}

#[test]
fn safetensors_are_preferred_and_nothing_else_is_asked_for() {
    let mut repository = sharded();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/chatglm-6b-tiny/model.safetensors");
    repository
        .files
        .insert("model.safetensors".to_owned(), fs::read(tiny).unwrap());
    let setup = Setup::new(repository);
    let folder = setup.fetch().unwrap();
    let needed = [&SMALL[..], &["model.safetensors"]].concat();
    assert_eq!(setup.downloaded(), names(&[&needed]));
    setup.assert_snapshot(&folder, &needed);
    glm_core::load(folder).unwrap();
}

#[test]
fn a_cut_download_is_continued_where_it_ended() {
    let setup = Setup::new(sharded());
    let cuts = [0, 1, 70_000, 1].map(Fault::CutAfter);
    setup.server.fail(SHARDS[1], cuts);
    let folder = setup.fetch().unwrap();
    setup.assert_snapshot(&folder, &[&SMALL[..], &SHARDS, &[INDEX]].concat());
    assert_eq!(
        setup.server.ranges(SHARDS[1]),
        [None, None, Some(1), Some(70_001), Some(70_002)]
    );
    assert_eq!(setup.server.sent(SHARDS[1]), setup.size(SHARDS[1]));
}

#[test]
fn a_connection_that_is_always_cut_is_an_error_and_what_arrived_stays() {
    let setup = Setup::new(sharded());
    setup
        .server
        .fail(SHARDS[1], [50_000, 0, 0].map(Fault::CutAfter));
    let error = hub_error(setup.fetch());
    assert!(
        matches!(&error, HubError::Connection { url, .. } if url.ends_with(SHARDS[1])),
        "{error}"
    );
    assert_eq!(
        fs::metadata(setup.partial(SHARDS[1])).unwrap().len(),
        50_000
    );

    setup.fetch().unwrap();
    assert_eq!(setup.server.ranges(SHARDS[0]), [None]);
    assert_eq!(setup.server.ranges(SHARDS[1]).last(), Some(&Some(50_000)));
    assert_eq!(setup.server.sent(SHARDS[1]), setup.size(SHARDS[1]));
}

#[test]
fn a_server_that_falls_silent_is_an_error() {
    let setup = Setup::new(sharded());
    let (held, hold) = Held::new();
    setup
        .server
        .fail(SHARDS[0], [Fault::HoldAfter(10_000, hold)]);
    let timeout = Duration::from_secs(1);
    let error = hub_error(
        setup
            .hub()
            .timeout(timeout)
            .retries(0)
            .fetch(REPO, DEFAULT_REVISION),
    );
    assert!(
        matches!(error, HubError::Stalled { seconds: 1.0, .. }),
        "{error}"
    );
    drop(held);
    setup.fetch().unwrap();
    assert_eq!(setup.server.ranges(SHARDS[0]), [None, Some(10_000)]);
}

#[test]
fn a_server_without_ranges_sends_the_file_again() {
    let setup = Setup::new(sharded());
    setup
        .server
        .fail(SHARDS[2], [Fault::CutAfter(90_000), Fault::IgnoreRange]);
    let folder = setup.fetch().unwrap();
    setup.assert_snapshot(&folder, &[&SMALL[..], &SHARDS, &[INDEX]].concat());
    assert_eq!(setup.server.ranges(SHARDS[2]), [None, Some(90_000)]);
    assert_eq!(setup.server.sent(SHARDS[2]), 90_000 + setup.size(SHARDS[2]));
}

#[test]
fn busy_servers_are_asked_again() {
    let setup = Setup::new(sharded());
    setup.server.fail("main", [Fault::Status(503)]);
    setup.server.fail(SHARDS[0], [Fault::Status(500)]);
    // The partial file is longer than the range that the server has.
    setup
        .server
        .fail(SHARDS[1], [Fault::CutAfter(9), Fault::Status(416)]);
    setup.fetch().unwrap();
    assert_eq!(setup.server.ranges(SHARDS[1]), [None, Some(9), None]);
    let error = {
        let setup = Setup::new(sharded());
        setup
            .server
            .fail("main", [Fault::Status(503), Fault::Status(503)]);
        hub_error(setup.fetch())
    };
    assert!(
        matches!(error, HubError::Status { status: 503, .. }),
        "{error}"
    );
}

#[test]
fn a_wrong_length_is_discarded() {
    for difference in [-1, 1] {
        let setup = Setup::new(sharded());
        let size = setup.size(SHARDS[0]);
        let wrong = size.checked_add_signed(difference).unwrap();
        setup
            .server
            .fail(SHARDS[0], [Fault::CutAfter(100), Fault::Length(wrong)]);
        let error = hub_error(setup.fetch());
        let (expected, found) = (size as u64, wrong as u64);
        assert!(
            matches!(error, HubError::WrongLength { expected: e, found: f, .. } if (e, f) == (expected, found)),
            "{error}"
        );
        assert!(!setup.partial(SHARDS[0]).exists());
        setup.fetch().unwrap();
    }
}

#[test]
fn a_damaged_file_is_discarded() {
    for name in [SHARDS[0], "config.json"] {
        let setup = Setup::new(sharded());
        setup.server.fail(name, [Fault::Damage]);
        let error = hub_error(setup.fetch());
        let etag = setup.server.repository.etag(name);
        assert!(
            matches!(&error, HubError::WrongChecksum { expected, .. } if *expected == etag),
            "{error}"
        );
        assert!(!setup.partial(name).exists());
        let folder = setup.fetch().unwrap();
        setup.assert_snapshot(&folder, &[&SMALL[..], &SHARDS, &[INDEX]].concat());
    }
}

#[test]
fn what_a_killed_process_left_is_checked_before_it_is_used() {
    let setup = Setup::new(sharded());
    fs::create_dir_all(setup.repo_folder().join("blobs")).unwrap();
    let content = &setup.server.repository.files[SHARDS[0]];
    // Whole; damaged; longer than the file.
    fs::write(setup.partial(SHARDS[0]), content).unwrap();
    fs::write(setup.partial(SHARDS[1]), vec![7; 1000]).unwrap();
    fs::write(setup.partial(SHARDS[2]), vec![7; 1_000_000]).unwrap();
    let error = hub_error(setup.fetch());
    assert!(
        matches!(&error, HubError::WrongChecksum { url, .. } if url.ends_with(SHARDS[1])),
        "{error}"
    );
    let folder = setup.fetch().unwrap();
    setup.assert_snapshot(&folder, &[&SMALL[..], &SHARDS, &[INDEX]].concat());
    assert_eq!(setup.server.ranges(SHARDS[0]), []);
    assert_eq!(setup.server.ranges(SHARDS[1]), [Some(1000), None]);
    assert_eq!(setup.server.ranges(SHARDS[2]), [None]);
}

#[test]
fn the_token_stays_with_the_hub() {
    let mut repository = sharded();
    repository.token = Some("hf_secret".to_owned());
    let setup = Setup::new(repository);
    for (hub, given) in [(setup.hub(), false), (setup.hub().token("hf_other"), true)] {
        let error = hub_error(hub.fetch(REPO, DEFAULT_REVISION));
        assert!(
            matches!(error, HubError::AccessDenied { with_token, .. } if with_token == given),
            "{error}"
        );
        assert!(error.to_string().contains("HF_TOKEN"));
    }
    let before = setup.server.seen().len();
    let hub = setup.hub().token("hf_secret");
    assert!(!format!("{hub:?}").contains("secret"));
    hub.fetch(REPO, DEFAULT_REVISION).unwrap();
    let seen = setup.server.seen().split_off(before);
    let (hub, storage): (Vec<_>, Vec<_>) = seen
        .into_iter()
        .partition(|seen| seen.server == Server::Hub);
    assert!(
        hub.iter()
            .all(|seen| seen.authorization.as_deref() == Some("Bearer hf_secret"))
    );
    assert_eq!(storage.len(), SHARDS.len() + 1);
    assert!(storage.iter().all(|seen| seen.authorization.is_none()));
}

#[test]
fn what_the_hub_does_not_have_is_named() {
    let setup = Setup::new(sharded());
    for (repo, revision) in [(REPO, "v9"), ("some-org/another", "main")] {
        let error = hub_error(setup.hub().fetch(repo, revision));
        assert!(
            matches!(&error, HubError::NotFound { repo: r, revision: v, .. } if r == repo && v == revision),
            "{error}"
        );
    }
    for name in ["config.json", "ice_text.model", INDEX, SHARDS[2]] {
        let mut repository = sharded();
        repository.files.remove(name);
        let error = hub_error(Setup::new(repository).fetch());
        assert!(
            matches!(&error, HubError::NoCheckpoint { missing, .. } if missing.english().contains(name)),
            "{error}"
        );
    }
}

#[test]
fn offline_says_what_is_missing_and_asks_no_one() {
    let setup = Setup::new(sharded());
    let offline = || hub_error(setup.hub().offline(true).fetch(REPO, DEFAULT_REVISION));
    let error = offline();
    assert!(matches!(error, HubError::NotCached { .. }), "{error}");
    assert_eq!(setup.server.seen(), []);

    let folder = setup.fetch().unwrap();
    let before = setup.server.seen().len();
    for name in [SHARDS[1], "config.json"] {
        fs::remove_file(folder.join(name)).unwrap();
        let error = offline();
        assert!(
            matches!(&error, HubError::NotCached { missing, .. } if missing.english() == name),
            "{error}"
        );
    }
    assert_eq!(setup.server.seen().len(), before);
    // The blobs are still there: the hub is asked what they are called, and they are linked again.
    let sent = setup.server.sent(SHARDS[1]);
    setup.fetch().unwrap();
    assert_eq!(setup.server.sent(SHARDS[1]), sent);
}

#[test]
fn without_a_network_a_complete_snapshot_will_do() {
    let setup = Setup::new(sharded());
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let unreachable = || {
        setup
            .hub()
            .endpoint(format!("http://{nobody}"))
            .fetch(REPO, DEFAULT_REVISION)
    };
    let error = hub_error(unreachable());
    assert!(matches!(error, HubError::Connection { .. }), "{error}");
    assert_eq!(setup.fetch().unwrap(), unreachable().unwrap());
}

#[test]
fn names_from_the_hub_do_not_leave_the_cache() {
    let with = |change: fn(&mut Repository)| {
        let mut repository = sharded();
        change(&mut repository);
        Setup::new(repository)
    };
    for setup in [
        with(|repository| repository.commit = "../../../escape".to_owned()),
        with(|repository| repository.etags = Etags::Text("../../../escape".to_owned())),
    ] {
        let error = hub_error(setup.fetch());
        assert!(matches!(error, HubError::Reply { .. }), "{error}");
    }
    for shard in ["../escape.py", "/tmp/escape", "a/b"] {
        let mut repository = sharded();
        let index = format!(r#"{{"weight_map": {{"lm_head.weight": "{shard}"}}}}"#);
        repository
            .files
            .insert(INDEX.to_owned(), index.into_bytes());
        let setup = Setup::new(repository);
        assert!(
            matches!(setup.fetch(), Err(Error::Malformed { .. })),
            "{shard}"
        );
        assert!(!setup.downloaded().contains("escape.py"));
    }
    for (repo, revision, named) in [
        ("../x", "main", "repo_id"),
        ("chatglm-6b", "main", "repo_id"),
        (REPO, "../../x", "revision"),
    ] {
        let setup = Setup::new(sharded());
        let error = setup.hub().fetch(repo, revision).unwrap_err();
        assert!(
            matches!(error, Error::InvalidOption { option, .. } if option == named),
            "{error}"
        );
        assert_eq!(setup.server.seen(), []);
    }
}

#[test]
fn two_at_once_download_one_file() {
    let setup = Setup::new(sharded());
    let (held, hold) = Held::new();
    setup.server.fail(SHARDS[0], [Fault::HoldAfter(5000, hold)]);
    let (waits, waiting) = mpsc::channel();
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| setup.fetch());
        held.wait();
        let second = scope.spawn(|| {
            let tell = |step: LoadProgress| {
                if step.stage == LoadStage::Waiting {
                    waits.send(()).unwrap();
                }
            };
            setup.hub().progress(tell).fetch(REPO, DEFAULT_REVISION)
        });
        waiting.recv().unwrap();
        drop(held);
        (
            first.join().unwrap().unwrap(),
            second.join().unwrap().unwrap(),
        )
    });
    assert_eq!(first, second);
    setup.assert_snapshot(&first, &[&SMALL[..], &SHARDS, &[INDEX]].concat());
    assert_eq!(setup.server.sent(SHARDS[0]), setup.size(SHARDS[0]));
}

#[test]
fn what_exists_is_no_name() {
    let setup = Setup::new(sharded());
    let locate = |name: &Path| setup.hub().locate(name, DEFAULT_REVISION).unwrap();
    let here = setup.cache.path();
    fs::create_dir_all(here.join("some-org/some-model")).unwrap();
    for path in [
        here,
        Path::new("tests/golden"),
        Path::new("no/such/folder"),
        Path::new("chatglm-6b"),
    ] {
        assert_eq!(locate(path), path);
    }
    assert_eq!(setup.server.seen(), []);
    assert_eq!(locate(Path::new(REPO)), setup.fetch().unwrap());
}
