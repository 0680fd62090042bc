//! Texts as vectors: what the model makes of a prompt before it answers, pooled over its tokens.
//!
//! These models were not trained for it. Their vectors tell a text about the weather from one about cooking, but models
//! that were trained to tell texts apart, with a fraction of the parameters, do it far better.

use burn::tensor::{Int, Tensor, s};
use glm_backends::CachePrecision;
use glm_tokenizer::GlmTokenizer;

use crate::{
    error::{Error, Result},
    host::to_host,
    kv_cache::KvCache,
    model::{Model, ModelInput, PaddingSide},
    prefix_lm::TokenId,
    row_layout::RowLayout,
    setters::setters,
};

/// Tokens, padding included, that short prompts are read together up to: enough that the weights are read once for many.
const TOKENS_AT_ONCE: usize = 512;

/// How the hidden states of a prompt become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Pooling {
    /// Their mean over all tokens of the prompt, special ones included.
    #[default]
    Mean,
    /// That of the last token, which has seen all others: `<sop>` in ChatGLM-6B.
    Last,
}

/// What a caller may ask of [`Model::embeddings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct EmbeddingOptions {
    /// How the hidden states become one vector.
    pub pooling: Pooling,
    /// Divide every vector by its Euclidean length, so that a dot product is a cosine.
    pub normalize: bool,
}

setters!(EmbeddingOptions {
    with_pooling: pooling = Pooling,
    with_normalize: normalize = bool,
});

impl Model {
    /// A vector of length one for each text, `hidden_size` numbers: the mean of the last hidden states, so that the dot
    /// product of two vectors is their cosine. The model was [not trained for it](crate::embeddings).
    ///
    /// ```no_run
    /// let tokenizer = glm_core::load_tokenizer("chatglm2-6b")?;
    /// let model = glm_core::load("chatglm2-6b")?;
    /// let vectors = model.embed(&tokenizer, &["今天天气很好", "外面阳光明媚"])?;
    /// let cosine: f32 = vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum();
    /// # Ok::<(), glm_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Model::embed_with`].
    pub fn embed<T: AsRef<str>>(
        &self,
        tokenizer: &GlmTokenizer,
        texts: &[T],
    ) -> Result<Vec<Vec<f32>>> {
        let options = EmbeddingOptions::default().with_normalize(true);
        self.embed_with(tokenizer, texts, options)
    }

    /// [`Model::embed`] with options. Each text is read as a first question without a template: its tokens and the special
    /// ones of every prompt. Its vector does not depend on the texts beside it, as in [`Model::embeddings`].
    ///
    /// # Errors
    /// [`Error::OtherTokenizer`]; [`Error::TextTooLong`] for a text that has more tokens than the model was trained for.
    pub fn embed_with<T: AsRef<str>>(
        &self,
        tokenizer: &GlmTokenizer,
        texts: &[T],
        options: EmbeddingOptions,
    ) -> Result<Vec<Vec<f32>>> {
        self.check_tokenizer(tokenizer)?;
        let prompt = |(text, content): (usize, &T)| {
            let prompt = tokenizer.with_special_tokens(tokenizer.encode(content.as_ref()));
            let (tokens, max_length) = (prompt.len(), self.max_sequence_length());
            match tokens <= max_length {
                true => Ok(prompt),
                false => Err(Error::TextTooLong {
                    text,
                    tokens,
                    max_length,
                }),
            }
        };
        let prompts: Vec<Vec<TokenId>> = texts
            .iter()
            .enumerate()
            .map(prompt)
            .collect::<Result<_>>()?;
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let prompts: Vec<&[TokenId]> = prompts.iter().map(Vec::as_slice).collect();
        let vectors = self.embeddings(&prompts, options)?;
        let [_, hidden_size] = vectors.dims();
        let values = to_host(vectors)?;
        Ok(values
            .chunks_exact(hidden_size)
            .map(<[f32]>::to_vec)
            .collect())
    }

    /// The pooled hidden states behind the final norm, one vector for each prompt: `[prompts, hidden_size]`, f32.
    ///
    /// The prompts are those of generation, with a blank and `<sop>`; [`Model::embed`] makes them of texts. Short ones are
    /// read together. A vector does not depend on the prompts beside it, on the CPU to the bit (but for weights in f32,
    /// whose product burn sums in another order for another number of rows).
    ///
    /// ```no_run
    /// use glm_core::{GlmTokenizer, embeddings::EmbeddingOptions};
    ///
    /// let tokenizer = GlmTokenizer::from_dir("chatglm-6b")?;
    /// let model = glm_core::load("chatglm-6b")?;
    /// let prompts = ["今天天气很好", "外面阳光明媚"]
    ///     .map(|text| tokenizer.with_special_tokens(tokenizer.encode(text)));
    /// let options = EmbeddingOptions::default().with_normalize(true);
    /// let vectors = model.embeddings(&[&prompts[0], &prompts[1]], options)?; // [2, hidden_size]
    /// # Ok::<(), glm_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Model::prefill`].
    pub fn embeddings(
        &self,
        prompts: &[&[TokenId]],
        options: EmbeddingOptions,
    ) -> Result<Tensor<2>> {
        let layouts = self.layouts(prompts)?;
        let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.len()).collect();
        let mut order = Vec::with_capacity(prompts.len());
        let mut vectors = Vec::with_capacity(prompts.len());
        for batch in batches(&lengths) {
            let rows: Vec<&[TokenId]> = batch.iter().map(|&row| prompts[row]).collect();
            let layouts: Vec<RowLayout> = batch.iter().map(|&row| layouts[row]).collect();
            vectors.push(self.pooled(&rows, &layouts, options.pooling));
            order.extend(batch);
        }
        let mut places = vec![0_i64; order.len()];
        for (place, row) in (0..).zip(order) {
            places[row] = place;
        }
        let places = Tensor::<1, Int>::from_data(&places[..], self.device());
        let vectors = Tensor::cat(vectors, 0).select(0, places); // [prompts, hidden_size]
        if !options.normalize {
            return Ok(vectors);
        }
        let length = vectors.clone().powi_scalar(2).sum_dim(1).sqrt(); // [prompts, 1]
        Ok(vectors / length.clamp_min(f32::MIN_POSITIVE))
    }

    /// The vectors of prompts that are read together: `[rows, hidden_size]`.
    fn pooled(&self, rows: &[&[TokenId]], layouts: &[RowLayout], pooling: Pooling) -> Tensor<2> {
        let input = self.input(rows, layouts, PaddingSide::Left);
        let [_, len] = input.input_ids.dims();
        let chunk = self.config().tokens_at_once(len);
        let layers = self.config().num_layers();
        let mut cache = match chunk < len {
            true => KvCache::new(layers, CachePrecision::F32, len),
            false => KvCache::disabled(layers),
        };
        let mut vectors: Vec<Option<Tensor<3>>> = vec![None; rows.len()]; // [1, 1, hidden_size]
        for start in (0..len).step_by(chunk) {
            let end = len.min(start + chunk);
            let part = ModelInput {
                input_ids: input.input_ids.clone().slice(s![.., start..end]),
                position_ids: input.position_ids.clone().slice(s![.., .., start..end]),
                attention_mask: input.attention_mask.clone(),
            };
            let hidden_states = self.hidden_states(part, &mut cache); // [rows, chunk, hidden_size]
            for (row, vector) in vectors.iter_mut().enumerate() {
                let padding = len - rows[row].len();
                let first = match pooling {
                    Pooling::Mean => padding.max(start),
                    Pooling::Last => len - 1,
                };
                if first >= end {
                    continue;
                }
                let seen = s![row..row + 1, first - start..end - start, ..];
                let sum = hidden_states.clone().slice(seen).sum_dim(1);
                *vector = Some(match vector.take() {
                    Some(before) => before + sum,
                    None => sum,
                });
            }
        }
        let vectors = vectors.into_iter().flatten().zip(rows);
        let vectors = vectors.map(|(sum, row)| match pooling {
            Pooling::Mean => sum / row.len() as f32,
            Pooling::Last => sum,
        });
        Tensor::cat(vectors.collect(), 0).squeeze_dim(1) // [rows, hidden_size]
    }
}

/// Which prompts are read together: those of like length, as many as [`TOKENS_AT_ONCE`] lets.
fn batches(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut by_length: Vec<usize> = (0..lengths.len()).collect();
    by_length.sort_by_key(|&row| lengths[row]);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for row in by_length {
        match batches.last_mut() {
            // Longer than all before it, which are padded to its length.
            Some(batch) if (batch.len() + 1) * lengths[row] <= TOKENS_AT_ONCE => batch.push(row),
            _ => batches.push(vec![row]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_prompts_are_read_together_and_long_ones_alone() {
        assert_eq!(batches(&[]), Vec::<Vec<usize>>::new());
        assert_eq!(batches(&[600, 3, 600, 4]), [vec![1, 3], vec![0], vec![2]]);
        let many = batches(&[8; 100]);
        assert_eq!(many.iter().map(Vec::len).collect::<Vec<_>>(), [64, 36]);
        let growing: Vec<usize> = (1..100).rev().collect();
        let batches = batches(&growing);
        for batch in &batches {
            let longest = batch.iter().map(|&row| growing[row]).max().unwrap();
            assert!(longest * batch.len() <= TOKENS_AT_ONCE);
        }
        let mut rows = batches.concat();
        rows.sort_unstable();
        assert_eq!(rows, (0..99).collect::<Vec<_>>());
    }
}
