//! Names that could be those of repositories, but are meant for files of this machine: a typing error in a path must not
//! send it to a server.

use std::path::Path;

use glm_tokenizer::phrase;

use crate::{error::Result, hub::HubError};

/// How files of models end, in small letters. No repository of these models ends so.
const FILE_EXTENSIONS: [&str; 16] = [
    "bin",
    "ckpt",
    "flm",
    "ggml",
    "gguf",
    "glm",
    "gz",
    "json",
    "model",
    "npz",
    "pt",
    "pth",
    "safetensors",
    "tar",
    "txt",
    "zip",
];

/// # Errors
/// [`HubError::LocalName`] for `ORG/NAME` that ends as a file does, or where something is called `ORG`.
pub(super) fn refuse(path: &Path) -> Result<()> {
    let local = |why| HubError::LocalName {
        path: path.to_path_buf(),
        why,
    };
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    if FILE_EXTENSIONS.contains(&&*extension.to_ascii_lowercase()) {
        return Err(local(phrase!(
            "hub-name-of-a-file",
            ".{extension} is the ending of a file",
            extension = &*extension
        ))
        .into());
    }
    if let Some(folder) = path.parent()
        && folder.symlink_metadata().is_ok()
    {
        let why = phrase!(
            "hub-name-of-a-folder",
            "`{folder}` is here, so it may be meant as a path; to download the model of that name, start in another \
             folder",
            folder
        );
        return Err(local(why).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_file_is_not_the_name_of_a_model() {
        for (name, why) in [
            ("models/glm.bin", ".bin is the ending"),
            ("THUDM/model.SafeTensors", ".SafeTensors is the ending"),
            ("a/ice_text.model", ".model is the ending"),
            ("a/b.flm", ".flm is the ending"),
            // The folder of this crate's sources, and a file beside it.
            ("src/chatglm-6b", "`src` is here"),
            ("Cargo.toml/chatglm-6b", "`Cargo.toml` is here"),
        ] {
            let refusal = refuse(Path::new(name)).unwrap_err().to_string();
            assert!(refusal.starts_with(&format!("there is no {name}, ")));
            assert!(refusal.contains(why), "{refusal}");
        }
        for name in [
            "THUDM/chatglm-6b",
            "zai-org/chatglm2-6b.v1.0",
            "bin/chatglm",
            "some-org/safetensors",
        ] {
            assert!(refuse(Path::new(name)).is_ok(), "{name}");
        }
    }
}
