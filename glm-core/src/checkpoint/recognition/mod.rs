//! What lies at a path that is no checkpoint to be loaded: adapters, encoders, several checkpoints, tokenizers, pictures,
//! data. Told by names of files and tensors and by first bytes, and said in an error by whoever was given the path.

mod file_kind;
mod foreign_config;
mod listing;
mod tensor_kind;

use std::{fs, path::Path};

use glm_tokenizer::{GlmTokenizer, Phrase, TokenizerFile, phrase, regular_file::FileKind};

use crate::{
    checkpoint::{
        content::Content,
        files::{CheckpointFiles, refuse_stand_in},
    },
    config::ModelFamily,
    error::{Error, Result},
};
use foreign_config::Adapter;
use listing::Listing;

pub use listing::Member;

pub(super) use tensor_kind::{family_of_tensors, of_tensors};

/// What was recognised, and the error for whoever wanted a model.
#[derive(Debug)]
pub(super) struct Recognised {
    pub(super) content: Content,
    pub(super) family: Option<ModelFamily>,
    /// Of several models, each of them.
    pub(super) members: Vec<Member>,
    pub(super) error: Error,
}

impl Recognised {
    /// A model, or a part of one, that `path` shows to be `found`.
    fn unsupported(
        path: &Path,
        content: Content,
        family: Option<ModelFamily>,
        found: Phrase,
    ) -> Self {
        Self {
            content,
            family,
            members: Vec::new(),
            error: Error::UnsupportedModel {
                path: path.to_path_buf(),
                found,
            },
        }
    }

    /// Not a model.
    fn other(path: &Path, content: Content) -> Self {
        Self {
            content,
            family: None,
            members: Vec::new(),
            error: Error::NotAModel {
                path: path.to_path_buf(),
                found: content.into(),
            },
        }
    }
}

/// What the folder `dir` is; `None` when it is to be opened as a checkpoint.
///
/// # Errors
/// [`Error::NotFound`], [`Error::PermissionDenied`], [`Error::Io`], [`Error::Malformed`] for the folder and its
/// configuration; [`Error::NoCheckpoint`] when nothing is known of it.
pub(super) fn recognise_folder(dir: &Path) -> Result<Option<Recognised>> {
    check_folder(dir)?;
    let has_weights = !CheckpointFiles::formats_in(dir).is_empty();
    let has_config = dir.join("config.json").exists();
    if has_config {
        if let Some(kind) = foreign_config::encoder_type(dir) {
            return Ok(Some(Recognised::unsupported(
                &dir.join("config.json"),
                Content::TextEncoder,
                None,
                phrase!(
                    "found-text-encoder",
                    "a text encoder of type \"{kind}\"",
                    kind
                ),
            )));
        }
        if has_weights {
            return Ok(None); // An adapter beside a whole model makes it no adapter.
        }
    }
    if is_adapter(dir) {
        let adapter = Adapter::read(dir)?;
        let files = foreign_config::adapter_weights(dir);
        return Ok(Some(Recognised::unsupported(
            &dir.join(Adapter::FILE),
            adapter.content(),
            files.as_ref().and_then(family_of_tensors),
            adapter.describe(),
        )));
    }
    if foreign_config::is_swiss_army_transformer(dir) {
        let (class, family) = foreign_config::sat_model(dir)?;
        let content = Content::SwissArmyTransformer;
        let found = phrase!(
            "found-sat-model",
            "{content}, a {class}",
            content = Phrase::from(content),
            class
        );
        return Ok(Some(Recognised::unsupported(dir, content, family, found)));
    }
    if has_config || has_weights {
        return Ok(None);
    }
    let listing = Listing::of(dir)?;
    Ok(Some(match listing.content() {
        Content::Collection => Recognised {
            content: Content::Collection,
            family: None,
            error: Error::SeveralModels {
                path: dir.to_path_buf(),
                names: listing
                    .members
                    .iter()
                    .map(|member| member.name.clone())
                    .collect(),
            },
            members: listing.members,
        },
        _ if GlmTokenizer::file_in(dir).is_some() => Recognised::other(dir, Content::Tokenizer),
        // Says which files were looked for.
        Content::Nothing => return CheckpointFiles::open(dir).map(|_| None),
        content => Recognised::other(dir, content),
    }))
}

/// Tells a folder that is missing, that may not be read or that is none from one without weights.
///
/// # Errors
/// [`Error::NotFound`], [`Error::PermissionDenied`], [`Error::NotAFile`], [`Error::Io`].
pub(super) fn check_folder(dir: &Path) -> Result<()> {
    let failed = |error| Error::io(dir, error);
    match FileKind::at(dir).map_err(failed)? {
        None | Some(FileKind::Folder) => fs::read_dir(dir).map(drop).map_err(failed),
        Some(found) => Err(Error::NotAFile {
            path: dir.to_path_buf(),
            found,
        }),
    }
}

/// Whether the folder `dir` has the configuration of a PEFT adapter.
pub(super) fn is_adapter(dir: &Path) -> bool {
    dir.join(Adapter::FILE).is_file()
}

/// What the file at `path` is; `None` when it is to be opened as a ggml or prepacked file.
///
/// # Errors
/// Those of opening a file that should hold tensors; [`Error::LfsPointer`] and its like for what lies in place of a file.
pub(super) fn recognise_file(path: &Path) -> Result<Option<Recognised>> {
    Ok(match file_kind::of_file(path) {
        Some(Content::Ggml | Content::Prepacked) => None,
        Some(content @ (Content::Images | Content::PromptCache)) => {
            Some(Recognised::other(path, content))
        }
        _ if file_kind::may_hold_tensors(path) => Some(recognise_tensors(path)?),
        Some(content) => Some(Recognised::other(path, content)),
        None if TokenizerFile::look(path).is_ok() => {
            Some(Recognised::other(path, Content::Tokenizer))
        }
        None => {
            refuse_stand_in(path)?;
            None
        }
    })
}

/// A file of tensors by itself: an adapter, a prefix, part of a checkpoint, or data.
fn recognise_tensors(path: &Path) -> Result<Recognised> {
    let files = CheckpointFiles::open_file(path)?;
    let family = family_of_tensors(&files);
    let content = match of_tensors(&files) {
        Some((content, _)) => content,
        None if family.is_some() => Content::Weights,
        None => Content::Data,
    };
    Ok(match content.is_recognised_only() {
        true => Recognised::unsupported(path, content, family, content.into()),
        false => Recognised {
            family,
            ..Recognised::other(path, content)
        },
    })
}

/// What a folder is by the names of its files, and by the model type of a configuration.
fn of_named_files(dir: &Path) -> Option<Content> {
    let has = |name: &str| dir.join(name).is_file();
    if is_adapter(dir) {
        return Some(match Adapter::read(dir) {
            Ok(adapter) => adapter.content(),
            Err(_) => Content::LoraAdapter,
        });
    }
    if foreign_config::is_swiss_army_transformer(dir) {
        return Some(Content::SwissArmyTransformer);
    }
    if has("config.json") {
        let has_weights = !CheckpointFiles::formats_in(dir).is_empty();
        return match foreign_config::model_type(dir) {
            Some(found) if foreign_config::is_encoder(&found) => Some(Content::TextEncoder),
            Some(_) if has_weights => Some(Content::Checkpoint),
            // Of another program: settings, or a part of a sentence encoder.
            _ => None,
        };
    }
    (!CheckpointFiles::formats_in(dir).is_empty()).then_some(Content::Weights)
}
