//! Which files of a repository make a model: no code, and one weight format.

use std::{collections::BTreeSet, path::Path};

use glm_tokenizer::{GlmTokenizer, Phrase, phrase};

use crate::{
    checkpoint::files::{WeightFormat, shards_in_index},
    error::Result,
};

/// The model's configuration.
const CONFIG: &str = "config.json";
/// Taken along where there is one.
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// What a folder or repository lacks to be a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing(pub(super) Phrase);

/// The names of a model's files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NeededFiles {
    /// Everything but weights.
    pub(super) small: Vec<String>,
    weights: Weights,
}

#[derive(Debug, PartialEq, Eq)]
enum Weights {
    Single(&'static str),
    Index(&'static str),
}

impl NeededFiles {
    /// Chooses from `names` as [`crate::load`] chooses from a folder.
    pub(super) fn of(names: &BTreeSet<String>) -> std::result::Result<Self, Missing> {
        let first_of = |wanted: &[&'static str]| {
            let found = wanted.iter().find(|&&name| names.contains(name));
            found.copied().ok_or_else(|| Missing(any_of(wanted)))
        };
        let mut small = vec![first_of(&[CONFIG])?, first_of(&GlmTokenizer::FILE_NAMES)?];
        small.extend(first_of(&[TOKENIZER_CONFIG]));
        let formats = WeightFormat::IN_FOLDERS.iter();
        let names: Vec<_> = formats.filter_map(|format| format.names()).collect();
        let weights = match first_of(names.as_flattened())? {
            index if names.iter().any(|[_, name]| *name == index) => {
                small.push(index);
                Weights::Index(index)
            }
            single => Weights::Single(single),
        };
        Ok(Self {
            small: small.into_iter().map(str::to_owned).collect(),
            weights,
        })
    }

    /// The weight files. A sharded checkpoint's index must be in `folder` by now.
    ///
    /// # Errors
    /// Those of a damaged index. Every name in the result is a plain file name.
    pub(super) fn weights(&self, folder: &Path) -> Result<Vec<String>> {
        match self.weights {
            Weights::Single(name) => Ok(vec![name.to_owned()]),
            Weights::Index(name) => shards_in_index(&folder.join(name)),
        }
    }
}

/// The names, of which one would do.
fn any_of(names: &[&str]) -> Phrase {
    let names = names.iter().map(Phrase::verbatim);
    let either = |first, second| phrase!("hub-or", "{first} or {second}", first, second);
    names.reduce(either).unwrap_or_else(|| Phrase::verbatim(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(names: &[&str]) -> std::result::Result<NeededFiles, String> {
        NeededFiles::of(&names.iter().map(|&name| name.to_owned()).collect())
            .map_err(|Missing(what)| what.to_string())
    }

    #[test]
    fn one_weight_format_and_no_code() {
        let bin = [
            "pytorch_model-00001-of-00001.bin",
            "pytorch_model.bin.index.json",
        ];
        let others = [
            "modeling_chatglm.py",
            "config.json",
            "ice_text.model",
            "README.md",
        ];
        let needed_of = |more: &[&str]| needed(&[&bin[..], &others, more].concat()).unwrap();

        let files = needed_of(&["tokenizer_config.json"]);
        assert_eq!(
            files.weights,
            Weights::Index("pytorch_model.bin.index.json")
        );
        assert_eq!(
            files.small,
            [
                "config.json",
                "ice_text.model",
                "tokenizer_config.json",
                "pytorch_model.bin.index.json"
            ]
        );
        let files = needed_of(&["model.safetensors", "model.onnx"]);
        assert_eq!(files.weights, Weights::Single("model.safetensors"));
        assert_eq!(files.small, ["config.json", "ice_text.model"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        for (names, missing) in [
            (&[][..], "config.json"),
            (&["config.json"], "ice_text.model or tokenizer.model"),
            (
                &["config.json", "tokenizer.model", "model.onnx"],
                "model.safetensors or model.safetensors.index.json or pytorch_model.bin or pytorch_model.bin.index.json",
            ),
        ] {
            assert_eq!(needed(names), Err(missing.to_owned()));
        }
    }
}
