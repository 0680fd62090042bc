//! An inspection as a page of text.

use std::fmt;

use super::{Inspection, Plan, PlannedPrecision, Severity};
use crate::{checkpoint::content::Content, config::ModelFamily};

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.path.display())?;
        line(f, "what", self.what())?;
        line(f, "verdict", self.verdict)?;
        for member in &self.members {
            line(f, "holds", format!("{}: {}", member.name, member.content))?;
        }
        for weights in &self.weights {
            let (count, missing) = (weights.files.len(), count_missing(weights));
            let missing = match missing {
                0 => String::new(),
                missing => format!(", {missing} of them missing"),
            };
            let files = if count == 1 { "file" } else { "files" };
            let size = bytes(weights.bytes());
            line(
                f,
                "weights",
                format!("{}, {count} {files}{missing}, {size}", weights.format),
            )?;
        }
        if let Some(tokenizer) = &self.tokenizer {
            let name = tokenizer.file_name().unwrap_or_default();
            line(f, "tokenizer", name.to_string_lossy())?;
        }
        for problem in &self.problems {
            let label = match problem.severity {
                Severity::Error => "problem",
                Severity::Warning => "note",
            };
            line(f, label, &problem.message)?;
        }
        match &self.plan {
            Some(plan) => plan.fmt(f),
            None => Ok(()),
        }
    }
}

impl Inspection {
    /// One line on what it is.
    fn what(&self) -> String {
        let family = self
            .family
            .map_or("a model of unknown family", ModelFamily::name);
        let base = || {
            self.family
                .map_or(String::new(), |family| format!(" for {}", family.name()))
        };
        let mut what = match self.content {
            Content::Checkpoint | Content::Ggml | Content::Prepacked => family.to_owned(),
            content => format!("{content}{}", base()),
        };
        match self.generation {
            Some(1) => what += ", first generation (150528 ids)",
            Some(_) => what += ", second generation",
            None => {}
        }
        if let Some(stored) = &self.stored {
            what += &format!(", stored as {stored}");
        }
        if self.content == Content::Prepacked {
            what += ", prepacked";
        }
        if let Some(parameters) = self.parameters {
            what += &format!(", {} parameters", count(parameters));
        }
        what
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let available = self.available_memory.map_or("unknown".to_owned(), bytes);
        line(f, "memory", format!("{available} available"))?;
        line(
            f,
            "context",
            format!(
                "{} for each 1000 tokens ({} with --kv-cache int8), and up to {} while a prompt is read; at most {} tokens",
                bytes(self.cache_int16_per_1000_tokens),
                bytes(self.cache_int8_per_1000_tokens),
                bytes(self.work),
                self.max_sequence_length,
            ),
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "  {:<12}{:<12}{:>10}  longest context",
            "precision", "head", "weights"
        )?;
        for planned in &self.precisions {
            let PlannedPrecision {
                precision,
                head,
                weights,
                ..
            } = planned;
            let context = match planned.longest_context {
                None => "unknown".to_owned(),
                Some(0) => "does not fit".to_owned(),
                Some(tokens) if tokens == self.max_sequence_length => format!("{tokens} (all)"),
                Some(tokens) => tokens.to_string(),
            };
            writeln!(
                f,
                "  {precision:<12}{head:<12}{:>10}  {context}",
                bytes(*weights)
            )?;
        }
        writeln!(f)?;
        line(f, "suggestion", self.advice())
    }
}

impl Plan {
    /// What to do, in a sentence.
    fn advice(&self) -> String {
        let smallest = self.precisions.iter().min_by_key(|planned| planned.weights);
        match (
            self.suggested.and_then(|index| self.precisions.get(index)),
            smallest,
        ) {
            (Some(planned), Some(smallest)) => {
                let fast = match planned.weights > smallest.weights {
                    true => format!("; --precision {} is faster", smallest.precision),
                    false => String::new(),
                };
                let short = match planned.longest_context {
                    Some(tokens) if tokens < self.max_sequence_length => {
                        " with --kv-cache int8, for longer conversations"
                    }
                    _ => "",
                };
                format!("--precision {}{short}{fast}", planned.precision)
            }
            (None, Some(smallest)) if self.available_memory.is_some() => format!(
                "this machine lacks memory: even {} needs {}",
                smallest.precision,
                bytes(smallest.weights + smallest.loading),
            ),
            _ => "--precision int4 needs the least memory".to_owned(),
        }
    }
}

fn line(f: &mut fmt::Formatter<'_>, label: &str, text: impl fmt::Display) -> fmt::Result {
    writeln!(f, "  {label:<12}{text}")
}

fn count_missing(weights: &super::WeightFiles) -> usize {
    weights
        .files
        .iter()
        .filter(|file| file.bytes.is_none())
        .count()
}

/// Decimal units, three digits.
fn bytes(bytes: u64) -> String {
    scaled(bytes, [" GB", " MB", " kB", " B"])
}

fn count(number: u64) -> String {
    scaled(number, [" billion", " million", " thousand", ""])
}

#[allow(clippy::cast_precision_loss)] // Precise enough to print.
fn scaled(number: u64, units: [&str; 4]) -> String {
    let [giga, mega, kilo, one] = units;
    let number = number as f64;
    if number >= 1e9 {
        format!("{:.2}{giga}", number / 1e9)
    } else if number >= 1e6 {
        format!("{:.1}{mega}", number / 1e6)
    } else if number >= 1e3 {
        format!("{:.1}{kilo}", number / 1e3)
    } else {
        format!("{number}{one}")
    }
}
