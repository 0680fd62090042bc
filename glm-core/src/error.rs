//! What can go wrong between a checkpoint folder and an answer, each with the file, the tensor or the
//! option at fault and, where there is one, the remedy.

mod mix;
mod occupied;
mod phrase;
mod snapshot_field;

use std::io;
use std::path::{Path, PathBuf};

use glm_tokenizer::{
    Phrase, phrase,
    regular_file::{FileError, FileKind},
};

use crate::checkpoint::Precision;

pub use mix::Mix;
pub use occupied::Occupied;
pub use snapshot_field::SnapshotField;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate. Messages are whole lower-case sentences, fit to be shown to a user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation for another reason than a missing file or missing permission.
    #[error("cannot access {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// There is no such file or folder.
    #[error("{} does not exist; check the path, and whether everything was downloaded", path.display())]
    NotFound {
        /// The file or folder.
        path: PathBuf,
    },
    /// A file or folder exists, but this user may not read (or write) it.
    #[error("no permission to access {}; check the owner and mode of the file and its folder", path.display())]
    PermissionDenied {
        /// The file or folder.
        path: PathBuf,
    },
    /// Something else lies where a file should be: a folder, a named pipe, a device. It was not opened.
    #[error("{} is {found}, a regular file is needed; give the path of a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it leads to.
        found: FileKind,
    },
    /// Something else lies where a folder is to be.
    #[error("{} is {found}, a folder is needed; remove it or give another name", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
        /// What it leads to.
        found: FileKind,
    },
    /// A Git-LFS pointer lies where the weights should be: the repository was cloned without its large files.
    #[error("{} is a git-lfs pointer, not the file itself; run `git lfs pull` in its folder or download the file again", path.display())]
    LfsPointer {
        /// The pointer file.
        path: PathBuf,
    },
    /// A folder holds none of the known weight files.
    #[error("no checkpoint in {}; looked for {looked_for}", dir.display())]
    NoCheckpoint {
        /// The folder.
        dir: PathBuf,
        /// The file names that were tried, in order.
        looked_for: String,
    },
    /// What lies at a path is known, and is not a model.
    #[error("{} is not a model: it holds {found}; give the folder of a checkpoint, a ggml file of chatglm.cpp, or a file that `quantize` or `convert` wrote", path.display())]
    NotAModel {
        /// The folder or file.
        path: PathBuf,
        /// What it holds.
        found: Phrase,
    },
    /// A folder of several models, of which one has to be chosen.
    #[error("{} holds several models; give one of them: {}", path.display(), names.join(", "))]
    SeveralModels {
        /// The folder.
        path: PathBuf,
        /// Names of folders and files in it.
        names: Vec<String>,
    },
    /// The shard index names a file that is not there.
    #[error("{} says that tensor `{tensor}` is in `{shard}`, but there is no such file; download the missing shard", index.display())]
    MissingShard {
        /// The index file.
        index: PathBuf,
        /// The shard's file name as the index gives it.
        shard: String,
        /// One tensor that the shard should hold.
        tensor: String,
    },
    /// A file ends before the data that it promises.
    #[error("{} is truncated after {found} bytes: {reason}; download the file again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The size of the file in bytes.
        found: u64,
        /// What is missing.
        reason: Phrase,
    },
    /// A file does not follow its format.
    #[error("{} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: Phrase,
    },
    /// A file that is larger than any of its kind, or would need more memory.
    #[error("{} has more than {most} {what}, which no file of its kind needs; it is not read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        what: Phrase,
        /// How much there may be.
        most: u64,
    },
    /// A `.bin` file whose pickle does more than describe tensors. Nothing of it was executed.
    #[error("{} is not a plain weight file, nothing in it was executed: {reason}", path.display())]
    UnsafePickle {
        /// The file.
        path: PathBuf,
        /// The call or construct that was refused.
        reason: Phrase,
    },
    /// Files that are not of one checkpoint.
    #[error("{}: {mix}", together(path, other))]
    Mixed {
        /// What does not fit together.
        mix: Mix,
        /// The configuration file.
        path: PathBuf,
        /// The other file: the same one when it contradicts itself.
        other: PathBuf,
    },
    /// The tokenizer that was given does not belong to the model.
    #[error(
        "{} does not belong to {}: its {token} {}, the model's is {expected}; load both from one folder",
        or_this(tokenizer.as_deref(), the_tokenizer), or_this(model.as_deref(), this_model), is_id(*found)
    )]
    OtherTokenizer {
        /// The token whose ids differ.
        token: &'static str,
        /// Its id in the model's configuration.
        expected: usize,
        /// Its id in the tokenizer; `None` when it has no such token.
        found: Option<usize>,
        /// The folder or file that the model came from; `None` for one that was made in memory.
        model: Option<PathBuf>,
        /// The file that the tokenizer came from, or what it was called.
        tokenizer: Option<PathBuf>,
    },
    /// A tensor that the model needs is not in the checkpoint.
    #[error("tensor `{tensor}` is missing in {}", path.display())]
    MissingTensor {
        /// The checkpoint folder or file.
        path: PathBuf,
        /// The tensor's name in the checkpoint.
        tensor: String,
    },
    /// A tensor that the model has no place for.
    #[error("{} holds a tensor `{tensor}` that this model has no place for; does the checkpoint belong to its config.json?", path.display())]
    UnexpectedTensor {
        /// The file that holds it.
        path: PathBuf,
        /// The tensor's name in the checkpoint.
        tensor: String,
    },
    /// A tensor's shape does not fit the configuration.
    #[error("tensor `{tensor}` in {} has shape {found:?}, expected {expected:?}", path.display())]
    TensorShape {
        /// The file that holds it.
        path: PathBuf,
        /// The tensor's name in the checkpoint.
        tensor: String,
        /// The shape that config.json asks for.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor's element type is not one that can be used in its place.
    #[error("tensor `{tensor}` in {} has type {found}, expected {expected}", path.display())]
    TensorType {
        /// The file that holds it.
        path: PathBuf,
        /// The tensor's name in the checkpoint.
        tensor: String,
        /// The types that are possible here.
        expected: Phrase,
        /// The type in the file.
        found: Phrase,
    },
    /// A weight is NaN or infinite.
    #[error("tensor `{tensor}`{} in {} holds NaN or infinite values; the file is damaged or was saved from a diverged training run", in_layer(*layer), path.display())]
    NonFinite {
        /// The file that holds it.
        path: PathBuf,
        /// The tensor's name in the checkpoint.
        tensor: String,
        /// The layer it belongs to, from 0; `None` outside the layers.
        layer: Option<usize>,
    },
    /// A key of config.json has a value that cannot be used.
    #[error("`{key}` in {} must be {expected}, found {found}", path.display())]
    Config {
        /// The configuration file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What the key may be.
        expected: Phrase,
        /// The value found, or "nothing".
        found: Phrase,
    },
    /// The checkpoint is of a model that this version cannot run.
    #[error("{} describes {found}, which is not supported", path.display())]
    UnsupportedModel {
        /// The configuration file.
        path: PathBuf,
        /// What the file describes.
        found: Phrase,
    },
    /// The model would not fit into memory. Estimated before anything large is read.
    #[error("{} does not fit into memory: {required_gb:.2} GB needed, {available_gb:.2} GB available; close other programs or use an int8 or int4 checkpoint",
        path.display(), required_gb = gigabytes(*required), available_gb = gigabytes(*available))]
    OutOfMemory {
        /// The checkpoint, or the file whose next tensor does not fit.
        path: PathBuf,
        /// Bytes needed.
        required: u64,
        /// Bytes available now.
        available: u64,
    },
    /// The keys and values of a conversation would not fit into memory. Estimated before its first token is read.
    #[error("the keys and values of {tokens} tokens{} do not fit into memory: {required_gb:.2} GB needed, {available_gb:.2} GB available; close other programs, lower `max_length`, or keep them in int8",
        in_rows(*rows), required_gb = gigabytes(*required), available_gb = gigabytes(*available))]
    CacheOutOfMemory {
        /// Rows that are generated side by side.
        rows: usize,
        /// Tokens of each.
        tokens: usize,
        /// Bytes needed.
        required: u64,
        /// Bytes available now.
        available: u64,
    },
    /// Codes would have to be quantised again, or a float file be taken for a quantised one.
    #[error("{} holds {found} weights, which cannot become {asked}; use the checkpoint in fp16, or leave the precision as it is", path.display())]
    AlreadyQuantized {
        /// The checkpoint folder or file.
        path: PathBuf,
        /// What it holds.
        found: Precision,
        /// What was asked for.
        asked: Precision,
    },
    /// A matrix cannot be quantised.
    #[error("tensor `{tensor}` of {} cannot be quantised: {source}", path.display())]
    Quantize {
        /// The file that holds it.
        path: PathBuf,
        /// The tensor's name in the checkpoint.
        tensor: String,
        /// Why not.
        source: glm_quant::Error,
    },
    /// A model whose weights the official layout has no place for.
    #[error("tensor `{tensor}` cannot be saved in the official layout: {reason}")]
    OfficialLayout {
        /// The tensor's name in the checkpoint.
        tensor: String,
        /// What the layout lacks.
        reason: Phrase,
    },
    /// What was written is not what should have been written.
    #[error("tensor `{tensor}` in {} is not what was written there; the file cannot be used: check memory and disk, and convert again", path.display())]
    Verification {
        /// The file that was written.
        path: PathBuf,
        /// The tensor's name in it.
        tensor: String,
    },
    /// A prepacked file of another version of this program.
    #[error("{} was made by another version of this program (format {found}, this one reads {expected}); quantise the checkpoint again", path.display())]
    OtherVersion {
        /// The prepacked file.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The version that is read.
        expected: u32,
    },
    /// Prepacked files are used as they lie in memory, which needs a little-endian machine.
    #[error("{} cannot be used on this machine: prepacked files need a little-endian processor", path.display())]
    BigEndian {
        /// The prepacked file.
        path: PathBuf,
    },
    /// No space is left for a file that has to be written.
    #[error("no space for {}: {required_gb:.2} GB are needed; make room, or move the cache to another disk (GLM_CACHE_DIR for quantised models, HF_HOME for downloads)",
        path.display(), required_gb = gigabytes(*required))]
    StorageFull {
        /// The file.
        path: PathBuf,
        /// Bytes that it needs.
        required: u64,
    },
    /// A file that would be larger than a file may be here.
    #[error("{} would have {required} bytes, more than a file may have here; raise the limit of this process (`ulimit -f`), or write to another file system", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes that it needs.
        required: u64,
    },
    /// There is no folder to keep quantised models in.
    #[error("there is no cache folder for this user; set GLM_CACHE_DIR to a folder")]
    NoCacheDir,
    /// Something is in the way of what is to be written.
    #[error("{} {why}", path.display())]
    Exists {
        /// What is in the way.
        path: PathBuf,
        /// What it is, and what to do about it.
        why: Occupied,
    },
    /// An option given by the caller is out of range.
    #[error("option `{option}` must be {expected}, found {found}")]
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// What it may be.
        expected: Phrase,
        /// What was given.
        found: Phrase,
    },
    /// The token ids given to the model are not a prompt it can read.
    #[error("the {tokens} token ids are no prompt for this model: expected {expected}")]
    Prompt {
        /// What the model needs.
        expected: Phrase,
        /// How many ids were given.
        tokens: usize,
    },
    /// A file that should hold what a model has read, and does not, or not for this model.
    #[error("{} is of no use here: its {field} should be {expected}, found {found}", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What of it is not as it should be.
        field: SnapshotField,
        /// What it should be.
        expected: Phrase,
        /// What it is.
        found: Phrase,
    },
    /// A conversation is to go back to a turn that it does not have.
    #[error(
        "there is no turn {turn} to answer again, counted from 0: the conversation has {turns}"
    )]
    NoTurn {
        /// What was asked for.
        turn: usize,
        /// The turns that there are.
        turns: usize,
    },
    /// The tokenizer file is at fault.
    #[error(transparent)]
    Tokenizer(#[from] glm_tokenizer::Error),
    /// A checkpoint cannot be fetched from a hub.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] crate::hub::HubError),
    /// The device failed while it computed.
    #[error("the device failed: {reason}")]
    Execution {
        /// What the device said.
        reason: Phrase,
    },
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] glm_backends::Error),
    /// `GLM_CPU_LEVEL` cannot be followed.
    #[error(transparent)]
    CpuLevel(#[from] glm_backends::cpu::LevelError),
    /// A prompt that leaves no room for an answer.
    #[error(
        "the prompt has {tokens} tokens and leaves no room for an answer within {max_length}, the smaller of `max_length` and what the model can read; shorten it"
    )]
    PromptTooLong {
        /// Tokens of the prompt, special tokens included.
        tokens: usize,
        /// The limit on prompt and answer together.
        max_length: usize,
    },
    /// A text that the model cannot read whole.
    #[error(
        "text {text}, counted from 0, has {tokens} tokens, and the model was trained for {max_length}; divide it"
    )]
    TextTooLong {
        /// Which of the texts, from 0.
        text: usize,
        /// Its tokens, special ones included.
        tokens: usize,
        /// The longest sequence that the model was trained for.
        max_length: usize,
    },
    /// The model produced a NaN or infinite logit.
    #[error(
        "the model produced NaN or infinite logits at position {position}; the weights are damaged or the precision is too low"
    )]
    NonFiniteLogits {
        /// Position of the query token in the sequence, prompt included, from 0.
        position: usize,
    },
}

impl Error {
    /// Wraps an I/O error with its path: [`Error::NotFound`], [`Error::PermissionDenied`], else [`Error::Io`].
    pub(crate) fn io(path: impl AsRef<Path>, source: io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { path },
            _ => Self::Io { path, source },
        }
    }

    /// Why the file at `path` could not be opened or read through [`regular_file`](glm_tokenizer::regular_file).
    pub fn file(path: impl AsRef<Path>, error: FileError) -> Self {
        let path = path.as_ref();
        match error {
            FileError::Io(error) => Self::io(path, error),
            FileError::Kind(found) => Self::NotAFile {
                path: path.to_path_buf(),
                found,
            },
            FileError::TooLong { most } => Self::TooLarge {
                path: path.to_path_buf(),
                what: phrase!("too-many-bytes", "bytes"),
                most,
            },
            other => Self::malformed(path, Phrase::verbatim(other)),
        }
    }

    /// An [`Error::Malformed`].
    pub(crate) fn malformed(path: impl AsRef<Path>, reason: Phrase) -> Self {
        Self::Malformed {
            path: path.as_ref().to_path_buf(),
            reason,
        }
    }
}

/// A file by its name, or what it is.
fn or_this(path: Option<&Path>, what: fn() -> Phrase) -> Phrase {
    path.map_or_else(what, |path| Phrase::verbatim(path.display()))
}

fn the_tokenizer() -> Phrase {
    phrase!("the-tokenizer", "the tokenizer")
}

fn this_model() -> Phrase {
    phrase!("this-model", "this model")
}

/// "is 5", or that there is none.
fn is_id(id: Option<usize>) -> String {
    id.map_or_else(|| "is missing".to_owned(), |id| format!("is {id}"))
}

/// " (layer 3)" or nothing.
fn in_layer(layer: Option<usize>) -> String {
    layer.map_or_else(String::new, |layer| format!(" (layer {layer})"))
}

/// One file that contradicts itself, or two files.
fn together(path: &Path, other: &Path) -> Phrase {
    match path == other {
        true => phrase!("mixed-one-file", "{path} contradicts itself", path),
        false => phrase!(
            "mixed-two-files",
            "{path} and {other} do not belong together",
            path,
            other
        ),
    }
}

/// " in each of 3 rows" or nothing.
fn in_rows(rows: usize) -> String {
    match rows {
        1 => String::new(),
        _ => format!(" in each of {rows} rows"),
    }
}

/// Bytes as decimal gigabytes; precise enough to print.
#[allow(clippy::cast_precision_loss)]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_the_offender() {
        let shape = Error::TensorShape {
            path: PathBuf::from("dir/model.bin"),
            tensor: "lm_head.weight".into(),
            expected: vec![8, 4],
            found: vec![4, 8],
        };
        assert_eq!(
            shape.to_string(),
            "tensor `lm_head.weight` in dir/model.bin has shape [4, 8], expected [8, 4]"
        );
        let non_finite = Error::NonFinite {
            path: PathBuf::from("m.bin"),
            tensor: "t".into(),
            layer: Some(3),
        };
        assert!(
            non_finite
                .to_string()
                .starts_with("tensor `t` (layer 3) in m.bin holds NaN")
        );
        let memory = Error::OutOfMemory {
            path: PathBuf::from("chatglm-6b"),
            required: 13_417_000_000,
            available: 8_000_000_000,
        };
        assert!(memory.to_string().starts_with(
            "chatglm-6b does not fit into memory: 13.42 GB needed, 8.00 GB available"
        ));
    }

    #[test]
    fn what_users_meet_most_has_variants_of_its_own() {
        let error = Error::io("x", io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(matches!(error, Error::PermissionDenied { .. }));
        let error = Error::io("x", io::Error::from(io::ErrorKind::NotFound));
        assert!(matches!(&error, Error::NotFound { .. }));
        assert!(error.to_string().starts_with("x does not exist"), "{error}");
        let error = Error::io("x", io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(error, Error::Io { .. }));
    }
}
