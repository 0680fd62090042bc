//! Saves a model that is in memory in the official layout.

use std::path::Path;

use super::{WEIGHTS, Writer, official_config};
use crate::{
    checkpoint::{
        atomic_file::write_whole,
        names::{Names, is_embedding, is_head},
        network::parts_of,
        precision::Forms,
    },
    error::Result,
    model::Model,
};

/// Saves `config.json` and `model.safetensors` (every tensor in f16) into `dir`, which must exist. A head that is the
/// embedding is stored once where the configuration can say so. Tensors are converted one at a time.
///
/// Each file appears under its name when it is whole, so that a crash leaves the old file or the new one.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io), [`Error::PermissionDenied`](crate::Error::PermissionDenied) and [`Error::StorageFull`](crate::Error::StorageFull) when a file cannot be written,
/// [`Error::OfficialLayout`](crate::Error::OfficialLayout) for a quantised model: save it with [`save_prepacked`](crate::checkpoint::save_prepacked), and convert
/// that with a [`Converter`](crate::checkpoint::Converter).
pub fn save_f16(model: &Model, dir: impl AsRef<Path>) -> Result<()> {
    let dir = dir.as_ref();
    let config = official_config(model.config(), Forms::FLOAT);
    let parts = parts_of(model.network());
    let in_memory = parts.iter().any(|(name, _)| is_head(name));
    let has_head = in_memory || !config.tie_word_embeddings();
    let mut writer = Writer::create(&dir.join(WEIGHTS), &config, has_head)?;
    for (name, part) in &parts {
        writer.put(name, &part.weight())?;
        if is_embedding(name) && has_head && !in_memory {
            writer.put(Names::of(&config).head, &part.weight())?;
        }
    }
    writer.finish()?;
    let json = config.to_json()? + "\n";
    write_whole(&dir.join("config.json"), json.as_bytes())
}
