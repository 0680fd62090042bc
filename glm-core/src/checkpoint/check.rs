//! Whether a checkpoint's files hold exactly the tensors that its configuration describes, asked before any is read.

use std::path::PathBuf;

use crate::{
    checkpoint::{
        files::{CheckpointFiles, TensorInfo, WeightDType},
        names::{ExpectedTensor, LM_HEAD, Role, WORD_EMBEDDINGS, expected_tensors, is_recomputed},
    },
    config::ChatGlmConfig,
    error::{Error, Result},
};

/// `Ok` when every tensor of `config` is there in a shape and type that can be used, and no other.
pub(super) fn check_tensors(files: &CheckpointFiles, config: &ChatGlmConfig) -> Result<()> {
    refuse_unsupported(files)?;
    let expected = expected_tensors(config);
    for tensor in &expected {
        match files.get(&tensor.name) {
            Some(info) => check(tensor, info)?,
            // The official files always have it; ours and others leave out what is the embedding again.
            None if tensor.name.starts_with(LM_HEAD) && config.tie_word_embeddings => {}
            None => {
                return Err(Error::MissingTensor {
                    path: files.path().to_path_buf(),
                    tensor: tensor.name.clone(),
                });
            }
        }
    }
    for info in files.tensors() {
        let known = expected.iter().any(|tensor| tensor.name == info.name);
        if !known && !is_recomputed(&info.name) {
            return Err(Error::UnexpectedTensor {
                path: info.file.clone(),
                tensor: info.name.clone(),
            });
        }
    }
    Ok(())
}

/// Checkpoints that are known and not supported yet, by name rather than as missing tensors.
fn refuse_unsupported(files: &CheckpointFiles) -> Result<()> {
    let refuse = |path: PathBuf, found: &str| {
        Err(Error::UnsupportedModel {
            path,
            found: found.to_owned(),
        })
    };
    let holds = |prefix: &str| files.tensors().find(|info| info.name.starts_with(prefix));
    if let Some(info) = holds("transformer.prefix_encoder.") {
        return refuse(info.file.clone(), "a P-Tuning v2 prefix");
    }
    if files.get(WORD_EMBEDDINGS).is_none()
        && let Some(info) = holds("transformer.encoder.")
    {
        return refuse(
            info.file.clone(),
            "weights of ChatGLM2-6B beside a config.json of ChatGLM-6B",
        );
    }
    Ok(())
}

fn check(expected: &ExpectedTensor, info: &TensorInfo) -> Result<()> {
    if info.shape != expected.shape {
        return Err(Error::TensorShape {
            path: info.file.clone(),
            tensor: info.name.clone(),
            expected: expected.shape.clone(),
            found: info.shape.clone(),
        });
    }
    let float = matches!(
        info.dtype,
        WeightDType::F32 | WeightDType::F16 | WeightDType::BF16
    );
    match expected.role {
        Role::Matrix | Role::Vector | Role::Scales if !float => {
            Err(wrong_type(info, "f32, f16 or bf16"))
        }
        Role::Codes if info.dtype != WeightDType::I8 => Err(wrong_type(info, "i8")),
        _ => Ok(()),
    }
}

/// [`Error::TensorType`] for a tensor that should have been `expected`.
pub(super) fn wrong_type(info: &TensorInfo, expected: &str) -> Error {
    let found = match info.blocks {
        None => format!("{:?}", info.dtype),
        Some(block) => format!("{block:?}"),
    };
    Error::TensorType {
        path: info.file.clone(),
        tensor: info.name.clone(),
        expected: expected.to_owned(),
        found: found.to_lowercase(),
    }
}
