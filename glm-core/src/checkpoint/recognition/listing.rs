//! What lies in a folder that is no checkpoint itself: other checkpoints, pictures, data.

use std::{fs, path::Path};

use serde::Serialize;

use super::{file_kind, of_named_files};
use crate::{
    checkpoint::content::Content,
    error::{Error, Result},
};

/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 10_000;
/// Most members of a collection that are named.
const MAX_MEMBERS: usize = 100;

/// One of the models in a folder of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Member {
    /// Its name in the folder.
    pub name: String,
    /// What it is, by its file names.
    pub content: Content,
}

/// What a folder holds besides the files of a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// In the order of their names, as many as are named.
    pub(super) members: Vec<Member>,
    images: usize,
    data: usize,
}

impl Listing {
    /// Looks at the entries of `dir`. Of what lies deeper only names are asked for.
    pub(super) fn of(dir: &Path) -> Result<Self> {
        let failed = |error| Error::io(dir, error);
        let mut listing = Self::default();
        for entry in fs::read_dir(dir).map_err(failed)?.take(MAX_ENTRIES) {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let content = match path.is_dir() {
                true => of_named_files(&path),
                false => file_kind::of_file(&path),
            };
            match content {
                Some(Content::Images) => listing.images += 1,
                Some(Content::Data) => listing.data += 1,
                Some(content) if content.is_model() => listing.members.push(Member {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    content,
                }),
                _ => {}
            }
        }
        listing.members.sort_by(|a, b| a.name.cmp(&b.name));
        listing.members.truncate(MAX_MEMBERS);
        Ok(listing)
    }

    /// What the folder is, unless it is a checkpoint or a tokenizer.
    pub(super) fn content(&self) -> Content {
        match (self.members.len(), self.images, self.data) {
            (1.., ..) => Content::Collection,
            (0, 1.., data) if self.images >= data => Content::Images,
            (0, _, 1..) => Content::Data,
            _ => Content::Nothing,
        }
    }
}
