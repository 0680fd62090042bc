//! A prepacked file whose checksum is right.
#![no_main]

use glm_core::{
    Error,
    checkpoint::{Converter, Target, inspect},
};
use glm_core_fuzz::{empty, put};
use xxhash_rust::xxh3::Xxh3;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    repair(&mut bytes);
    let path = put("model.glm", &bytes);
    let inspection = inspect(&path);
    let _ = inspection.to_string();
    // What opens can be read: nothing but the values of its weights may then be wrong.
    let converted = Converter::default().convert(&path, Target::Safetensors, empty("converted"));
    if let Err(error @ Error::Verification { .. }) = converted {
        panic!("{error}");
    }
});

/// Length and checksum of a file are made right, so that what they protect is reached.
fn repair(bytes: &mut [u8]) {
    let Some((preamble, rest)) = bytes.split_at_mut_checked(32) else {
        return;
    };
    let length = (preamble.len() + rest.len()) as u64;
    preamble[16..24].copy_from_slice(&length.to_le_bytes());
    let header = u32::from_le_bytes(preamble[12..16].try_into().expect("four bytes"));
    let Some(header) = rest.get(..header as usize) else {
        return;
    };
    let mut hash = Xxh3::new();
    hash.update(&preamble[..24]);
    hash.update(header);
    preamble[24..].copy_from_slice(&hash.digest().to_le_bytes());
}
