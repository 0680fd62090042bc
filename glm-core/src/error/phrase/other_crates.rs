//! Errors of crates that know nothing of phrases. What a later version of one adds is told in English.

use glm_backends::cpu::{LevelError, ThreadsError};
use glm_quant::{Error as QuantError, GroupSize};
use glm_tokenizer::{Phrase, phrase, values};

pub(super) fn device(error: &glm_backends::Error) -> Phrase {
    use glm_backends::Error;
    let (id, values) = match error {
        Error::UnknownDevice { name } => ("device-unknown-device", values![name]),
        Error::DeviceNotBuilt { name, feature } => {
            ("device-device-not-built", values![name, feature])
        }
        Error::Threads(inner) => return threads(inner),
        Error::TensorThreads { threads, reason } => {
            ("device-tensor-threads", values![threads, reason])
        }
        _ => return Phrase::verbatim(error),
    };
    Phrase::new(id, error, values)
}

fn threads(error: &ThreadsError) -> Phrase {
    let (id, values) = match error {
        ThreadsError::Zero => ("threads-zero", values![]),
        ThreadsError::TooMany {
            threads,
            limit,
            cores,
        } => ("threads-too-many", values![threads, limit, cores]),
        ThreadsError::AlreadyRunning { threads, running } => {
            ("threads-already-running", values![threads, running])
        }
        _ => return Phrase::verbatim(error),
    };
    Phrase::new(id, error, values)
}

pub(super) fn cpu_level(error: &LevelError) -> Phrase {
    let (id, values) = match error {
        LevelError::Unknown { name } => ("cpu-level-unknown", values![name]),
        LevelError::NotAvailable { level, available } => (
            "cpu-level-not-available",
            values![level = level.to_string(), available],
        ),
        _ => return Phrase::verbatim(error),
    };
    Phrase::new(id, error, values)
}

pub(super) fn quantized(error: &QuantError) -> Phrase {
    let (id, values) = match error {
        QuantError::Length {
            what,
            expected,
            found,
        } => ("quant-length", values![what = part(what), expected, found]),
        QuantError::TooLarge { rows, cols } => ("quant-too-large", values![rows, cols]),
        QuantError::OddColumns { cols } => ("quant-odd-columns", values![cols]),
        QuantError::NoSuchRow { row, rows } => ("quant-no-such-row", values![row, rows]),
        QuantError::NonFiniteWeight { row, column } => {
            ("quant-non-finite-weight", values![row, column])
        }
        QuantError::NonFiniteScale { row } => ("quant-non-finite-scale", values![row]),
        QuantError::ScaleOverflow { row } => ("quant-scale-overflow", values![row]),
        QuantError::SlabSplitsBlock { row } => ("quant-slab-splits-block", values![row]),
        QuantError::NotOfficial {
            wanted,
            bits,
            group,
        } => (
            "quant-not-official",
            values![
                wanted = wanted.count(),
                bits = bits.count(),
                group = scales_for(*group),
            ],
        ),
        QuantError::NoPackedForm { block } => (
            "quant-no-packed-form",
            values![block = format!("{block:?}")],
        ),
        QuantError::NonFiniteActivation { token, column } => {
            ("quant-non-finite-activation", values![token, column])
        }
        QuantError::Columns { expected, found } => ("quant-columns", values![expected, found]),
        QuantError::NotPositiveDefinite => ("quant-not-positive-definite", values![]),
        _ => return Phrase::verbatim(error),
    };
    Phrase::new(id, error, values)
}

/// A buffer of a matrix, by its English name.
fn part(what: &str) -> Phrase {
    match what {
        "the bias" => phrase!("quant-part-bias", "the bias"),
        "the blocks" => phrase!("quant-part-blocks", "the blocks"),
        "the bytes of the scales" => {
            phrase!("quant-part-bytes-of-scales", "the bytes of the scales")
        }
        "the codes" => phrase!("quant-part-codes", "the codes"),
        "the output" => phrase!("quant-part-output", "the output"),
        "the packed codes" => phrase!("quant-part-packed-codes", "the packed codes"),
        "the pushed rows" => phrase!("quant-part-pushed-rows", "the pushed rows"),
        "the scales" => phrase!("quant-part-scales", "the scales"),
        "the slab" => phrase!("quant-part-slab", "the slab"),
        "the slab's last row" => phrase!("quant-part-last-row", "the slab's last row"),
        "the weights" => phrase!("quant-part-weights", "the weights"),
        "rows of whole blocks" => phrase!("quant-part-whole-blocks", "rows of whole blocks"),
        other => Phrase::verbatim(other),
    }
}

fn scales_for(group: GroupSize) -> Phrase {
    match group {
        GroupSize::Row => phrase!("quant-group-row", "each row"),
        GroupSize::G32 => phrase!("quant-group-columns", "{columns} columns", columns = 32u8),
        GroupSize::G128 => phrase!("quant-group-columns", "{columns} columns", columns = 128u8),
    }
}
