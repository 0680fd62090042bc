//! Which state of which repository.

use glm_tokenizer::{Phrase, phrase};

use crate::error::{Error, Result};

/// Longest part of a name that is taken, in bytes; hubs allow 96.
const MAX_NAME_BYTES: usize = 96;
/// Longest revision that is taken, in bytes.
const MAX_REVISION_BYTES: usize = 250;

/// A repository and a revision of it. Both are safe as parts of a path.
#[derive(Debug, Clone)]
pub(super) struct RepoRevision {
    /// `ORG/NAME`.
    pub(super) repo: String,
    /// Branch, tag or commit.
    pub(super) revision: String,
}

impl RepoRevision {
    /// # Errors
    /// [`Error::InvalidOption`].
    pub(super) fn new(repo: &str, revision: &str) -> Result<Self> {
        let invalid = |option, expected, found: &str| Error::InvalidOption {
            option,
            expected,
            found: Phrase::verbatim(format!("`{found}`")),
        };
        if !is_repo_id(repo) {
            let expected = phrase!("option-repository", "the name of a repository, ORG/NAME");
            return Err(invalid("repo_id", expected, repo));
        }
        if !is_revision(revision) {
            return Err(invalid(
                "revision",
                phrase!("option-revision", "a branch, tag or commit"),
                revision,
            ));
        }
        Ok(Self {
            repo: repo.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// Whether the revision is the hash of a commit, which never means anything else.
    pub(super) fn is_commit(&self) -> bool {
        is_commit(&self.revision)
    }
}

/// `ORG/NAME`, as hubs allow it: letters, digits, `-`, `_` and `.`, the last three not at an end, `--` and `..` nowhere.
pub(super) fn is_repo_id(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_inner = |c: char| matches!(c, '-' | '.');
        (1..=MAX_NAME_BYTES).contains(&part.len())
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || is_inner(c))
            && !part.starts_with(is_inner)
            && !part.ends_with(is_inner)
            && !part.contains("--")
            && !part.contains("..")
    };
    matches!(name.split_once('/'), Some((org, name)) if is_part(org) && is_part(name))
}

/// A name that Git allows for a branch, tag or commit.
fn is_revision(name: &str) -> bool {
    name.len() <= MAX_REVISION_BYTES
        && !name.contains("..")
        && !name.contains(|c: char| c.is_control() || " ~^:?*[\\\"<>|".contains(c))
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.'))
}

/// A whole SHA-1 in small hexadecimal digits.
pub(super) fn is_commit(name: &str) -> bool {
    name.len() == 40
        && name
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_hubs_take_them() {
        for name in ["THUDM/chatglm-6b", "a/b", "_x/y_", "zai-org/chatglm2-6b.v1"] {
            assert!(is_repo_id(name), "{name}");
        }
        for name in [
            "",
            "chatglm-6b",
            "/chatglm-6b",
            "THUDM/",
            "./chatglm-6b",
            "../chatglm-6b",
            "a/..",
            "a/b/c",
            "a/b--c",
            "a/b..c",
            "a\\b/c",
            "a/b c",
            "a/模型",
            "~/chatglm",
            "C:/chatglm",
            &format!("a/{}", "b".repeat(97)),
        ] {
            assert!(!is_repo_id(name), "{name}");
        }
    }

    #[test]
    fn revisions_stay_in_their_folder() {
        for name in ["main", "v1.1.0", "refs/pr/1", "feature/中文"] {
            assert!(RepoRevision::new("a/b", name).is_ok(), "{name}");
        }
        for name in [
            "", "/", "/main", "main/", "a//b", "..", "a/../b", "a/.b", ".", "a\\b", "c:d", "a\nb",
            "a b",
        ] {
            let error = RepoRevision::new("a/b", name).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::InvalidOption {
                        option: "revision",
                        ..
                    }
                ),
                "{name}"
            );
        }
    }

    #[test]
    fn a_commit_is_told_from_a_branch() {
        let is_commit = |name| RepoRevision::new("a/b", name).unwrap().is_commit();
        assert!(is_commit("4de8efebc837788ffbfc0a15663de8553da362a2"));
        assert!(!is_commit("4de8efe"));
        assert!(!is_commit("main"));
    }
}
