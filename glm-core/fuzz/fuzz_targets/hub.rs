//! The answers of a hub, one for each request, divided by a line `===`.
//!
//! `{hub}` stands for the address of the hub. No input may name another one, so that nothing is asked for but on loopback.
#![no_main]

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use glm_core::hub::Hub;
use glm_core_fuzz::empty;

/// The answers that are left, the next one last.
static ANSWERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if bytes.windows(2).any(|pair| pair == b"//") {
        return;
    }
    let address = address();
    let mut answers: Vec<_> = split(bytes, b"\n===\n")
        .map(|answer| {
            split(answer, b"{hub}")
                .collect::<Vec<_>>()
                .join(address.as_bytes())
        })
        .collect();
    answers.reverse();
    *ANSWERS.lock().unwrap_or_else(PoisonError::into_inner) = answers;

    let outside = empty("hub");
    let cache = outside.join("cache");
    let fetched = Hub::default()
        .endpoint(address)
        .cache_dir(&cache)
        .retries(0)
        .timeout(Duration::from_millis(500))
        .fetch("org/name", "main");
    match fetched {
        Ok(folder) => assert!(folder.starts_with(&cache) && folder.join("config.json").is_file()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let names = fs::read_dir(&outside).expect("a temporary folder");
    for name in names {
        assert_eq!(name.expect("a name").file_name(), "cache");
    }
});

/// Parts between the places where `mark` stands.
fn split<'a>(mut bytes: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let at = bytes.windows(mark.len()).position(|window| window == mark);
        let part = &bytes[..at.unwrap_or(bytes.len())];
        bytes = at.map_or(&[], |at| &bytes[at + mark.len()..]);
        ended = at.is_none();
        Some(part)
    })
}

/// Of the server, which is started first.
fn address() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let _ = answer(connection);
            }
        });
        format!("http://127.0.0.1:{port}")
    })
}

/// One request, the next answer, and the end.
fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut request = Vec::new();
    let mut part = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        match connection.read(&mut part)? {
            0 => return Ok(()),
            count => request.extend(&part[..count]),
        }
    }
    let next = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner).pop();
    connection.write_all(&next.unwrap_or_default())
}
