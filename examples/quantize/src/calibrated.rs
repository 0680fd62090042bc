//! GPTQ: codes that are found by running the model on a text.

use std::path::Path;

use command_line::{encoding::Encoding, model::tokenizer_of, text::Source, texts::Texts};
use glm_core::{
    GlmTokenizer, LoadOptions, Quantizer, TokenId,
    checkpoint::{Precision, save_prepacked},
    regular_file,
};

use crate::error::Error;

/// Most bytes of the text. A row needs about a thousand.
const MAX_TEXT_BYTES: u64 = 256 << 20;

/// Tokens of text in a calibration row.
const ROW_TOKENS: usize = 256;

/// Rows that are used at most: more text changes little and takes long.
const MAX_ROWS: usize = 128;

/// The text to calibrate with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calibration<'a> {
    pub(crate) file: &'a Path,
    pub(crate) encoding: Option<Encoding>,
}

impl Calibration<'_> {
    /// Its rows, for the checkpoint `source`.
    pub(crate) fn rows(&self, source: &Path, texts: &Texts) -> Result<Vec<Vec<TokenId>>, Error> {
        let bytes = regular_file::read(self.file, MAX_TEXT_BYTES)
            .map_err(|error| glm_core::Error::file(self.file, error))?;
        let file = Source::File(self.file.to_path_buf());
        let text = file.decoded(bytes, self.encoding)?;
        file.note_guess(&text, texts);
        let rows = rows(&tokenizer_of(source)?, &text.text);
        match rows.is_empty() {
            true => Err(Error::NoText {
                path: self.file.to_path_buf(),
            }),
            false => Ok(rows),
        }
    }
}

/// Quantises the checkpoint `source` with GPTQ on these rows, and writes the prepacked file `output`. `progress` is told how
/// many blocks are done, and of how many.
pub(crate) fn write(
    options: LoadOptions<'_>,
    source: &Path,
    rows: &[Vec<TokenId>],
    [layers, head]: [Precision; 2],
    output: &Path,
    progress: impl FnMut(usize, usize),
) -> Result<(), Error> {
    let model = options.load(source)?;
    let quantizer = Quantizer::Gptq { calibration: rows };
    let model = model.quantize(layers, Some(head), quantizer, progress)?;
    save_prepacked(&model, output)?;
    Ok(())
}

/// Pieces of the text as the model meets text: the first half as the context, then the blank and the start of the answer,
/// then the second half.
fn rows(tokenizer: &GlmTokenizer, text: &str) -> Vec<Vec<TokenId>> {
    let paragraphs = text.lines().filter(|line| !line.trim().is_empty());
    let ids: Vec<TokenId> = paragraphs.flat_map(|line| tokenizer.encode(line)).collect();
    let row = |piece: &[TokenId]| {
        let (context, answer) = piece.split_at(piece.len() / 2);
        [&tokenizer.with_special_tokens(context.to_vec()), answer].concat()
    };
    ids.chunks(ROW_TOKENS).take(MAX_ROWS).map(row).collect()
}
