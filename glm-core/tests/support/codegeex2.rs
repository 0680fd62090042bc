//! A small CodeGeeX2 with a tokenizer: the golden checkpoint, and a SentencePiece file of characters.

use std::{fs, path::Path};

use tempfile::TempDir;

#[path = "../../../glm-tokenizer/tests/model_file/mod.rs"]
mod model_file;

/// A folder with both; `golden` is the folder of the golden checkpoints.
pub(crate) fn folder(golden: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        let source = golden.join("codegeex2-tiny").join(name);
        fs::copy(source, folder.path().join(name)).unwrap();
    }
    let characters = ('!'..='~').map(String::from);
    let pieces = ["\n", "▁", "▁▁", "▁▁▁▁", "\n\n", "你"].map(String::from);
    let pieces: Vec<String> = pieces.into_iter().chain(characters).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let tokenizer = model_file::chatglm2(&pieces, false);
    fs::write(folder.path().join("tokenizer.model"), tokenizer).unwrap();
    folder
}
