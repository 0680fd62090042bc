//! The command line.

use std::path::PathBuf;

use clap::Parser;
use command_line::{encoding::Encoding, texts::Texts};
use glm_core::{
    Error, Phrase,
    checkpoint::{GroupSize, Precision, Target},
};

use crate::calibrated::Calibration;

const AFTER_HELP: &str = "\
Precisions:
  int4, int8             codes of 4 or 8 bits, one scale for each 128 columns
  int4-g32, int8-g32     one scale for each 32 columns: a little larger, closer to the original
  int4-row, int8-row     one scale for each row, as the official int4 and int8 checkpoints
  stored                 as in the checkpoint: packs without quantising, or keeps the embedding

The file is used in place: a program maps it and starts at once. The tensors are converted one at
a time, so that a checkpoint of 13 GB needs less than 4 GB of memory.

Examples:
  quantize chatglm-6b --precision int4 -o chatglm-6b-int4.glm
  quantize chatglm-6b --precision int4 --head int4 -o chatglm-6b-int4-small.glm
  quantize chatglm-6b --precision int4 --gptq text.txt -o chatglm-6b-int4-gptq.glm
  quantize chatglm-6b --precision int4 --official -o chatglm-6b-int4";

/// Quantise a checkpoint of ChatGLM-6B or ChatGLM2-6B to INT8 or INT4 on disk
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Folder of the checkpoint (config.json and weights), a ggml file of chatglm.cpp, or the name of a
    /// model on huggingface.co, such as THUDM/chatglm-6b, which is downloaded once
    pub(crate) source: PathBuf,
    /// What the matrices of the layers become
    #[arg(short, long, value_name = "NAME")]
    pub(crate) precision: Precision,
    /// What embedding and head become [default: int8; stored with --official]
    #[arg(long, value_name = "NAME", conflicts_with = "official")]
    head: Option<Precision>,
    /// Find the codes of the layers with GPTQ, on this text file: a better model for hours of work. Some
    /// 30,000 tokens are used, in the languages and of the kind that the model will meet. The
    /// checkpoint must fit into memory
    #[arg(long, value_name = "TEXT", conflicts_with = "official")]
    gptq: Option<PathBuf>,
    /// Encoding of that text, such as gbk [default: UTF-8, what a byte-order mark says, else what is most probable]
    #[arg(long, value_name = "NAME", requires = "gptq")]
    encoding: Option<Encoding>,
    /// Write a folder in the official layout, for other programs, in place of one file; one scale
    /// for each row, embedding and head in fp16
    #[arg(long)]
    official: bool,
    /// The file (the folder with --official) to write
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Overwrite what is there
    #[arg(long)]
    pub(crate) force: bool,
}

impl Arguments {
    /// What the library is asked for. The official layout has one scale for each row.
    pub(crate) fn target(&self, texts: &Texts) -> Result<Target, Error> {
        match self.precision {
            layers if !self.official => Ok(Target::Prepacked {
                layers,
                head: self.head,
            }),
            Precision::Quantized {
                bits,
                group: None | Some(GroupSize::Row),
            } => Ok(Target::Official(bits)),
            other => Err(Error::InvalidOption {
                option: "precision",
                expected: Phrase::verbatim(texts.get("quantize-official-precisions")),
                found: Phrase::verbatim(other),
            }),
        }
    }

    /// The text to calibrate with, if there is one.
    pub(crate) fn calibration(&self) -> Option<Calibration<'_>> {
        Some(Calibration {
            file: self.gptq.as_deref()?,
            encoding: self.encoding,
        })
    }

    /// The precision of embedding and head beside layers that are calibrated.
    pub(crate) fn calibrated_head(&self) -> Precision {
        self.head.unwrap_or(self.precision.default_head())
    }
}
