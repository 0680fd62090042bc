//! Whether a checkpoint's files hold exactly the tensors that its configuration describes, asked before any is read.

use std::{collections::BTreeSet, path::PathBuf};

use glm_tokenizer::{Phrase, phrase};

use crate::{
    checkpoint::{
        files::{CheckpointFiles, TensorInfo, WeightDType, WeightFormat},
        names::{
            CHATGLM, CHATGLM2, ExpectedTensor, Names, Role, expected_tensors, is_head,
            is_recomputed,
        },
        recognition,
    },
    config::{FIRST_GENERATION, MAX_LAYERS, ModelConfig, QuantizationBit, SECOND_GENERATION},
    error::{Error, Mix, Result},
};

/// `Ok` when every tensor of `config` is there in a shape and type that can be used, and no other.
pub(super) fn check_tensors(files: &CheckpointFiles, config: &ModelConfig) -> Result<()> {
    match tensor_problems(files, config, 1).listed.into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(problem),
    }
}

/// What is wrong with the tensors of a checkpoint.
#[derive(Debug, Default)]
pub(super) struct TensorProblems {
    /// As many as were asked for.
    pub(super) listed: Vec<Error>,
    /// How many there are besides.
    pub(super) more: usize,
}

/// Everything for which [`check_tensors`] would refuse the files, the first `most` of them as errors. Of another
/// checkpoint than the configuration's that one thing is said, in place of its every tensor.
pub(super) fn tensor_problems(
    files: &CheckpointFiles,
    config: &ModelConfig,
    most: usize,
) -> TensorProblems {
    let mut problems = TensorProblems::default();
    if let Err(other) = refuse_unsupported(files).and_then(|()| refuse_mix(files, config)) {
        problems.listed.push(other);
        return problems;
    }
    let expected = expected_tensors(config);
    let names: BTreeSet<&str> = expected.iter().map(|tensor| &*tensor.name).collect();
    let wrong = expected
        .iter()
        .filter_map(|tensor| match files.get(&tensor.name) {
            Some(info) => check(tensor, info).err(),
            // The official files always have it; ours and others leave out what is the embedding again.
            None if is_head(&tensor.name) && config.tie_word_embeddings() => None,
            None => Some(Error::MissingTensor {
                path: files.path().to_path_buf(),
                tensor: tensor.name.clone(),
            }),
        });
    let surplus = files
        .tensors()
        .filter(|info| !names.contains(&*info.name) && !is_recomputed(&info.name))
        .map(|info| Error::UnexpectedTensor {
            path: info.file.clone(),
            tensor: info.name.clone(),
        });
    let mut all = wrong.chain(surplus);
    // A file may hold a million tensors that are not wanted; a sentence for each of them would help no one.
    problems.listed.extend(all.by_ref().take(most));
    problems.more = all.count();
    problems
}

/// The first tensor whose name begins like this.
fn holding<'files>(files: &'files CheckpointFiles, prefix: &str) -> Option<&'files TensorInfo> {
    files.tensors().find(|info| info.name.starts_with(prefix))
}

/// A checkpoint that is known and not supported yet, by name rather than as missing or surplus tensors.
fn refuse_unsupported(files: &CheckpointFiles) -> Result<()> {
    match recognition::of_tensors(files) {
        None => Ok(()),
        Some((content, info)) => Err(Error::UnsupportedModel {
            path: info.file.clone(),
            found: content.into(),
        }),
    }
}

/// Weights of another checkpoint than the configuration's, by what they are rather than by a tensor's shape.
fn refuse_mix(files: &CheckpointFiles, config: &ModelConfig) -> Result<()> {
    match find_mix(files, config) {
        None => Ok(()),
        Some((mix, info)) => Err(Error::Mixed {
            mix,
            path: described_by(files),
            other: info.file.clone(),
        }),
    }
}

/// The file in which the configuration of `files` stands.
pub(super) fn described_by(files: &CheckpointFiles) -> PathBuf {
    match files.format() {
        WeightFormat::Ggml => files.path().to_path_buf(),
        WeightFormat::Safetensors | WeightFormat::PytorchBin => files.path().join("config.json"),
    }
}

/// What does not belong to `config`, and a tensor that shows it.
fn find_mix<'files>(
    files: &'files CheckpointFiles,
    config: &ModelConfig,
) -> Option<(Mix, &'files TensorInfo)> {
    let names = Names::of(config);
    let embedding = files.get(names.word_embeddings);
    if embedding.is_none() {
        let (other, mix) = match config {
            ModelConfig::ChatGlm(_) => (&CHATGLM2, Mix::ChatGlm2Weights),
            ModelConfig::ChatGlm2(_) => (&CHATGLM, Mix::ChatGlmWeights),
        };
        if let Some(info) = holding(files, &other.layer(0).query_key_value) {
            return Some((mix, info));
        }
    }
    if let Some(info) = holding(files, "image_encoder.") {
        return Some((Mix::VisualGlmWeights, info));
    }
    if let Some(info) = embedding {
        let quantized = info.dtype == WeightDType::I8;
        let mix = match info.shape.first() {
            Some(&rows) if rows != config.vocab_size() => generation_mix(rows, config),
            _ if quantized && !config.quantization_embeddings() => Some(Mix::QuantizedEmbedding),
            _ if !quantized && config.quantization_embeddings() => Some(Mix::FloatEmbedding),
            _ if !quantized => width_mix(info, config),
            _ => None,
        };
        if let Some(mix) = mix {
            return Some((mix, info));
        }
    }
    let weight = format!("{}.weight", names.layer(0).query_key_value);
    let info = files.get(&weight)?;
    // The official code makes up a random prefix then. (Weights with a prefix are told before.)
    if config.pre_seq_len().is_some() {
        return Some((Mix::MissingPrefix, info));
    }
    let layers = layers_from_first(files, names);
    if layers != config.num_layers() && layer_count(files, names) == layers {
        let (weights, config) = (layers, config.num_layers());
        return Some((Mix::OtherLayerCount { weights, config }, info));
    }
    let columns = info.shape.get(1).copied();
    let hidden_size = config.hidden_size();
    let mix = match (config.quantization_bit(), info.dtype == WeightDType::I8) {
        (None, true) => Mix::QuantizedWeights,
        (Some(_), false) => Mix::FloatWeights,
        (Some(QuantizationBit::Int4), true) if columns == Some(hidden_size) => Mix::Int8Weights,
        (Some(QuantizationBit::Int8), true) if columns == Some(hidden_size / 2) => Mix::Int4Weights,
        _ => return None,
    };
    Some((mix, info))
}

/// An embedding of other rows than those of a configuration with the same vocabulary.
fn width_mix(embedding: &TensorInfo, config: &ModelConfig) -> Option<Mix> {
    let weights = *embedding.shape.get(1)?;
    let config = config.hidden_size();
    (weights != config).then_some(Mix::OtherWidth { weights, config })
}

/// How many layers there are from the first one on, without a gap.
fn layers_from_first(files: &CheckpointFiles, names: &Names) -> usize {
    let is_there = |layer: &usize| {
        let weight = format!("{}.weight", names.layer(*layer).query_key_value);
        files.get(&weight).is_some()
    };
    (0..MAX_LAYERS).take_while(is_there).count()
}

/// How many layers the tensors are of, whole or not.
fn layer_count(files: &CheckpointFiles, names: &Names) -> usize {
    let layer_of = |info: &TensorInfo| -> Option<usize> {
        let rest = info.name.strip_prefix(names.layers)?;
        rest.split('.').next()?.parse().ok()
    };
    let layers: BTreeSet<usize> = files.tensors().filter_map(layer_of).collect();
    layers.len()
}

/// An embedding of so many rows beside a configuration with another vocabulary.
fn generation_mix(rows: usize, config: &ModelConfig) -> Option<Mix> {
    let generations = [FIRST_GENERATION, SECOND_GENERATION].map(|ids| ids.vocab_size);
    match (rows, config.vocab_size()) {
        (rows, vocab) if [rows, vocab] == generations => Some(Mix::FirstWeights),
        (rows, vocab) if [vocab, rows] == generations => Some(Mix::SecondWeights),
        _ => None,
    }
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
            Err(wrong_type(info, float_types()))
        }
        Role::Codes if info.dtype != WeightDType::I8 => {
            Err(wrong_type(info, Phrase::verbatim("i8")))
        }
        _ => Ok(()),
    }
}

/// [`Error::TensorType`] for a tensor that should have been `expected`.
pub(super) fn wrong_type(info: &TensorInfo, expected: Phrase) -> Error {
    Error::TensorType {
        path: info.file.clone(),
        tensor: info.name.clone(),
        expected,
        found: Phrase::verbatim(info.type_name()),
    }
}

/// What the weights of a model can be, where they are no codes.
pub(super) fn float_types() -> Phrase {
    phrase!("type-of-floats", "f32, f16 or bf16")
}
