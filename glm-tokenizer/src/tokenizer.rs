//! The tokenizer of one model: the family's rules around the SentencePiece pipeline.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clean_up::clean_up;
use crate::padded_batch::{BatchOptions, PaddedBatch};
use crate::pipeline::Pipeline;
use crate::sentencepiece_file::{self, SentencePieceFile};
use crate::special_tokens::{self, Span, SpecialTokens};
use crate::stream_decoder::StreamDecoder;
use crate::vocabulary::Meaning;
use crate::{Error, Family, TokenId, whitespace};

/// Text ⇄ ids, as the official tokenizer of the model does it.
///
/// Cloning is cheap: clones share the vocabulary. Encoding and decoding never fail and never lock, so one
/// tokenizer serves any number of threads.
#[derive(Debug, Clone)]
pub struct GlmTokenizer {
    data: Arc<TokenizerData>,
}

#[derive(Debug)]
pub(crate) struct TokenizerData {
    name: String,
    pub(crate) family: Family,
    pub(crate) pipeline: Pipeline,
    special: SpecialTokens,
    /// Tokens after the pieces, by name.
    added: Vec<(&'static str, TokenId)>,
    /// Texts that become tokens in `encode_official`.
    official: Vec<(&'static str, TokenId)>,
    /// Texts that become tokens in `encode_infilling`.
    masks: Vec<(&'static str, TokenId)>,
}

/// How ids become text. The default is the official `tokenizer.decode(ids)` of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Leave out `<unk>`; other special tokens are never visible. Second generation of ChatGLM-6B only, as officially:
    /// the first ignores the option, and the ChatGLM2-6B tokenizer counts no token as special. Default false.
    pub skip_special_tokens: bool,
    /// Move English punctuation to its word (`"x ."` → `"x."`), as transformers does. Second generation of ChatGLM-6B
    /// only, as officially. Default true.
    pub clean_up_tokenization_spaces: bool,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            skip_special_tokens: false,
            clean_up_tokenization_spaces: true,
        }
    }
}

impl GlmTokenizer {
    /// Names of the SentencePiece files of the model families, in the order they are looked for.
    pub const FILE_NAMES: [&str; 2] = ["ice_text.model", "tokenizer.model"];

    /// The SentencePiece file of a checkpoint folder, if it has one: `ice_text.model`, else `tokenizer.model`.
    pub fn file_in(dir: impl AsRef<Path>) -> Option<PathBuf> {
        let dir = dir.as_ref();
        let files = Self::FILE_NAMES.iter().map(|name| dir.join(name));
        files.into_iter().find(|file| file.exists())
    }

    /// Reads the SentencePiece file of a checkpoint folder: `ice_text.model` or, if that is not there,
    /// `tokenizer.model`. Nothing else in the folder is needed or read, and nothing is executed.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the folder has neither file, otherwise as [`from_file`](Self::from_file).
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = dir.as_ref();
        if let Some(file) = Self::file_in(dir) {
            return Self::from_file(file);
        }
        // A missing folder is another mistake than a missing file.
        match std::fs::read_dir(dir) {
            Ok(_) => Err(Error::NotFound { dir: dir.into() }),
            Err(source) => Err(Error::Io {
                path: dir.into(),
                source,
            }),
        }
    }

    /// Reads one SentencePiece file. The family is decided by what is in it, not by its name.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, otherwise as [`from_bytes`](Self::from_bytes).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = sentencepiece_file::read(path)?;
        Self::from_bytes(&path.display().to_string(), &bytes)
    }

    /// Makes the tokenizer of a SentencePiece model in memory; `name` is what error messages call it.
    ///
    /// # Errors
    /// Every other variant of [`Error`]: the bytes may come from anywhere.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let mut model = SentencePieceFile::parse(name, bytes)?;
        let family = Family::complete(&mut model);
        let pipeline = Pipeline::new(name, model)?;
        let special = SpecialTokens::find(name, family, &pipeline.vocabulary)?;
        Ok(Self {
            data: Arc::new(TokenizerData {
                name: name.to_owned(),
                family,
                added: special.added(family),
                official: special.official(family),
                masks: special.masks(),
                pipeline,
                special,
            }),
        })
    }

    /// Whether `decode` with these options cleans up.
    #[cfg(feature = "tokenizers")]
    pub(crate) fn cleans_up(&self, options: DecodeOptions) -> bool {
        self.data.cleans_up(options)
    }

    #[cfg(feature = "tokenizers")]
    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.data.pipeline
    }

    /// Texts that become tokens in [`encode_official`](Self::encode_official).
    #[cfg(feature = "tokenizers")]
    pub(crate) fn official_texts(&self) -> &[(&'static str, TokenId)] {
        &self.data.official
    }

    /// Tokens after the pieces.
    #[cfg(feature = "tokenizers")]
    pub(crate) fn added_tokens(&self) -> &[(&'static str, TokenId)] {
        &self.data.added
    }

    /// True for an id that gives no text.
    #[cfg(feature = "tokenizers")]
    pub(crate) fn is_silent(&self, id: TokenId) -> bool {
        matches!(self.data.meaning(id, false), None | Some(Meaning::Control))
    }

    /// The file that it was read from, or what it was called when it was made of bytes.
    pub fn name(&self) -> &str {
        &self.data.name
    }

    /// The family whose rules this tokenizer follows.
    pub fn family(&self) -> Family {
        self.data.family
    }

    /// Ids of the special tokens.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.data.special
    }

    /// Number of ids in use: ids are below it. The embedding of a checkpoint may have more rows.
    pub fn vocab_size(&self) -> usize {
        let pieces = self.data.pipeline.vocabulary.len();
        match self.data.family {
            Family::ChatGlm | Family::ChatGlmFirstGeneration => {
                pieces + self.data.family.id_offset() as usize
            }
            Family::ChatGlm2 => pieces.max(self.data.special.eop as usize + 1),
        }
    }

    /// Ids of a text in which nothing is special: a user who writes `[gMASK]` or `<sop>` has written
    /// those characters. Use this for text that comes from outside.
    pub fn encode(&self, text: &str) -> Vec<TokenId> {
        let mut ids = Vec::new();
        self.data.encode_text(text, &mut ids);
        ids
    }

    /// [`encode`](Self::encode), with the bytes of `text` that each token stands for.
    ///
    /// `&text[range]` is always valid, and neither the starts nor the ends of the ranges ever go back. Tokens of one
    /// character, such as its bytes, all have its range. `▁` stands for the spaces that became it, for none if it was
    /// put before the text. Characters that the normaliser drops, and spaces that it removes at the end, belong to no
    /// token.
    pub fn encode_with_offsets(&self, text: &str) -> Vec<(TokenId, Range<usize>)> {
        self.data.encode_text_with_offsets(text)
    }

    /// Ids of the official `tokenizer.encode(text, add_special_tokens=False)`: for ChatGLM-6B,
    /// `<sop>`, `<eop>` (first generation: `</s>`), `<unk>`, `<pad>` and `[MASK]` in the text become those tokens, and
    /// white space beside them goes. For ChatGLM2-6B the same as [`encode`](Self::encode).
    pub fn encode_official(&self, text: &str) -> Vec<TokenId> {
        self.data.encode_with_tokens(text, &self.data.official)
    }

    /// Ids of a text with a blank to fill: `[MASK]`, `[gMASK]` and `[sMASK]` become those tokens, and
    /// white space beside them goes; nothing else in the text is special.
    pub fn encode_infilling(&self, text: &str) -> Vec<TokenId> {
        self.data.encode_with_tokens(text, &self.data.masks)
    }

    /// Adds what tells the model to write: `[gMASK]` and `<sop>`, after `ids` for ChatGLM-6B, before
    /// them for ChatGLM2-6B (official `build_inputs_with_special_tokens`). In the first generation of ChatGLM-6B a
    /// `[MASK]` or `[gMASK]` in `ids` is the blank that is written, so that none is added, and `</s>` ends a text that
    /// goes on behind it.
    pub fn with_special_tokens(&self, mut ids: Vec<TokenId>) -> Vec<TokenId> {
        let SpecialTokens {
            mask, gmask, sop, ..
        } = self.data.special;
        let has_blank = ids.iter().any(|id| [mask, gmask].contains(id));
        match self.data.family {
            Family::ChatGlm2 => ids.splice(..0, [gmask, sop]).for_each(drop),
            Family::ChatGlmFirstGeneration if has_blank => return self.with_start_of_piece(ids),
            Family::ChatGlm | Family::ChatGlmFirstGeneration => ids.extend([gmask, sop]),
        }
        ids
    }

    /// Adds what tells the model to fill a blank that is in `ids`: `<sop>`, and before it, in the first generation of
    /// ChatGLM-6B, the `</s>` of a text that goes on behind its last blank. For [`encode_infilling`](Self::encode_infilling).
    pub fn with_start_of_piece(&self, mut ids: Vec<TokenId>) -> Vec<TokenId> {
        let special = &self.data.special;
        let masks = [Some(special.mask), Some(special.gmask), special.smask];
        let ends_with_blank = ids.last().is_some_and(|id| masks.contains(&Some(*id)));
        if !ends_with_blank {
            ids.extend(special.end_of_text);
        }
        ids.push(special.sop);
        ids
    }

    /// A prompt and its reply with all special tokens: [`with_special_tokens`](Self::with_special_tokens)
    /// of `ids`, then `pair`, then the id that ends a reply.
    pub fn with_special_tokens_pair(&self, ids: Vec<TokenId>, pair: Vec<TokenId>) -> Vec<TokenId> {
        let mut ids = self.with_special_tokens(ids);
        ids.extend(pair);
        ids.push(self.data.special.eos);
        ids
    }

    /// The official `tokenizer(texts, padding=True)`: [`encode_official`](Self::encode_official), special
    /// tokens, pads on the left.
    pub fn encode_batch(&self, texts: &[&str]) -> PaddedBatch {
        self.encode_batch_with(texts, BatchOptions::default())
    }

    /// [`encode_batch`](Self::encode_batch) with a length limit, a fixed length or no special tokens.
    pub fn encode_batch_with(&self, texts: &[&str], options: BatchOptions) -> PaddedBatch {
        let special = if options.add_special_tokens {
            self.with_special_tokens(Vec::new()).len()
        } else {
            0
        };
        let rows: Vec<_> = texts
            .iter()
            .map(|text| {
                let mut ids = self.encode_official(text);
                ids.truncate(
                    options
                        .truncate_to
                        .map_or(usize::MAX, |most| most.saturating_sub(special)),
                );
                if options.add_special_tokens {
                    self.with_special_tokens(ids)
                } else {
                    ids
                }
            })
            .collect();
        let min_len = options.pad_to.unwrap_or(0);
        PaddedBatch::new(
            self.family(),
            self.special_tokens(),
            &rows,
            min_len,
            options.pad_to_multiple_of,
        )
    }

    /// Pads rows of ids on the left to the length of the longest.
    pub fn pad_left(&self, rows: &[Vec<TokenId>]) -> PaddedBatch {
        PaddedBatch::new(self.family(), self.special_tokens(), rows, 0, 1)
    }

    /// Text of the ids. Special tokens give no text; ids outside the vocabulary are ignored; bytes that
    /// are no UTF-8 give `U+FFFD` each.
    pub fn decode(&self, ids: &[TokenId], options: DecodeOptions) -> String {
        // All of the text is here, so it can be cleaned at once.
        let cleaned = self.data.cleans_up(options);
        let mut decoder = self.stream_decoder_with(DecodeOptions {
            clean_up_tokenization_spaces: false,
            ..options
        });
        let mut text = String::new();
        for &id in ids {
            decoder.push_into(id, &mut text);
        }
        text.push_str(&decoder.finish());
        if cleaned { clean_up(&text) } else { text }
    }

    /// A decoder for ids that come one by one, without clean-up: its output adds up to [`decode`](Self::decode)
    /// with `clean_up_tokenization_spaces: false`.
    pub fn stream_decoder(&self) -> StreamDecoder {
        self.stream_decoder_with(DecodeOptions {
            clean_up_tokenization_spaces: false,
            ..Default::default()
        })
    }

    /// A decoder for ids that come one by one: its output adds up to [`decode`](Self::decode) with the same
    /// options. With clean-up it is up to three characters later.
    pub fn stream_decoder_with(&self, options: DecodeOptions) -> StreamDecoder {
        StreamDecoder::new(Arc::clone(&self.data), options)
    }

    /// The piece of an id as the model file writes it (`▁` for a space, `<0x41>` for a byte); none outside
    /// the vocabulary.
    pub fn id_to_piece(&self, id: TokenId) -> Option<&str> {
        let index = id.checked_sub(self.data.family.id_offset())?;
        self.data.pipeline.vocabulary.piece(index).or_else(|| {
            let mut added = self.data.added.iter();
            added.find(|(_, added)| *added == id).map(|(name, _)| *name)
        })
    }

    /// The id of a piece as [`id_to_piece`](Self::id_to_piece) writes it. Not for text: a user who writes `[gMASK]` has
    /// not written the token.
    pub fn piece_to_id(&self, piece: &str) -> Option<TokenId> {
        let data = &self.data;
        let in_file = data.pipeline.piece_to_id(piece);
        in_file.map(|id| id + data.family.id_offset()).or_else(|| {
            let mut added = data.added.iter();
            added.find(|(name, _)| *name == piece).map(|(_, id)| *id)
        })
    }

    /// The pieces of [`encode_official`](Self::encode_official), as the official `tokenizer.tokenize(text)`.
    pub fn tokenize(&self, text: &str) -> Vec<String> {
        let ids = self.encode_official(text);
        ids.into_iter()
            .filter_map(|id| self.id_to_piece(id))
            .map(str::to_owned)
            .collect()
    }
}

impl TokenizerData {
    /// The official ChatGLM2-6B tokenizer has clean-up switched off.
    pub(crate) fn cleans_up(&self, options: DecodeOptions) -> bool {
        self.family == Family::ChatGlm && options.clean_up_tokenization_spaces
    }

    fn encode_text(&self, text: &str, ids: &mut Vec<TokenId>) {
        let text = if self.family.is_chatglm() {
            whitespace::to_symbols(text)
        } else {
            text.into()
        };
        let offset = self.family.id_offset();
        self.pipeline.encode(&text, |id| ids.push(id + offset));
    }

    fn encode_text_with_offsets(&self, text: &str) -> Vec<(TokenId, Range<usize>)> {
        let mut tokens = Vec::new();
        let offset = self.family.id_offset();
        if self.family.is_chatglm() {
            let symbols = whitespace::to_symbols_aligned(text);
            self.pipeline
                .encode_with_offsets(symbols.text(), |id, range| {
                    tokens.push((id + offset, symbols.source(range)));
                });
        } else {
            self.pipeline
                .encode_with_offsets(text, |id, range| tokens.push((id + offset, range)));
        }
        tokens
    }

    fn encode_with_tokens(&self, text: &str, tokens: &[(&str, TokenId)]) -> Vec<TokenId> {
        let mut ids = Vec::new();
        for span in special_tokens::split(text, tokens) {
            match span {
                Span::Text(text) => self.encode_text(text, &mut ids),
                Span::Token(id) => ids.push(id),
            }
        }
        ids
    }

    /// What an id contributes to decoded text; none if it is not even there.
    pub(crate) fn meaning(&self, id: TokenId, skip_special_tokens: bool) -> Option<Meaning<'_>> {
        let special = &self.special;
        match self.family {
            // Pads are filtered out before decoding, so they do not even end a run of bytes.
            Family::ChatGlm | Family::ChatGlmFirstGeneration if id == special.pad => None,
            // Image tokens are filtered out too.
            Family::ChatGlmFirstGeneration => {
                let index = id.checked_sub(self.family.id_offset())?;
                self.pipeline.vocabulary.meaning(index)
            }
            Family::ChatGlm
                if skip_special_tokens && self.official.iter().any(|&(_, token)| token == id) =>
            {
                None
            }
            // The official tokenizer gives the empty string as the piece of its pad, which is <unk>.
            Family::ChatGlm2
                if id == special.pad || self.added.iter().any(|&(_, added)| added == id) =>
            {
                Some(Meaning::Control)
            }
            _ => self.pipeline.vocabulary.meaning(id),
        }
    }
}
