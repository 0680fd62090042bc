//! Command lines, and the values of options.

use std::ops::RangeInclusive;

use clap::{CommandFactory, Parser};

/// Most threads that make sense: more than any machine has cores.
pub const MAX_THREADS: u64 = 1024;

/// The arguments of this process. What is wrong with them is told and ends it, as [`Parser::parse`] does; but a negative
/// number behind an option is its value, so that the message tells which values are possible.
#[must_use]
pub fn parse<A: Parser>() -> A {
    let command = command::<A>();
    let matches = command.clone().get_matches();
    A::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command.clone()).exit())
}

fn command<A: CommandFactory>() -> clap::Command {
    A::command().mut_args(|argument| {
        let is_option = argument.get_long().is_some() || argument.get_short().is_some();
        let takes_value = argument.get_action().takes_values();
        argument.allow_negative_numbers(is_option && takes_value)
    })
}

/// A parser of whole numbers in this range, which its message tells.
pub fn whole_number<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse::<u64>().ok();
        let number = number.filter(|number| range.contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| expected(&range))
    }
}

/// A parser of a number of threads.
pub fn threads() -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    whole_number(1..=MAX_THREADS)
}

fn expected(range: &RangeInclusive<u64>) -> String {
    match (range.start(), range.end()) {
        (start, &u64::MAX) => format!("must be a whole number of at least {start}"),
        (start, end) => format!("must be a whole number from {start} to {end}"),
    }
}

#[cfg(test)]
mod tests {
    use clap::{FromArgMatches, error::ErrorKind};

    use super::*;

    #[derive(Debug, Parser)]
    struct Arguments {
        #[arg(long, value_parser = whole_number::<usize>(0..=u64::MAX))]
        top_k: Option<usize>,
        #[arg(long, value_parser = threads())]
        threads: Option<usize>,
        #[arg(long)]
        temperature: Option<f64>,
        #[arg(long)]
        greedy: bool,
        file: Option<String>,
    }

    fn parsed(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        let arguments = [&["program"], arguments].concat();
        let matches = command::<Arguments>().try_get_matches_from(arguments)?;
        Arguments::from_arg_matches(&matches)
    }

    #[test]
    fn a_negative_number_is_the_value_of_an_option() {
        let arguments = parsed(&["--temperature", "-1.5", "--greedy", "a"]).unwrap();
        assert_eq!(arguments.temperature, Some(-1.5));
        assert_eq!(arguments.file.as_deref(), Some("a"));
        assert!(arguments.greedy);
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
