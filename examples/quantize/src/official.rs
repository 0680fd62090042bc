//! The official folder layout.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use glm_core::{LoadOptions, checkpoint::save_quantized};

/// What a chat needs beside the weights.
const TOKENIZER_FILES: [&str; 2] = ["ice_text.model", "tokenizer_config.json"];

/// Quantises the checkpoint in `dir`, writes it to the folder `output` with its tokenizer, and gives the files.
pub(crate) fn write(
    options: LoadOptions<'_>,
    dir: &Path,
    output: &Path,
) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let model = options.load(dir)?;
    let at = |path: &Path, error| format!("{}: {error}", path.display());
    fs::create_dir_all(output).map_err(|error: std::io::Error| at(output, error))?;
    save_quantized(&model, output)?;
    let mut files = vec![output.join("model.safetensors")];
    for name in TOKENIZER_FILES {
        let (from, to) = (dir.join(name), output.join(name));
        if from.exists() {
            fs::copy(&from, &to).map_err(|error| at(&to, error))?;
            files.push(to);
        }
    }
    Ok(files)
}
