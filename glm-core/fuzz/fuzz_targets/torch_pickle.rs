//! The pickle of a `.bin` file, in a zip whose checksums are right, beside three storages.
#![no_main]

use std::io::{Cursor, Write};

use zip::write::{SimpleFileOptions, ZipWriter};

libfuzzer_sys::fuzz_target!(|pickle: &[u8]| {
    glm_core_fuzz::open_and_read("pytorch_model.bin", &archive(pickle));
});

fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), SimpleFileOptions::default())
            .expect("a name");
        zip.write_all(bytes).expect("memory");
    };
    add("data.pkl", pickle);
    add("byteorder", b"little");
    for storage in 0..3_u8 {
        add(&format!("data/{storage}"), &[storage; 64]);
    }
    add("version", b"3\n");
    zip.finish().expect("memory").into_inner()
}
