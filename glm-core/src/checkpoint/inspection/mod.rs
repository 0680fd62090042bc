//! What lies at a path, what is wrong with it, and what it would need, from headers alone.

mod plan;
mod report;
mod weights;

use std::{
    fs,
    path::{Path, PathBuf},
};

use glm_tokenizer::{GlmTokenizer, Phrase, phrase};
use serde::{Serialize, Serializer};

use crate::{
    checkpoint::{
        check::{described_by, tensor_problems},
        companions::tokenizer_name,
        content::{Content, Verdict},
        files::{CheckpointFiles, is_ggml},
        names::is_head,
        precision::Forms,
        prepacked::PrepackedFile,
        recognition::{self, Member, Recognised},
        source::folder_of,
        tokenizer_choice::TokenizerChoice,
    },
    config::{ModelConfig, ModelFamily},
    error::{Error, Mix, Result},
};

pub use plan::{Plan, PlannedPrecision};
pub use weights::{WeightFile, WeightFiles};

use weights::{parameters, stored_type, weight_files};

/// Most tensors of a format that are wrong and have a sentence of their own.
const MAX_LISTED: usize = 100;

/// What [`inspect`] found. [`Display`](std::fmt::Display) is a page for people; [`Serialize`] has the same for programs,
/// sizes in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// The folder or file.
    pub path: PathBuf,
    /// What it holds.
    pub content: Content,
    /// What can be done with it.
    pub verdict: Verdict,
    /// Of a folder of several models, each of them.
    pub members: Vec<Member>,
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
    /// What was found wrong, the worst first: everything but tensors beyond the first hundred, which are counted.
    pub problems: Vec<Problem>,
    /// What loading would need; `None` for what cannot be loaded.
    pub plan: Option<Plan>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// A sentence that names the file. In JSON it is English.
    #[serde(serialize_with = "english")]
    pub message: Phrase,
}

fn english<S: Serializer>(phrase: &Phrase, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(phrase.english())
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
    inspection.decide();
    inspection
}

impl Inspection {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            content: Content::Nothing,
            verdict: Verdict::Broken,
            members: Vec::new(),
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
        self.verdict == Verdict::Loads
    }

    /// Sums up what was found.
    fn decide(&mut self) {
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        let is_sound = !self.problems.iter().any(is_error);
        self.verdict = match self.content {
            content if content.is_recognised_only() => Verdict::NotSupported,
            content if content.is_whole_model() && is_sound => Verdict::Loads,
            Content::Collection => Verdict::ChooseOne,
            _ => self.verdict,
        };
        if !self.is_loadable() {
            self.plan = None;
        }
    }

    fn add(&mut self, error: Error) {
        match error {
            Error::UnsupportedModel { .. } => self.verdict = Verdict::NotSupported,
            Error::NotAModel { .. } | Error::NoCheckpoint { .. } | Error::Malformed { .. }
                if !self.content.is_model() =>
            {
                self.verdict = Verdict::NotAModel;
            }
            _ => {}
        }
        self.add_message(Severity::Error, Phrase::from(&error));
    }

    fn add_message(&mut self, severity: Severity, message: Phrase) {
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

    /// What is no folder.
    fn look_at_file(&mut self) -> Result<()> {
        let path = self.path.clone();
        match recognition::recognise_file(&path)? {
            Some(recognised) => self.recognised(recognised),
            None if is_ggml(&path) => self.look_at_ggml(),
            // Any other file is to be a prepacked one; opening it says what is wrong.
            None => self.look_at_prepacked(),
        }
    }

    /// Something else than a checkpoint.
    fn recognised(&mut self, recognised: Recognised) -> Result<()> {
        self.content = recognised.content;
        self.family = recognised.family;
        self.members = recognised.members;
        if self.content == Content::Tokenizer && self.tokenizer.is_none() {
            self.tokenizer = Some(self.path.clone());
        }
        Err(recognised.error)
    }

    fn look_at_prepacked(&mut self) -> Result<()> {
        let path = self.path.clone();
        let file = PrepackedFile::open(&path)?;
        self.content = Content::Prepacked;
        self.set_config(file.config());
        self.stored = Some(file.forms().layers.precision().to_string());
        let own_head = file.tensor_names().any(is_head);
        self.parameters = Some(parameters(file.config(), own_head));
        let bytes = fs::metadata(&path).map_err(|error| Error::io(&path, error))?;
        self.plan = Some(Plan::of_prepacked(&file, bytes.len()));
        self.look_at_tokenizer(folder_of(&path), &path, file.config());
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
        let formats = CheckpointFiles::formats_in(&dir);
        self.weights = formats
            .iter()
            .map(|&format| weight_files(&dir, format))
            .collect();
        self.tokenizer = GlmTokenizer::file_in(&dir);
        if let Some(recognised) = recognition::recognise_folder(&dir)? {
            return self.recognised(recognised);
        }
        if recognition::is_adapter(&dir) {
            let message = phrase!(
                "inspection-adapter-beside",
                "{dir} holds an adapter beside the whole model; the model is used without it",
                dir = &dir
            );
            self.add_message(Severity::Warning, message);
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
            self.look_at_tokenizer(&dir, &dir.join("config.json"), config);
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
        if let Some((content, info)) = recognition::of_tensors(files) {
            self.content = content;
            self.problems.clear(); // Of the configuration, which is the base model's or missing.
            return self.add(unsupported(&info.file, content));
        }
        if let Some(wrapper) = files.name_wrapper() {
            let message = phrase!(
                "inspection-name-wrapper",
                "the name of every tensor in {path} begins with `{wrapper}`, as training programs save them; it is \
                 left out",
                path = files.path(),
                wrapper,
            );
            self.add_message(Severity::Warning, message);
        }
        if first {
            self.stored = stored_type(files, described.map(|(config, _)| config));
        }
        let Some((config, stored)) = described else {
            return self.look_for_family(files);
        };
        let problems = tensor_problems(files, config, MAX_LISTED);
        if problems.listed.is_empty() && first {
            self.parameters = Some(parameters(config, !config.tie_word_embeddings()));
            match Plan::of_checkpoint(files, config, stored) {
                Ok(plan) => self.plan = Some(plan),
                Err(error) => self.add(error),
            }
        }
        for problem in problems.listed {
            self.add(problem);
        }
        if problems.more > 0 {
            let message = phrase!(
                "inspection-more-tensors",
                "{more} more tensors of {path} are missing, of another shape or type, or have no place in this model",
                more = problems.more,
                path = files.path(),
            );
            self.add_message(Severity::Error, message);
        }
    }

    /// The family of weights whose configuration tells none, or another one.
    fn look_for_family(&mut self, files: &CheckpointFiles) {
        let found = recognition::family_of_tensors(files);
        match (self.family, found) {
            (Some(ModelFamily::ChatGlm2 | ModelFamily::CodeGeeX2), Some(ModelFamily::ChatGlm)) => {
                self.add(Error::Mixed {
                    mix: Mix::ChatGlmWeights,
                    path: described_by(files),
                    other: files.path().to_path_buf(),
                })
            }
            (None, found) => self.family = found,
            _ => {}
        }
    }

    /// The tokenizer in `dir` for a model whose configuration stands in the file `described_by`.
    fn look_at_tokenizer(&mut self, dir: &Path, described_by: &Path, config: &ModelConfig) {
        let Some(choice) = TokenizerChoice::beside(dir, config) else {
            return self.add_message(
                Severity::Warning,
                phrase!(
                    "inspection-no-tokenizer",
                    "no tokenizer in {dir}; to chat, put the {name} of the download beside the weights",
                    dir,
                    name = tokenizer_name(config),
                ),
            );
        };
        self.tokenizer = Some(choice.file.clone());
        if let Some(doubt) = choice.doubt(config) {
            self.add_message(Severity::Warning, doubt);
        }
        if let Err(error) = choice.check(described_by, config) {
            self.add(error);
        }
    }
}

fn unsupported(path: &Path, content: Content) -> Error {
    Error::UnsupportedModel {
        path: path.to_path_buf(),
        found: content.into(),
    }
}
