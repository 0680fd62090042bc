//! Help in Chinese. In English it is as clap has it, from the comments of the arguments.

use clap::{Arg, ArgAction, Command};
use fluent_bundle::FluentArgs;

use glm_core::Language;

use crate::{texts::Texts, wrap::wrapped};

/// Columns of a page of help.
const PAGE: usize = 80;

/// Columns that clap puts before the help of an argument.
const INDENT: usize = 10;

/// Clap's own, but for the words in it.
const TEMPLATE: &str = "{about-with-newline}\n用法：{usage}\n\n{all-args}{after-help}";

/// The command, and its subcommands, in the language of the texts.
pub(crate) fn in_language(command: Command, texts: &Texts) -> Command {
    match texts.language() {
        Language::Chinese => in_chinese(command, texts),
        _ => command,
    }
}

/// The page of help in Chinese, from what clap made of [`in_language`].
pub(crate) fn page(rendered: &str) -> String {
    // Clap puts a colon behind every heading.
    let page = rendered.replace("：:", "：");
    page.replace("[OPTIONS]", "[选项]")
}

/// The names of the texts that a command has in Chinese, where it has them in English.
pub(crate) fn ids(command: &Command) -> Vec<String> {
    let program = command.get_name();
    let mut ids = vec![format!("{program}-about")];
    if command.get_after_help().is_some() {
        ids.push(format!("{program}-after-help"));
    }
    for argument in command.get_arguments() {
        if let Some(heading) = argument.get_help_heading() {
            ids.push(heading_id(program, heading));
        }
        let id = argument_id(program, argument);
        if tells_default(argument) {
            ids.push(format!("{id}.default"));
        }
        for value in argument.get_possible_values() {
            if value.get_help().is_some() {
                ids.push(format!("{id}.{}", value.get_name()));
            }
        }
        ids.push(id);
    }
    ids.extend(command.get_subcommands().flat_map(self::ids));
    ids
}

/// The flags that clap would add by itself, in English.
fn with_own_flags(command: Command, texts: &Texts) -> Command {
    let flag = |name: &'static str, short, action, help: &str| {
        let flag = Arg::new(name).long(name).short(short).action(action);
        flag.help(texts.get(help)).help_heading(None::<&str>)
    };
    let has_version = command.get_version().is_some();
    let help = flag("help", 'h', ArgAction::Help, "shared-help-help");
    let version = flag("version", 'V', ArgAction::Version, "shared-help-version");
    let command = command.disable_help_flag(true).arg(help);
    match has_version {
        true => command.disable_version_flag(true).arg(version),
        false => command,
    }
}

fn in_chinese(command: Command, texts: &Texts) -> Command {
    let program = command.get_name().to_owned();
    let mut command = with_own_flags(command, texts)
        .help_template(TEMPLATE)
        .next_line_help(true)
        // Lines are broken here: clap would look for spaces.
        .term_width(0)
        .mut_args(|argument| argument_in_chinese(argument, &program, texts))
        .mut_subcommands(|subcommand| in_chinese(subcommand, texts));
    if let Some(about) = find(texts, &format!("{program}-about")) {
        let about = wrapped(&about, PAGE);
        command = command.about(about.clone()).long_about(about);
    }
    if let Some(after) = find(texts, &format!("{program}-after-help")) {
        command = command.after_help(wrapped(&after, PAGE));
    }
    command
}

fn argument_in_chinese(argument: Arg, program: &str, texts: &Texts) -> Arg {
    let heading = match argument.get_help_heading() {
        Some(heading) => find(texts, &heading_id(program, heading)),
        None if argument.is_positional() => find(texts, "shared-heading-arguments"),
        None => find(texts, "shared-heading-options"),
    };
    let id = argument_id(program, &argument);
    let argument = match heading {
        Some(heading) => argument.help_heading(format!("{heading}：")),
        None => argument,
    };
    let help = find(texts, &id).or_else(|| argument.get_help().map(ToString::to_string));
    let takes_values = argument.get_action().takes_values();
    let notes = match takes_values {
        true => [
            values(&argument, &id, texts),
            default(&argument, &id, texts),
        ],
        false => [None, None],
    };
    let lines: Vec<String> = [help].into_iter().chain(notes).flatten().collect();
    let help = wrapped(&lines.join("\n"), PAGE - INDENT);
    argument
        .hide_possible_values(takes_values)
        .hide_default_value(takes_values)
        .help(help.clone())
        .long_help(help)
}

/// The values that are possible, and what they are.
fn values(argument: &Arg, id: &str, texts: &Texts) -> Option<String> {
    let values = argument.get_possible_values();
    if argument.is_hide_possible_values_set() || values.is_empty() {
        return None;
    }
    let helped = values.iter().filter_map(|value| {
        let name = value.get_name();
        let help = find(texts, &format!("{id}.{name}"))?;
        Some(format!("\n- {name}：{help}"))
    });
    let helped: String = helped.collect();
    if !helped.is_empty() {
        return Some(texts.get("shared-possible-values") + &helped);
    }
    let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
    let names = ("values", names.join(", ").into());
    Some(texts.with("shared-one-of", [names]))
}

/// The value that holds without the argument: as the texts tell it, or as clap knows it.
fn default(argument: &Arg, id: &str, texts: &Texts) -> Option<String> {
    let value = find(texts, &format!("{id}.default")).or_else(|| {
        let values = argument.get_default_values();
        let is_shown = !argument.is_hide_default_value_set() && !values.is_empty();
        let values = values.iter().map(|value| value.to_string_lossy());
        is_shown.then(|| values.collect::<Vec<_>>().join(" "))
    })?;
    Some(texts.with("shared-default-value", [("value", value.into())]))
}

/// Whether the help in English tells a default in words.
fn tells_default(argument: &Arg) -> bool {
    let help = argument.get_help().map(ToString::to_string);
    help.is_some_and(|help| help.contains("[default:"))
}

fn argument_id(program: &str, argument: &Arg) -> String {
    let name = argument.get_id().as_str().replace('_', "-");
    format!("{program}-help-{name}")
}

fn heading_id(program: &str, heading: &str) -> String {
    let name = heading.to_lowercase().replace(' ', "-");
    format!("{program}-heading-{name}")
}

fn find(texts: &Texts, id: &str) -> Option<String> {
    texts.find(id, &FluentArgs::new())
}
