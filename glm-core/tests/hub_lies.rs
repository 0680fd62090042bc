//! Hubs that lie: what they send is refused with an error that shows no secret, and before it costs time or memory.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/hub_server.rs"]
mod hub_server;

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use glm_core::{
    Error, Result,
    hub::{DEFAULT_REVISION, Hub, HubError, HubNotice},
};
use hub_server::{
    COMMIT, Etags, FAR_TOO_MANY_BYTES, Fault, HubServer, Lie, REPO, Repository, Server,
};

const WEIGHTS: &str = "model.safetensors";
/// `printf 'someone:s3cret' | base64`
const BASIC: &str = "Basic c29tZW9uZTpzM2NyZXQ=";

/// A small checkpoint in one file.
fn repository() -> Repository {
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mini-model/chatglm2-mini");
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chatglm2-tiny");
    let mut repository = Repository::of_folders(&[&mini, &tiny]);
    repository
        .files
        .retain(|name, _| !name.starts_with("pytorch_model"));
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

    fn with_lie(method: &'static str, name: &str, lie: Lie) -> Self {
        let setup = Self::new(repository());
        setup.server.lie(method, name, lie);
        setup
    }

    /// The address with a user and a password in it.
    fn secret_endpoint(&self) -> String {
        self.server
            .endpoint
            .replace("http://", "http://someone:s3cret@")
    }

    fn hub<'a>(&self) -> Hub<'a> {
        Hub::default()
            .endpoint(self.secret_endpoint())
            .cache_dir(self.cache.path())
            .retries(0)
    }

    fn fetch(&self) -> Result<PathBuf> {
        self.hub().fetch(REPO, DEFAULT_REVISION)
    }

    /// The error of a download, which must not show the password.
    fn refusal(&self) -> HubError {
        hub_error(self.fetch())
    }
}

fn hub_error(result: Result<PathBuf>) -> HubError {
    let error = result.unwrap_err();
    assert_discreet(&format!("{error} {error:?}"));
    match error {
        Error::Hub(error) => error,
        other => panic!("{other:?}"),
    }
}

fn assert_discreet(text: &str) {
    assert!(
        !text.contains("s3cret") && !text.contains("someone"),
        "{text}"
    );
    assert!(text.len() < 4000, "{} bytes", text.len());
}

fn found(headers: &str) -> Lie {
    Lie::Bytes(format!(
        "HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n\r\n"
    ))
}

#[test]
fn credentials_of_the_address_go_to_the_hub_alone_and_are_never_shown() {
    let setup = Setup::new(repository());
    assert_discreet(&format!("{:?}", setup.hub()));
    setup.fetch().unwrap();
    let (hub, storage): (Vec<_>, Vec<_>) =
        (setup.server.seen().into_iter()).partition(|seen| seen.server == Server::Hub);
    assert!(
        hub.iter()
            .all(|seen| seen.authorization.as_deref() == Some(BASIC))
    );
    assert!(!storage.is_empty());
    assert!(storage.iter().all(|seen| seen.authorization.is_none()));

    let with = |change: fn(&mut Repository)| {
        let mut repository = repository();
        change(&mut repository);
        Setup::new(repository).refusal()
    };
    let failing = |name: &str, fault| {
        let setup = Setup::new(repository());
        setup.server.fail(name, [fault]);
        setup.refusal()
    };
    let not_found = hub_error(setup.hub().fetch("some-org/another", DEFAULT_REVISION));
    assert!(matches!(not_found, HubError::NotFound { .. }));
    let denied = with(|repository| repository.token = Some("hf_other".to_owned()));
    assert!(matches!(
        denied,
        HubError::AccessDenied {
            with_token: true,
            ..
        }
    ));
    let incomplete = with(|repository| drop(repository.files.remove("config.json")));
    assert!(matches!(incomplete, HubError::NoCheckpoint { .. }));
    for name in ["main", "config.json", WEIGHTS] {
        assert!(matches!(
            failing(name, Fault::Status(500)),
            HubError::Status { .. }
        ));
        assert!(matches!(
            failing(name, Fault::Length(5)),
            HubError::WrongLength { .. } | HubError::Reply { .. }
        ));
    }
    for name in ["config.json", WEIGHTS] {
        assert!(matches!(
            failing(name, Fault::CutAfter(5)),
            HubError::Connection { .. }
        ));
        assert!(matches!(
            failing(name, Fault::Damage),
            HubError::WrongChecksum { .. }
        ));
    }
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let unreachable = setup
        .hub()
        .cache_dir(setup.cache.path().join("empty"))
        .endpoint(format!("http://someone:s3cret@{nobody}"))
        .fetch(REPO, DEFAULT_REVISION);
    assert!(matches!(
        hub_error(unreachable),
        HubError::Connection { .. }
    ));
    let error = setup
        .hub()
        .endpoint("ftp://someone:s3cret@hub.example")
        .fetch(REPO, DEFAULT_REVISION)
        .unwrap_err();
    assert!(matches!(
        error,
        Error::InvalidOption {
            option: "endpoint",
            ..
        }
    ));
    assert_discreet(&format!("{error} {error:?}"));
}

#[test]
fn redirects_to_what_is_no_plain_web_address_are_refused() {
    for (method, name) in [("GET", "main"), ("HEAD", "config.json"), ("GET", WEIGHTS)] {
        for location in [
            "file:///etc/passwd",
            "ftp://hub.example/x",
            "javascript:x",
            "x",
            "http://someone:s3cret@127.0.0.1:1/x",
            "//someone:s3cret@127.0.0.1:1/x",
            "http:///x",
            "",
        ] {
            let setup = Setup::with_lie(method, name, found(&format!("Location: {location}")));
            let error = setup.refusal();
            assert!(
                matches!(error, HubError::Reply { .. }),
                "{location}: {error}"
            );
        }
        let error = Setup::with_lie(method, name, found("X: y")).refusal();
        assert!(matches!(error, HubError::Reply { .. }), "{error}");
    }
}

#[test]
fn redirects_in_a_circle_end() {
    for (method, name, path) in [
        ("GET", "main", format!("/api/models/{REPO}/revision/main")),
        (
            "HEAD",
            "config.json",
            format!("/{REPO}/resolve/{COMMIT}/config.json"),
        ),
        (
            "GET",
            WEIGHTS,
            format!("/{REPO}/resolve/{COMMIT}/{WEIGHTS}"),
        ),
    ] {
        let setup = Setup::with_lie(method, name, found(&format!("Location: {path}")));
        let error = setup.refusal();
        assert!(
            matches!(&error, HubError::Reply { reason, .. } if reason.english().contains("too often")),
            "{error}"
        );
        let seen = setup.server.seen().into_iter();
        let asked = seen.filter(|seen| seen.method == method && seen.name() == name);
        assert_eq!(asked.count(), 11);
    }
}

#[test]
fn whoever_was_redirected_to_learns_nothing_by_redirecting_back() {
    let setup = Setup::new(repository());
    // The storage sends the client back to the hub.
    let back = format!(
        "{}/api/models/{REPO}/revision/{COMMIT}",
        setup.server.endpoint
    );
    let storage = HubServer::start(repository());
    storage.lie("GET", "away", found(&format!("Location: {back}")));
    let away = format!("Location: {}/away", storage.endpoint);
    setup.server.lie("GET", "main", found(&away));
    setup.fetch().unwrap();
    let seen = setup.server.seen();
    let listing = |revision: &str| {
        let asked = seen.iter().find(|seen| seen.name() == revision);
        asked.unwrap().authorization.clone()
    };
    assert_eq!(listing("main").as_deref(), Some(BASIC));
    assert_eq!(listing(COMMIT), None);
    assert_eq!(storage.seen()[0].authorization, None);
}

#[test]
fn endless_answers_are_not_read_to_their_end() {
    for (method, name, first, again) in [
        // Headers.
        (
            "GET",
            "main",
            "HTTP/1.1 200 OK\r\n",
            "X-Long: 0123456789\r\n",
        ),
        (
            "HEAD",
            "config.json",
            "HTTP/1.1 200 OK\r\nX: ",
            "0123456789",
        ),
        ("GET", WEIGHTS, "HTTP", "/"),
        ("GET", "main", "", "HTTP/1.1 103 Early Hints\r\n\r\n"),
        // A listing, with and without a length, in chunks.
        ("GET", "main", "HTTP/1.1 200 OK\r\n\r\n", "          "),
        (
            "GET",
            "main",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "[[[[[",
        ),
        (
            "GET",
            "main",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "4\r\n    \r\n",
        ),
        (
            "GET",
            "main",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "fffffffffffffffff",
        ),
        // The body of a redirect, or of an error.
        (
            "GET",
            "main",
            "HTTP/1.1 302 Found\r\nLocation: file:///x\r\n\r\n",
            "moved",
        ),
        ("GET", "main", "HTTP/1.1 500 Fault\r\n\r\n", "sorry"),
        ("HEAD", "config.json", "HTTP/1.1 500 Fault\r\n\r\n", "sorry"),
        // A file that is longer than announced.
        ("GET", WEIGHTS, "HTTP/1.1 200 OK\r\n\r\n", "weights"),
        (
            "GET",
            WEIGHTS,
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "weights",
        ),
        (
            "GET",
            WEIGHTS,
            "HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-1/*\r\n\r\n",
            "weights",
        ),
    ] {
        let setup = Setup::with_lie(method, name, Lie::Endless(first, again));
        let error = setup.refusal();
        assert!(
            setup.server.sent(name) < FAR_TOO_MANY_BYTES / 2,
            "{first}{again}: {error}"
        );
    }
}

#[test]
fn lengths_that_cannot_be_are_refused_before_anything_is_written() {
    let head = |length: &str| {
        let etag = "0123456789abcdef0123456789abcdef01234567";
        Lie::Bytes(format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"{etag}\"\r\nX-Linked-Size: {length}\r\n\r\n"
        ))
    };
    for length in ["-1", "", "1e3", "99999999999999999999", "0x10", "5, 5"] {
        let error = Setup::with_lie("HEAD", "config.json", head(length)).refusal();
        assert!(matches!(error, HubError::Reply { .. }), "{length}: {error}");
    }
    // A configuration of 10 GB, for one, would be read into memory by whoever opens the folder.
    for name in ["config.json", "tokenizer.model"] {
        let setup = Setup::with_lie("HEAD", name, head("10000000000"));
        let error = setup.refusal();
        assert!(
            matches!(&error, HubError::Reply { url, reason } if url.ends_with(name) && reason.english().contains("10000000000")),
            "{error}"
        );
        assert_eq!(setup.server.ranges(name), []);
    }
    let error = Setup::with_lie("HEAD", WEIGHTS, head("18446744073709551615")).fetch();
    assert!(matches!(error, Err(Error::StorageFull { .. })), "{error:?}");
}

#[test]
fn answers_that_come_byte_by_byte_are_given_up() {
    let spaces = " ".repeat(80);
    for (method, name, first) in [
        ("HEAD", "config.json", "HTTP/1.1 200 OK\r\nX: "),
        ("GET", "main", "HTTP/1.1 200 OK\r\n\r\n"),
    ] {
        // The end would be of use.
        let rest = match method {
            "HEAD" => format!("{}\r\nETag: \"abc-1\"\r\nContent-Length: 5\r\n\r\n", spaces),
            _ => format!(r#"{spaces}{{"sha":"{COMMIT}","siblings":[]}}"#),
        };
        let setup = Setup::with_lie(method, name, Lie::Slow(first, rest));
        let hub = setup.hub().timeout(Duration::from_millis(200));
        let error = hub_error(hub.fetch(REPO, DEFAULT_REVISION));
        assert!(
            matches!(&error, HubError::Connection { url, .. } | HubError::Stalled { url, .. } if url.ends_with(name)),
            "{error}"
        );
    }
}

#[test]
fn what_a_hub_writes_does_not_flood_or_steer_a_terminal() {
    let long = "x".repeat(100_000);
    for listing in [
        format!(r#"{{"sha":"{long}","siblings":[]}}"#),
        r#"{"sha":"\u001b[2J","siblings":[]}"#.to_owned(),
        format!(r#"{{"sha":"{COMMIT}","siblings":"{long}"}}"#),
        format!(r#"{{"sha":"{COMMIT}","siblings":[{{"rfilename":["{long}"]}}]}}"#),
        "[".repeat(100_000),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n\r\n{listing}");
        let error = Setup::with_lie("GET", "main", Lie::Bytes(answer)).refusal();
        assert!(matches!(error, HubError::Reply { .. }), "{error}");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
    // The address of a redirect, too.
    let location = found(&format!("Location: /{}", "x".repeat(20_000)));
    let error = Setup::with_lie("GET", "main", location).refusal();
    assert!(
        matches!(
            error,
            HubError::NotFound { .. } | HubError::AccessDenied { .. }
        ),
        "{error}"
    );
}

#[test]
fn a_commit_that_was_asked_for_is_the_one_that_comes() {
    let other = "f".repeat(40);
    let setup = Setup::new(repository());
    let listing = format!(r#"{{"sha":"{other}","siblings":[]}}"#);
    let answer = format!("HTTP/1.1 200 OK\r\n\r\n{listing}");
    setup.server.lie("GET", COMMIT, Lie::Bytes(answer));
    let error = hub_error(setup.hub().fetch(REPO, COMMIT));
    assert!(
        matches!(&error, HubError::Reply { reason, .. } if reason.english().contains(&other)),
        "{error}"
    );
}

#[test]
fn a_hash_in_capitals_is_checked() {
    let capitals = || {
        let mut repository = repository();
        repository.etags = Etags::Capitals;
        Setup::new(repository)
    };
    for name in [WEIGHTS, "config.json"] {
        let setup = capitals();
        setup.server.fail(name, [Fault::Damage]);
        let error = setup.refusal();
        assert!(matches!(error, HubError::WrongChecksum { .. }), "{error}");
    }
    let mut notices = Vec::new();
    let setup = capitals();
    let folder = setup
        .hub()
        .notices(|notice| notices.push(notice))
        .fetch(REPO, DEFAULT_REVISION)
        .unwrap();
    assert_eq!(notices, []);
    let weights = fs::read(folder.join(WEIGHTS)).unwrap();
    assert!(weights == setup.server.repository.files[WEIGHTS]);
}

#[test]
fn an_etag_that_is_no_checksum_is_told() {
    let mut repository = repository();
    // One for all files, as of a mirror that makes it of something else.
    repository.etags = Etags::Text("d41d8cd98f00b204e9800998ecf8427e-7".to_owned());
    let setup = Setup::new(repository);
    let mut notices = Vec::new();
    let folder = setup
        .hub()
        .notices(|notice| notices.push(notice))
        .fetch(REPO, DEFAULT_REVISION)
        .unwrap();
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in &names {
        let file = fs::read(folder.join(name)).unwrap();
        assert!(file == setup.server.repository.files[name], "{name}");
    }
    for notice in &notices {
        assert!(notice.to_string().contains("only the length"));
        assert_discreet(&format!("{notice} {notice:?}"));
    }
    let mut told: Vec<_> = notices
        .iter()
        .map(|notice| match notice {
            HubNotice::Unchecked { url } => url.rsplit('/').next().unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    names.sort();
    told.sort();
    assert_eq!(told, names);
}
