//! `--prompt-cache`: what was read in one run is known in the next.

use std::{io::ErrorKind, path::Path};

use command_line::{
    exit::note,
    texts::{Tell, Texts},
};
use glm_core::{
    Error as ModelError, SnapshotField, chat::Conversation, prefix_cache::Prefix,
    regular_file::FileKind,
};

use crate::error::Result;

/// The conversation, which knows what the file holds. A file that is of no use any more is told and will be replaced; one
/// of another kind is an error, so that nothing is ever written over it.
pub(crate) fn load(path: &Path, conversation: Conversation, texts: &Texts) -> Result<Conversation> {
    match FileKind::at(path) {
        Ok(None) => {
            check_folder(path)?;
            return Ok(conversation);
        }
        // Nothing could be read from it, and nothing may be written over it.
        Ok(Some(found @ FileKind::DanglingLink)) => {
            let path = path.to_path_buf();
            return Err(ModelError::NotAFile { path, found }.into());
        }
        _ => {}
    }
    match Prefix::load(conversation.model(), path) {
        Ok(prefix) => {
            let tokens = ("tokens", prefix.tokens().len().into());
            note(&texts.with("chat-known-tokens", [tokens]));
            Ok(conversation.with_prefix(prefix))
        }
        Err(error) if is_outdated(&error) => {
            let reason = ("reason", error.tell(texts).into());
            note(&texts.with("chat-outdated-cache", [reason]));
            Ok(conversation)
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes what the conversation knows; where that is nothing, the file stays as it was.
pub(crate) fn save(path: &Path, conversation: &Conversation) -> Result<()> {
    if let Some(prefix) = conversation.prefix() {
        prefix.save(conversation.model(), path)?;
    }
    Ok(())
}

/// A file that cannot be written is better known before the first answer than after the last.
fn check_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    match folder.map_or(Ok(()), |folder| folder.read_dir().map(drop)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let path = path.into();
            Err(ModelError::PermissionDenied { path }.into())
        }
        Err(source) => {
            let path = path.into();
            Err(ModelError::Io { path, source }.into())
        }
    }
}

/// Whether the file was written by this program, for another model or version, or is damaged.
fn is_outdated(error: &ModelError) -> bool {
    matches!(error, ModelError::Snapshot { field, .. } if *field != SnapshotField::Beginning)
}
