//! What lies at a path, as a page in the user's language. In English it is what the library displays.

use glm_core::{
    Phrase,
    checkpoint::{Content, Inspection, Plan, PlannedPrecision, Severity, WeightFile, WeightFiles},
    config::ModelFamily,
};

use crate::{
    texts::{Tell, Texts},
    wrap::columns,
};

/// Columns of a label, and of a precision in the table.
const WORD: usize = 12;

/// Columns of a size in the table.
const SIZE: usize = 10;

/// The page.
#[must_use]
pub fn page(inspection: &Inspection, texts: &Texts) -> String {
    let mut page = Page {
        text: format!("{}\n", inspection.path.display()),
        texts,
    };
    page.line("shared-report-what", &what(inspection, texts));
    let verdict = Phrase::from(inspection.verdict).tell(texts);
    page.line("shared-report-verdict", &verdict);
    for member in &inspection.members {
        let content = Phrase::from(member.content).tell(texts);
        let values = [
            ("name", member.name.as_str().into()),
            ("content", content.into()),
        ];
        page.line(
            "shared-report-holds",
            &texts.with("shared-report-member", values),
        );
    }
    for weights in &inspection.weights {
        page.line("shared-report-weights", &files(weights, texts));
    }
    if let Some(tokenizer) = &inspection.tokenizer {
        let name = tokenizer.file_name().unwrap_or_default();
        page.line("shared-report-tokenizer", &name.to_string_lossy());
    }
    for problem in &inspection.problems {
        let label = match problem.severity {
            Severity::Error => "shared-report-problem",
            Severity::Warning => "shared-report-note",
        };
        page.line(label, &problem.message.tell(texts));
    }
    if let Some(plan) = &inspection.plan {
        page.plan(plan);
    }
    page.text
}

struct Page<'a> {
    text: String,
    texts: &'a Texts,
}

impl Page<'_> {
    fn line(&mut self, label: &str, text: &str) {
        let label = padded(&self.texts.get(label), WORD);
        self.text += &format!("  {label}{text}\n");
    }

    fn plan(&mut self, plan: &Plan) {
        let texts = self.texts;
        let available = match plan.available_memory {
            Some(available) => bytes(available),
            None => texts.get("shared-report-unknown"),
        };
        let available = ("available", available.into());
        let available = texts.with("shared-report-available", [available]);
        self.line("shared-report-memory", &available);
        let context = texts.with(
            "shared-report-per-token",
            [
                ("size", bytes(plan.cache_int16_per_1000_tokens).into()),
                ("int8", bytes(plan.cache_int8_per_1000_tokens).into()),
                ("work", bytes(plan.work).into()),
                ("longest", plan.max_sequence_length.into()),
            ],
        );
        self.line("shared-report-context", &context);
        self.table(plan);
        self.line("shared-report-suggestion", &advice(plan, texts));
    }

    fn table(&mut self, plan: &Plan) {
        let texts = self.texts;
        let [precision, head, size, longest] = [
            "shared-report-precision",
            "shared-report-head",
            "shared-report-size",
            "shared-report-longest",
        ]
        .map(|id| texts.get(id));
        self.text.push('\n');
        self.row([&precision, &head, &size, &longest]);
        for planned in &plan.precisions {
            let PlannedPrecision {
                precision, head, ..
            } = planned;
            let longest = match planned.longest_context {
                None => texts.get("shared-report-unknown"),
                Some(0) => texts.get("shared-report-no-room"),
                Some(tokens) if tokens == plan.max_sequence_length => {
                    texts.with("shared-report-all-tokens", [("tokens", tokens.into())])
                }
                Some(tokens) => tokens.to_string(),
            };
            self.row([precision, head, &bytes(planned.weights), &longest]);
        }
        self.text.push('\n');
    }

    fn row(&mut self, [precision, head, size, longest]: [&str; 4]) {
        let (precision, head) = (padded(precision, WORD), padded(head, WORD));
        let before = " ".repeat(SIZE.saturating_sub(columns(size)));
        self.text += &format!("  {precision}{head}{before}{size}  {longest}\n");
    }
}

/// One line on what it is.
fn what(inspection: &Inspection, texts: &Texts) -> String {
    let family = inspection.family.map(ModelFamily::name);
    let mut parts = vec![match (inspection.content, family) {
        (Content::Checkpoint | Content::Ggml | Content::Prepacked, Some(family)) => {
            family.to_owned()
        }
        (Content::Checkpoint | Content::Ggml | Content::Prepacked, None) => {
            texts.get("shared-report-unknown-family")
        }
        (content, family) => {
            let content = Phrase::from(content).tell(texts);
            match family {
                Some(family) => {
                    let values = [("content", content.into()), ("family", family.into())];
                    texts.with("shared-report-content-for", values)
                }
                None => content,
            }
        }
    }];
    match inspection.generation {
        Some(1) => parts.push(texts.get("shared-report-first-generation")),
        Some(_) => parts.push(texts.get("shared-report-second-generation")),
        None => {}
    }
    if let Some(stored) = &inspection.stored {
        let stored = ("precision", stored.as_str().into());
        parts.push(texts.with("shared-report-stored", [stored]));
    }
    if inspection.content == Content::Prepacked {
        parts.push(texts.get("shared-report-prepacked"));
    }
    if let Some(parameters) = inspection.parameters {
        parts.push(count(parameters, texts));
    }
    parts.join(&texts.get("shared-report-and"))
}

/// The weights in one format.
fn files(weights: &WeightFiles, texts: &Texts) -> String {
    let is_missing = |file: &&WeightFile| file.bytes.is_none();
    let missing = weights.files.iter().filter(is_missing).count();
    let id = match missing {
        0 => "shared-report-files",
        _ => "shared-report-files-missing",
    };
    texts.with(
        id,
        [
            ("format", weights.format.to_string().into()),
            ("count", weights.files.len().into()),
            ("missing", missing.into()),
            ("size", bytes(weights.bytes()).into()),
        ],
    )
}

/// What to do.
fn advice(plan: &Plan, texts: &Texts) -> String {
    let suggested = plan.suggested.and_then(|index| plan.precisions.get(index));
    let smallest = plan.precisions.iter().min_by_key(|planned| planned.weights);
    match (suggested, smallest) {
        (Some(planned), Some(smallest)) => {
            let mut advice = format!("--precision {}", planned.precision);
            let longest = plan.max_sequence_length;
            if planned
                .longest_context
                .is_some_and(|tokens| tokens < longest)
            {
                advice += &texts.get("shared-report-with-int8-cache");
            }
            if planned.weights > smallest.weights {
                let faster = ("precision", smallest.precision.as_str().into());
                advice += &texts.with("shared-report-faster", [faster]);
            }
            advice
        }
        (None, Some(smallest)) if plan.available_memory.is_some() => {
            let needed = bytes(smallest.weights + smallest.loading);
            let precision = ("precision", smallest.precision.as_str().into());
            texts.with(
                "shared-report-no-memory",
                [precision, ("size", needed.into())],
            )
        }
        _ => texts.get("shared-report-least-memory"),
    }
}

/// With spaces up to a number of columns.
fn padded(text: &str, width: usize) -> String {
    text.to_owned() + &" ".repeat(width.saturating_sub(columns(text)))
}

/// Decimal units, three digits.
fn bytes(bytes: u64) -> String {
    let (number, unit) = scaled(bytes, ["GB", "MB", "kB", "B"]);
    format!("{number} {unit}")
}

fn count(parameters: u64, texts: &Texts) -> String {
    let (number, id) = scaled(
        parameters,
        [
            "shared-report-billion",
            "shared-report-million",
            "shared-report-thousand",
            "shared-report-parameters",
        ],
    );
    texts.with(id, [("number", number.into())])
}

/// A number with its unit, of those for a thousand millions, a million, a thousand and one.
#[allow(clippy::cast_precision_loss)] // Precise enough to print.
fn scaled(number: u64, [giga, mega, kilo, one]: [&str; 4]) -> (String, &str) {
    match number as f64 {
        number if number >= 1e9 => (format!("{:.2}", number / 1e9), giga),
        number if number >= 1e6 => (format!("{:.1}", number / 1e6), mega),
        number if number >= 1e3 => (format!("{:.1}", number / 1e3), kilo),
        number => (number.to_string(), one),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use glm_core::Language;

    use super::*;

    fn golden(case: &str) -> Inspection {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../glm-core/tests/golden");
        glm_core::inspect(golden.join(case))
    }

    #[test]
    fn in_english_it_is_what_the_library_displays() {
        let texts = Texts::shared(Language::English);
        for case in [
            "chatglm-6b-tiny",
            "chatglm-6b-tiny-int4",
            "ggml/chatglm2-tiny.q8_0.bin",
            "torch-formats",
            "no/such",
            "",
        ] {
            let mut inspection = golden(case);
            assert_eq!(page(&inspection, &texts), inspection.to_string(), "{case}");
            // Machines of other sizes.
            let Some(plan) = inspection.plan.clone() else {
                continue;
            };
            for suggested in [None, Some(0), Some(plan.precisions.len() - 1)] {
                for longest_context in [None, Some(0), Some(1), Some(plan.max_sequence_length)] {
                    for available_memory in [None, Some(1_500_000)] {
                        let mut plan = plan.clone();
                        plan.suggested = suggested;
                        plan.available_memory = available_memory;
                        plan.precisions[0].longest_context = longest_context;
                        inspection.plan = Some(plan);
                        assert_eq!(page(&inspection, &texts), inspection.to_string());
                    }
                }
            }
        }
    }

    #[test]
    fn in_chinese_its_columns_stand_below_each_other() {
        let texts = Texts::shared(Language::Chinese);
        let page = page(&golden("chatglm-6b-tiny"), &texts);
        for part in [
            "\n  结论        可以加载\n",
            "\n  精度        ",
            "\n  建议        --precision",
        ] {
            assert!(page.contains(part), "`{part}` in {page}");
        }
    }
}
