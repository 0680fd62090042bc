//! The middle and the ends of a few measurements.

use serde::{Deserialize, Serialize};

/// Median, smallest and largest of several measurements of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The middle one; the mean of the two middle ones when they are even in number.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of at least one measurement.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn of(measurements: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = measurements.into_iter().collect();
        assert!(!sorted.is_empty(), "a spread needs a measurement");
        sorted.sort_by(f64::total_cmp);
        let (lower, upper) = ((sorted.len() - 1) / 2, sorted.len() / 2);
        Self {
            median: f64::midpoint(sorted[lower], sorted[upper]),
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_even_and_single() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        let parts = |spread: Spread| (spread.median, spread.min, spread.max);
        assert_eq!(parts(spread(&[3.0])), (3.0, 3.0, 3.0));
        assert_eq!(parts(spread(&[9.0, 1.0, 4.0])), (4.0, 1.0, 9.0));
        assert_eq!(parts(spread(&[9.0, 1.0, 4.0, 2.0])), (3.0, 1.0, 9.0));
    }

    #[test]
    #[should_panic(expected = "needs a measurement")]
    fn none() {
        let _ = Spread::of([]);
    }

    proptest! {
        #[test]
        fn half_is_on_each_side(values in prop::collection::vec(-1e6..1e6f64, 1..40)) {
            let spread = Spread::of(values.iter().copied());
            prop_assert!(values.iter().all(|v| (spread.min..=spread.max).contains(v)));
            let below = values.iter().filter(|v| **v < spread.median).count();
            let above = values.iter().filter(|v| **v > spread.median).count();
            prop_assert!(below.max(above) <= values.len() / 2);
        }
    }
}
