//! Blanks in a text, filled one after the other.

use std::sync::Arc;

use glm_tokenizer::GlmTokenizer;
use glm_tokenizer::phrase;

use super::{process_response::is_python_space, reply::ChatOptions, reply_stream::ReplyStream};
use crate::{
    config::ModelConfig,
    error::{Error, Result},
    generate::{
        CancelToken, FinishReason, GenerationOptions, LogitsProcessor, TextGenerator, row_seed,
    },
    model::Model,
    prefix_lm::TokenId,
};

/// A text whose blanks were filled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Infilled {
    /// The text with the pieces in place of the blanks. A blank that was not reached, because the filling was cancelled,
    /// still has its name.
    pub text: String,
    /// What was put in place of the blanks, in the order of the text.
    pub pieces: Vec<Piece>,
    /// The seed that gives these pieces again.
    pub seed: u64,
}

/// What was put in place of a blank.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Piece {
    /// Which blank of the text, from 0.
    pub blank: usize,
    /// The text.
    pub text: String,
    /// What ended it.
    pub finish_reason: FinishReason,
    /// NaN or infinite logits on the way: 0 with healthy weights.
    pub invalid_scores: usize,
}

impl Model {
    /// Fills the blanks in `text`: `[MASK]` for a few words, `[gMASK]` for a longer passage, `[sMASK]` for sentences.
    ///
    /// Blanks are filled one after the other, each with what was filled before in its place. The order is the
    /// model's: in ChatGLM-6B every `[gMASK]` first, in its first generation every `[MASK]`, and `[sMASK]` last. The
    /// official code never looks for `[sMASK]`, so a text with no other blank is an error there.
    ///
    /// The official tokenizer puts a `[gMASK]` behind every text, and the model then fills that one; here a text with
    /// blanks of its own is followed by `<sop>` alone.
    ///
    /// # Errors
    /// As [`Model::stream_infill`].
    pub fn infill(
        &self,
        tokenizer: &GlmTokenizer,
        text: &str,
        options: &ChatOptions,
    ) -> Result<Infilled> {
        self.stream_infill(tokenizer, text, options)?.run()
    }

    /// [`Model::infill`] piece by piece: an iterator over the number of a blank and the next text in it.
    ///
    /// The limits of `options` hold for every blank anew, and each draws from a seed of its own, as the rows of a batch.
    ///
    /// # Errors
    /// [`Error::Prompt`] for a text without a blank and for a ChatGLM2-6B; [`Error::OtherTokenizer`], [`Error::InvalidOption`] and
    /// [`Error::PromptTooLong`], the last also from the iterator when a text becomes too long while it is filled.
    pub fn stream_infill<'model>(
        &'model self,
        tokenizer: &GlmTokenizer,
        text: &str,
        options: &ChatOptions,
    ) -> Result<StreamedInfilling<'model>> {
        self.check_tokenizer(tokenizer)?;
        let generation = options.generation.within(self);
        generation.validate()?;
        let text = BlankedText::new(text, &tokenizer.special_tokens().masks());
        let refuse = |expected| {
            Err(Error::Prompt {
                expected,
                tokens: tokenizer.encode(&text.texts.concat()).len(),
            })
        };
        if let ModelConfig::ChatGlm2(_) = self.config() {
            return refuse(phrase!(
                "prompt-no-blanks",
                "ChatGLM-6B: its successors have not learned to fill blanks"
            ));
        }
        if text.blanks.is_empty() {
            return refuse(phrase!(
                "prompt-blank-in-text",
                "[MASK], [gMASK] or [sMASK] in the text, a blank to fill"
            ));
        }
        let mut infilling = StreamedInfilling {
            model: self,
            tokenizer: tokenizer.clone(),
            options: ChatOptions {
                generation,
                response: options.response,
            },
            text,
            pieces: Vec::new(),
            seed: None,
            cancel: CancelToken::new(),
            current: None,
        };
        infilling.begin_piece()?;
        Ok(infilling)
    }
}

/// Blanks while they are filled; see [`Model::stream_infill`].
#[derive(Debug)]
pub struct StreamedInfilling<'model> {
    model: &'model Model,
    tokenizer: GlmTokenizer,
    options: ChatOptions,
    text: BlankedText,
    /// What was filled, in that order.
    pieces: Vec<Piece>,
    /// Of the first piece.
    seed: Option<u64>,
    cancel: CancelToken,
    /// Place of the blank in `text.blanks` that is being filled.
    current: Option<(usize, TextGenerator<'model>)>,
}

impl StreamedInfilling<'_> {
    /// Lets `cancel` end the filling: before its next token, and in the middle of a prompt.
    #[must_use]
    pub fn with_cancel(mut self, cancel: CancelToken) -> Self {
        let current = self.current.take();
        self.current =
            current.map(|(place, generator)| (place, generator.with_cancel(cancel.clone())));
        self.cancel = cancel;
        self
    }

    /// Adds a rule about the next token in every blank behind those of the options.
    #[must_use]
    pub fn with_processor(mut self, processor: Arc<dyn LogitsProcessor>) -> Self {
        let generation = self.options.generation;
        self.options.generation = generation.with_processor(Arc::clone(&processor));
        let current = self.current.take();
        self.current =
            current.map(|(place, generator)| (place, generator.with_processor(processor)));
        self
    }

    /// Fills all blanks.
    ///
    /// # Errors
    /// Those of the iterator: as [`Model::stream_infill`], and what keeps the model from going on.
    pub fn run(mut self) -> Result<Infilled> {
        self.by_ref().try_for_each(|piece| piece.map(drop))?;
        Ok(self.into_infilled())
    }

    /// The text with its blanks filled as far as the iterator was run.
    #[must_use]
    pub fn into_infilled(mut self) -> Infilled {
        self.end_piece();
        self.pieces.sort_by_key(|piece| piece.blank);
        Infilled {
            text: self.text.into_text(),
            pieces: self.pieces,
            seed: self.seed.unwrap_or_default(),
        }
    }

    /// Starts to fill the blank that is the model's next one.
    fn begin_piece(&mut self) -> Result<()> {
        let (prompt, places) = self.text.prompt(&self.tokenizer);
        let blank = self.model.layouts(&[&prompt])?[0].mask_position();
        let place = places.iter().position(|&at| Some(at) == blank);
        let seed = self.seed.map(|seed| row_seed(seed, self.pieces.len()));
        let generation = GenerationOptions {
            seed: seed.or(self.options.generation.seed),
            ..self.options.generation.clone()
        };
        let generator = TextGenerator::new(
            self.model,
            &self.tokenizer,
            &prompt,
            &generation,
            ReplyStream::new(self.model.response_rules(&self.options)),
        )?
        .with_cancel(self.cancel.clone());
        self.seed.get_or_insert(generator.generator.seed());
        self.current = place.map(|place| (place, generator));
        Ok(())
    }

    /// Puts what was written in the place of its blank.
    fn end_piece(&mut self) {
        let Some((place, mut generator)) = self.current.take() else {
            return;
        };
        let finish_reason = generator.finish_reason();
        let invalid_scores = generator.generator.invalid_scores();
        let text = generator.take_text();
        if finish_reason == FinishReason::Cancelled && text.is_empty() {
            return;
        }
        self.pieces.push(Piece {
            blank: self.text.fill(place, &text),
            text,
            finish_reason,
            invalid_scores,
        });
    }
}

impl Iterator for StreamedInfilling<'_> {
    type Item = Result<(usize, String)>;

    /// The number of a blank, from 0, and the next text in it, never empty.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (place, generator) = self.current.as_mut()?;
            let blank = self.text.blanks[*place].number;
            match generator.next() {
                Some(Ok(text)) => return Some(Ok((blank, text))),
                Some(Err(error)) => {
                    self.current = None;
                    return Some(Err(error));
                }
                None => self.end_piece(),
            }
            if self.text.blanks.is_empty() || self.cancel.is_cancelled() {
                return None;
            }
            if let Err(error) = self.begin_piece() {
                return Some(Err(error));
            }
        }
    }
}

/// A text with blanks: one more text than there are blanks, around and between them.
#[derive(Debug)]
struct BlankedText {
    texts: Vec<String>,
    blanks: Vec<Blank>,
}

#[derive(Debug)]
struct Blank {
    /// Which blank of the text as it was given.
    number: usize,
    name: &'static str,
    id: TokenId,
}

impl BlankedText {
    /// Cuts a text at the names of `masks`.
    fn new(text: &str, masks: &[(&'static str, TokenId)]) -> Self {
        let (mut texts, mut blanks) = (Vec::new(), Vec::new());
        let mut rest = text;
        let next = |text: &str| {
            let found = masks
                .iter()
                .filter_map(|&(name, id)| Some((text.find(name)?, name, id)));
            found.min()
        };
        while let Some((at, name, id)) = next(rest) {
            texts.push(rest[..at].to_owned());
            rest = &rest[at + name.len()..];
            blanks.push(Blank {
                number: blanks.len(),
                name,
                id,
            });
        }
        texts.push(rest.to_owned());
        Self { texts, blanks }
    }

    /// The ids that let the model fill a blank, and where among them the blanks are. Pieces that were filled in are text
    /// like any other, whatever they spell; white space beside a blank goes, as in
    /// [`GlmTokenizer::encode_infilling`].
    fn prompt(&self, tokenizer: &GlmTokenizer) -> (Vec<TokenId>, Vec<usize>) {
        let (mut ids, mut places) = (Vec::new(), Vec::new());
        for (index, text) in self.texts.iter().enumerate() {
            let blank = self.blanks.get(index);
            let text = match index {
                0 => text,
                _ => text.trim_start_matches(is_python_space),
            };
            let text = match blank {
                None => text,
                Some(_) => text.trim_end_matches(is_python_space),
            };
            ids.extend(tokenizer.encode(text));
            if let Some(blank) = blank {
                places.push(ids.len());
                ids.push(blank.id);
            }
        }
        (tokenizer.with_start_of_piece(ids), places)
    }

    /// Puts `piece` in place of a blank; returns the blank's number.
    fn fill(&mut self, place: usize, piece: &str) -> usize {
        let behind = self.texts.remove(place + 1);
        self.texts[place].push_str(piece);
        self.texts[place].push_str(&behind);
        self.blanks.remove(place).number
    }

    /// The text, with the names of blanks that were not filled.
    fn into_text(self) -> String {
        let names = self.blanks.iter().map(|blank| blank.name).chain([""]);
        self.texts
            .iter()
            .zip(names)
            .flat_map(|(text, name)| [text, name])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASKS: [(&str, TokenId); 3] = [("[MASK]", 7), ("[gMASK]", 8), ("[sMASK]", 9)];

    #[test]
    fn a_text_is_cut_at_its_blanks_and_put_together_again() {
        for (text, texts) in [
            ("", &[""][..]),
            ("[MASK]", &["", ""]),
            ("a [gMASK][MASK] b[[sMASK]]", &["a ", "", " b[", "]"]),
            ("[MASK", &["[MASK"]),
        ] {
            let blanked = BlankedText::new(text, &MASKS);
            assert_eq!(blanked.texts, texts);
            assert_eq!(blanked.blanks.len() + 1, texts.len());
            assert_eq!(blanked.into_text(), text);
        }
    }

    #[test]
    fn a_piece_that_spells_a_blank_is_text() {
        let mut blanked = BlankedText::new("a [MASK] b [sMASK].", &MASKS);
        assert_eq!(blanked.fill(1, "[MASK]"), 1);
        assert_eq!(blanked.fill(0, "x"), 0);
        assert_eq!(blanked.texts, ["a x b [MASK]."]);
        assert!(blanked.blanks.is_empty());
    }
}
