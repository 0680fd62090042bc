//! GPTQ: codes that are found by running the model on a text.

use std::{error::Error, path::Path};

use command_line::{encoding::Encoding, exit::note, model::tokenizer_of, text::decoded};
use glm_core::{
    GlmTokenizer, LoadOptions, Quantizer, TokenId,
    checkpoint::{Precision, save_prepacked},
    regular_file,
};

/// Most bytes of the text. A row needs about a thousand.
const MAX_TEXT_BYTES: u64 = 256 << 20;

/// Tokens of text in a calibration row.
const ROW_TOKENS: usize = 256;

/// Rows that are used at most: more text changes little and takes long.
const MAX_ROWS: usize = 128;

/// Quantises the checkpoint `source` with GPTQ on the text of the file `calibration`, and writes the prepacked file `output`.
/// `progress` is told how many blocks are done, and of how many.
pub(crate) fn write(
    options: LoadOptions<'_>,
    source: &Path,
    (calibration, encoding): (&Path, Option<Encoding>),
    [layers, head]: [Precision; 2],
    output: &Path,
    progress: impl FnMut(usize, usize),
) -> Result<(), Box<dyn Error>> {
    let text = regular_file::read(calibration, MAX_TEXT_BYTES)
        .map_err(|error| glm_core::Error::file(calibration, error))?;
    let text = decoded(&calibration.display(), text, encoding)?;
    if let Some(encoding) = text.guessed {
        let name = calibration.display();
        note(&format!(
            "note: {name} is not UTF-8 and was read as {encoding}; --encoding names another encoding"
        ));
    }
    let tokenizer = tokenizer_of(source)?;
    let rows = rows(&tokenizer, &text.text);
    if rows.is_empty() {
        return Err(format!("{}: there is no text in it", calibration.display()).into());
    }
    let model = options.load(source)?;
    let quantizer = Quantizer::Gptq { calibration: &rows };
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
