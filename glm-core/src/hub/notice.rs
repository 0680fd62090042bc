//! What is worth saying of a download that succeeds.

use std::fmt;

use glm_tokenizer::{Phrase, phrase};

/// What a user should know of a download that succeeds. It displays as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubNotice {
    /// The hub announced no checksum of a file, as some mirrors do: of what arrived, only the length was checked.
    Unchecked {
        /// Where the file came from.
        url: String,
    },
}

impl From<&HubNotice> for Phrase {
    fn from(notice: &HubNotice) -> Self {
        match notice {
            HubNotice::Unchecked { url } => phrase!(
                "hub-notice-unchecked",
                "only the length of {url} was checked: the hub announces no checksum of it",
                url
            ),
        }
    }
}

impl fmt::Display for HubNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Phrase::from(self).fmt(f)
    }
}

/// Tells whoever asked.
#[derive(Default)]
pub(super) struct Notices<'a>(Option<Box<dyn FnMut(HubNotice) + 'a>>);

impl<'a> Notices<'a> {
    pub(super) fn listen(&mut self, listener: impl FnMut(HubNotice) + 'a) {
        self.0 = Some(Box::new(listener));
    }

    pub(super) fn tell(&mut self, notice: HubNotice) {
        if let Some(listener) = &mut self.0 {
            listener(notice);
        }
    }
}
