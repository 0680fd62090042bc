//! The phrases that the sources of these crates use, and the texts that stand in the files of translations.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The names of the values of a phrase.
pub(crate) type Names = BTreeSet<String>;

/// A phrase in the sources.
pub(crate) struct Used {
    pub(crate) file: PathBuf,
    pub(crate) id: String,
    /// The names in it; `None` where the text stands elsewhere, as that of an error.
    pub(crate) english: Option<Names>,
    pub(crate) values: Names,
}

/// The folder of a crate of this workspace.
pub(crate) fn crate_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// Every `phrase!(…)`, and every id before a `values![…]`, in the crates whose errors are phrases.
pub(crate) fn used() -> Vec<Used> {
    let mut found = Vec::new();
    for name in ["glm-core", "glm-tokenizer"] {
        for file in sources(&crate_folder(name).join("src")) {
            let source = fs::read_to_string(&file).unwrap();
            let source = source.split("mod tests {").next().unwrap();
            if !source.contains("macro_rules! phrase") {
                scan(&file, source, &mut found);
            }
        }
    }
    found
}

fn scan(file: &Path, source: &str, found: &mut Vec<Used>) {
    for (at, call) in source.match_indices("phrase!(") {
        let arguments = arguments(&source[at + call.len()..]);
        let [id, english, values @ ..] = &arguments[..] else {
            panic!("{}: {arguments:?}", file.display());
        };
        found.push(Used {
            file: file.into(),
            id: id.trim_matches('"').into(),
            english: Some(placeholders(english)),
            values: names(values),
        });
    }
    for (at, call) in source.match_indices("values![") {
        let before = source[..at].trim_end().trim_end_matches(',');
        let id = before.strip_suffix('"').expect("an id before its values");
        found.push(Used {
            file: file.into(),
            id: id.rsplit('"').next().unwrap().into(),
            english: None,
            values: names(&arguments(&source[at + call.len()..])),
        });
    }
}

/// The variants of an error, in kebab case.
pub(crate) fn variants(file: &Path, name: &str) -> Vec<String> {
    let source = fs::read_to_string(file).unwrap();
    let start = format!("pub enum {name} {{\n");
    let body = source.split(&start).nth(1).unwrap();
    let body = body.split("\n}\n").next().unwrap();
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    lines
        .filter(|line| line.starts_with(char::is_uppercase))
        .map(|line| {
            let end = line.find(|c: char| !c.is_alphanumeric());
            kebab_case(&line[..end.unwrap_or(line.len())])
        })
        .collect()
}

/// The texts of the files in `locales/zh`, with the names in them.
pub(crate) fn translated() -> BTreeMap<String, Names> {
    let mut texts = BTreeMap::new();
    for file in files(&crate_folder("glm-core").join("locales/zh")) {
        for line in fs::read_to_string(&file).unwrap().lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (id, text) = line.split_once(" = ").expect("one text a line");
            let second = texts.insert(id.to_owned(), placeholders(&text.replace("{ $", "{")));
            assert!(second.is_none(), "{id} is there twice");
        }
    }
    texts
}

/// What stands between the bracket before `source` and the one that closes it, divided at commas.
fn arguments(source: &str) -> Vec<String> {
    let (mut depth, mut in_text, mut escaped) = (0, false, false);
    let mut arguments = vec![String::new()];
    for c in source.chars() {
        match c {
            _ if in_text => {
                in_text = c != '"' || escaped;
                escaped = c == '\\' && !escaped;
            }
            '"' => in_text = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        arguments.last_mut().unwrap().push(c);
    }
    let trimmed = arguments.iter().map(|argument| argument.trim().to_owned());
    trimmed.filter(|argument| !argument.is_empty()).collect()
}

/// `name` and `name = value` name a value.
fn names(values: &[String]) -> Names {
    let name = |value: &String| value.split('=').next().unwrap().trim().to_owned();
    values.iter().map(name).collect()
}

/// The names in braces.
fn placeholders(text: &str) -> Names {
    let after_braces = text.split('{').skip(1);
    after_braces
        .map(|rest| rest.split('}').next().unwrap().trim().to_owned())
        .collect()
}

fn kebab_case(name: &str) -> String {
    let mut kebab = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(c.to_lowercase());
    }
    kebab
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in files(folder) {
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false => found.push(path),
        }
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}
