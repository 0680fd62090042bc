//! What a file is, by its first bytes and its extension.

use std::{io::Read, path::Path};

use glm_tokenizer::regular_file;

use crate::checkpoint::{content::Content, files::is_ggml, prepacked};

/// How the files of [`Prefix::save`](crate::prefix_cache::Prefix::save) begin; the room that writes them is above this one.
const PROMPT_CACHE: &[u8] = b"GLMREAD\n";
/// How images begin: PNG, JPEG, GIF, BMP. WebP is a RIFF file that says so further on.
const IMAGES: [&[u8]; 4] = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM"];
const RIFF: &[u8] = b"RIFF";
const WEBP: &[u8] = b"WEBP";
const WEBP_AT: usize = 8;
/// As many bytes of a file as tell what it is.
const HEAD_BYTES: u64 = 16;

/// Extensions of texts, tables, and tensors of no model.
const DATA_EXTENSIONS: [&str; 10] = [
    "json",
    "jsonl",
    "csv",
    "tsv",
    "txt",
    "parquet",
    "npy",
    "npz",
    "safetensors",
    "bin",
];
/// Extensions under which `torch.save` and safetensors files go.
const TENSOR_EXTENSIONS: [&str; 5] = ["safetensors", "bin", "pt", "pth", "ckpt"];

/// What a file is by its first bytes and its extension; `None` for what is not known, or cannot be read.
pub(super) fn of_file(path: &Path) -> Option<Content> {
    let head = head(path)?;
    if is_ggml(path) {
        return Some(Content::Ggml);
    }
    if head.starts_with(&prepacked::MAGIC) {
        return Some(Content::Prepacked);
    }
    if head.starts_with(PROMPT_CACHE) {
        return Some(Content::PromptCache);
    }
    let is_webp =
        || head.starts_with(RIFF) && head.get(WEBP_AT..).is_some_and(|b| b.starts_with(WEBP));
    if IMAGES.iter().any(|magic| head.starts_with(magic)) || is_webp() {
        return Some(Content::Images);
    }
    has_extension(path, &DATA_EXTENSIONS).then_some(Content::Data)
}

/// Whether a file may hold tensors of PyTorch or safetensors.
pub(super) fn may_hold_tensors(path: &Path) -> bool {
    has_extension(path, &TENSOR_EXTENSIONS)
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    let extension = path.extension().unwrap_or_default();
    known
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// The first bytes of a regular file.
fn head(path: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let file = regular_file::open(path).ok()?;
    file.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    Some(head)
}
