//! Models by name: downloaded from a hub on loopback, continued after a kill, used without a network.
#![allow(clippy::unwrap_used)]

#[path = "../../../glm-core/tests/support/hub_server.rs"]
mod hub_server;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

use hub_server::{COMMIT, Fault, Held, HubServer, REPO, Repository};

const WEIGHTS: &str = "model.safetensors";

fn mini_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mini-model/chatglm-mini")
}

fn server() -> HubServer {
    HubServer::start(Repository::of_folders(&[&mini_folder()]))
}

/// The program with a question, this hub, and a home of its own.
fn chat(server: &HubServer, home: &Path, model: &str, arguments: &[&str]) -> Command {
    let mut chat = Command::new(env!("CARGO_BIN_EXE_chat"));
    chat.args([
        "--lang",
        "en",
        "--greedy",
        "-p",
        "What is 2 plus 3?",
        "--model",
        model,
    ])
    .args(arguments)
    .env("HF_ENDPOINT", &server.endpoint)
    .env("HF_HOME", home)
    .env("NO_PROXY", "127.0.0.1")
    .stdin(Stdio::null());
    for name in [
        "HF_HUB_CACHE",
        "HF_TOKEN",
        "HF_TOKEN_PATH",
        "HF_HUB_OFFLINE",
    ] {
        chat.env_remove(name);
    }
    chat
}

fn answer(output: &Output) -> &str {
    assert!(output.status.success(), "{}", notes(output));
    std::str::from_utf8(&output.stdout).unwrap()
}

fn notes(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The one line that says why there was no answer.
fn refusal(chat: Command) -> String {
    refusal_with(1, chat)
}

/// The same, with this exit code.
fn refusal_with(code: i32, mut chat: Command) -> String {
    let output = chat.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", notes(&output));
    assert_eq!(notes(&output).lines().count(), 1, "{}", notes(&output));
    assert!(notes(&output).starts_with("error: "), "{}", notes(&output));
    notes(&output).to_owned()
}

#[test]
fn a_download_that_was_killed_is_continued_and_the_model_answers() {
    let (server, home) = (server(), tempfile::tempdir().unwrap());
    let size = server.repository.files[WEIGHTS].len();
    let partial = home.path().join("hub/models--some-org--some-model/blobs");
    let partial = partial.join(format!("{}.incomplete", server.repository.etag(WEIGHTS)));

    let (held, hold) = Held::new();
    server.fail(WEIGHTS, [Fault::HoldAfter(size / 2, hold)]);
    let mut first = chat(&server, home.path(), REPO, &[])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    held.wait();
    // What was sent is on its way to the program, which writes it down.
    while fs::metadata(&partial).is_ok_and(|file| file.len() < size as u64 / 2) {
        assert!(first.try_wait().unwrap().is_none(), "it ended by itself");
        thread::yield_now();
    }
    first.kill().unwrap();
    first.wait().unwrap();
    drop(held);
    let sent = size / 2;
    assert_eq!(fs::metadata(&partial).unwrap().len(), sent as u64);

    let second = chat(&server, home.path(), REPO, &[]).output().unwrap();
    let folder = mini_folder();
    let expected = chat(&server, home.path(), folder.to_str().unwrap(), &[])
        .output()
        .unwrap();
    assert_eq!(answer(&second), answer(&expected));
    assert_eq!(server.ranges(WEIGHTS), [None, Some(sent)]);
    for name in ["config.json", "ice_text.model", "tokenizer_config.json"] {
        assert_eq!(server.ranges(name), [None], "{name}");
    }
    assert!(
        notes(&second).contains("downloaded once"),
        "{}",
        notes(&second)
    );

    // From now on without a network, and without a word.
    let seen = server.seen().len();
    for arguments in [&["--offline"][..], &["--revision", COMMIT]] {
        let third = chat(&server, home.path(), REPO, arguments)
            .output()
            .unwrap();
        assert_eq!(answer(&third), answer(&expected));
        assert_eq!(notes(&third), "");
    }
    assert_eq!(server.seen().len(), seen);
}

#[test]
fn what_cannot_be_downloaded_is_told_in_one_line() {
    let (server, home) = (server(), tempfile::tempdir().unwrap());
    for (model, arguments, reasons) in [
        ("some-org/other", &[][..], ["`some-org/other`", "HF_TOKEN"]),
        (REPO, &["--revision", "v9"], ["`v9`", "there is no model"]),
        (
            REPO,
            &["--offline"],
            ["not complete", home.path().to_str().unwrap()],
        ),
        (
            "./some-org/some-model",
            &[],
            ["there is no file or folder", "ORG/NAME"],
        ),
    ] {
        let said = refusal(chat(&server, home.path(), model, arguments));
        for reason in reasons {
            assert!(said.contains(reason), "`{reason}` in {said}");
        }
    }
    let said = refusal_with(2, chat(&server, home.path(), REPO, &["--revision", "../x"]));
    for reason in ["`revision`", "`../x`"] {
        assert!(said.contains(reason), "`{reason}` in {said}");
    }
}

#[test]
fn a_name_that_may_be_meant_for_a_file_never_goes_to_the_network() {
    let (server, home) = (server(), tempfile::tempdir().unwrap());
    let here = tempfile::tempdir().unwrap();
    fs::create_dir(here.path().join("models")).unwrap();
    fs::write(here.path().join("notes"), "").unwrap();
    for (model, reason) in [
        ("models/chatglm-6b", "`models` is here"),
        ("notes/chatglm-6b", "`notes` is here"),
        ("models/glm.bin", "is the ending of a file"),
        ("nowhere/glm.bin", "is the ending of a file"),
        ("nowhere/model.safetensors", "is the ending of a file"),
        ("nowhere/ice_text.model", "is the ending of a file"),
        ("nowhere/chatglm-6b.FLM", "is the ending of a file"),
        ("/nowhere/chatglm-6b", "there is no file or folder"),
        ("./chatglm-6b", "there is no file or folder"),
        ("~/chatglm-6b", "there is no file or folder"),
        ("../chatglm-6b", "there is no file or folder"),
        ("models\\glm", "there is no file or folder"),
        ("C:\\models\\glm", "there is no file or folder"),
        ("a/b/c", "there is no file or folder"),
        ("chatglm-6b", "there is no file or folder"),
    ] {
        let mut chat = chat(&server, home.path(), model, &[]);
        chat.current_dir(here.path());
        let said = refusal(chat);
        assert!(said.contains(reason), "`{reason}` in {said}");
        assert!(said.contains(model), "{said}");
    }
    assert_eq!(server.seen(), []);
    // What is a name is one, from there too.
    let mut chat = chat(&server, home.path(), REPO, &[]);
    answer(&chat.current_dir(here.path()).output().unwrap());
}

#[test]
fn the_environment_of_huggingface_hub_holds() {
    let mut repository = Repository::of_folders(&[&mini_folder()]);
    repository.token = Some("hf_secret".to_owned());
    let (server, home) = (HubServer::start(repository), tempfile::tempdir().unwrap());
    let chat = || chat(&server, home.path(), REPO, &[]);
    let said = refusal(chat());
    assert!(
        said.contains("HF_TOKEN") && said.contains("none was given"),
        "{said}"
    );

    let mut offline = chat();
    offline
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_TOKEN", "hf_secret");
    assert!(refusal(offline).contains("HF_HUB_OFFLINE"));

    fs::write(home.path().join("token"), "hf_secret\n").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let by_file = chat()
        .env("HF_HUB_CACHE", elsewhere.path())
        .output()
        .unwrap();
    answer(&by_file);
    assert!(
        elsewhere
            .path()
            .join("models--some-org--some-model/refs/main")
            .is_file()
    );
    let by_variable = chat()
        .env("HF_TOKEN_PATH", "no/such/file")
        .env("HF_TOKEN", "hf_secret")
        .output()
        .unwrap();
    assert_eq!(answer(&by_variable), answer(&by_file));
}
