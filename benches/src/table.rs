//! Reports for people.

use std::fmt::Write;

use crate::{
    report::{Product, Report},
    statistics::Spread,
};

/// What one report says, as tables.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut rows = vec![
        [
            "",
            "first token",
            "tokens/s",
            "",
            "GOP/s",
            "of peak",
            "",
            "outside",
        ]
        .map(str::to_owned),
    ];
    for prefill in &report.prefill {
        rows.push([
            format!("prefill {}", prefill.prompt),
            format!("{:.2} s", prefill.first_token_seconds.median),
            number(prefill.tokens_per_second.median),
            range(prefill.tokens_per_second),
            format!("{:.0}", prefill.gop_per_second.median),
            format!("{:.0}", prefill.peak_gop_per_second.median),
            percent(prefill.int8_share),
            percent(prefill.outside_share),
        ]);
    }
    rows.push(["", "", "tokens/s", "", "GB/s", "of reading", "", "outside"].map(str::to_owned));
    for decode in &report.decode {
        rows.push([
            format!("decode at {}", decode.context),
            format!("{:.0} ms", 1e3 / decode.tokens_per_second.median),
            number(decode.tokens_per_second.median),
            range(decode.tokens_per_second),
            format!("{:.1}", decode.gb_per_second.median),
            format!("{:.1}", decode.read_gb_per_second.median),
            percent(decode.read_share),
            percent(decode.outside_share),
        ]);
    }
    let mut text = heading(report);
    text.push_str(&aligned(&rows));
    if let Some(first) = report.decode.first() {
        for decode in &report.decode {
            if let Some(share) = decode.share_of_first {
                let (share, context) = (percent(share), decode.context);
                let _ = writeln!(
                    text,
                    "decode at {context}: {share} of the speed at {}, in turns",
                    first.context
                );
            }
        }
    }
    for (name, products) in products(report) {
        let total: f64 = products.iter().map(|product| product.seconds).sum();
        let _ = write!(text, "{name}, products:");
        for product in products {
            let share = percent(product.seconds / total);
            let _ = write!(text, "  {} {share}", product.matrix);
        }
        text.push('\n');
    }
    text
}

fn heading(report: &Report) -> String {
    let memory = report
        .peak_memory_bytes
        .map_or("unknown".to_owned(), |bytes| {
            format!("{:.2} GB", bytes as f64 / 1e9)
        });
    format!(
        "{}, layers {}, head {}: {} {}\n{}, {}, {}, commit {}\n\
         loaded in {:.2} s, first pass {:.2} s, {:.2} GB of weights, at most {memory} in memory\n\n",
        report.model,
        report.precision,
        report.head,
        report.threads,
        if report.threads == 1 {
            "thread"
        } else {
            "threads"
        },
        report.machine.cpu,
        report.machine.level,
        report.date,
        report.commit.as_deref().unwrap_or("unknown"),
        report.load_seconds,
        report.first_pass_seconds,
        report.weight_bytes as f64 / 1e9,
    )
}

/// The products of the longest prompt and the longest context: where the time goes.
fn products(report: &Report) -> Vec<(String, &[Product])> {
    let prefill = report.prefill.iter().max_by_key(|prefill| prefill.prompt);
    let decode = report.decode.iter().max_by_key(|decode| decode.context);
    let prefill = prefill.map(|p| (format!("prefill {}", p.prompt), p.products.as_slice()));
    let decode = decode.map(|d| (format!("decode at {}", d.context), d.products.as_slice()));
    prefill.into_iter().chain(decode).collect()
}

fn number(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

fn range(spread: Spread) -> String {
    format!("({} to {})", number(spread.min), number(spread.max))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// The first column to the left, the others to the right.
fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = if column == 0 {
                write!(line, "{cell:width$}")
            } else {
                write!(line, "  {cell:>width$}")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;

    #[test]
    fn every_figure_of_a_report_is_there() {
        let text = table(&example());
        for part in [
            "a b, layers int4, head int8: 2 threads",
            "2026-01-31, commit 0123456789ab-dirty",
            "3.00 GB of weights, at most 3.50 GB in memory",
            "prefill 128",
            "71 %",
            "6 %",
            "decode at 1024",
            "decode at 1024: 83 % of the speed at 32, in turns",
            "91 %",
            "4 %",
            "decode at 1024, products:  dense 25 %  lm_head 75 %",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["a", "1", ""], ["bcd", "12", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "a     1\nbcd  12  x\n");
    }
}
