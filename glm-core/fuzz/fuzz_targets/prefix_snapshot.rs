//! A snapshot of what was read, of a model whose tokens take twelve bytes.
#![no_main]

use glm_core::{CachePrecision, prefix_cache::SnapshotFile};
use glm_core_fuzz::put;
use xxhash_rust::xxh3::xxh3_64;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    repair(&mut bytes);
    let path = put("snapshot", &bytes);
    let Ok(mut file) = SnapshotFile::open(&path) else {
        return;
    };
    if let Ok(tokens) = file.check(CachePrecision::F16, 0, 12) {
        // A file of the right length is there to its end, and its checksum was made right.
        file.read(12 * tokens).expect("all tokens");
        file.check_sum().expect("the checksum");
    }
});

/// Makes the checksum of a file right.
fn repair(bytes: &mut [u8]) {
    if let Some((rest, sum)) = bytes.split_last_chunk_mut() {
        *sum = xxh3_64(rest).to_le_bytes();
    }
}
