//! ChatGLM2-6B's tokenizer from the parts that the crate `tokenizers` brings, for a `tokenizer.json`.

use std::collections::HashSet;

use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as DecoderSequence;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Prepend, Replace, Sequence as NormalizerSequence};
use tokenizers::{DecoderWrapper, NormalizerWrapper, Result, Tokenizer};

use crate::normalizer::SPACE_SYMBOL;
use crate::pipeline::LeadingSpace;
use crate::sentencepiece_file::{Piece, PieceKind};
use crate::{Error, Family, GlmTokenizer, TokenId, phrase};

impl GlmTokenizer {
    /// The tokenizer of ChatGLM2-6B or CodeGeeX2 from the crate's own parts: its ids and its text are the official ones
    /// on every golden string. [`Tokenizer::save`](tokenizers::Tokenizer) writes it as `tokenizer.json`, which Python's
    /// `tokenizers` reads, too.
    ///
    /// What it cannot promise: of two ways to merge the same piece, SentencePiece takes the leftmost, and may merge a
    /// character that is no piece; the stock model orders pairs of pieces. So [`to_hugging_face`](Self::to_hugging_face)
    /// is the one that is exact by construction.
    ///
    /// # Errors
    /// [`Error::NotStock`] for ChatGLM-6B, of either generation, and for a file that normalises its text otherwise than
    /// the published ones; [`Error::AmbiguousPiece`] as in [`to_hugging_face`](Self::to_hugging_face).
    pub fn to_stock(&self) -> std::result::Result<Tokenizer, Error> {
        let not_stock = |reason| Error::NotStock { reason };
        if self.family() != Family::ChatGlm2 {
            return Err(not_stock(phrase!(
                "not-stock-chatglm",
                "ChatGLM-6B breaks ties between sums of f32 and takes the longest rule of normalisation, which those \
                 of the crate do not"
            )));
        }
        if !self.pipeline().normalizes_spaces_only() {
            return Err(not_stock(phrase!(
                "not-stock-normalises",
                "its file has rules of normalisation"
            )));
        }
        if self.pipeline().vocabulary.byte_ids().is_none() {
            return Err(not_stock(phrase!(
                "not-stock-no-bytes",
                "its file has no bytes for unknown characters"
            )));
        }
        self.check_names()?;
        self.stock().map_err(Error::HuggingFace)
    }

    fn stock(&self) -> Result<Tokenizer> {
        let drops_prefix = match self.pipeline().strips_leading_space() {
            LeadingSpace::Keep => false,
            LeadingSpace::DropOne | LeadingSpace::DropAll => true,
        };
        let space_symbol = SPACE_SYMBOL.to_string();

        let mut normalizers = Vec::new();
        if drops_prefix {
            normalizers.push(NormalizerWrapper::Prepend(Prepend::new(
                space_symbol.clone(),
            )));
        }
        normalizers.push(NormalizerWrapper::Replace(Replace::new(
            " ",
            space_symbol.as_str(),
        )?));

        let mut decoders: Vec<DecoderWrapper> = vec![
            DecoderWrapper::Replace(Replace::new(self.silent_tokens(), "")?),
            DecoderWrapper::Replace(Replace::new(space_symbol.as_str(), " ")?),
            DecoderWrapper::ByteFallback(ByteFallback::new()),
            DecoderWrapper::Fuse(Fuse::new()),
        ];
        if drops_prefix {
            decoders.push(DecoderWrapper::Strip(Strip::new(' ', 1, 0)));
        }

        let mut tokenizer = Tokenizer::new(self.stock_model()?);
        tokenizer.with_normalizer(Some(NormalizerSequence::new(normalizers)))?;
        tokenizer.with_post_processor(Some(super::GlmPostProcessor::new(self)?.into_usual()));
        tokenizer.with_decoder(Some(DecoderSequence::new(decoders)));
        Ok(tokenizer)
    }

    /// Special tokens are in the vocabulary, where no merge leads to them, and not among the added tokens, which would
    /// be found in texts.
    fn stock_model(&self) -> Result<BPE> {
        let vocabulary = &self.pipeline().vocabulary;
        let ids = 0..self.vocab_size() as TokenId;
        let named = ids.filter_map(|id| Some((self.id_to_piece(id)?.to_owned(), id)));
        let vocab: Vocab = named.collect();
        BPE::builder()
            .vocab_and_merges(vocab, merges(vocabulary.pieces()))
            .unk_token(
                self.id_to_piece(vocabulary.unknown())
                    .unwrap_or_default()
                    .to_owned(),
            )
            .fuse_unk(true)
            .byte_fallback(true)
            .build()
    }

    /// A pattern for the tokens that give no text.
    fn silent_tokens(&self) -> ReplacePattern {
        let ids = 0..self.vocab_size() as TokenId;
        let names = ids
            .filter(|&id| self.is_silent(id))
            .filter_map(|id| self.id_to_piece(id))
            .map(regex_escape);
        let names: Vec<_> = names.collect();
        ReplacePattern::Regex(format!(r"\A(?:{})\z", names.join("|")))
    }
}

/// All pairs of normal pieces that make up a third, the pieces in the order in which SentencePiece merges to them.
fn merges(pieces: &[Piece]) -> Merges {
    let mut normal: Vec<&Piece> = pieces
        .iter()
        .filter(|piece| piece.kind == PieceKind::Normal)
        .collect();
    let known: HashSet<&str> = normal.iter().map(|piece| piece.text.as_str()).collect();
    normal.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut merges = Merges::new();
    for piece in normal {
        let cuts = piece.text.char_indices().skip(1);
        let pairs = cuts.map(|(cut, _)| piece.text.split_at(cut));
        let pairs = pairs.filter(|(left, right)| known.contains(left) && known.contains(right));
        merges.extend(pairs.map(|(left, right)| (left.to_owned(), right.to_owned())));
    }
    merges
}

/// A regular expression that matches just `text`.
fn regex_escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
