//! The post-processor: the tokens that ask for an answer.

use tokenizers::processors::template::{Template, TemplateProcessing};
use tokenizers::{Encoding, PostProcessor, Result};

use crate::{Error, Family, GlmTokenizer, SpecialTokens, TokenId};

/// The official `build_inputs_with_special_tokens` as a post-processor of the crate `tokenizers`: what
/// [`GlmTokenizer::with_special_tokens`] does, and for pairs
/// [`with_special_tokens_pair`](GlmTokenizer::with_special_tokens_pair).
#[derive(Debug, Clone)]
pub struct GlmPostProcessor {
    usual: TemplateProcessing,
    blank: Option<BlankInText>,
}

/// In ChatGLM-6B's first generation a `[MASK]` or `[gMASK]` in the text is the blank that is written.
#[derive(Debug, Clone)]
struct BlankInText {
    blanks: [TokenId; 2],
    /// After these nothing is left of the text; `</s>` ends one that goes on.
    ends: Vec<TokenId>,
    at_the_end: TemplateProcessing,
    inside: TemplateProcessing,
}

impl GlmPostProcessor {
    pub(super) fn new(tokenizer: &GlmTokenizer) -> std::result::Result<Self, Error> {
        let name = |id| tokenizer.id_to_piece(id).unwrap_or_default();
        let SpecialTokens {
            mask,
            gmask,
            smask,
            sop,
            eos,
            ..
        } = *tokenizer.special_tokens();
        let template = |prompt: &[Part], reply: TokenId| {
            let single = prompt.iter().map(|part| match part {
                Part::Text => "$A".to_owned(),
                Part::Token(id) => name(*id).to_owned(),
            });
            let single: Vec<_> = single.collect();
            let mut pair = single.clone();
            pair.extend(["$B:1".to_owned(), format!("{}:1", name(reply))]);
            let tokens = prompt.iter().filter_map(|part| match part {
                Part::Text => None,
                Part::Token(id) => Some(*id),
            });
            let tokens: Vec<_> = tokens.chain([reply]).map(|id| (name(id), id)).collect();
            processing(single, pair, tokens).map_err(Error::HuggingFace)
        };
        use Part::{Text, Token};
        let usual = match tokenizer.family() {
            Family::ChatGlm2 => [Token(gmask), Token(sop), Text],
            Family::ChatGlm | Family::ChatGlmFirstGeneration => [Text, Token(gmask), Token(sop)],
        };
        let blank = match tokenizer.special_tokens().end_of_text {
            None => None,
            Some(end_of_text) => Some(BlankInText {
                blanks: [mask, gmask],
                ends: [mask, gmask].into_iter().chain(smask).collect(),
                at_the_end: template(&[Text, Token(sop)], eos)?,
                inside: template(&[Text, Token(end_of_text), Token(sop)], eos)?,
            }),
        };
        Ok(Self {
            usual: template(&usual, eos)?,
            blank,
        })
    }

    /// What is done with a text without a blank.
    pub(super) fn into_usual(self) -> TemplateProcessing {
        self.usual
    }

    fn template(&self, ids: &[TokenId]) -> &TemplateProcessing {
        match &self.blank {
            Some(blank) if ids.iter().any(|id| blank.blanks.contains(id)) => {
                if ids.last().is_some_and(|id| blank.ends.contains(id)) {
                    &blank.at_the_end
                } else {
                    &blank.inside
                }
            }
            _ => &self.usual,
        }
    }
}

/// A part of a prompt.
#[derive(Clone, Copy)]
enum Part {
    Text,
    Token(TokenId),
}

fn processing(
    single: Vec<String>,
    pair: Vec<String>,
    tokens: Vec<(&str, TokenId)>,
) -> Result<TemplateProcessing> {
    Ok(TemplateProcessing::builder()
        .single(Template::try_from(single)?)
        .pair(Template::try_from(pair)?)
        .special_tokens(tokens)
        .build()
        .map_err(|error| error.to_string())?)
}

impl PostProcessor for GlmPostProcessor {
    fn added_tokens(&self, is_pair: bool) -> usize {
        self.usual.added_tokens(is_pair)
    }

    fn process_encodings(
        &self,
        encodings: Vec<Encoding>,
        add_special_tokens: bool,
    ) -> Result<Vec<Encoding>> {
        let ([first] | [first, _]) = encodings.as_slice() else {
            return Err(tokenizers::ProcessorError::InvalidEncodingsVecLength.into());
        };
        self.template(first.get_ids())
            .process_encodings(encodings, add_special_tokens)
    }
}
