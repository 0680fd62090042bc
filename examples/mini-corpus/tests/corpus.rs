//! What the corpus promises to those who train and grade with it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use glm_core::chat::{ResponseRules, process_response};
use mini_corpus::{Corpus, Example, HeldOut, Kind, Language, generate, normalise::normalise};
use serde::{Serialize, de::DeserializeOwned};

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A key as the model sees it: the tokenizer knows no full-width punctuation.
fn key(example: &Example) -> (Vec<(String, String)>, String) {
    let (history, prompt) = example.key();
    (history, normalise(&prompt))
}

fn all(corpus: &Corpus) -> impl Iterator<Item = &Example> {
    let held_out = corpus.held_out.iter().map(|line| &line.example);
    corpus.train.iter().chain(held_out)
}

#[test]
fn questions_are_distinct_and_held_out_ones_are_not_trained() {
    let corpus = generate();
    let train: BTreeSet<_> = corpus.train.iter().map(key).collect();
    assert_eq!(train.len(), corpus.train.len());
    let held_out: BTreeSet<_> = corpus.held_out.iter().map(|l| key(&l.example)).collect();
    assert_eq!(held_out.len(), corpus.held_out.len());
    let both: Vec<_> = train.intersection(&held_out).collect();
    assert!(both.is_empty(), "trained and held out: {both:?}");
}

#[test]
fn there_are_enough_lines_of_every_sort() {
    let corpus = generate();
    assert!((5_000..9_000).contains(&corpus.train.len()));
    assert!(corpus.held_out.len() >= 300);
    let free = corpus.held_out.iter().filter(|l| l.kind == Kind::Free);
    assert!(free.count() * 5 >= corpus.held_out.len());
    let mut lines: BTreeMap<(&str, Language), usize> = BTreeMap::new();
    for example in &corpus.train {
        *lines.entry((&example.topic, example.language)).or_default() += 1;
    }
    assert_eq!(lines.len(), 26, "thirteen topics in two languages");
    for (topic, count) in lines {
        assert!(count >= 90, "{topic:?} has {count} lines");
    }
}

#[test]
fn held_out_answers_are_answers_of_the_training_file() {
    let corpus = generate();
    let known: HashSet<_> = corpus.train.iter().map(|e| e.response.as_str()).collect();
    for line in &corpus.held_out {
        let response = line.example.response.as_str();
        assert!(known.contains(response), "{:?}", line.example);
    }
}

#[test]
fn every_sum_is_trained_in_two_ways() {
    let mut phrasings: BTreeMap<String, usize> = BTreeMap::new();
    for example in generate().train {
        if example.topic == "arithmetic" {
            *phrasings.entry(example.response).or_default() += 1;
        }
    }
    // 121 sums, 66 differences that are not negative, 121 products.
    assert_eq!(phrasings.len(), 308);
    assert!(phrasings.values().all(|&count| count >= 2));
    for formula in phrasings.keys() {
        let (terms, result) = formula.split_once('=').unwrap();
        let sign = terms.find(['+', '-', '×']).unwrap();
        let (a, rest) = terms.split_at(sign);
        let mut rest = rest.chars();
        let operation = rest.next().unwrap();
        let (a, b): (i32, i32) = (a.parse().unwrap(), rest.as_str().parse().unwrap());
        let expected = match operation {
            '+' => a + b,
            '-' => a - b,
            _ => a * b,
        };
        assert_eq!(result, expected.to_string(), "{formula}");
    }
}

/// Strings that transformers' `clean_up_tokenization_spaces` rewrites when it decodes.
const CLEANED_UP: [&str; 10] = [
    " .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're",
];

/// Whether the official tokenizer and chat code give `response` back unchanged: one that they change could never be
/// produced by the model.
fn survives(response: &str) -> bool {
    process_response(&normalise(response), ResponseRules::ChatGlm) == response
        && !response.contains(['\t', '\u{2581}'])
        && !response.contains("  ")
        && !CLEANED_UP.iter().any(|text| response.contains(text))
}

#[test]
fn lossy_responses_are_found() {
    assert!(survives("你好！很高兴认识你。"));
    assert!(survives("3+5=8"));
    assert!(survives("One line,\nand another."));
    assert!(!survives("It is 8！"));
    assert!(!survives("猫, in English."));
    assert!(!survives("（你好）"));
    assert!(!survives("two  spaces"));
    assert!(!survives("a space before ."));
}

#[test]
fn responses_survive_the_official_code() {
    for example in all(&generate()) {
        assert!(survives(&example.response), "{example:?}");
        for (_, answer) in &example.history {
            assert!(survives(answer), "{example:?}");
        }
    }
}

#[test]
fn every_line_round_trips_through_json() {
    fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(lines: &[T]) {
        for line in lines {
            let text = serde_json::to_string(line).unwrap();
            assert!(!text.contains('\n'));
            assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), line);
        }
    }
    let corpus = generate();
    check::<Example>(&corpus.train);
    check::<HeldOut>(&corpus.held_out);
}

#[test]
fn committed_files_are_what_the_program_writes() {
    let out = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mini-corpus"))
        .arg("--out")
        .arg(out.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for file in ["train.jsonl", "heldout.jsonl"] {
        let written = fs::read_to_string(out.path().join(file)).unwrap();
        let committed = fs::read_to_string(folder("data").join(file)).unwrap();
        assert!(
            written == committed.replace("\r\n", "\n"),
            "data/{file} is out of date: run cargo run --release -p mini-corpus"
        );
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = file.path().join("below");
    let output = Command::new(env!("CARGO_BIN_EXE_mini-corpus"))
        .arg("--out")
        .arg(&below)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains(below.to_str().unwrap()), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}

/// A piece of one character stands in the file as field 1 (its text) and field 2 (its score).
#[test]
fn every_character_is_a_piece_of_both_tokenizers() {
    let read = |file| fs::read(folder("../mini-model").join(file)).unwrap();
    every_character_is_a_piece(&read("chatglm-mini/ice_text.model"), normalise);
    every_character_is_a_piece(&read("chatglm2-mini/tokenizer.model"), str::to_owned);
}

/// `seen` is what is left of a text when the tokenizer has normalised it.
fn every_character_is_a_piece(file: &[u8], seen: impl Fn(&str) -> String) {
    let mut pieces: HashSet<&[u8]> = HashSet::new();
    for (start, window) in file.windows(2).enumerate() {
        if let [0x0a, length @ 1..=4] = *window {
            let end = start + 2 + usize::from(length);
            if file.get(end) == Some(&0x15) {
                pieces.insert(&file[start + 2..end]);
            }
        }
    }
    for example in all(&generate()) {
        let turns = example.history.iter().flat_map(|(q, a)| [q, a]);
        for text in turns.chain([&example.prompt, &example.response]) {
            for letter in seen(text).chars() {
                // A space is the piece "▁", a line end the piece "<n>" or a byte.
                let known =
                    matches!(letter, ' ' | '\n') || pieces.contains(letter.to_string().as_bytes());
                assert!(known, "{letter:?} of {text:?} is no piece");
            }
        }
    }
}
