//! The tokens that are no text: where a reply goes, where it starts and where it ends.

use crate::vocabulary::Vocabulary;
use crate::{Error, Family, Phrase, TokenId, phrase};

/// Ids of the special tokens of one model file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `[MASK]`: a short blank in the text is to be filled.
    pub mask: TokenId,
    /// `[gMASK]`: text of any length is to be written.
    pub gmask: TokenId,
    /// `[sMASK]`: whole sentences are to be filled in. Not every vocabulary has it.
    pub smask: Option<TokenId>,
    /// `<sop>`, start of piece: the generated text starts after it. Also the `bos` of the model.
    pub sop: TokenId,
    /// `<eop>`, end of piece.
    pub eop: TokenId,
    /// Ends a reply: `<eop>` in ChatGLM-6B, `</s>` in ChatGLM2-6B. (The official tokenizer of ChatGLM-6B's first
    /// generation calls `</s>` its `eos_token`; its model ends replies with `<eop>`.)
    pub eos: TokenId,
    /// Fills up the rows of a batch: `<pad>` in ChatGLM-6B, `<unk>` in ChatGLM2-6B.
    pub pad: TokenId,
    /// Unknown text. With byte fallback, encoding never produces it.
    pub unk: TokenId,
    /// `</s>` of ChatGLM-6B's first generation, which stands behind a text with a blank.
    pub(crate) end_of_text: Option<TokenId>,
}

impl SpecialTokens {
    /// ChatGLM-6B has them among its pieces, ChatGLM2-6B counts on from its last piece.
    pub(crate) fn find(file: &str, family: Family, vocabulary: &Vocabulary) -> Result<Self, Error> {
        let control = |text: &str, why: fn() -> Phrase| {
            vocabulary
                .control(file, text)?
                .ok_or_else(|| Error::MissingPiece {
                    file: file.into(),
                    piece: text.into(),
                    why: why(),
                })
        };
        let unk = vocabulary.unknown();
        match family {
            Family::ChatGlm | Family::ChatGlmFirstGeneration => {
                let why = || {
                    phrase!(
                        "piece-of-chatglm",
                        "which every model file of ChatGLM-6B has"
                    )
                };
                let offset = family.id_offset();
                let id = |text| Ok(control(text, why)? + offset);
                let smask = vocabulary.control(file, "[sMASK]")?;
                Ok(Self {
                    mask: id("[MASK]")?,
                    gmask: id("[gMASK]")?,
                    smask: smask.map(|smask| smask + offset),
                    sop: id("<sop>")?,
                    eop: id("<eop>")?,
                    eos: id("<eop>")?,
                    pad: id("<pad>")?,
                    unk: unk + offset,
                    end_of_text: match family {
                        Family::ChatGlmFirstGeneration => Some(id("</s>")?),
                        _ => None,
                    },
                })
            }
            Family::ChatGlm2 => {
                // At most MAX_PIECES pieces, so this cannot overflow.
                let added = vocabulary.len() as TokenId;
                Ok(Self {
                    mask: added,
                    gmask: added + 1,
                    smask: Some(added + 2),
                    sop: chatglm2_sop(added),
                    eop: added + 4,
                    eos: control("</s>", || {
                        phrase!("piece-end-of-reply", "which ends a reply of ChatGLM2-6B")
                    })?,
                    pad: unk,
                    unk,
                    end_of_text: None,
                })
            }
        }
    }

    /// What ChatGLM2-6B adds after its pieces.
    pub(crate) fn added(&self, family: Family) -> Vec<(&'static str, TokenId)> {
        if family != Family::ChatGlm2 {
            return Vec::new();
        }
        let mut added = self.masks();
        added.extend([("sop", self.sop), ("eop", self.eop)]);
        added
    }

    /// The texts that the official tokenizer turns into tokens wherever they stand: those its
    /// configuration calls special, which for ChatGLM2-6B are none.
    pub(crate) fn official(&self, family: Family) -> Vec<(&'static str, TokenId)> {
        // The `eos_token` is among them, which was `</s>` in the first generation.
        let eos_token = match (family, self.end_of_text) {
            (Family::ChatGlm2, _) => return Vec::new(),
            (_, Some(end_of_text)) => ("</s>", end_of_text),
            (_, None) => ("<eop>", self.eop),
        };
        vec![
            eos_token,
            ("<sop>", self.sop),
            ("<unk>", self.unk),
            ("<pad>", self.pad),
            ("[MASK]", self.mask),
        ]
    }

    /// The blanks that a text can have, by the name that stands for them in [`crate::GlmTokenizer::encode_infilling`].
    pub fn masks(&self) -> Vec<(&'static str, TokenId)> {
        let smask = self.smask.map(|id| ("[sMASK]", id));
        [("[MASK]", self.mask), ("[gMASK]", self.gmask)]
            .into_iter()
            .chain(smask)
            .collect()
    }
}

/// The id of `sop` in ChatGLM2-6B, behind `pieces` pieces and three masks.
pub(crate) fn chatglm2_sop(pieces: TokenId) -> TokenId {
    pieces + 3
}

/// A stretch of a text that may contain special tokens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Span<'a> {
    Text(&'a str),
    Token(TokenId),
}

/// Splits `text` at `tokens`. White space next to a token goes, as in `PreTrainedTokenizer.tokenize` of
/// transformers; empty stretches are left out.
pub(crate) fn split<'a>(text: &'a str, tokens: &[(&str, TokenId)]) -> Vec<Span<'a>> {
    let mut spans = Vec::new();
    let mut rest = text;
    let mut search = 0;
    let mut after_token = false;
    while let Some(found) = rest[search..].find(['<', '[']) {
        let at = search + found;
        let token = tokens.iter().find(|(name, _)| rest[at..].starts_with(name));
        let Some((name, id)) = token else {
            search = at + 1;
            continue;
        };
        push_text(&mut spans, &rest[..at], after_token, true);
        spans.push(Span::Token(*id));
        rest = &rest[at + name.len()..];
        search = 0;
        after_token = true;
    }
    push_text(&mut spans, rest, after_token, false);
    spans
}

fn push_text<'a>(spans: &mut Vec<Span<'a>>, text: &'a str, after_token: bool, before_token: bool) {
    let text = if after_token {
        text.trim_start_matches(is_python_space)
    } else {
        text
    };
    let text = if before_token {
        text.trim_end_matches(is_python_space)
    } else {
        text
    };
    if !text.is_empty() {
        spans.push(Span::Text(text));
    }
}

/// `str.isspace` of Python, which counts the four ASCII separators besides Unicode's white space.
pub(crate) fn is_python_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_cut_out_and_spaces_beside_them_go() {
        let tokens = [("[MASK]", 7), ("<sop>", 8)];
        let spans = split(" a [MASK]\u{3000}<sop>\u{1f}b < [MASK", &tokens);
        assert_eq!(
            spans,
            [
                Span::Text(" a"),
                Span::Token(7),
                Span::Token(8),
                Span::Text("b < [MASK")
            ]
        );
        assert_eq!(
            split("[[MASK]]", &tokens),
            [Span::Text("["), Span::Token(7), Span::Text("]")]
        );
        assert_eq!(split("", &tokens), []);
        assert_eq!(split(" ", &tokens), [Span::Text(" ")]);
    }
}
