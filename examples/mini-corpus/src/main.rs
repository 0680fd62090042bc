//! Writes the corpus of the demonstration model:
//! `cargo run --release -p mini-corpus -- --out examples/mini-corpus/data`
#![forbid(unsafe_code)]

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use mini_corpus::{Corpus, Language, generate};
use serde::Serialize;

/// Write the training corpus of the built-in demonstration model.
///
/// The corpus is made from tables in the source code, without randomness: the same source always
/// gives the same files.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Folder for train.jsonl and heldout.jsonl (made if missing, files are replaced)
    #[arg(long, value_name = "DIR", default_value = "examples/mini-corpus/data")]
    out: PathBuf,

    /// Also write the plain text the tokenizer is trained on to this file
    #[arg(long, value_name = "FILE")]
    tokenizer_text: Option<PathBuf>,
}

/// Why the corpus could not be written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write a line of {}: {source}", path.display())]
    Line {
        path: PathBuf,
        source: serde_json::Error,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let corpus = generate();
    fs::create_dir_all(&arguments.out).map_err(|source| Error::Write {
        path: arguments.out.clone(),
        source,
    })?;
    write_lines(&arguments.out.join("train.jsonl"), &corpus.train)?;
    write_lines(&arguments.out.join("heldout.jsonl"), &corpus.held_out)?;
    if let Some(path) = &arguments.tokenizer_text {
        write(path, &tokenizer_text(&corpus))?;
    }
    print_counts(&corpus);
    Ok(())
}

fn write_lines<T: Serialize>(path: &Path, lines: &[T]) -> Result<(), Error> {
    let mut text = String::new();
    for line in lines {
        let line = serde_json::to_string(line).map_err(|source| Error::Line {
            path: path.to_owned(),
            source,
        })?;
        text.push_str(&line);
        text.push('\n');
    }
    write(path, &text)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

/// One sentence a line, as SentencePiece wants it: line ends inside a sentence become `<n>`, as
/// the official tokenizer writes them.
fn tokenizer_text(corpus: &Corpus) -> String {
    let mut text = String::new();
    for example in &corpus.train {
        let mut prompt = String::new();
        for (round, (question, answer)) in example.history.iter().enumerate() {
            prompt.push_str(&format!("[Round {round}]\n问：{question}\n答：{answer}\n"));
        }
        if !example.history.is_empty() {
            let round = example.history.len();
            prompt.push_str(&format!("[Round {round}]\n问：{}\n答：", example.prompt));
        } else {
            prompt.push_str(&example.prompt);
        }
        for sentence in [prompt, example.response.clone()] {
            text.push_str(&sentence.replace('\n', "<n>"));
            text.push('\n');
        }
    }
    text
}

fn print_counts(corpus: &Corpus) {
    let mut counts: BTreeMap<(&str, Language), [usize; 2]> = BTreeMap::new();
    let train = corpus.train.iter().map(|example| (example, 0));
    let held_out = corpus.held_out.iter().map(|line| (&line.example, 1));
    for (example, file) in train.chain(held_out) {
        let count = counts
            .entry((example.topic.as_str(), example.language))
            .or_default();
        if let Some(count) = count.get_mut(file) {
            *count += 1;
        }
    }
    println!(
        "{:12} {:8} {:>6} {:>8}",
        "topic", "language", "train", "held out"
    );
    for ((topic, language), [train, held_out]) in counts {
        println!(
            "{topic:12} {:8} {train:6} {held_out:8}",
            format!("{language:?}")
        );
    }
    println!(
        "{:21} {:6} {:8}",
        "all",
        corpus.train.len(),
        corpus.held_out.len()
    );
}
