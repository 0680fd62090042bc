//! What tensors are of, by their names alone.

use crate::{
    checkpoint::{
        content::Content,
        files::{CheckpointFiles, TensorInfo},
        names::{CHATGLM, CHATGLM2},
    },
    config::ModelFamily,
};

/// What the tensors are, where they are not simply those of a model, and one of them that shows it.
pub(in crate::checkpoint) fn of_tensors(files: &CheckpointFiles) -> Option<(Content, &TensorInfo)> {
    let find = |is: fn(&str) -> bool| files.tensors().find(|info| is(&info.name));
    let whole = |alone, whole| if is_whole(files) { whole } else { alone };
    if let Some(info) = find(|name| name.contains(".lora_")) {
        let content = whole(Content::LoraAdapter, Content::ModelWithAdapter);
        return Some((content, info));
    }
    if let Some(info) = find(|name| name.contains("prefix_encoder.")) {
        let content = whole(Content::PTuningPrefix, Content::ModelWithPrefix);
        return Some((content, info));
    }
    let others = [
        (
            find(|name| name.starts_with("mixins.")),
            Content::SwissArmyTransformer,
        ),
        (
            find(|name| name.ends_with("encoder.layer.0.attention.self.query.weight")),
            Content::TextEncoder,
        ),
    ];
    let mut others = others.into_iter();
    others.find_map(|(info, content)| Some((content, info?)))
}

/// Whether a whole model is among the tensors: its first and its last ones are there.
fn is_whole(files: &CheckpointFiles) -> bool {
    [&CHATGLM, &CHATGLM2].iter().any(|names| {
        let last = format!("{}.weight", names.final_layernorm);
        files.get(names.word_embeddings).is_some() && files.get(&last).is_some()
    })
}

/// The family whose layers the tensors are of, or are for.
pub(in crate::checkpoint) fn family_of_tensors(files: &CheckpointFiles) -> Option<ModelFamily> {
    let any = |part: &str| files.tensors().any(|info| info.name.contains(part));
    if any(CHATGLM2.layers) {
        Some(ModelFamily::ChatGlm2)
    } else if any(CHATGLM.layers) {
        Some(ModelFamily::ChatGlm)
    } else {
        None
    }
}
