//! ChatGLM-6B's first generation (March to April 2023, 150,528 ids): the first 20,000 ids are image tokens, text comes
//! behind them, and the model file lacks the tokens that its tokenizer adds when it reads it (`TextTokenizer` and
//! `SPTokenizer` of the official `tokenization_chatglm.py` before 2023-04-06). The second generation stores them.

use crate::TokenId;
use crate::sentencepiece_file::{Algorithm, Piece, PieceKind, SentencePieceFile};
use crate::whitespace;

/// Ids before the first piece. The published models were never trained on them.
pub(crate) const IMAGE_TOKENS: TokenId = 20_000;

/// The control pieces that are added, in their order.
const CONTROL_PIECES: [&str; 8] = [
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "<unused_0>",
    "<sop>",
    "<eop>",
    "<ENC>",
    "<dBLOCK>",
];

/// True for a Unigram model without any of the pieces that the second generation stores.
pub(crate) fn is_first_generation(model: &SentencePieceFile) -> bool {
    model.algorithm == Algorithm::Unigram
        && !model.byte_fallback
        && !model
            .pieces
            .iter()
            .any(|piece| piece.kind == PieceKind::Byte || CONTROL_PIECES.contains(&&*piece.text))
}

/// Adds what the file lacks: control pieces, white space symbols, and bytes for unknown characters.
pub(crate) fn complete(model: &mut SentencePieceFile) {
    let mut add = |text: String, kind| {
        model.pieces.push(Piece {
            text,
            score: 0.0,
            kind,
        });
    };
    for text in CONTROL_PIECES {
        add(text.to_owned(), PieceKind::Control);
    }
    for text in whitespace::symbols() {
        add(text, PieceKind::UserDefined);
    }
    for byte in 0..=255_u8 {
        add(format!("<0x{byte:02X}>"), PieceKind::Byte);
    }
    model.byte_fallback = true;
}
