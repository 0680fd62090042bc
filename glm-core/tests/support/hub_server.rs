//! A hub on loopback. It serves one repository as huggingface.co does: small files after a redirect within the hub, large
//! ones after a redirect to a storage with another port. It notes what it is asked for, and fails or lies where it is told to.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "each test program uses a part of it"
)]

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use sha1::{Digest, Sha1};
use sha2::Sha256;

pub(crate) const REPO: &str = "some-org/some-model";
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a hub serves.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    /// Of the revisions `main` and `v1.1.0`.
    pub(crate) commit: String,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Needed for everything but the listing.
    pub(crate) token: Option<String>,
    pub(crate) etags: Etags,
}

/// How the hub names contents.
#[derive(Debug, Clone, Default)]
pub(crate) enum Etags {
    /// Hashes in small digits.
    #[default]
    Hashes,
    /// The same in capitals.
    Capitals,
    /// This, whatever the content is.
    Text(String),
}

impl Repository {
    /// The files of these folders, and some that no one needs.
    pub(crate) fn of_folders(folders: &[&Path]) -> Self {
        let mut files = BTreeMap::new();
        for folder in folders {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                files.insert(name, fs::read(entry.path()).unwrap());
            }
        }
        for name in [
            "modeling_chatglm.py",
            "README.md",
            "model.onnx",
            "../escape.py",
        ] {
            files.insert(name.to_owned(), b"nobody needs this".to_vec());
        }
        Self {
            commit: COMMIT.to_owned(),
            files,
            token: None,
            etags: Etags::default(),
        }
    }

    /// The hash that names the content of a file.
    pub(crate) fn etag(&self, name: &str) -> String {
        let content = &self.files[name];
        let hash = || match is_large(name) {
            true => hexadecimal(&Sha256::digest(content)),
            false => {
                let mut hash = Sha1::new_with_prefix(format!("blob {}\0", content.len()));
                hash.update(content);
                hexadecimal(&hash.finalize())
            }
        };
        match &self.etags {
            Etags::Hashes => hash(),
            Etags::Capitals => hash().to_ascii_uppercase(),
            Etags::Text(text) => text.clone(),
        }
    }
}

/// An answer that no hub gives.
#[derive(Debug, Clone)]
pub(crate) enum Lie {
    /// These bytes.
    Bytes(String),
    /// The first bytes, and the second ones until the client goes away, or until it has been sent far too many.
    Endless(&'static str, &'static str),
    /// The first bytes, and then the second ones one by one, each a twentieth of a second later.
    Slow(&'static str, String),
}

/// Bytes of an endless answer after which the server gives up.
pub(crate) const FAR_TOO_MANY_BYTES: usize = 128 << 20;

/// How the answer to one request for a file's content, or for the listing, goes wrong.
pub(crate) enum Fault {
    /// The connection is cut after so many bytes of the content.
    CutAfter(usize),
    /// After so many bytes the answer waits.
    HoldAfter(usize, Hold),
    /// The whole file, whatever was asked for.
    IgnoreRange,
    /// The content is so many bytes, of which all but the file's are zero.
    Length(usize),
    /// The first byte is another one.
    Damage,
    /// An answer without content.
    Status(u16),
}

/// The server's end of a [`Held`].
pub(crate) struct Hold {
    held: Sender<()>,
    go_on: Receiver<()>,
}

/// The test's end of an answer that waits. When it is dropped, the answer goes on.
pub(crate) struct Held {
    held: Receiver<()>,
    _go_on: Sender<()>,
}

impl Held {
    pub(crate) fn new() -> (Self, Hold) {
        let (held, test_held) = mpsc::channel();
        let (test_go_on, go_on) = mpsc::channel();
        let test = Self {
            held: test_held,
            _go_on: test_go_on,
        };
        (test, Hold { held, go_on })
    }

    /// Returns when the server has sent what it sends before it waits.
    pub(crate) fn wait(&self) {
        self.held.recv().unwrap();
    }
}

/// Who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Hub,
    Storage,
}

/// A request that was answered, or is being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) server: Server,
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    /// Where the asked range begins.
    pub(crate) from: Option<usize>,
    pub(crate) authorization: Option<String>,
}

impl Seen {
    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap()
    }
}

pub(crate) struct HubServer {
    pub(crate) endpoint: String,
    pub(crate) repository: Repository,
    state: Arc<State>,
}

struct State {
    repository: Repository,
    storage: String,
    faults: Mutex<BTreeMap<String, VecDeque<Fault>>>,
    /// By method and name.
    lies: Mutex<BTreeMap<(&'static str, String), Lie>>,
    seen: Mutex<Vec<Seen>>,
    /// Bytes of content that were sent, by file.
    sent: Mutex<BTreeMap<String, usize>>,
}

impl HubServer {
    pub(crate) fn start(repository: Repository) -> Self {
        let [hub, storage] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let endpoint = address(&hub);
        let state = Arc::new(State {
            repository: repository.clone(),
            storage: address(&storage),
            faults: Mutex::default(),
            lies: Mutex::default(),
            seen: Mutex::default(),
            sent: Mutex::default(),
        });
        for (server, listener) in [(Server::Hub, hub), (Server::Storage, storage)] {
            let state = Arc::clone(&state);
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let (state, stream) = (Arc::clone(&state), stream.unwrap());
                    // A client that goes away is part of the tests.
                    thread::spawn(move || drop(state.answer(server, &stream)));
                }
            });
        }
        Self {
            endpoint,
            repository,
            state,
        }
    }

    /// The next answers about `name` (the listing's is `main`) go wrong in this way, in this order.
    pub(crate) fn fail(&self, name: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut all = self.state.faults.lock().unwrap();
        all.entry(name.to_owned()).or_default().extend(faults);
    }

    /// All answers to requests of `method` about `name` (the listing's is `main`) are this one, from the storage too.
    pub(crate) fn lie(&self, method: &'static str, name: &str, lie: Lie) {
        let mut all = self.state.lies.lock().unwrap();
        all.insert((method, name.to_owned()), lie);
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// Where the ranges of the requests for a file's content began.
    pub(crate) fn ranges(&self, name: &str) -> Vec<Option<usize>> {
        let mut seen = self.seen();
        seen.retain(|seen| {
            let is_content =
                seen.server == Server::Storage || seen.path.contains("/resolve-cache/");
            is_content && seen.method == "GET" && seen.name() == name
        });
        seen.into_iter().map(|seen| seen.from).collect()
    }

    /// Bytes of a file's content, or of lies about it, that were sent so far.
    pub(crate) fn sent(&self, name: &str) -> usize {
        self.state
            .sent
            .lock()
            .unwrap()
            .get(name)
            .copied()
            .unwrap_or(0)
    }
}

impl State {
    fn answer(&self, server: Server, mut stream: &TcpStream) -> io::Result<()> {
        let request = read_request(server, stream)?;
        self.seen.lock().unwrap().push(request.clone());
        let lies = self.lies.lock().unwrap().clone();
        let mut lies = lies.into_iter();
        if let Some((_, lie)) =
            lies.find(|((method, name), _)| *method == request.method && name == request.name())
        {
            return self.tell(stream, request.name(), &lie);
        }
        let repository = &self.repository;
        let token = repository.token.as_ref();
        let is_refused =
            token.is_some_and(|token| request.authorization != Some(format!("Bearer {token}")));
        let name = request.name();
        let resolve = format!("/{REPO}/resolve/{}/", repository.commit);
        let cache = format!("/api/resolve-cache/{}/", repository.commit);
        let is_file = repository.files.contains_key(name);
        match request
            .path
            .strip_prefix(&format!("/api/models/{REPO}/revision/"))
        {
            Some(revision)
                if revision == "main" || revision == "v1.1.0" || revision == repository.commit =>
            {
                let siblings = repository
                    .files
                    .keys()
                    .map(|name| format!(r#"{{"rfilename":"{name}"}}"#));
                let siblings = siblings.collect::<Vec<_>>().join(",");
                let listing = format!(
                    r#"{{"sha":"{}","siblings":[{siblings}]}}"#,
                    repository.commit
                );
                return self.send_content(stream, &request, listing.as_bytes(), "");
            }
            Some(_) => {
                return send_head(
                    stream,
                    "404 Not Found",
                    &["X-Error-Code: RevisionNotFound"],
                    0,
                );
            }
            None => {}
        }
        if server == Server::Storage && is_file {
            return self.send_content(
                stream,
                &request,
                &repository.files[name],
                "\"of-the-storage\"",
            );
        }
        if request.path.starts_with(&cache) && is_file && !is_refused {
            let etag = format!("\"{}\"", repository.etag(name));
            return self.send_content(stream, &request, &repository.files[name], &etag);
        }
        if !request.path.starts_with(&resolve) || !is_file {
            // For whoever has no token a repository that does not exist may as well be a private one.
            return send_head(
                stream,
                "401 Unauthorized",
                &["X-Error-Code: RepoNotFound"],
                0,
            );
        }
        if is_refused {
            return send_head(stream, "401 Unauthorized", &["X-Error-Code: GatedRepo"], 0);
        }
        if !is_large(name) {
            return send_head(
                stream,
                "307 Temporary Redirect",
                &[&format!("Location: {cache}{name}")],
                0,
            );
        }
        let headers = [
            format!("Location: {}/{name}?signature=secret", self.storage),
            format!("X-Linked-Etag: \"{}\"", repository.etag(name)),
            format!("X-Linked-Size: {}", repository.files[name].len()),
        ];
        let body = "Found. Redirecting";
        send_head(stream, "302 Found", &headers, body.len())?;
        match request.method.as_str() {
            "HEAD" => Ok(()),
            _ => stream.write_all(body.as_bytes()),
        }
    }

    fn tell(&self, mut stream: &TcpStream, name: &str, lie: &Lie) -> io::Result<()> {
        let mut send = |bytes: &[u8]| -> io::Result<usize> {
            stream.write_all(bytes)?;
            let mut sent = self.sent.lock().unwrap();
            let sent = sent.entry(name.to_owned()).or_default();
            *sent += bytes.len();
            Ok(*sent)
        };
        match lie {
            Lie::Bytes(bytes) => drop(send(bytes.as_bytes())?),
            Lie::Endless(first, again) => {
                send(first.as_bytes())?;
                let again = again.repeat(4096 / again.len() + 1);
                while send(again.as_bytes())? < FAR_TOO_MANY_BYTES {}
            }
            Lie::Slow(first, then) => {
                send(first.as_bytes())?;
                for byte in then.bytes() {
                    thread::park_timeout(Duration::from_millis(50));
                    send(&[byte])?;
                }
            }
        }
        stream.shutdown(Shutdown::Write)
    }

    fn send_content(
        &self,
        mut stream: &TcpStream,
        request: &Seen,
        content: &[u8],
        etag: &str,
    ) -> io::Result<()> {
        let name = request.name();
        let fault = match request.method.as_str() {
            "GET" => self
                .faults
                .lock()
                .unwrap()
                .get_mut(name)
                .and_then(VecDeque::pop_front),
            _ => None,
        };
        let mut content = content.to_vec();
        let mut from = request.from.unwrap_or(0);
        match fault {
            Some(Fault::IgnoreRange) => from = 0,
            Some(Fault::Length(length)) => content.resize(length, 0),
            Some(Fault::Damage) => content[from] ^= 1,
            Some(Fault::Status(status)) => {
                return send_head(stream, &format!("{status} Fault"), &[""; 0], 0);
            }
            _ => {}
        }
        let etag = format!("ETag: {etag}");
        let body = &content[from..];
        match from {
            0 => send_head(stream, "200 OK", &[etag], body.len())?,
            _ => {
                let range = format!(
                    "Content-Range: bytes {from}-{}/{}",
                    content.len() - 1,
                    content.len()
                );
                send_head(stream, "206 Partial Content", &[etag, range], body.len())?;
            }
        }
        if request.method == "HEAD" {
            return Ok(());
        }
        let mut send = |bytes: &[u8]| -> io::Result<()> {
            stream.write_all(bytes)?;
            *self
                .sent
                .lock()
                .unwrap()
                .entry(name.to_owned())
                .or_default() += bytes.len();
            Ok(())
        };
        match fault {
            Some(Fault::CutAfter(length)) => send(&body[..length]),
            Some(Fault::HoldAfter(length, hold)) => {
                send(&body[..length])?;
                hold.held.send(()).unwrap();
                // An error says that the test lets go.
                let _ = hold.go_on.recv();
                send(&body[length..])
            }
            _ => send(body),
        }?;
        stream.shutdown(Shutdown::Write)
    }
}

/// Every answer is the last one of its connection.
fn send_head(
    mut stream: &TcpStream,
    status: &str,
    headers: &[impl AsRef<str>],
    length: usize,
) -> io::Result<()> {
    let mut head =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    for header in headers {
        head += header.as_ref();
        head += "\r\n";
    }
    stream.write_all((head + "\r\n").as_bytes())
}

fn read_request(server: Server, stream: &TcpStream) -> io::Result<Seen> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines
        .next()
        .unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let mut seen = Seen {
        server,
        method,
        path: target.split('?').next().unwrap().to_owned(),
        from: None,
        authorization: None,
    };
    for line in lines {
        let line = line?;
        match line.split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                seen.authorization = Some(value.to_owned());
            }
            Some((name, value)) if name.eq_ignore_ascii_case("range") => {
                let from = value
                    .strip_prefix("bytes=")
                    .unwrap()
                    .strip_suffix('-')
                    .unwrap();
                seen.from = Some(from.parse().unwrap());
            }
            Some(_) => {}
        }
    }
    Ok(seen)
}

/// What huggingface.co keeps outside Git.
fn is_large(name: &str) -> bool {
    [".bin", ".safetensors", ".model", ".onnx"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
