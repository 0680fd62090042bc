//! The command line.

use clap::Parser;
use glm_core::checkpoint::Precision;

use crate::model_source::ModelSource;

/// Measures how fast a model reads a prompt and writes an answer, and how close that is to what the machine can do.
///
/// Each number of threads is a process of its own. For every length of `--prompt` the time to the first token is
/// measured; for every length of `--context`, the speed of the tokens behind as many in the cache. The speeds of plain
/// reading and of the dot-product instruction are measured in between, so that the shares mean something on a busy
/// machine too. docs/performance.md explains every figure.
///
/// Examples:
///   glm-bench --model random:chatglm-6b --precision int4 --head int4
///   glm-bench --model random:chatglm2-6b --prompt 512 --context 32,8192
///   glm-bench --model /models/chatglm-6b --precision int8 --threads 1,2,4 --json
#[derive(Debug, Clone, Parser)]
#[command(
    name = "glm-bench",
    version,
    verbatim_doc_comment,
    arg_required_else_help = true
)]
pub struct Arguments {
    /// Checkpoint folder, prepacked file, or random weights of the full size: random:chatglm-6b, random:chatglm2-6b,
    /// random:chatglm2-6b-32k, random:codegeex2-6b
    #[arg(long, value_name = "DIR|FILE|random:NAME")]
    pub model: ModelSource,
    /// Precision of the layers: stored, int8 or int4, or one of these with -row, -g128 or -g32 [default: stored; int4
    /// for a random model]
    #[arg(long)]
    pub precision: Option<Precision>,
    /// Precision of embedding and head [default: what goes with --precision]
    #[arg(long)]
    pub head: Option<Precision>,
    /// Lengths of the prompts, in tokens
    #[arg(long, value_name = "TOKENS,…", value_delimiter = ',', default_value = "128,512", value_parser = at_least_two)]
    pub prompt: Vec<usize>,
    /// Tokens in the cache before the tokens that are timed; below 2 there are the 2 that every prompt has
    #[arg(
        long,
        value_name = "TOKENS,…",
        value_delimiter = ',',
        default_value = "0,1024"
    )]
    pub context: Vec<usize>,
    /// Tokens that are timed behind each context
    #[arg(long, value_name = "TOKENS", default_value = "32", value_parser = at_least_one)]
    pub r#gen: usize,
    /// Numbers of threads [default: one for each core]
    #[arg(long, value_name = "THREADS,…", value_delimiter = ',', value_parser = at_least_one)]
    pub threads: Vec<usize>,
    /// Runs of every measurement
    #[arg(long, value_name = "TIMES", default_value = "3", value_parser = at_least_one)]
    pub repeat: usize,
    /// Size of the memory that is read to measure plain reading, in MiB: several times the caches
    #[arg(long, value_name = "MIB", default_value = "1536", value_parser = at_least_one)]
    pub read_buffer: usize,
    /// Print a JSON array with one object for each number of threads, instead of tables
    #[arg(long)]
    pub json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    at_least(1, text)
}

fn at_least_two(text: &str) -> Result<usize, String> {
    at_least(2, text)
}

fn at_least(least: usize, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(format!("expected a whole number from {least} up")),
    }
}

impl Arguments {
    /// The numbers of threads to measure with.
    #[must_use]
    pub fn thread_counts(&self) -> Vec<usize> {
        if self.threads.is_empty() {
            vec![std::thread::available_parallelism().map_or(1, std::num::NonZero::get)]
        } else {
            self.threads.clone()
        }
    }

    /// Precision of layers and of embedding and head, with the defaults filled in.
    #[must_use]
    pub fn precisions(&self) -> (Precision, Precision) {
        self.model.precisions(self.precision, self.head)
    }

    /// The command line that measures the same with one number of threads and prints JSON, without the program's name.
    #[must_use]
    pub fn for_threads(&self, threads: usize) -> Vec<String> {
        let list = |numbers: &[usize]| {
            let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
            numbers.join(",")
        };
        let mut command = vec!["--model".to_owned(), self.model.to_string()];
        for (name, precision) in [("--precision", self.precision), ("--head", self.head)] {
            if let Some(precision) = precision {
                command.extend([name.to_owned(), precision.to_string()]);
            }
        }
        for (name, value) in [
            ("--prompt", list(&self.prompt)),
            ("--context", list(&self.context)),
            ("--gen", self.r#gen.to_string()),
            ("--threads", threads.to_string()),
            ("--repeat", self.repeat.to_string()),
            ("--read-buffer", self.read_buffer.to_string()),
        ] {
            command.extend([name.to_owned(), value]);
        }
        command.push("--json".to_owned());
        command
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("glm-bench").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn everything_can_be_said() {
        let line = "--model random:chatglm-6b --precision int4-g32 --head int8 --prompt 128,512,1024 --gen 7 \
                    --context 0,1024 --threads 1,2 --repeat 5 --read-buffer 64 --json";
        let arguments = parse(line).unwrap();
        assert_eq!(arguments.model.to_string(), "random:chatglm-6b");
        assert!(matches!(arguments.model, ModelSource::Random(_)));
        assert_eq!(
            arguments.precisions(),
            ("int4-g32".parse().unwrap(), Precision::INT8)
        );
        assert_eq!(arguments.prompt, [128, 512, 1024]);
        assert_eq!(arguments.context, [0, 1024]);
        assert_eq!(arguments.thread_counts(), [1, 2]);
        assert_eq!(
            (arguments.r#gen, arguments.repeat, arguments.read_buffer),
            (7, 5, 64)
        );
        assert!(arguments.json);
    }

    #[test]
    fn the_defaults_depend_on_the_model() {
        let stored = parse("--model some/folder").unwrap();
        assert_eq!(stored.precisions(), (Precision::Stored, Precision::Stored));
        let random = parse("--model random:chatglm-6b").unwrap();
        assert_eq!(
            random.precisions(),
            (Precision::INT4, Precision::INT4.default_head())
        );
        assert_eq!(random.thread_counts().len(), 1);
    }

    #[test]
    fn the_line_for_one_process_says_the_same() {
        let line = "--model a/b --head int8 --prompt 2,3 --context 4 --threads 1,2 --repeat 6";
        let all = parse(line).unwrap();
        let one = parse(&all.for_threads(2).join(" ")).unwrap();
        assert_eq!(one.threads, [2]);
        assert!(one.json);
        let same = Arguments {
            threads: all.threads.clone(),
            json: false,
            ..one
        };
        assert_eq!(format!("{same:?}"), format!("{all:?}"));
    }

    #[test]
    fn nonsense_is_refused() {
        for (line, complaint) in [
            ("--prompt 8", "--model"),
            ("--model x --prompt 1", "from 2 up"),
            ("--model x --prompt 8,,9", "from 2 up"),
            ("--model x --gen 0", "from 1 up"),
            ("--model x --threads 0", "from 1 up"),
            ("--model x --repeat=-1", "from 1 up"),
            ("--model x --context=-5", "--context"),
            ("--model x --precision int5", "int4-g32"),
            ("--model random:gpt", "random:chatglm2-6b"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(complaint), "{line}: {error}");
        }
    }
}
