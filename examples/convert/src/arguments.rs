//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use command_line::texts::Texts;
use glm_core::{
    Error, Phrase, Precision,
    checkpoint::{Bits, Target},
};

const AFTER_HELP: &str = "\
Forms:
  safetensors   a folder in the official layout, every tensor in f16; codes are dequantised
  int8, int4    a folder as the official chatglm-6b-int8 and chatglm-6b-int4
  prepacked     one file that is used in place, in the --precision asked for

The tokenizer goes along; out of a ggml file too. Tensors are converted one at a time.

Examples:
  convert chatglm-ggml.bin --to safetensors -o chatglm-6b
  convert chatglm-ggml.bin --to prepacked -o chatglm-6b.glm
  convert chatglm-6b --to int4 -o chatglm-6b-int4
  convert chatglm-6b-int4.glm --to int4 --requantize -o chatglm-6b-int4";

/// Convert a checkpoint of ChatGLM-6B or ChatGLM2-6B between its forms on disk
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Folder of a checkpoint (config.json and weights), a ggml file of chatglm.cpp, or a prepacked
    /// file
    pub(crate) source: PathBuf,
    /// What to make of it
    #[arg(long, value_name = "FORM", value_enum)]
    to: Form,
    /// With --to prepacked: what the matrices of the layers become (int4, int8-g32, ...; `quantize
    /// --help` lists them) [default: stored]
    #[arg(short, long, value_name = "NAME")]
    precision: Option<Precision>,
    /// With --to prepacked: what embedding and head become [default: int8 beside quantised layers,
    /// else stored]
    #[arg(long, value_name = "NAME")]
    head: Option<Precision>,
    /// The folder (the file with --to prepacked) to write
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Let codes become other codes, although they are rounded a second time: the model becomes worse
    /// than one that is quantised once
    #[arg(long)]
    pub(crate) requantize: bool,
    /// Do not read the result again to compare it with a second conversion
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// Overwrite what is there (never the source)
    #[arg(long)]
    pub(crate) force: bool,
}

/// A form of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
enum Form {
    Safetensors,
    Int8,
    Int4,
    Prepacked,
}

impl Arguments {
    /// What the library is asked for.
    pub(crate) fn target(&self, texts: &Texts) -> Result<Target, Error> {
        let given = [("precision", self.precision), ("head", self.head)];
        let given = given
            .into_iter()
            .find_map(|(option, precision)| Some((option, precision?)));
        match (self.to, given) {
            (Form::Prepacked, _) => Ok(Target::Prepacked {
                layers: self.precision.unwrap_or_default(),
                head: self.head,
            }),
            (_, Some((option, precision))) => Err(Error::InvalidOption {
                option,
                expected: Phrase::verbatim(texts.get("convert-only-prepacked")),
                found: Phrase::verbatim(precision),
            }),
            (Form::Safetensors, None) => Ok(Target::Safetensors),
            (Form::Int8, None) => Ok(Target::Official(Bits::Eight)),
            (Form::Int4, None) => Ok(Target::Official(Bits::Four)),
        }
    }
}
