//! An index of shards, beside a shard.
#![no_main]

use std::{fs, sync::Once};

use glm_core::checkpoint::{CheckpointFiles, WeightFormat};
use glm_core_fuzz::{empty, folder};

libfuzzer_sys::fuzz_target!(|json: &[u8]| {
    static SHARD: Once = Once::new();
    let dir = folder().join("sharded");
    SHARD.call_once(|| {
        empty("sharded");
        let shard = dir.join("model-00001-of-00002.safetensors");
        fs::write(shard, b"\x40\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}          \0\0\0\0").expect("a shard");
        // What no index may reach.
        fs::write(folder().join("outside.safetensors"), b"secret").expect("a file");
    });
    fs::write(dir.join("model.safetensors.index.json"), json).expect("an index");
    match CheckpointFiles::open_with_format(&dir, WeightFormat::Safetensors) {
        Ok(files) => {
            assert!(
                files
                    .tensors()
                    .all(|info| info.file.parent() == Some(&*dir))
            );
            glm_core_fuzz::read(&files);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
