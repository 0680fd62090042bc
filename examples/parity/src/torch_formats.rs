//! `torch.save` files in every form: each tensor's type, shape and bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use glm_core::checkpoint::{CheckpointFiles, WeightDType};
use serde_json::Value;

use crate::{
    array::Array,
    check::{Outcome, Recorder, equal},
    error::{Error, Result},
    expected::Expected,
};

/// Opens every file that `expected.json` lists or the folder holds, and compares all of its tensors.
///
/// A file's names may lie under a prefix in `expected.safetensors` (`weight` as `linear.weight`); it must then hold
/// every tensor under that prefix. A file without one must hold all that is under no other file's prefix.
pub(crate) fn check(dir: &Path, expected: &Expected, recorder: &mut Recorder<'_>) -> Result<()> {
    let listed: BTreeMap<String, Value> = expected.json("files")?;
    let mut names: BTreeSet<String> = listed.into_keys().collect();
    names.extend(bin_files(dir)?);

    let all = expected.names_under("");
    let mut opened = Vec::new();
    for name in &names {
        let files = CheckpointFiles::open_file(dir.join(name))?;
        let prefix = prefix_of(&files, &all);
        opened.push((name, files, prefix));
    }
    let prefixes: BTreeSet<String> = opened
        .iter()
        .filter_map(|(_, _, prefix)| prefix.clone())
        .filter(|prefix| !prefix.is_empty())
        .collect();
    for (name, files, prefix) in &opened {
        let Some(prefix) = prefix else {
            let reason =
                "its tensors are not those of expected.safetensors, under any prefix".to_owned();
            recorder.record(name.as_str(), "names", Outcome::Failed(reason));
            continue;
        };
        let belongs = |tensor: &&&str| match prefix.as_str() {
            "" => !prefixes
                .iter()
                .any(|other| tensor.starts_with(other.as_str())),
            prefix => tensor.starts_with(prefix),
        };
        for tensor in all.iter().filter(belongs) {
            let stored = tensor.strip_prefix(prefix.as_str()).unwrap_or(tensor);
            let outcome = compare(files, stored, expected, tensor)?;
            recorder.record(format!("{name}: {stored}"), name.as_str(), outcome);
        }
    }
    Ok(())
}

fn compare(
    files: &CheckpointFiles,
    stored: &str,
    expected: &Expected,
    tensor: &str,
) -> Result<Outcome> {
    let (wanted_type, wanted) = expected.bytes(tensor)?;
    let Some(info) = files.get(stored) else {
        return Ok(Outcome::Failed("the file does not hold it".to_owned()));
    };
    // The expectations have no type of their own for booleans.
    let same_type = info.dtype == wanted_type
        || (info.dtype, wanted_type) == (WeightDType::Bool, WeightDType::U8);
    if !same_type {
        return Ok(Outcome::Failed(format!(
            "type {}, expected {wanted_type}",
            info.dtype
        )));
    }
    let found = Array {
        shape: info.shape.clone(),
        values: files.read(stored)?,
    };
    if found.shape != wanted.shape {
        return Ok(Outcome::Failed(format!(
            "shape {:?}, expected {:?}",
            found.shape, wanted.shape
        )));
    }
    // The bytes decide; `equal` compares them as one axis.
    let values = wanted.shape.iter().product();
    Ok(
        match equal(&Array::vector(found.values), &Array::vector(wanted.values)) {
            Outcome::Equal { .. } => Outcome::Equal { values },
            other => other,
        },
    )
}

/// What stands before a file's names among `all`: nothing if they are there as they are, else the prefix under which
/// all of them are.
fn prefix_of(files: &CheckpointFiles, all: &[&str]) -> Option<String> {
    let names: Vec<&str> = files.tensors().map(|info| info.name.as_str()).collect();
    let first = names.first()?;
    let candidates = all.iter().filter_map(|name| name.strip_suffix(first));
    let mut candidates: Vec<&str> = candidates
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        .collect();
    candidates.sort_unstable();
    candidates
        .into_iter()
        .find(|prefix| {
            names
                .iter()
                .all(|name| all.contains(&format!("{prefix}{name}").as_str()))
        })
        .map(str::to_owned)
}

fn bin_files(dir: &Path) -> Result<Vec<String>> {
    let unreadable = |source: std::io::Error| {
        let path = dir.into();
        Error::Model(glm_core::Error::Io { path, source })
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if let Some(name) = name.to_str().filter(|name| name.ends_with(".bin")) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
