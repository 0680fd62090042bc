//! The report of one folder, as text and as a Markdown table.

use std::{fmt::Write, path::PathBuf};

use crate::check::{Check, Outcome, format_name};

/// Everything that was compared in one folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The folder.
    pub dir: PathBuf,
    /// The comparisons, in the order they were made.
    pub checks: Vec<Check>,
    /// Tensors of `expected.safetensors` that no check has looked at.
    pub not_checked: Vec<String>,
}

/// One line of the Markdown table.
struct Row<'a> {
    quantity: &'a str,
    checks: usize,
    /// Largest error and share, tolerance; `None` for values that have to be equal.
    close: Option<(f64, f64, String)>,
    failed: usize,
}

impl Report {
    /// True when every check has passed.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(Check::passed)
    }

    /// Number of checks that have failed.
    pub fn failures(&self) -> usize {
        self.checks.iter().filter(|check| !check.passed()).count()
    }

    /// What follows the lines of the checks: the tensors that were left out, and the sum.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for name in &self.not_checked {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "not checked: {name}");
        }
        let _ = write!(
            text,
            "{}: {} of {} checks passed",
            self.dir.display(),
            self.checks.len() - self.failures(),
            self.checks.len()
        );
        if !self.not_checked.is_empty() {
            let _ = write!(text, ", {} tensors not checked", self.not_checked.len());
        }
        text
    }

    /// A Markdown section: the largest error of every quantity over all prompts, rows and weight formats.
    pub fn markdown(&self) -> String {
        let name = match self
            .dir
            .canonicalize()
            .ok()
            .as_deref()
            .and_then(|dir| dir.file_name())
        {
            Some(name) => name.to_string_lossy().into_owned(),
            None => self.dir.display().to_string(),
        };
        let mut formats: Vec<&str> = Vec::new();
        for format in self
            .checks
            .iter()
            .filter_map(|check| check.weights)
            .map(format_name)
        {
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        let mut text = format!("### {name}\n\n");
        if !formats.is_empty() {
            let _ = writeln!(text, "Weights read from: {}.\n", formats.join(", "));
        }
        text.push_str("| quantity | checks | largest error | tolerance | share of it | result |\n");
        text.push_str("|---|--:|--:|---|--:|---|\n");
        for row in self.rows() {
            let (error, share, tolerance) = match row.close {
                Some((error, share, tolerance)) => {
                    let error = match error {
                        0.0 => "0".to_owned(),
                        error => format!("{error:.1e}"),
                    };
                    (error, format!("{share:.3}"), tolerance)
                }
                None => ("0".to_owned(), String::new(), "equal".to_owned()),
            };
            let result = match row.failed {
                0 => "pass".to_owned(),
                failed => format!("**{failed} failed**"),
            };
            let (quantity, checks) = (row.quantity, row.checks);
            let _ = writeln!(
                text,
                "| {quantity} | {checks} | {error} | {} | {share} | {result} |",
                tolerance.replace('|', "\\|")
            );
        }
        for name in &self.not_checked {
            let _ = writeln!(text, "\nNot checked: `{name}`");
        }
        text
    }

    /// The checks by quantity, in the order of first appearance.
    fn rows(&self) -> Vec<Row<'_>> {
        let mut rows: Vec<Row<'_>> = Vec::new();
        for check in &self.checks {
            let position = match rows.iter().position(|row| row.quantity == check.quantity) {
                Some(position) => position,
                None => {
                    let quantity = &check.quantity;
                    rows.push(Row {
                        quantity,
                        checks: 0,
                        close: None,
                        failed: 0,
                    });
                    rows.len() - 1
                }
            };
            let Some(row) = rows.get_mut(position) else {
                continue;
            };
            row.checks += 1;
            row.failed += usize::from(!check.passed());
            if let Outcome::Close {
                max_error,
                max_share,
                tolerance,
                ..
            } = check.outcome
            {
                let (error, share, _) = row.close.take().unwrap_or_default();
                let tolerance = tolerance.to_string();
                row.close = Some((max_error.max(error), max_share.max(share), tolerance));
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::ACTIVATIONS;

    fn report() -> Report {
        let check = |name: &str, quantity: &str, outcome| Check {
            weights: None,
            name: name.to_owned(),
            quantity: quantity.to_owned(),
            outcome,
        };
        let close = |max_error, max_share| Outcome::Close {
            values: 1,
            max_error,
            max_share,
            tolerance: ACTIVATIONS,
        };
        Report {
            dir: PathBuf::from("no/such/folder"),
            checks: vec![
                check("single.0.logits", "logits", close(2e-5, 0.1)),
                check(
                    "single.0.position_ids",
                    "position_ids",
                    Outcome::Equal { values: 4 },
                ),
                check("single.1.logits", "logits", close(1e-5, 1.5)),
            ],
            not_checked: vec!["extra".to_owned()],
        }
    }

    #[test]
    fn one_failure_is_counted_and_the_rest_listed() {
        let report = report();
        assert!(!report.passed());
        assert_eq!(
            report.summary(),
            "not checked: extra\nno/such/folder: 2 of 3 checks passed, 1 tensors not checked"
        );
    }

    #[test]
    fn a_table_row_has_the_largest_of_its_quantity() {
        let markdown = report().markdown();
        let row = r"| logits | 2 | 2.0e-5 | 1e-4 + 1e-4*\|b\| | 1.500 | **1 failed** |";
        assert!(markdown.lines().any(|line| line == row), "{markdown}");
        assert!(
            markdown.contains("| position_ids | 1 | 0 | equal |  | pass |"),
            "{markdown}"
        );
    }
}
