//! The measuring program: see [`Arguments`] and docs/performance.md.

use std::{
    io::Write,
    process::{Command, ExitCode, Stdio},
};

use clap::Parser;
use glm_bench::{
    Error,
    arguments::Arguments,
    exit_code,
    measurement::measure,
    report::{Report, to_json},
    table::table,
};

fn main() -> ExitCode {
    exit_code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let counts = arguments.thread_counts();
    let mut reports = Vec::new();
    for &threads in &counts {
        let report = if counts.len() == 1 {
            measure(arguments, threads)?
        } else {
            measure_in_a_process(arguments, threads)?
        };
        if !arguments.json {
            writeln!(std::io::stdout(), "{}", table(&report))?;
        }
        reports.push(report);
    }
    if arguments.json {
        std::io::stdout().write_all(to_json(&reports)?.as_bytes())?;
    }
    Ok(())
}

/// A process can set its threads once, so each number has its own.
fn measure_in_a_process(arguments: &Arguments, threads: usize) -> Result<Report, Error> {
    let start = |source| Error::Start { threads, source };
    let output = Command::new(std::env::current_exe().map_err(start)?)
        .args(arguments.for_threads(threads))
        .stderr(Stdio::inherit())
        .output()
        .map_err(start)?;
    if !output.status.success() {
        return Err(Error::Run {
            threads,
            status: output.status,
        });
    }
    let [report]: [Report; 1] = serde_json::from_slice(&output.stdout)?;
    Ok(report)
}
