//! Golden checkpoints with something changed.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

/// The tensors of a checkpoint that a test bends: name → (type, shape, bytes).
pub(crate) type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

pub(crate) fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(case)
}

/// A copy of a golden checkpoint with its tensors and its config changed.
pub(crate) fn bent(
    case: &str,
    change: impl FnOnce(&mut Tensors, &mut serde_json::Map<String, Value>),
) -> tempfile::TempDir {
    let bytes = std::fs::read(golden(case).join("model.safetensors")).unwrap();
    let mut tensors: Tensors = SafeTensors::deserialize(&bytes)
        .unwrap()
        .iter()
        .map(|(name, view)| {
            (
                name.to_owned(),
                (view.dtype(), view.shape().to_vec(), view.data().to_vec()),
            )
        })
        .collect();
    let config = std::fs::read_to_string(golden(case).join("config.json")).unwrap();
    let mut config: serde_json::Map<String, Value> = serde_json::from_str(&config).unwrap();
    change(&mut tensors, &mut config);

    let folder = tempfile::tempdir().unwrap();
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, &folder.path().join("model.safetensors")).unwrap();
    std::fs::write(
        folder.path().join("config.json"),
        serde_json::to_vec(&config).unwrap(),
    )
    .unwrap();
    folder
}
