//! For tests: whether texts, help and sources of a program belong together, and whether it speaks Chinese.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    process::Command,
};

use clap::CommandFactory;
use fluent_bundle::FluentResource;

use crate::{help, texts::Locales};

/// The texts of a Fluent file by name, each with the values that it has.
type Messages<'a> = BTreeMap<String, BTreeSet<&'a str>>;

/// What is missing or left over in the texts of a program, a sentence each: texts of one language only, or with other values;
/// arguments without help in Chinese; texts that the sources never name, and those that they name in vain.
#[must_use]
pub fn gaps<A: CommandFactory>(locales: &Locales, sources: &Path) -> Vec<String> {
    let command = A::command();
    gaps_of(command.get_name(), locales, &help::ids(&command), sources)
}

/// Runs the program at a path in Chinese, with these arguments.
///
/// # Errors
/// When it cannot be run, or says what is no UTF-8.
///
/// # Panics
/// When it ends with another code, when one of these texts is not in what it says on both streams, or when clap's English is.
pub fn check_chinese(
    program: &str,
    arguments: &[&str],
    code: i32,
    texts: &[&str],
) -> io::Result<()> {
    let mut command = Command::new(program);
    let output = command.args(["--lang", "zh"]).args(arguments).output()?;
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).map_err(io::Error::other)?;
    for text in texts {
        assert!(said.contains(text), "`{text}` in {said}");
    }
    assert!(
        !said.contains("error:") && !said.contains("Usage:"),
        "{said}"
    );
    Ok(())
}

/// The same as [`gaps`], of texts whose names begin with `program`; `help` has a text in Chinese only. Where there is no help, the
/// sources have to name what there is in Chinese only.
pub(crate) fn gaps_of(
    program: &str,
    locales: &Locales,
    help: &[String],
    sources: &Path,
) -> Vec<String> {
    let mut gaps = Vec::new();
    let mut read = |source| messages(source, &mut gaps);
    let [english, chinese, chinese_help] =
        [locales.english, locales.chinese, locales.chinese_help].map(&mut read);

    for (id, values) in &english {
        match chinese.get(id) {
            None => gaps.push(format!("{id} is not there in Chinese")),
            Some(others) if others != values => {
                gaps.push(format!("{id} has {values:?}, in Chinese {others:?}"));
            }
            Some(_) => {}
        }
    }
    let only_chinese = chinese.keys().filter(|id| !english.contains_key(*id));
    gaps.extend(only_chinese.map(|id| format!("{id} is not there in English")));

    let named = match named(program, sources) {
        Ok(named) => named,
        Err(error) => {
            gaps.push(format!("{}: {error}", sources.display()));
            BTreeSet::new()
        }
    };
    let said = english.keys().filter(|id| !named.contains(*id));
    gaps.extend(said.map(|id| format!("{id} is not named in the sources")));
    let is_help = |id: &String| match help.is_empty() {
        true => named.contains(id),
        false => help.contains(id),
    };
    let unused = chinese_help.keys().filter(|id| !is_help(id));
    gaps.extend(unused.map(|id| format!("{id} helps nobody")));
    let helpless = help.iter().filter(|id| !chinese_help.contains_key(*id));
    gaps.extend(helpless.map(|id| format!("{id} is not there in Chinese")));
    let is_there = |id: &&String| english.contains_key(*id) || chinese_help.contains_key(*id);
    let nowhere = named.iter().filter(|id| !is_there(id));
    gaps.extend(nowhere.map(|id| format!("{id} is named in the sources, and nowhere else")));
    gaps
}

/// The texts of a file. Attributes are texts of their own, `name.attribute`.
fn messages<'a>(source: &'a str, gaps: &mut Vec<String>) -> Messages<'a> {
    if let Err((_, errors)) = FluentResource::try_new(source.to_owned()) {
        gaps.extend(errors.iter().map(|error| format!("Fluent: {error}")));
    }
    let mut messages = Messages::new();
    let (mut message, mut id) = (String::new(), String::new());
    for line in source.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, _)) = line.split_once(" =")
            && is_name(name)
        {
            name.clone_into(&mut message);
            name.clone_into(&mut id);
        } else if let Some((name, _)) = line.trim_start().split_once(" =")
            && let Some(name) = name.strip_prefix('.')
        {
            id = format!("{message}.{name}");
        }
        if !id.is_empty() {
            let values = messages.entry(id.clone()).or_default();
            values.extend(line.split('$').skip(1).map(|rest| {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '-' && c != '_');
                &rest[..end.unwrap_or(rest.len())]
            }));
        }
    }
    messages
}

/// The names of texts that the sources have, as strings.
fn named(program: &str, folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(named(program, &path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(path)?;
            let strings = source.split('"');
            let prefix = format!("{program}-");
            let names = strings.filter(|text| text.starts_with(&prefix) && is_name(text));
            found.extend(names.map(str::to_owned));
        }
    }
    Ok(found)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(english: &'static str, chinese: &'static str, help: &'static str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let source = "fn f() { get(\"a-b\"); with(\"a-c\", 1); note(\"a-b c\") }";
        fs::write(folder.path().join("a.rs"), source).unwrap();
        let locales = Locales {
            english,
            chinese,
            chinese_help: help,
        };
        gaps_of("a", &locales, &["a-help-x".to_owned()], folder.path())
    }

    #[test]
    fn texts_that_belong_together_leave_no_gap() {
        let english = "a-b = b\na-c = { $x }\n  and { $y }";
        let found = gaps(english, "a-b = 乙\na-c = { $y } { $x }", "a-help-x = 帮助");
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn every_gap_is_found() {
        let found = gaps(
            "a-b = b { $x }\na-d = d\nnonsense",
            "a-b = 乙\na-e = 戊",
            "a-help-x.y = 帮助\na-help-z = 帮助",
        );
        for gap in [
            "Fluent: ",
            "a-b has {\"x\"}, in Chinese {}",
            "a-d is not there in Chinese",
            "a-e is not there in English",
            "a-d is not named",
            "a-help-z helps nobody",
            "a-help-x is not there in Chinese",
            "a-c is named in the sources, and nowhere else",
        ] {
            assert!(
                found.iter().any(|found| found.starts_with(gap)),
                "{gap}: {found:?}"
            );
        }
    }
}
