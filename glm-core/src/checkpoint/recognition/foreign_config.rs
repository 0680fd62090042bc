//! What the configurations of other programs say: PEFT, SwissArmyTransformer, transformers.

use std::path::Path;

use glm_tokenizer::{Phrase, phrase};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    checkpoint::{content::Content, files::CheckpointFiles},
    config::{MAX_CONFIG_BYTES, ModelFamily},
    error::Result,
    json_file,
};

/// Longest text of a foreign file that is repeated in a sentence, in characters.
const MAX_QUOTED: usize = 60;
/// The configuration of a folder of SwissArmyTransformer.
const SAT_CONFIG: &str = "model_config.json";
/// The files that hold the weights of a PEFT adapter.
const ADAPTER_WEIGHTS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];
/// `model_type` of the encoders that have the layers of BERT.
const ENCODER_TYPES: [&str; 8] = [
    "bert",
    "roberta",
    "xlm-roberta",
    "camembert",
    "distilbert",
    "electra",
    "ernie",
    "nomic_bert",
];

/// What `adapter_config.json` says of a PEFT adapter.
#[derive(Debug, Deserialize)]
pub(super) struct Adapter {
    peft_type: Option<String>,
    base_model_name_or_path: Option<String>,
}

impl Adapter {
    /// The configuration of a PEFT adapter.
    pub(super) const FILE: &str = "adapter_config.json";

    /// Reads that of the adapter in `dir`.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        json_file::read(&dir.join(Self::FILE), MAX_CONFIG_BYTES)
    }

    pub(super) fn content(&self) -> Content {
        match self.peft_type.as_deref() {
            None | Some("LORA") => Content::LoraAdapter,
            Some(_) => Content::OtherAdapter,
        }
    }

    /// What it is and for which model, with its article.
    pub(super) fn describe(&self) -> Phrase {
        let what = match (self.content(), &self.peft_type) {
            (Content::OtherAdapter, Some(kind)) => {
                phrase!(
                    "found-peft-type",
                    "an adapter of PEFT's type {kind}",
                    kind = quoted(kind)
                )
            }
            (content, _) => content.into(),
        };
        match self.base_model_name_or_path.as_deref() {
            None | Some("") => what,
            Some(base) => phrase!(
                "found-adapter-for",
                "{what} for {base}",
                what,
                base = quoted(base)
            ),
        }
    }
}

/// The weights of the adapter in `dir`, when they can be opened.
pub(super) fn adapter_weights(dir: &Path) -> Option<CheckpointFiles> {
    let paths = ADAPTER_WEIGHTS.iter().map(|name| dir.join(name));
    let path = paths.into_iter().find(|path| path.is_file())?;
    CheckpointFiles::open_file(path).ok()
}

/// Whether `dir` is in the layout of SwissArmyTransformer: `model_config.json`, and in `latest` the name of a subfolder.
pub(super) fn is_swiss_army_transformer(dir: &Path) -> bool {
    dir.join(SAT_CONFIG).is_file() && dir.join("latest").is_file()
}

/// The model class of a folder of SwissArmyTransformer, and the family that is told by it.
pub(super) fn sat_model(dir: &Path) -> Result<(String, Option<ModelFamily>)> {
    let config: Map<String, Value> = json_file::read(&dir.join(SAT_CONFIG), MAX_CONFIG_BYTES)?;
    let class = text(&config, "model_class");
    let family = match class {
        "VisualGLMModel" => Some(ModelFamily::VisualGlm),
        "ChatGLMModel" | "ChatGLM" => Some(ModelFamily::ChatGlm),
        _ => None,
    };
    Ok((quoted(class), family))
}

/// `model_type` of the configuration in `dir`, if it is that of a text encoder.
pub(super) fn encoder_type(dir: &Path) -> Option<String> {
    model_type(dir).filter(|found| is_encoder(found))
}

pub(super) fn is_encoder(model_type: &str) -> bool {
    ENCODER_TYPES.contains(&model_type)
}

pub(super) fn model_type(dir: &Path) -> Option<String> {
    let path = dir.join("config.json");
    let config: Map<String, Value> = json_file::read(&path, MAX_CONFIG_BYTES).ok()?;
    let found = text(&config, "model_type");
    (!found.is_empty()).then(|| found.to_owned())
}

fn text<'map>(map: &'map Map<String, Value>, key: &str) -> &'map str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A foreign text in a sentence.
fn quoted(text: &str) -> String {
    text.chars()
        .take(MAX_QUOTED)
        .filter(|c| !c.is_control())
        .collect()
}
