//! Command lines, and the values of options.

use std::{
    env, error::Error, ffi::OsString, fmt, io::Write, ops::RangeInclusive, process, str::FromStr,
};

use clap::{Arg, CommandFactory, Parser, error::ErrorKind};
use glm_core::Language;

use crate::{
    help, language,
    texts::{Locales, Tell, Texts, in_english},
    usage,
};

/// Most threads that make sense: more than any machine has cores.
pub const MAX_THREADS: u64 = 1024;

/// The arguments of this process, and the texts of the program in the language of `--lang` or of the system. What is wrong
/// with the arguments is told and ends the process, as [`Parser::parse`] does; but a negative number behind an option is its
/// value, so that the message tells which values are possible.
#[must_use]
pub fn parse<A: Parser>(program: &Locales) -> (A, Texts) {
    let language = language::of_arguments(env::args_os().skip(1));
    let texts = Texts::new(language.unwrap_or_else(language::of_system), program);
    match try_parse(env::args_os(), &texts) {
        Ok(arguments) => (arguments, texts),
        Err(error) => end(&error, &texts),
    }
}

fn try_parse<A: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    texts: &Texts,
) -> Result<A, clap::Error> {
    let mut command = command::<A>(texts);
    let matches = command.try_get_matches_from_mut(arguments)?;
    A::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// The command of a program, with what all of them have, in the language of the texts.
fn command<A: CommandFactory>(texts: &Texts) -> clap::Command {
    let command = A::command().mut_args(|argument| {
        let is_option = argument.get_long().is_some() || argument.get_short().is_some();
        let takes_value = argument.get_action().takes_values();
        argument.allow_negative_numbers(is_option && takes_value)
    });
    let lang = Arg::new("lang")
        .long("lang")
        .value_name("LANG")
        .value_parser(language::NAMES)
        .help(texts.get("shared-help-lang"))
        .help_heading(None::<&str>)
        .global(true);
    help::in_language(command.arg(lang), texts)
}

/// Tells what clap has to tell, in place of the run.
fn end(error: &clap::Error, texts: &Texts) -> ! {
    let page = match (texts.language(), error.kind()) {
        (Language::English, _) | (_, ErrorKind::DisplayVersion) => error.exit(),
        (_, ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) => {
            help::page(&error.render().ansi().to_string())
        }
        _ => usage::message(error, texts) + "\n",
    };
    // As clap: whoever does not listen is told nothing.
    let _ = match error.use_stderr() {
        true => write!(anstream::stderr(), "{page}"),
        false => write!(anstream::stdout(), "{page}"),
    };
    process::exit(error.exit_code())
}

/// A number that is none, or not in the range that its option has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfRange(RangeInclusive<u64>);

impl Tell for OutOfRange {
    fn tell(&self, texts: &Texts) -> String {
        let least = ("least", (*self.0.start()).into());
        match *self.0.end() {
            u64::MAX => texts.with("shared-number-at-least", [least]),
            most => texts.with("shared-number-from-to", [least, ("most", most.into())]),
        }
    }
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_english(self))
    }
}

impl Error for OutOfRange {}

/// A parser of whole numbers in this range, which its message tells.
pub fn whole_number<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, OutOfRange> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse::<u64>().ok();
        let number = number.filter(|number| range.contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| OutOfRange(range.clone()))
    }
}

/// A parser of what the library has names for, so that it is also the library that tells what is wrong with one.
pub fn named<T: FromStr<Err: Into<glm_core::Error>>>()
-> impl Fn(&str) -> Result<T, glm_core::Error> + Clone + Send + Sync + 'static {
    |name| name.parse().map_err(Into::into)
}

/// A parser of a number of threads.
pub fn threads() -> impl Fn(&str) -> Result<usize, OutOfRange> + Clone + Send + Sync + 'static {
    whole_number(1..=MAX_THREADS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::SHARED;

    #[derive(Debug, Parser)]
    #[command(version)]
    struct Arguments {
        #[arg(long, value_parser = whole_number::<usize>(0..=u64::MAX))]
        top_k: Option<usize>,
        #[arg(long, value_parser = threads())]
        threads: Option<usize>,
        #[arg(long)]
        temperature: Option<f64>,
        #[arg(long, conflicts_with = "temperature")]
        greedy: bool,
        file: Option<String>,
    }

    fn parsed(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        parsed_in(Language::English, arguments)
    }

    fn parsed_in(language: Language, arguments: &[&str]) -> Result<Arguments, clap::Error> {
        let arguments = [&["program"], arguments].concat();
        let texts = Texts::shared(language);
        try_parse(arguments.into_iter().map(OsString::from), &texts)
    }

    /// The message in Chinese, without what follows in each.
    fn refused(arguments: &[&str]) -> String {
        let error = parsed_in(Language::Chinese, arguments).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let message = usage::message(&error, &Texts::shared(Language::Chinese));
        let message = message.strip_suffix("\n\n详细说明请见 --help。").unwrap();
        let end = message.find("\n\n用法：program ");
        message[..end.unwrap_or(message.len())].to_owned()
    }

    #[test]
    fn what_is_wrong_is_told_in_chinese() {
        for (arguments, message) in [
            (&["--no-such"][..], "错误：未知的参数 --no-such"),
            (
                &["--gredy"],
                "错误：未知的参数 --gredy\n\n  提示：是否想用 --greedy？",
            ),
            (&["a", "b"], "错误：未知的参数 b"),
            (&["--greedy", "--greedy"], "错误：--greedy 只能给出一次"),
            (&["--threads"], "错误：--threads <THREADS> 需要一个值"),
            (
                &["--threads", "0"],
                "错误：--threads <THREADS> 的值“0”无效：必须是 1 到 1024 之间的整数",
            ),
            (
                &["--top-k", "x"],
                "错误：--top-k <TOP_K> 的值“x”无效：必须是不小于 0 的整数",
            ),
            (
                &["--temperature", "x"],
                "错误：--temperature <TEMPERATURE> 的值“x”无效：不是数字",
            ),
            (
                &["--lang", "fr"],
                "错误：--lang <LANG> 的值“fr”无效\n  可选值：zh, en",
            ),
            (
                &["--greedy", "--temperature", "1"],
                "错误：--greedy 不能与以下参数同时使用：\n  --temperature <TEMPERATURE>",
            ),
        ] {
            assert_eq!(refused(arguments), message, "{arguments:?}");
        }
    }

    #[test]
    fn the_page_of_help_is_chinese_but_for_its_names() {
        let error = parsed_in(Language::Chinese, &["--help"]).unwrap_err();
        assert_eq!(error.exit_code(), 0);
        let page = help::page(&error.to_string());
        assert!(page.contains("用法：program [选项] [FILE]"), "{page}");
        for part in [
            "\n参数：\n  [FILE]",
            "选项：\n",
            "--lang <LANG>\n          帮助",
            "-h, --help\n          显示帮助",
            "[可选值：zh, en]",
        ] {
            assert!(page.contains(part), "`{part}` in {page}");
        }
        for english in ["Usage", "Options", "Print", "values", "[OPTIONS]", "：:"] {
            assert!(!page.contains(english), "`{english}` in {page}");
        }
    }

    #[test]
    fn the_shared_texts_are_there_in_both_languages() {
        let missing = crate::coverage::gaps_of("shared", &SHARED, &[], "..".as_ref());
        assert_eq!(missing, Vec::<String>::new());
    }

    #[test]
    fn a_negative_number_is_the_value_of_an_option() {
        let arguments = parsed(&["--temperature", "-1.5", "a"]).unwrap();
        assert_eq!(arguments.temperature, Some(-1.5));
        assert_eq!(arguments.file.as_deref(), Some("a"));
        assert!(!arguments.greedy);
        for other in ["-x", "--1", "-"] {
            assert!(parsed(&["--temperature", other]).is_err(), "{other}");
        }
    }

    #[test]
    fn whole_numbers_out_of_range_are_told_with_the_range() {
        let (arguments, most) = (|text| parsed(&["--threads", text]), MAX_THREADS.to_string());
        assert_eq!(arguments(&most).unwrap().threads, Some(1024));
        for text in ["0", "-1", "1025", "20000", "x", "1.5", ""] {
            let error = arguments(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ValueValidation, "{text}");
            let message = error.to_string();
            assert!(message.contains("from 1 to 1024"), "{message}");
        }
        let error = parsed(&["--top-k", "-1"]).unwrap_err().to_string();
        assert!(error.contains("at least 0"), "{error}");
        // Too large for any integer that a program has.
        assert!(parsed(&["--top-k", "99999999999999999999"]).is_err());
    }
}
