//! The command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser};
use command_line::{
    arguments::{named, threads, whole_number},
    encoding::Encoding,
    model::Named,
};
use glm_core::{
    DeviceName, LoadOptions, Precision,
    code::{CodeOptions, Language, Until},
    hub::DEFAULT_REVISION,
    set_cpu_threads,
};

use crate::{
    Checked,
    error::{Error, Result},
    line::Extent,
    place::Place,
};

const AFTER_HELP: &str = "\
CodeGeeX2 sees only what is before the cursor. What is behind it is not read by the model; a block
merely ends before a line that stands there already.

The prompt is the official one: the tag of the language, such as `# language: Python`, unless the code
begins with one, and the code. Code that is too long for the model loses its beginning.

Standard output carries the completion alone, in UTF-8, everything else goes to standard error. The exit
code is 0 for a completion, 1 when something failed, 2 when the options are wrong.

With --stdio every line of standard input is a JSON object:
  {\"id\": 1, \"path\": \"a.py\", \"prefix\": \"def f(x):\\n\", \"suffix\": \"\\n\"}
  {\"cancel\": 1}
A request may also have language, until, max_new_tokens, stop, temperature, top_p, top_k and seed. The
answers come in the order of the requests, as pieces and an end:
  {\"id\": 1, \"text\": \"    return x\"}
  {\"id\": 1, \"done\": true, \"finish_reason\": \"code_complete\", \"prompt_tokens\": 15, ...}
A line that cannot be understood gets {\"error\": ...}. What was read for one request is not read again
for the next: cached_tokens says how much that was.

Examples:
  complete-code --model THUDM/codegeex2-6b --precision int4 src/main.rs:12
  echo '# write a bubble sort function' | complete-code -m codegeex2-6b -l python
  complete-code -m codegeex2-6b --until line --json src/main.rs:12:9
  complete-code -m codegeex2-6b --precision int4 --stdio";

/// Complete code at the cursor with CodeGeeX2-6B
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The code: a file, and where the cursor is in it, counted from 1 [default: standard input; without
    /// a column the end of the line, without a line the end of the file]
    #[arg(value_name = "FILE[:LINE[:COLUMN]]", conflicts_with = "stdio")]
    pub(crate) place: Option<Place>,
    /// Language of the code, which the model is told [default: that of the file name]
    #[arg(short, long, value_name = "NAME")]
    language: Option<String>,
    /// Encoding of the code, such as gbk [default: UTF-8, what a byte-order mark says, else what is most
    /// probable]
    #[arg(long, value_name = "NAME", conflicts_with = "stdio")]
    pub(crate) encoding: Option<Encoding>,
    /// List the languages and their tags, and end
    #[arg(long)]
    pub(crate) languages: bool,
    /// Print the completion as JSON, with what ended it and its tokens
    #[arg(long, conflicts_with = "stdio")]
    pub(crate) json: bool,
    /// Serve an editor: requests on standard input, completions on standard output, a JSON object a line
    #[arg(long)]
    pub(crate) stdio: bool,
    #[command(flatten)]
    pub(crate) model: ModelArguments,
    #[command(flatten)]
    completion: CompletionArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArguments {
    /// Folder of a downloaded checkpoint (config.json, tokenizer.model, weights), a ggml file of
    /// chatglm.cpp, a file that `quantize` wrote with tokenizer.model beside it, or the name of a model
    /// on huggingface.co, such as THUDM/codegeex2-6b, which is downloaded once
    #[arg(
        short,
        long,
        value_name = "PATH|ORG/NAME",
        required_unless_present = "languages"
    )]
    pub(crate) model: Option<PathBuf>,
    /// Branch, tag or commit of a model that is given by name
    #[arg(long, value_name = "NAME", default_value = DEFAULT_REVISION)]
    pub(crate) revision: String,
    /// Download nothing: a model that is given by name must be in the cache (also HF_HUB_OFFLINE=1)
    #[arg(long)]
    pub(crate) offline: bool,
    /// Precision of the layers: stored, int8 or int4. What is quantised is kept in the user's cache folder
    /// (GLM_CACHE_DIR) and used from there the next time
    #[arg(long, value_name = "NAME", default_value_t)]
    pub(crate) precision: Precision,
    /// Device to run on: cpu; with the feature of that name also wgpu and cuda
    #[arg(long, value_parser = named::<DeviceName>(), default_value_t)]
    pub(crate) device: DeviceName,
    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = threads())]
    pub(crate) threads: Option<usize>,
    /// With --stdio: memory for what was read before, in MB; 0 remembers nothing
    #[arg(long, value_name = "MB", value_parser = whole_number::<usize>(0..=u64::MAX), default_value_t = 1024)]
    pub(crate) memory: usize,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Completion")]
struct CompletionArguments {
    /// How far the completion goes
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = Extent::Block)]
    until: Extent,
    /// Limit on the completion, in tokens
    #[arg(long, value_name = "TOKENS", value_parser = whole_number::<usize>(1..=u64::MAX), default_value_t = 128)]
    max_new_tokens: usize,
    /// End the completion before this string (may be given several times)
    #[arg(long, value_name = "STRING")]
    stop: Vec<String>,
    /// Above 0 completions are drawn; 0 is greedy: the same completion every time. The official demo
    /// has 0.2
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f64,
    /// Choose among the most probable tokens that together have this probability; 1 is off
    #[arg(long, value_name = "P", default_value_t = CodeOptions::default().generation.top_p)]
    top_p: f64,
    /// Choose among this many most probable tokens; 0 is off, 1 is greedy
    #[arg(long, value_name = "K", value_parser = whole_number::<usize>(0..=u64::MAX), default_value_t = CodeOptions::default().generation.top_k)]
    top_k: usize,
    /// The same seed gives the same completion of the same code [default: a new one each time]
    #[arg(long, value_name = "N", value_parser = whole_number::<u64>(0..=u64::MAX))]
    seed: Option<u64>,
}

impl From<Extent> for Until {
    fn from(extent: Extent) -> Self {
        match extent {
            Extent::Line => Self::Line,
            Extent::Block => Self::Block,
            Extent::End => Self::End,
        }
    }
}

impl Arguments {
    /// What can be told without a model: wrong options are refused before anything is loaded.
    pub(crate) fn check(&self) -> Result<Checked<'_>> {
        Ok(Checked {
            options: self.options()?,
            language: self.language()?,
            loading: self.model.load_options()?,
        })
    }

    /// The options of every completion, checked.
    fn options(&self) -> Result<CodeOptions> {
        let given = &self.completion;
        let mut options = CodeOptions::default().with_until(given.until.into());
        let generation = &mut options.generation;
        generation.do_sample = true;
        generation.max_new_tokens = Some(given.max_new_tokens);
        generation.stop.clone_from(&given.stop);
        generation.temperature = given.temperature;
        generation.top_p = given.top_p;
        generation.top_k = given.top_k;
        generation.seed = given.seed;
        generation.validate()?;
        Ok(options)
    }

    /// The language that was named, or that of the file.
    fn language(&self) -> Result<Option<&'static Language>> {
        let place = self.place.as_ref();
        match &self.language {
            Some(name) => named_language(name).map(Some),
            None => Ok(place.and_then(|place| Language::of_path(&place.path))),
        }
    }
}

impl ModelArguments {
    /// The model that is asked for.
    pub(crate) fn named<'a>(&'a self, name: &'a Path) -> Named<'a> {
        Named {
            name,
            revision: &self.revision,
            offline: self.offline,
        }
    }

    /// How it is loaded. Sets the threads of this process.
    fn load_options(&self) -> Result<LoadOptions<'static>> {
        if let Some(threads) = self.threads {
            set_cpu_threads(threads).map_err(glm_core::Error::from)?;
        }
        let device = self.device.open().map_err(glm_core::Error::from)?;
        Ok(LoadOptions::default()
            .device(device)
            .precision(self.precision)
            .cached())
    }
}

/// The language of this name.
pub(crate) fn named_language(name: &str) -> Result<&'static Language> {
    let language = Language::by_name(name);
    language.ok_or_else(|| Error::Language {
        name: name.to_owned(),
    })
}
