//! Whether a checkpoint's files hold exactly the tensors that its configuration describes, asked before any is read.

use std::{collections::BTreeSet, path::Path};

use glm_tokenizer::{Family, GlmTokenizer, TokenizerFile};

use crate::{
    checkpoint::{
        files::{CheckpointFiles, TensorInfo, WeightDType},
        names::{
            CHATGLM, CHATGLM2, ExpectedTensor, Names, Role, expected_tensors, is_head,
            is_recomputed,
        },
    },
    config::{FIRST_GENERATION, ModelConfig, QuantizationBit, SECOND_GENERATION},
    error::{Error, Mix, Result},
};

/// `Ok` when every tensor of `config` is there in a shape and type that can be used, and no other.
pub(super) fn check_tensors(files: &CheckpointFiles, config: &ModelConfig) -> Result<()> {
    match tensor_problems(files, config).into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(problem),
    }
}

/// Everything for which [`check_tensors`] would refuse the files. Of another checkpoint than the configuration's that one
/// thing is said, in place of its every tensor.
pub(super) fn tensor_problems(files: &CheckpointFiles, config: &ModelConfig) -> Vec<Error> {
    if let Err(other) = refuse_prefix(files).and_then(|()| refuse_mix(files, config)) {
        return vec![other];
    }
    let mut problems = Vec::new();
    let expected = expected_tensors(config);
    for tensor in &expected {
        match files.get(&tensor.name) {
            Some(info) => problems.extend(check(tensor, info).err()),
            // The official files always have it; ours and others leave out what is the embedding again.
            None if is_head(&tensor.name) && config.tie_word_embeddings() => {}
            None => problems.push(Error::MissingTensor {
                path: files.path().to_path_buf(),
                tensor: tensor.name.clone(),
            }),
        }
    }
    let names: BTreeSet<&str> = expected.iter().map(|tensor| &*tensor.name).collect();
    for info in files.tensors() {
        if !names.contains(&*info.name) && !is_recomputed(&info.name) {
            problems.push(Error::UnexpectedTensor {
                path: info.file.clone(),
                tensor: info.name.clone(),
            });
        }
    }
    problems
}

/// `Ok` when the tokenizer file in `dir`, if there is one, makes the ids of `config`. One that cannot be read is no
/// matter here: it is refused where it is used.
pub(super) fn check_tokenizer_in(dir: &Path, config: &ModelConfig) -> Result<()> {
    let file = GlmTokenizer::file_in(dir);
    match file.map(|file| (TokenizerFile::look(&file), file)) {
        Some((Ok(found), file)) => check_tokenizer(&file, found.family, config),
        _ => Ok(()),
    }
}

/// `Ok` when a tokenizer file of this family makes the ids of `config`, which lies beside it.
pub(super) fn check_tokenizer(file: &Path, family: Family, config: &ModelConfig) -> Result<()> {
    let mix = match (family, config) {
        (Family::ChatGlm2, ModelConfig::ChatGlm2(_)) => return Ok(()),
        (_, ModelConfig::ChatGlm2(_)) => Mix::ChatGlmTokenizer,
        (Family::ChatGlm2, ModelConfig::ChatGlm(_)) => Mix::ChatGlm2Tokenizer,
        (Family::ChatGlm, ModelConfig::ChatGlm(config)) if config.is_first_generation() => {
            Mix::SecondTokenizer
        }
        (Family::ChatGlmFirstGeneration, ModelConfig::ChatGlm(config))
            if !config.is_first_generation() =>
        {
            Mix::FirstTokenizer
        }
        _ => return Ok(()),
    };
    Err(Error::Mixed {
        mix,
        path: file.with_file_name("config.json"),
        other: file.to_path_buf(),
    })
}

/// The first tensor whose name begins like this.
fn holding<'files>(files: &'files CheckpointFiles, prefix: &str) -> Option<&'files TensorInfo> {
    files.tensors().find(|info| info.name.starts_with(prefix))
}

/// A tensor of a P-Tuning v2 prefix.
pub(super) fn prefix_tensor(files: &CheckpointFiles) -> Option<&TensorInfo> {
    holding(files, "transformer.prefix_encoder.")
}

/// A checkpoint that is known and not supported yet, by name rather than as missing tensors.
fn refuse_prefix(files: &CheckpointFiles) -> Result<()> {
    match prefix_tensor(files) {
        None => Ok(()),
        Some(info) => Err(Error::UnsupportedModel {
            path: info.file.clone(),
            found: "a P-Tuning v2 prefix".to_owned(),
        }),
    }
}

/// Weights of another checkpoint than the configuration's, by what they are rather than by a tensor's shape.
fn refuse_mix(files: &CheckpointFiles, config: &ModelConfig) -> Result<()> {
    match find_mix(files, config) {
        None => Ok(()),
        Some((mix, info)) => Err(Error::Mixed {
            mix,
            path: files.path().join("config.json"),
            other: info.file.clone(),
        }),
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
            _ => None,
        };
        if let Some(mix) = mix {
            return Some((mix, info));
        }
    }
    let weight = format!("{}.weight", names.layer(0).query_key_value);
    let info = files.get(&weight)?;
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
            Err(wrong_type(info, "f32, f16 or bf16"))
        }
        Role::Codes if info.dtype != WeightDType::I8 => Err(wrong_type(info, "i8")),
        _ => Ok(()),
    }
}

/// [`Error::TensorType`] for a tensor that should have been `expected`.
pub(super) fn wrong_type(info: &TensorInfo, expected: &str) -> Error {
    Error::TensorType {
        path: info.file.clone(),
        tensor: info.name.clone(),
        expected: expected.to_owned(),
        found: info.type_name(),
    }
}
