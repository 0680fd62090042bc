#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod array;
mod cached_decoding;
mod check;
mod error;
mod expected;
mod generation;
mod language_model;
mod quantised_weights;
mod report;
mod sampling;
mod torch_formats;

use std::path::Path;

use glm_core::{
    DeviceName, LoadOptions, Model, Numerics,
    checkpoint::{CheckpointFiles, WeightFormat},
    config::{ModelConfig, PositionRules},
};

pub use check::{
    ACTIVATIONS, Check, FAST_ACTIVATIONS, Outcome, PROBABILITIES, Tolerance, format_name,
};
pub use error::{Error, Result};
pub use expected::MAX_JSON_BYTES;
pub use report::Report;

use check::Recorder;
use expected::Expected;

/// How to compare.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The weight files to load; all formats that the folder holds when `None`.
    pub format: Option<WeightFormat>,
    /// Where the model runs.
    pub device: DeviceName,
    /// Compute as `chat` does by default, and compare within [`FAST_ACTIVATIONS`] instead of [`ACTIVATIONS`].
    pub fast: bool,
}

impl Options {
    fn numerics(&self) -> Numerics {
        match self.fast {
            true => Numerics::default(),
            false => Numerics::EXACT,
        }
    }

    fn tolerance(&self) -> Tolerance {
        match self.fast {
            true => FAST_ACTIVATIONS,
            false => ACTIVATIONS,
        }
    }
}

/// Runs every check that `dir` has data for, and gives each to `show` as soon as it is done.
///
/// # Errors
/// [`Error`] when the folder cannot be read, its weights cannot be loaded, or it is of a kind that is not supported. A
/// comparison that fails is not an error but a part of the report.
pub fn check_folder(
    dir: impl AsRef<Path>,
    options: &Options,
    mut show: impl FnMut(&Check),
) -> Result<Report> {
    let dir = dir.as_ref();
    let mut recorder = Recorder::new(options.tolerance(), &mut show);
    let not_checked =
        run_checks(dir, options, &mut recorder).map_err(|error| error.in_folder(dir))?;
    Ok(Report {
        dir: dir.to_path_buf(),
        checks: recorder.into_checks(),
        not_checked,
    })
}

/// Finds out what `dir` is, runs its checks, and returns the tensors that none has looked at.
fn run_checks(dir: &Path, options: &Options, recorder: &mut Recorder<'_>) -> Result<Vec<String>> {
    let mut document = expected::read_json(dir)?;
    let mut expected_dir = dir.to_path_buf();
    if let Some(other) = document.get("same_as").and_then(|other| other.as_str()) {
        expected_dir = dir.join(other);
        document = expected::read_json(&expected_dir)?;
        if document.contains_key("same_as") {
            return Err(Error::Malformed {
                path: expected_dir.join("expected.json"),
                reason: "it is named as `same_as` elsewhere and must not have this key itself"
                    .to_owned(),
            });
        }
    }
    if document.contains_key("base_model") {
        return Err(Error::NotSupported {
            path: dir.to_path_buf(),
            found: "is an adapter for another checkpoint (P-Tuning v2 or LoRA)".to_owned(),
        });
    }

    let is_checkpoint = dir.join("config.json").exists();
    // First of all, so that another model family is named as such.
    let config = is_checkpoint
        .then(|| ModelConfig::from_dir(dir))
        .transpose()?;
    let has = |keys: &[&str]| keys.iter().all(|key| document.contains_key(*key));
    let (is_torch, is_quantizer, is_sampling) = (
        has(&["files"]),
        has(&["matrices"]),
        has(&["order", "cases"]),
    );
    if config.is_none() && !is_torch && !is_quantizer && !is_sampling {
        return Err(Error::NotSupported {
            path: dir.to_path_buf(),
            found: "has neither a config.json nor an expected.json of torch files, quantised matrices or sampling"
                .to_owned(),
        });
    }
    let expected = Expected::open(&expected_dir, document)?;

    if let Some(config) = config {
        check_checkpoint(dir, &config, options, &expected, recorder)?;
    } else if is_torch {
        torch_formats::check(dir, &expected, recorder)?;
    } else if is_quantizer {
        quantised_weights::check_quantizer(&expected, recorder)?;
    } else {
        sampling::check(&expected, recorder)?;
    }

    if recorder.is_empty() {
        return Err(Error::NothingToCheck {
            dir: dir.to_path_buf(),
            with_format: options.format.map_or_else(String::new, |format| {
                format!(" in format {}", format_name(format))
            }),
        });
    }
    recorder.weights = None;
    expected.check_listed_tensors(recorder)?;
    Ok(expected.unread())
}

/// A checkpoint folder, in every weight format that is asked for.
fn check_checkpoint(
    dir: &Path,
    config: &ModelConfig,
    options: &Options,
    expected: &Expected,
    recorder: &mut Recorder<'_>,
) -> Result<()> {
    let device = options.device.open().map_err(glm_core::Error::from)?;
    let formats = match options.format {
        Some(format) => vec![format],
        None => CheckpointFiles::formats_in(dir),
    };
    if formats.is_empty() {
        // Says what was looked for.
        CheckpointFiles::open(dir)?;
    }
    for format in formats {
        recorder.weights = Some(format);
        let model = LoadOptions::default()
            .device(device.clone())
            .format(format)
            .load(dir)?
            .with_numerics(options.numerics());
        let sets = expected.sets();
        if sets.is_empty() {
            check_model(&model, options, expected, recorder)?;
        }
        for set in sets {
            let rules = match set.as_str() {
                "early" => PositionRules::Early,
                "late" => PositionRules::Late,
                _ => return Err(expected.malformed(format!("`set` is `{set}`, not early or late"))),
            };
            let model = model.clone().with_position_rules(rules);
            recorder.set = Some(set.clone());
            check_model(&model, options, &expected.of_set(&set), recorder)?;
        }
        recorder.set = None;
        let files = CheckpointFiles::open_with_format(dir, format)?;
        quantised_weights::check_checkpoint(&files, config, expected, recorder)?;
    }
    Ok(())
}

/// Everything that a loaded model computes.
fn check_model(
    model: &Model,
    options: &Options,
    expected: &Expected,
    recorder: &mut Recorder<'_>,
) -> Result<()> {
    language_model::check(model, expected, recorder)?;
    if !options.fast {
        // Rounding moves choices that are close, and every later token with them.
        generation::check(model, expected, recorder)?;
    }
    Ok(())
}
