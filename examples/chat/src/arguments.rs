//! The command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, ValueEnum};
use command_line::{
    arguments::{named, threads, whole_number},
    encoding::Encoding,
    model::Named,
    text::Source,
};
use glm_core::{
    CachePrecision, DeviceName, GenerationOptions, LoadOptions, Numerics, Precision,
    chat::{ChatOptions, ResponseRules},
    generate::{BeamSearchOptions, EarlyStopping},
    hub::DEFAULT_REVISION,
    set_cpu_threads,
};

use crate::{
    Checked,
    error::{Error, Result},
    session::Decoding,
};

const AFTER_HELP: &str = "\
In a terminal: `clear` forgets the conversation, `undo` its last turn, `retry` answers the last
question again, and `stop` or `exit` ends the program.
Ctrl-C stops the answer, a second Ctrl-C ends the program, and so does Ctrl-D.
A question of several lines: end a line with \\ to go on in the next one, or begin it with \"\"\" and end it
with \"\"\". What is pasted is one question where the terminal tells that it is pasted, else one a line.

In a pipe every line of standard input is a question (empty lines are skipped). Standard output
carries the answers alone, everything else goes to standard error. The exit code is 0 when every
question was answered, 1 when one was not or something failed, 2 when the options are wrong.

A model that is given by name is kept in the cache that Python's huggingface_hub has. Its environment
variables hold here too: HF_ENDPOINT (for a mirror), HF_HOME, HF_TOKEN, HF_HUB_OFFLINE.

Examples:
  chat
  chat --model THUDM/chatglm-6b --revision v1.1.0 --precision int4
  chat --model chatglm-6b --seed 7
  chat --model chatglm-6b --precision int4
  chat --model chatglm-6b --greedy --once '晚上睡不着应该怎么办'
  chat --model chatglm-6b --num-beams 4 --once '晚上睡不着应该怎么办'
  chat --model chatglm-6b --infill '凯旋门位于[MASK]的首都[MASK]。'
  chat --model chatglm-6b --file letter.txt
  cat report.txt question.txt | chat --model THUDM/chatglm2-6b --prompt-cache report.cache --once -
  chat --max-new-tokens 100 < questions.txt > answers.txt";

/// Chat with ChatGLM-6B or ChatGLM2-6B, or with the small demonstration model that is built in
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) model: ModelArguments,
    #[command(flatten)]
    conversation: ConversationArguments,
    #[command(flatten)]
    length: LengthArguments,
    #[command(flatten)]
    sampling: SamplingArguments,
    #[command(flatten)]
    beams: BeamArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArguments {
    /// Folder of a downloaded checkpoint (config.json, ice_text.model, weights), a ggml file of
    /// chatglm.cpp, a file that `quantize` or `convert` wrote with ice_text.model beside it, or the
    /// name of a model on huggingface.co, such as THUDM/chatglm-6b, which is downloaded once
    /// [default: the built-in demonstration model]
    #[arg(short, long, value_name = "PATH|ORG/NAME")]
    pub(crate) model: Option<PathBuf>,
    /// Branch, tag or commit of a model that is given by name
    #[arg(long, value_name = "NAME", default_value = DEFAULT_REVISION, requires = "model")]
    pub(crate) revision: String,
    /// Download nothing: a model that is given by name must be in the cache (also HF_HUB_OFFLINE=1)
    #[arg(long)]
    pub(crate) offline: bool,
    /// Precision of the layers: stored, int8 or int4, or with the number of columns that share a scale
    /// int8-row, int8-g128, int8-g32, int4-row, int4-g128, int4-g32. What is quantised is kept in the
    /// user's cache folder (GLM_CACHE_DIR) and used from there the next time
    #[arg(long, value_name = "NAME", default_value_t)]
    pub(crate) precision: Precision,
    /// Precision of embedding and head: the same names [default: int8 beside quantised layers, else
    /// stored]
    #[arg(long, value_name = "NAME")]
    pub(crate) head: Option<Precision>,
    /// How the conversation is kept in memory: int16 reserves 455 KiB a token with ChatGLM-6B (0.95 GB
    /// for 2048 tokens, taken as it fills) and 28.4 KiB with ChatGLM2-6B (0.95 GB for 32768), int8 about
    /// half of that
    #[arg(long, value_enum, default_value_t = KvCache::Int16)]
    kv_cache: KvCache,
    /// Compute as exactly as the official code does in f32: slower with quantised weights
    #[arg(long, conflicts_with = "kv_cache")]
    exact: bool,
    /// Device to run on: cpu; with the feature of that name also wgpu, cuda (wgpu:1, cuda:1 for the
    /// second one) and ndarray
    #[arg(long, value_parser = named::<DeviceName>(), default_value_t)]
    pub(crate) device: DeviceName,
    /// CPU threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = threads())]
    pub(crate) threads: Option<usize>,
    /// Print what the model is, what is wrong with it and what memory it needs in each precision, and
    /// end: nothing large is read
    #[arg(long, requires = "model")]
    pub(crate) plan: bool,
    /// With --plan: print it as JSON, sizes in bytes
    #[arg(long, requires = "plan")]
    pub(crate) json: bool,
}

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum KvCache {
    /// 4 bytes a value
    F32,
    /// 2 bytes a value
    F16,
    /// 2 bytes a value, as close as f16 and faster
    Int16,
    /// 1 byte a value
    Int8,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Conversation")]
struct ConversationArguments {
    /// Answer this one question and end; - is all of standard input
    #[arg(
        short = 'p',
        long,
        value_name = "PROMPT",
        alias = "prompt",
        group = "question"
    )]
    once: Option<String>,
    /// Answer the one question that is in this file, of any number of lines, and end; - is standard input
    #[arg(short, long, value_name = "FILE", group = "question")]
    file: Option<PathBuf>,
    /// Encoding of --file and of standard input, such as gbk [default: UTF-8, what a byte-order mark says, or for one
    /// question whatever is most probable]
    #[arg(long, value_name = "NAME")]
    encoding: Option<Encoding>,
    /// Fill the blanks in this text and end: `[MASK]` for a few words, `[sMASK]` for sentences, `[gMASK]`
    /// for a passage
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["question", "num_beams", "num_return_sequences"])]
    infill: Option<String>,
    /// With --once or --file: this many answers, with an empty line between them
    #[arg(long, value_name = "N", requires = "question", value_parser = whole_number::<usize>(1..=u64::MAX))]
    num_return_sequences: Option<usize>,
    /// Show the model's text as it is, without the official clean-up of white space and punctuation
    #[arg(long)]
    raw: bool,
    /// Keep what the model has read in this file, and go on from it the next time: a long text that every question begins
    /// with is read once. ChatGLM-6B has to read a text again as soon as anything follows it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["infill", "num_beams", "num_return_sequences"])]
    prompt_cache: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Length")]
struct LengthArguments {
    /// Limit on prompt and answer together, in tokens (the model's own limit holds as well)
    /// [default: 2048, with ChatGLM2-6B 8192]
    #[arg(long, value_name = "TOKENS", value_parser = whole_number::<usize>(1..=u64::MAX))]
    max_length: Option<usize>,
    /// Limit on the answer alone, in tokens
    #[arg(long, value_name = "TOKENS", value_parser = whole_number::<usize>(1..=u64::MAX))]
    max_new_tokens: Option<usize>,
    /// The answer does not end before it has this many tokens
    #[arg(
        long,
        value_name = "TOKENS",
        value_parser = whole_number::<usize>(0..=u64::MAX),
        default_value_t = 0,
        hide_default_value = true
    )]
    min_new_tokens: usize,
    /// End the answer before this string (may be given several times)
    #[arg(long, value_name = "STRING")]
    stop: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
struct SamplingArguments {
    /// Below 1 the answers become more predictable; 0 is greedy [default: 0.95, with ChatGLM2-6B 0.8]
    #[arg(long, value_name = "T", alias = "temp")]
    temperature: Option<f64>,
    /// Choose among the most probable tokens that together have this probability; 1 is off
    /// [default: 0.7, with ChatGLM2-6B 0.8]
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// Choose among this many most probable tokens; 0 is off
    #[arg(long, value_name = "K", value_parser = whole_number::<usize>(0..=u64::MAX), default_value_t = GenerationOptions::default().top_k)]
    top_k: usize,
    /// Above 1 the model repeats itself less; 1 is off
    #[arg(long, value_name = "X", alias = "repeat-penalty", default_value_t = GenerationOptions::default().repetition_penalty)]
    repetition_penalty: f64,
    /// Above 0 the model says less of what the answer already contains
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        hide_default_value = true
    )]
    presence_penalty: f64,
    /// As --presence-penalty, for each time that the answer contains it
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        hide_default_value = true
    )]
    frequency_penalty: f64,
    /// No run of this many tokens comes twice, the conversation included; 0 is off
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>(0..=u64::MAX), default_value_t = 0, hide_default_value = true)]
    no_repeat_ngram_size: usize,
    /// Always take the most probable token: the same answer every time
    #[arg(long, conflicts_with_all = ["temperature", "top_p", "top_k"])]
    greedy: bool,
    /// Guess up to N tokens ahead from what was said before: the same answer, faster when it repeats
    /// parts of the conversation [default: off]
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>(0..=u64::MAX), default_value_t = 0, hide_default_value = true)]
    prompt_lookup: usize,
    /// The same seed gives the same answer to the same conversation [default: a new one each time]
    #[arg(long, value_name = "N", value_parser = whole_number::<u64>(0..=u64::MAX))]
    seed: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Beam search")]
struct BeamArguments {
    /// Follow N continuations side by side and take the best: no sampling, and the answer appears when it
    /// is complete [default: off]
    #[arg(long, value_name = "N", conflicts_with_all = ["temperature", "top_p", "top_k", "seed", "prompt_lookup"], value_parser = whole_number::<usize>(1..=u64::MAX))]
    num_beams: Option<usize>,
    /// Above 0 favours long answers, below 0 short ones
    #[arg(long, value_name = "X", requires = "num_beams",
        default_value_t = BeamSearchOptions::default().length_penalty)]
    length_penalty: f64,
    /// When a search that has N answers ends
    #[arg(long, value_enum, value_name = "WHEN", requires = "num_beams", default_value_t = Stopping::Heuristic)]
    early_stopping: Stopping,
}

/// When a beam search ends.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stopping {
    /// At once (early_stopping=True)
    AtOnce,
    /// When the best open answer, were it to end now, would not be among them (early_stopping=False)
    Heuristic,
    /// When no open answer can come among them any more (early_stopping="never")
    Never,
}

impl Arguments {
    /// Whether the command line itself says what is to be answered.
    pub(crate) fn is_one_shot(&self) -> bool {
        let given = &self.conversation;
        given.once.is_some() || given.file.is_some() || given.infill.is_some()
    }

    /// The question on the command line itself.
    pub(crate) fn once(&self) -> Option<&str> {
        let once = self.conversation.once.as_deref();
        once.filter(|question| *question != "-")
    }

    /// Where the one question is, if it is not on the command line itself.
    pub(crate) fn question_source(&self) -> Option<Source> {
        match (&self.conversation.once, &self.conversation.file) {
            (Some(once), _) if once == "-" => Some(Source::Input),
            (_, Some(file)) => Some(Source::named(file)),
            _ => None,
        }
    }

    /// What can be told without a model: wrong options are refused before anything is loaded.
    pub(crate) fn check(&self) -> Result<Checked<'_>> {
        self.chat_options(ChatOptions::default())?;
        let decoding = self.decoding()?;
        if self
            .once()
            .is_some_and(|question| question.trim().is_empty())
        {
            return Err(Error::EmptyQuestion);
        }
        if self.infill().is_some_and(|text| !has_blank(text)) {
            return Err(Error::NoBlank);
        }
        match self.encoding() {
            Some(encoding) if !self.is_one_shot() && !encoding.is_ascii_compatible() => {
                return Err(Error::NoLines(encoding));
            }
            _ => {}
        }
        let loading = self.model.load_options()?;
        Ok(Checked { decoding, loading })
    }

    /// Of the question's source and of standard input.
    pub(crate) fn encoding(&self) -> Option<Encoding> {
        self.conversation.encoding
    }

    pub(crate) fn infill(&self) -> Option<&str> {
        self.conversation.infill.as_deref()
    }

    pub(crate) fn prompt_cache(&self) -> Option<&Path> {
        self.conversation.prompt_cache.as_deref()
    }

    /// The limit on prompt and answer together, if one was given.
    pub(crate) fn max_length(&self) -> Option<usize> {
        self.length.max_length
    }

    /// How answers are found, checked before a model is loaded.
    pub(crate) fn decoding(&self) -> Result<Decoding> {
        let count = self.conversation.num_return_sequences;
        let count = count.unwrap_or(1);
        let Some(num_beams) = self.beams.num_beams else {
            let is_greedy = self.sampling.greedy || self.sampling.temperature == Some(0.0);
            if count > 1 && is_greedy {
                return Err(Error::SameAnswers);
            }
            return Ok(match count {
                1 => Decoding::Streamed,
                _ => Decoding::Samples(count),
            });
        };
        let beams = BeamSearchOptions::default()
            .with_num_beams(num_beams)
            .with_length_penalty(self.beams.length_penalty)
            .with_early_stopping(match self.beams.early_stopping {
                Stopping::AtOnce => EarlyStopping::AtOnce,
                Stopping::Heuristic => EarlyStopping::Heuristic,
                Stopping::Never => EarlyStopping::Never,
            })
            .with_num_return_sequences(count);
        beams.validate()?;
        Ok(Decoding::Beams(beams))
    }

    /// The options of every answer; what was not given is as in `defaults`.
    pub(crate) fn chat_options(&self, defaults: ChatOptions) -> Result<ChatOptions> {
        let official = defaults.generation;
        let generation = official
            .clone()
            .with_max_length(self.length.max_length.unwrap_or(official.max_length))
            .with_max_new_tokens(self.length.max_new_tokens)
            .with_do_sample(!self.sampling.greedy)
            .with_temperature(self.sampling.temperature.unwrap_or(official.temperature))
            .with_top_p(self.sampling.top_p.unwrap_or(official.top_p))
            .with_top_k(self.sampling.top_k)
            .with_min_new_tokens(self.length.min_new_tokens)
            .with_repetition_penalty(self.sampling.repetition_penalty)
            .with_presence_penalty(self.sampling.presence_penalty)
            .with_frequency_penalty(self.sampling.frequency_penalty)
            .with_no_repeat_ngram_size(self.sampling.no_repeat_ngram_size)
            .with_seed(self.sampling.seed)
            .with_prompt_lookup_num_tokens(self.sampling.prompt_lookup)
            .with_stop(self.length.stop.clone());
        generation.validate()?;
        let raw = self.conversation.raw.then_some(ResponseRules::Raw);
        Ok(ChatOptions::default()
            .with_generation(generation)
            .with_response(raw.or(defaults.response)))
    }
}

impl ModelArguments {
    /// The model that is asked for; `None` for the one that is built in.
    pub(crate) fn named(&self) -> Option<Named<'_>> {
        Some(Named {
            name: self.model.as_deref()?,
            revision: &self.revision,
            offline: self.offline,
        })
    }

    /// How it is loaded. Sets the threads of this process.
    fn load_options(&self) -> Result<LoadOptions<'static>> {
        if let Some(threads) = self.threads {
            set_cpu_threads(threads).map_err(glm_core::Error::from)?;
        }
        let device = self.device.open().map_err(glm_core::Error::from)?;
        let mut options = LoadOptions::default()
            .device(device)
            .precision(self.precision)
            .cached();
        if let Some(head) = self.head {
            options = options.head(head);
        }
        Ok(options)
    }

    pub(crate) fn numerics(&self) -> Numerics {
        if self.exact {
            return Numerics::EXACT;
        }
        Numerics::default().with_kv_cache(match self.kv_cache {
            KvCache::F32 => CachePrecision::F32,
            KvCache::F16 => CachePrecision::F16,
            KvCache::Int16 => CachePrecision::Int16,
            KvCache::Int8 => CachePrecision::Int8,
        })
    }

    pub(crate) fn is_demonstration(&self) -> bool {
        self.model.is_none()
    }
}

/// Whether there is something to fill.
fn has_blank(text: &str) -> bool {
    ["[MASK]", "[sMASK]", "[gMASK]"]
        .iter()
        .any(|blank| text.contains(blank))
}
