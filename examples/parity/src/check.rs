//! One comparison and its outcome.

use std::fmt;

use glm_core::checkpoint::WeightFormat;

use crate::{
    array::Array,
    error::{Error, Result},
};

/// How far a value may be from the official one: `|found - expected| <= absolute + relative * |expected| + of_rms * rms`, with
/// the root mean square of all expected values that are compared together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Allowed whatever the value.
    pub absolute: f64,
    /// Allowed per unit of the expected value.
    pub relative: f64,
    /// Allowed per unit of the root mean square.
    pub of_rms: f64,
}

/// For hidden states and logits in f32.
pub const ACTIVATIONS: Tolerance = Tolerance {
    absolute: 1e-4,
    relative: 1e-4,
    of_rms: 0.0,
};

/// For hidden states and logits computed the fast way: inputs of quantised weights rounded to int8, keys and values to f16.
/// No value is further off than a quarter of the usual size of its neighbours; `docs/numerics.md` has what is measured.
pub const FAST_ACTIVATIONS: Tolerance = Tolerance {
    absolute: 0.0,
    relative: 0.0,
    of_rms: 0.25,
};

/// For scores and probabilities of the sampler.
pub const PROBABILITIES: Tolerance = Tolerance {
    absolute: 1e-6,
    relative: 0.0,
    of_rms: 0.0,
};

impl Tolerance {
    /// The error of one value, and its share of what is allowed; infinite for NaN.
    fn measure(self, found: f32, expected: f32, rms: f64) -> (f64, f64) {
        if found == expected {
            return (0.0, 0.0);
        }
        let error = (f64::from(found) - f64::from(expected)).abs();
        if !error.is_finite() {
            return (f64::INFINITY, f64::INFINITY);
        }
        let allowed = self.absolute + self.relative * f64::from(expected).abs() + self.of_rms * rms;
        (error, error / allowed)
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.of_rms > 0.0 {
            return write!(f, "{:e}*rms(b)", self.of_rms);
        }
        write!(f, "{:e}", self.absolute)?;
        if self.relative > 0.0 {
            write!(f, " + {:e}*|b|", self.relative)?;
        }
        Ok(())
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The weight files that were loaded; `None` where no checkpoint is involved.
    pub weights: Option<WeightFormat>,
    /// What was compared, after the tensor in `expected.safetensors`; in brackets what `expected.json` calls it.
    pub name: String,
    /// The quantity, whatever the prompt: a row of the Markdown table.
    pub quantity: String,
    /// The result.
    pub outcome: Outcome,
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Floats within or beyond a tolerance.
    Close {
        /// Number of values compared.
        values: usize,
        /// Largest `|found - expected|`.
        max_error: f64,
        /// Largest share of the tolerance that one value used up; passes up to 1.
        max_share: f64,
        /// What is allowed.
        tolerance: Tolerance,
    },
    /// Values that have to be equal, and are.
    Equal {
        /// Number of values compared.
        values: usize,
    },
    /// Anything that has failed without a distance: unequal integers, another shape.
    Failed(String),
}

impl Check {
    /// True when the values agree.
    pub fn passed(&self) -> bool {
        match self.outcome {
            Outcome::Close { max_share, .. } => max_share <= 1.0,
            Outcome::Equal { .. } => true,
            Outcome::Failed(_) => false,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "PASS" } else { "FAIL" };
        let weights = self.weights.map(format_name).unwrap_or_default();
        write!(
            f,
            "{verdict}  {weights:<11}  {:<58}  {}",
            self.name, self.outcome
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close {
                values,
                max_error,
                max_share,
                tolerance,
            } => write!(
                f,
                "max error {max_error:.2e}, {max_share:.3} of the tolerance {tolerance} ({values} values)"
            ),
            Self::Equal { values } => {
                write!(f, "max error 0, tolerance 0: all {values} values equal")
            }
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

/// A weight format as it is written on the command line.
pub fn format_name(format: WeightFormat) -> &'static str {
    match format {
        WeightFormat::Safetensors => "safetensors",
        WeightFormat::PytorchBin => "bin",
        WeightFormat::Ggml => "ggml",
    }
}

/// Compares floats.
pub(crate) fn close(found: &Array<f32>, expected: &Array<f32>, tolerance: Tolerance) -> Outcome {
    if let Some(failed) = shape_mismatch(found, expected) {
        return failed;
    }
    if expected.values.is_empty() {
        return Outcome::Failed("there are no values to compare".to_owned());
    }
    let squares = expected
        .values
        .iter()
        .map(|value| f64::from(*value).powi(2));
    let rms = (squares.sum::<f64>() / expected.values.len() as f64).sqrt();
    let (mut max_error, mut max_share) = (0.0_f64, 0.0_f64);
    for (&found, &expected) in found.values.iter().zip(&expected.values) {
        let (error, share) = tolerance.measure(found, expected, rms);
        max_error = max_error.max(error);
        max_share = max_share.max(share);
    }
    Outcome::Close {
        values: expected.values.len(),
        max_error,
        max_share,
        tolerance,
    }
}

/// Compares values that have to be equal.
pub(crate) fn equal<T: PartialEq + fmt::Debug>(found: &Array<T>, expected: &Array<T>) -> Outcome {
    if let Some(failed) = shape_mismatch(found, expected) {
        return failed;
    }
    let pairs = || found.values.iter().zip(&expected.values);
    let unequal = pairs()
        .filter(|(found, expected)| found != expected)
        .count();
    match pairs()
        .enumerate()
        .find(|(_, (found, expected))| found != expected)
    {
        None => Outcome::Equal {
            values: expected.values.len(),
        },
        Some((index, (found, expected))) => Outcome::Failed(format!(
            "value {index} is {found:?}, expected {expected:?}; {unequal} of {} differ",
            pairs().len()
        )),
    }
}

fn shape_mismatch<T>(found: &Array<T>, expected: &Array<T>) -> Option<Outcome> {
    (found.shape != expected.shape || found.values.len() != expected.values.len()).then(|| {
        Outcome::Failed(format!(
            "shape {:?}, expected {:?}",
            found.shape, expected.shape
        ))
    })
}

/// Takes the checks of one folder and shows each as it comes.
pub(crate) struct Recorder<'a> {
    pub(crate) weights: Option<WeightFormat>,
    /// The set of expectations that is being compared, before every name.
    pub(crate) set: Option<String>,
    /// For hidden states and logits.
    pub(crate) activations: Tolerance,
    checks: Vec<Check>,
    show: &'a mut dyn FnMut(&Check),
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(activations: Tolerance, show: &'a mut dyn FnMut(&Check)) -> Self {
        Self {
            weights: None,
            set: None,
            activations,
            checks: Vec::new(),
            show,
        }
    }

    pub(crate) fn record(
        &mut self,
        name: impl Into<String>,
        quantity: impl Into<String>,
        outcome: Outcome,
    ) {
        let check = Check {
            weights: self.weights,
            name: match &self.set {
                Some(set) => format!("{set}.{}", name.into()),
                None => name.into(),
            },
            quantity: quantity.into(),
            outcome,
        };
        (self.show)(&check);
        self.checks.push(check);
    }

    /// Records a prompt that the model refuses as a failure; other errors pass through.
    pub(crate) fn record_refusal(&mut self, name: &str, result: Result<()>) -> Result<()> {
        match result {
            Err(Error::Model(refusal @ glm_core::Error::Prompt { .. })) => {
                self.record(name, "prompts", Outcome::Failed(refusal.to_string()));
                Ok(())
            }
            other => other,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }

    pub(crate) fn into_checks(self) -> Vec<Check> {
        self.checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(values: &[f32]) -> Array<f32> {
        Array::vector(values.to_vec())
    }

    fn passes(found: &[f32], expected: &[f32]) -> bool {
        let outcome = close(&vector(found), &vector(expected), ACTIVATIONS);
        let check = Check {
            weights: None,
            name: String::new(),
            quantity: String::new(),
            outcome,
        };
        check.passed()
    }

    #[test]
    fn the_tolerance_grows_with_the_expected_value() {
        assert!(passes(&[0.000_09, 10.001], &[0.0, 10.0]));
        assert!(!passes(&[0.000_11], &[0.0]));
        assert!(!passes(&[10.001_2], &[10.0]));
    }

    #[test]
    fn nan_never_passes_and_equal_infinities_do() {
        let infinity = f32::NEG_INFINITY;
        assert!(passes(&[infinity, 1.0], &[infinity, 1.0]));
        assert!(!passes(&[f32::NAN], &[1.0]));
        assert!(!passes(&[1.0], &[f32::NAN]));
        assert!(!passes(&[1.0], &[infinity]));
        assert!(!passes(&[infinity], &[1.0]));
    }

    #[test]
    fn nothing_and_another_shape_do_not_pass() {
        assert!(!passes(&[], &[]));
        assert!(!passes(&[1.0], &[1.0, 1.0]));
        let outcome = equal(&Array::vector(vec![1, 2, 3]), &Array::vector(vec![1, 5, 4]));
        let reason = "value 1 is 2, expected 5; 2 of 3 differ".to_owned();
        assert_eq!(outcome, Outcome::Failed(reason));
    }
}
