//! Errors as phrases, which other languages translate. The id of one is the name of its variant.

mod other_crates;

use glm_tokenizer::{Phrase, values};

use super::{Error, gigabytes, or_this, the_tokenizer, this_model, together};

impl From<&Error> for Phrase {
    fn from(error: &Error) -> Self {
        let (id, values) = match error {
            Error::Io { path, source } => ("io", values![path, source]),
            Error::NotFound { path } => ("not-found", values![path]),
            Error::PermissionDenied { path } => ("permission-denied", values![path]),
            Error::NotAFile { path, found } => ("not-a-file", values![path, found]),
            Error::NotAFolder { path, found } => ("not-a-folder", values![path, found]),
            Error::LfsPointer { path } => ("lfs-pointer", values![path]),
            Error::NoCheckpoint { dir, looked_for } => ("no-checkpoint", values![dir, looked_for]),
            Error::NotAModel { path, found } => ("not-a-model", values![path, found]),
            Error::SeveralModels { path, names } => {
                ("several-models", values![path, names = names.join(", ")])
            }
            Error::MissingShard {
                index,
                shard,
                tensor,
            } => ("missing-shard", values![index, shard, tensor]),
            Error::Truncated {
                path,
                found,
                reason,
            } => ("truncated", values![path, found, reason]),
            Error::Malformed { path, reason } => ("malformed", values![path, reason]),
            Error::TooLarge { path, what, most } => ("too-large", values![path, what, most]),
            Error::UnsafePickle { path, reason } => ("unsafe-pickle", values![path, reason]),
            Error::Mixed { mix, path, other } => (
                "mixed",
                values![files = together(path, other), mix = Phrase::from(*mix)],
            ),
            Error::OtherTokenizer {
                token,
                expected,
                found,
                model,
                tokenizer,
            } => {
                let tokenizer = or_this(tokenizer.as_deref(), the_tokenizer);
                let model = or_this(model.as_deref(), this_model);
                match found {
                    Some(found) => (
                        "other-tokenizer",
                        values![tokenizer, model, token, expected, found],
                    ),
                    None => (
                        "other-tokenizer-without-token",
                        values![tokenizer, model, token, expected],
                    ),
                }
            }
            Error::MissingTensor { path, tensor } => ("missing-tensor", values![path, tensor]),
            Error::UnexpectedTensor { path, tensor } => {
                ("unexpected-tensor", values![path, tensor])
            }
            Error::TensorShape {
                path,
                tensor,
                expected,
                found,
            } => (
                "tensor-shape",
                values![
                    path,
                    tensor,
                    expected = format!("{expected:?}"),
                    found = format!("{found:?}"),
                ],
            ),
            Error::TensorType {
                path,
                tensor,
                expected,
                found,
            } => ("tensor-type", values![path, tensor, expected, found]),
            Error::NonFinite {
                path,
                tensor,
                layer,
            } => match layer {
                Some(layer) => ("non-finite-in-layer", values![path, tensor, layer]),
                None => ("non-finite", values![path, tensor]),
            },
            Error::Config {
                path,
                key,
                expected,
                found,
            } => ("config", values![path, key, expected, found]),
            Error::UnsupportedModel { path, found } => ("unsupported-model", values![path, found]),
            Error::OutOfMemory {
                path,
                required,
                available,
            } => (
                "out-of-memory",
                values![
                    path,
                    required = two_digits(*required),
                    available = two_digits(*available),
                ],
            ),
            Error::CacheOutOfMemory {
                rows,
                tokens,
                required,
                available,
            } => {
                let (required, available) = (two_digits(*required), two_digits(*available));
                match rows {
                    1 => ("cache-out-of-memory", values![tokens, required, available]),
                    _ => (
                        "cache-out-of-memory-in-rows",
                        values![rows, tokens, required, available],
                    ),
                }
            }
            Error::AlreadyQuantized { path, found, asked } => (
                "already-quantized",
                values![path, found = found.to_string(), asked = asked.to_string()],
            ),
            Error::Quantize {
                path,
                tensor,
                source,
            } => (
                "quantize",
                values![path, tensor, source = other_crates::quantized(source)],
            ),
            Error::OfficialLayout { tensor, reason } => {
                ("official-layout", values![tensor, reason])
            }
            Error::Verification { path, tensor } => ("verification", values![path, tensor]),
            Error::OtherVersion {
                path,
                found,
                expected,
            } => ("other-version", values![path, found, expected]),
            Error::BigEndian { path } => ("big-endian", values![path]),
            Error::StorageFull { path, required } => (
                "storage-full",
                values![path, required = two_digits(*required)],
            ),
            Error::FileTooLarge { path, required } => ("file-too-large", values![path, required]),
            Error::NoCacheDir => ("no-cache-dir", values![]),
            Error::Exists { path, why } => ("exists", values![path, why = Phrase::from(*why)]),
            Error::InvalidOption {
                option,
                expected,
                found,
            } => ("invalid-option", values![option, expected, found]),
            Error::Prompt { expected, tokens } => ("prompt", values![expected, tokens]),
            Error::Snapshot {
                path,
                field,
                expected,
                found,
            } => (
                "snapshot",
                values![path, field = Phrase::from(*field), expected, found],
            ),
            Error::NoTurn { turn, turns } => ("no-turn", values![turn, turns]),
            Error::Tokenizer(inner) => return inner.into(),
            #[cfg(feature = "hub")]
            Error::Hub(inner) => return inner.into(),
            Error::Execution { reason } => ("execution", values![reason]),
            Error::Device(inner) => return other_crates::device(inner),
            Error::CpuLevel(inner) => return other_crates::cpu_level(inner),
            Error::PromptTooLong { tokens, max_length } => {
                ("prompt-too-long", values![tokens, max_length])
            }
            Error::TextTooLong {
                text,
                tokens,
                max_length,
            } => ("text-too-long", values![text, tokens, max_length]),
            Error::NonFiniteLogits { position } => ("non-finite-logits", values![position]),
        };
        Self::new(id, error, values)
    }
}

/// Gigabytes as the English text has them.
fn two_digits(bytes: u64) -> String {
    format!("{:.2}", gigabytes(bytes))
}
