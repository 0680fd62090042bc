//! Texts as vectors: what the model makes of a prompt before it answers, pooled over its tokens.

use burn::tensor::{Tensor, s};

use crate::{
    error::Result,
    kv_cache::KvCache,
    model::{Model, PaddingSide},
    prefix_lm::TokenId,
};

/// How the hidden states of a prompt become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooling {
    /// Their mean over all tokens of the prompt, special ones included.
    #[default]
    Mean,
    /// That of the last token, `<sop>`, which has seen all others.
    Last,
}

/// What a caller may ask of [`Model::embeddings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EmbeddingOptions {
    /// How the hidden states become one vector.
    pub pooling: Pooling,
    /// Divide every vector by its Euclidean length, so that a dot product is a cosine.
    pub normalize: bool,
}

impl Model {
    /// The pooled hidden states behind the final norm, one vector for each prompt: `[prompts, hidden_size]`, f32.
    ///
    /// The prompts are those of generation, with a blank and `<sop>`. They are read one by one, so that a vector does not
    /// depend on the prompts beside it. ChatGLM-6B was not trained to tell texts apart; models that were do it better.
    ///
    /// ```no_run
    /// use glm_core::{GlmTokenizer, embeddings::EmbeddingOptions};
    ///
    /// let tokenizer = GlmTokenizer::from_dir("chatglm-6b")?;
    /// let model = glm_core::load("chatglm-6b")?;
    /// let prompts = ["今天天气很好", "外面阳光明媚"]
    ///     .map(|text| tokenizer.with_special_tokens(tokenizer.encode(text)));
    /// let options = EmbeddingOptions { normalize: true, ..EmbeddingOptions::default() };
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
        let rows = prompts.iter().zip(&layouts).map(|(prompt, layout)| {
            let input = self.input(&[prompt], &[*layout], PaddingSide::Left);
            let mut cache = KvCache::disabled(self.network().num_layers());
            let hidden_states = self.hidden_states(input, &mut cache); // [1, tokens, hidden_size]
            let pooled = match options.pooling {
                Pooling::Mean => hidden_states.mean_dim(1),
                Pooling::Last => hidden_states.slice(s![.., -1, ..]),
            };
            pooled.squeeze_dim::<2>(1) // [1, hidden_size]
        });
        let vectors = Tensor::cat(rows.collect(), 0); // [prompts, hidden_size]
        if !options.normalize {
            return Ok(vectors);
        }
        let length = vectors.clone().powi_scalar(2).sum_dim(1).sqrt(); // [prompts, 1]
        Ok(vectors / length.clamp_min(f32::MIN_POSITIVE))
    }
}
