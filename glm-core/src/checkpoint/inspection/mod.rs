//! What lies at a path, what is wrong with it, and what it would need, from headers alone.

mod plan;
mod report;

use std::{
    fs,
    path::{Path, PathBuf},
};

use glm_tokenizer::{GlmTokenizer, TokenizerFile};
use serde::Serialize;

use crate::{
    checkpoint::{
        check::{check_tokenizer, prefix_tensor, tensor_problems},
        companions::tokenizer_name,
        files::{CheckpointFiles, TensorInfo, WeightFormat, is_ggml},
        names::{CHATGLM, CHATGLM2, is_head, model_tensors},
        precision::Forms,
        prepacked::PrepackedFile,
        source::folder_of,
    },
    config::{ModelConfig, ModelFamily, QuantizationBit},
    error::{Error, Mix, Result},
};

pub use plan::{Plan, PlannedPrecision};

/// What [`inspect`] found. [`Display`](std::fmt::Display) is a page for people; [`Serialize`] has the same for programs,
/// sizes in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The folder or file.
    pub path: PathBuf,
    /// What it holds.
    pub content: Content,
    /// The model family; `None` where nothing tells it.
    pub family: Option<ModelFamily>,
    /// Of ChatGLM-6B's checkpoints, 1 for those published until April 2023 (150528 ids), else 2.
    pub generation: Option<u8>,
    /// What the matrices of the layers are stored as: a float type, a ggml type, `int8` or `int4`, or `codes` where the configuration
    /// cannot be used.
    pub stored: Option<String>,
    /// Numbers in the weights, each once.
    pub parameters: Option<u64>,
    /// The weights, once for each format that they are there in; the first is the one that loading takes.
    pub weights: Vec<WeightFiles>,
    /// The SentencePiece file.
    pub tokenizer: Option<PathBuf>,
    /// Everything that was found wrong, the worst first.
    pub problems: Vec<Problem>,
    /// What loading would need; `None` for what cannot be loaded.
    pub plan: Option<Plan>,
}

/// What a folder or file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// A whole model in the official folder layout.
    Checkpoint,
    /// A model in a ggml file of chatglm.cpp.
    Ggml,
    /// A model in this crate's prepacked file.
    Prepacked,
    /// A P-Tuning v2 prefix for another checkpoint.
    PTuningPrefix,
    /// A LoRA adapter for another checkpoint.
    LoraAdapter,
    /// A tokenizer without a model.
    Tokenizer,
    /// Nothing that is known.
    Nothing,
}

/// The weight files of one format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightFiles {
    /// The format.
    pub format: WeightFormat,
    /// The files, without the index.
    pub files: Vec<WeightFile>,
}

/// A weight file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WeightFile {
    /// Its name.
    pub name: String,
    /// Its size; `None` for a file that is missing.
    pub bytes: Option<u64>,
}

impl WeightFile {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default();
        Self {
            name: name.to_string_lossy().into_owned(),
            bytes: fs::metadata(path).ok().map(|file| file.len()),
        }
    }
}

impl WeightFiles {
    /// Size of all files, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.bytes).sum()
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// A sentence that names the file.
    pub message: String,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The model cannot be loaded.
    Error,
    /// It can, but something is missing for what most people want.
    Warning,
}

/// Looks at the checkpoint folder or file at `path`: what it is, what is wrong with it, and what it would need. Reads
/// headers only, whatever the size of the weights, and never fails: what cannot be read is a problem in the result.
pub fn inspect(path: impl AsRef<Path>) -> Inspection {
    let path = path.as_ref();
    let mut inspection = Inspection::new(path);
    let looked = match path.is_file() {
        true => inspection.look_at_file(),
        false => inspection.look_at_folder(),
    };
    if let Err(error) = looked {
        inspection.add(error);
    }
    inspection.problems.sort_by_key(|problem| problem.severity);
    if !inspection.is_loadable() {
        inspection.plan = None;
    }
    inspection
}

impl Inspection {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            content: Content::Nothing,
            family: None,
            generation: None,
            stored: None,
            parameters: None,
            weights: Vec::new(),
            tokenizer: None,
            problems: Vec::new(),
            plan: None,
        }
    }

    /// Whether [`load`](crate::load) would take it, as far as headers tell.
    pub fn is_loadable(&self) -> bool {
        let is_model = matches!(
            self.content,
            Content::Checkpoint | Content::Ggml | Content::Prepacked
        );
        let is_wrong = |problem: &Problem| problem.severity == Severity::Error;
        is_model && !self.problems.iter().any(is_wrong)
    }

    fn add(&mut self, error: Error) {
        self.add_message(Severity::Error, error.to_string());
    }

    fn add_message(&mut self, severity: Severity, message: String) {
        // What is wrong with a shard that two formats or two checks meet is said once.
        let problem = Problem { severity, message };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn set_config(&mut self, config: &ModelConfig) {
        self.family = Some(config.family());
        self.generation = match config {
            ModelConfig::ChatGlm(config) => Some(if config.is_first_generation() { 1 } else { 2 }),
            ModelConfig::ChatGlm2(_) => None,
        };
    }

    /// A ggml or prepacked file.
    fn look_at_file(&mut self) -> Result<()> {
        let path = self.path.clone();
        if is_ggml(&path) {
            return self.look_at_ggml();
        }
        let file = PrepackedFile::open(&path)?;
        self.content = Content::Prepacked;
        self.set_config(file.config());
        self.stored = Some(file.forms().layers.precision().to_string());
        let own_head = file.tensor_names().any(is_head);
        self.parameters = Some(parameters(file.config(), own_head));
        let bytes = fs::metadata(&path).map_err(|error| Error::io(&path, error))?;
        self.plan = Some(Plan::of_prepacked(&file, bytes.len()));
        self.look_at_tokenizer(folder_of(&path), file.config());
        Ok(())
    }

    fn look_at_ggml(&mut self) -> Result<()> {
        let path = self.path.clone();
        let files = CheckpointFiles::open_file(&path)?;
        self.content = Content::Ggml;
        self.family = files.embedded_family();
        self.weights = vec![WeightFiles {
            format: files.format(),
            files: vec![WeightFile::of(&path)],
        }];
        let config = match files.embedded_config() {
            Ok(config) => config,
            Err(error) => {
                self.add(error);
                None
            }
        };
        if let Some(config) = &config {
            self.set_config(config);
        }
        let described = config
            .as_ref()
            .map(|config| (config, Forms::of_blocks(&files, config)));
        self.look_at_weights(&files, described, true);
        Ok(())
    }

    fn look_at_folder(&mut self) -> Result<()> {
        let dir = self.path.clone();
        // Tells a missing folder from one without weights.
        fs::read_dir(&dir).map_err(|error| Error::io(&dir, error))?;
        let formats = CheckpointFiles::formats_in(&dir);
        self.weights = formats
            .iter()
            .map(|&format| weight_files(&dir, format))
            .collect();
        self.tokenizer = GlmTokenizer::file_in(&dir);

        if dir.join("adapter_config.json").exists() {
            self.content = Content::LoraAdapter;
            return Err(unsupported(
                &dir.join("adapter_config.json"),
                "a LoRA adapter, not a model",
            ));
        }
        if formats.is_empty() && !dir.join("config.json").exists() {
            if self.tokenizer.is_some() {
                self.content = Content::Tokenizer;
            }
            CheckpointFiles::open(&dir)?;
        }
        self.content = Content::Checkpoint;
        let config = self.look_at_config(&dir);
        let described = config
            .as_ref()
            .map(|config| (config, Forms::of_config(config)));
        if formats.is_empty() {
            CheckpointFiles::open(&dir)?;
        }
        for (index, &format) in formats.iter().enumerate() {
            match CheckpointFiles::open_with_format(&dir, format) {
                Err(error) => self.add(error),
                Ok(files) => self.look_at_weights(&files, described, index == 0),
            }
        }
        if let Some(config) = &config
            && self.content == Content::Checkpoint
        {
            self.look_at_tokenizer(&dir, config);
        }
        Ok(())
    }

    /// The configuration, if it is one of a model that can be loaded; else what is wrong with it.
    fn look_at_config(&mut self, dir: &Path) -> Option<ModelConfig> {
        match ModelConfig::from_dir(dir) {
            Ok(config) => {
                self.set_config(&config);
                Some(config)
            }
            Err(error) => {
                self.family = ModelFamily::from_dir(dir).ok();
                self.add(error);
                None
            }
        }
    }

    /// The weights of one format, with their configuration and what it says that they are stored as; `first` for the
    /// format that loading takes.
    fn look_at_weights(
        &mut self,
        files: &CheckpointFiles,
        described: Option<(&ModelConfig, Forms)>,
        first: bool,
    ) {
        if let Some(prefix) = prefix_tensor(files) {
            self.content = Content::PTuningPrefix;
            self.problems.clear(); // Of the configuration, which is the base model's.
            return self.add(unsupported(
                &prefix.file,
                "a P-Tuning v2 prefix, not a model",
            ));
        }
        if first {
            self.stored = stored_type(files, described.map(|(config, _)| config));
        }
        let Some((config, stored)) = described else {
            return self.look_for_family(files);
        };
        let problems = tensor_problems(files, config);
        if problems.is_empty() && first {
            self.parameters = Some(parameters(config, !config.tie_word_embeddings()));
            match Plan::of_checkpoint(files, config, stored) {
                Ok(plan) => self.plan = Some(plan),
                Err(error) => self.add(error),
            }
        }
        for problem in problems {
            self.add(problem);
        }
    }

    /// The family of weights whose configuration tells none, or another one.
    fn look_for_family(&mut self, files: &CheckpointFiles) {
        let is_chatglm = files.get(CHATGLM.word_embeddings).is_some();
        let is_chatglm2 = files.get(CHATGLM2.word_embeddings).is_some();
        match self.family {
            Some(ModelFamily::ChatGlm2 | ModelFamily::CodeGeeX2) if is_chatglm => {
                self.add(Error::Mixed {
                    mix: Mix::ChatGlmWeights,
                    path: files.path().join("config.json"),
                    other: files.path().to_path_buf(),
                });
            }
            None if is_chatglm => self.family = Some(ModelFamily::ChatGlm),
            None if is_chatglm2 => self.family = Some(ModelFamily::ChatGlm2),
            _ => {}
        }
    }

    fn look_at_tokenizer(&mut self, dir: &Path, config: &ModelConfig) {
        self.tokenizer = GlmTokenizer::file_in(dir);
        match &self.tokenizer {
            None => self.add_message(
                Severity::Warning,
                format!(
                    "no tokenizer in {}; to chat, put the {} of the download beside the weights",
                    dir.display(),
                    tokenizer_name(config)
                ),
            ),
            Some(file) => match TokenizerFile::look(file) {
                Err(error) => self.add_message(Severity::Warning, error.to_string()),
                Ok(found) => {
                    if let Err(mixed) = check_tokenizer(file, found.family, config) {
                        return self.add(mixed);
                    }
                    // ChatGLM2-6B's configuration does not name it.
                    let ModelConfig::ChatGlm(config) = config else {
                        return;
                    };
                    let sop = found.sop.map_or(config.bos_token_id, |id| id as usize);
                    if sop != config.bos_token_id {
                        let other = Error::OtherTokenizer {
                            token: "<sop>",
                            expected: config.bos_token_id,
                            found: sop,
                        };
                        let message = format!("{}: {other}", file.display());
                        self.add_message(Severity::Warning, message);
                    }
                }
            },
        }
    }
}

fn unsupported(path: &Path, found: &str) -> Error {
    Error::UnsupportedModel {
        path: path.to_path_buf(),
        found: found.to_owned(),
    }
}

/// The files of `format` in `dir`; an index that cannot be read names none.
fn weight_files(dir: &Path, format: WeightFormat) -> WeightFiles {
    let paths = CheckpointFiles::paths_in(dir, Some(format)).unwrap_or_default();
    let is_index = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    };
    let files = paths.into_iter().filter(|path| !is_index(path));
    WeightFiles {
        format,
        files: files.map(|path| WeightFile::of(&path)).collect(),
    }
}

/// Numbers in all tensors of a model, with a head of its own or not.
fn parameters(config: &ModelConfig, own_head: bool) -> u64 {
    model_tensors(config)
        .iter()
        .filter(|tensor| own_head || !is_head(&tensor.name))
        .map(|tensor| {
            tensor
                .shape
                .iter()
                .map(|&extent| extent as u64)
                .product::<u64>()
        })
        .sum()
}

/// What the matrices are stored as: the bits of the configuration, else the type of the largest tensor.
fn stored_type(files: &CheckpointFiles, config: Option<&ModelConfig>) -> Option<String> {
    let bits = config.and_then(ModelConfig::quantization_bit);
    if let Some(bits) = bits {
        let name = match bits {
            QuantizationBit::Int4 => "int4",
            QuantizationBit::Int8 => "int8",
        };
        return Some(name.to_owned());
    }
    if files
        .tensors()
        .any(|info| info.name.ends_with(".weight_scale"))
    {
        return Some("codes".to_owned());
    }
    let largest = files
        .tensors()
        .max_by_key(|info| TensorInfo::byte_len(info))?;
    Some(largest.type_name())
}
