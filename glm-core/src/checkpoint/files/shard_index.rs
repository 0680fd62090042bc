//! Reads `*.index.json`: which tensor of a sharded checkpoint lies in which file.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use glm_tokenizer::{phrase, regular_file};
use serde::Deserialize;

use super::unique_entries::UniqueEntries;
use super::weight_file;
use crate::error::{Error, Result};
use crate::json_file;

/// Largest index that is read, in bytes. The official one has 33 kB.
const MAX_INDEX_BYTES: u64 = 16 << 20;
/// Most shards of a checkpoint; each keeps a file open.
const MAX_SHARDS: usize = 256;

/// The part of the file that matters. Its `metadata.total_size` does not: the official one is out of date by
/// the size of the image tokens that the second generation dropped.
#[derive(Deserialize)]
struct Index {
    weight_map: UniqueEntries<String>,
}

/// The shards in the order of their names, each with the tensors that the index places there.
pub(super) type Shards = BTreeMap<String, Vec<String>>;

/// Reads the index at `path`. Every shard name in the result is a plain file name.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::PermissionDenied`], [`Error::Io`], [`Error::LfsPointer`], [`Error::Malformed`] when it is no
/// index, names no tensor or too many shards, or a shard outside the folder.
pub(super) fn read(path: &Path) -> Result<Shards> {
    let (file, _) = weight_file::open(path)?;
    let json =
        regular_file::read_at_most(file, MAX_INDEX_BYTES).map_err(|e| Error::file(path, e))?;
    let index: Index = json_file::parse(path, &json, MAX_INDEX_BYTES)?;

    let mut shards = Shards::new();
    let UniqueEntries(entries) = index.weight_map;
    for (tensor, shard) in entries {
        if !is_file_name(&shard) {
            return Err(Error::malformed(
                path,
                phrase!(
                    "index-no-file-name",
                    "tensor `{tensor}` is said to be in `{shard}`, which is no plain file name",
                    tensor,
                    shard
                ),
            ));
        }
        shards.entry(shard).or_default().push(tensor);
    }
    if shards.is_empty() || shards.len() > MAX_SHARDS {
        let count = shards.len();
        return Err(Error::malformed(
            path,
            phrase!(
                "index-shard-count",
                "an index names 1 to {most} shards, this one {count}",
                most = MAX_SHARDS,
                count
            ),
        ));
    }
    Ok(shards)
}

/// A name that stays in its folder on every system.
fn is_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(components.next(), Some(Component::Normal(_)))
        && components.next().is_none()
        && !name.contains(['/', '\\', ':', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(json: &[u8]) -> Result<Shards> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pytorch_model.bin.index.json");
        std::fs::write(&path, json).unwrap();
        read(&path)
    }

    #[test]
    fn shards_are_grouped() {
        let json = r#"{"metadata": {"total_size": -1}, "weight_map": {"b": "2.bin", "a": "1.bin", "c": "1.bin"}}"#;
        let shards = parse(json.as_bytes()).unwrap();
        assert_eq!(shards["1.bin"], ["a", "c"]);
        assert_eq!(shards["2.bin"], ["b"]);
    }

    #[test]
    fn shards_outside_the_folder_are_refused() {
        for shard in [
            "../x.bin",
            "/etc/passwd",
            "a/b.bin",
            "..",
            ".",
            "",
            "a\\b",
            "c:x",
            "./x",
            "x/",
        ] {
            let json = serde_json::json!({"weight_map": {"t": shard}}).to_string();
            assert!(
                matches!(parse(json.as_bytes()), Err(Error::Malformed { .. })),
                "{shard}"
            );
        }
    }

    #[test]
    fn garbage_is_malformed() {
        let many: BTreeMap<String, String> = (0..=MAX_SHARDS)
            .map(|i| (format!("t{i}"), format!("{i}.bin")))
            .collect();
        let many = serde_json::json!({"weight_map": many}).to_string();
        for json in [
            "{",
            "[]",
            "{}",
            r#"{"weight_map": {}}"#,
            r#"{"weight_map": {"a": 1}}"#,
            r#"{"weight_map": ["a"]}"#,
            &many,
        ] {
            assert!(
                matches!(parse(json.as_bytes()), Err(Error::Malformed { .. })),
                "{json:.60}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_end_in_a_result(bytes: Vec<u8>) {
            prop_assert!(parse(&bytes).is_err());
        }
    }
}
