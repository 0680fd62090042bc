//! A model of either family behind one type: what the generator, the server and the tuner call.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData, s};

use crate::{
    chatglm::{ChatGlm, Stage},
    config::{ChatGlmConfig, ModelConfig},
    error::{Error, Result},
    kv_cache::KvCache,
    prefix_lm::{PrefixLm, TokenId},
};

/// A loaded model. Cheap to clone (the weights are shared), `Send` and `Sync`: one model serves any number of
/// conversations, each with a [`DecodeState`] of its own.
#[derive(Debug, Clone)]
pub struct Model {
    config: ChatGlmConfig,
    network: ChatGlm,
    device: Device,
}

/// One forward pass over several rows of equal length.
#[derive(Debug, Clone)]
pub struct ModelInput {
    /// `[batch, seq]`.
    pub input_ids: Tensor<2, Int>,
    /// `[batch, 2, seq]`, or `[batch, 1, seq]` without 2-D positions.
    pub position_ids: Tensor<3, Int>,
    /// `[batch, 1, seq, total]`, true where a query must not look.
    pub attention_mask: Option<Tensor<4, Bool>>,
}

/// Where the padding of shorter rows goes: left to generate, right to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaddingSide {
    /// Before the row.
    Left,
    /// Behind the row.
    Right,
}

/// Rows that are being generated: the cache, and what the positions of the next token follow from.
#[derive(Debug, Clone)]
pub struct DecodeState {
    rows: Vec<PrefixLm>,
    pad_lengths: Vec<usize>,
    /// Padded length of every row, generated tokens included.
    len: usize,
    cache: KvCache,
}

impl DecodeState {
    /// Tokens per row so far, padding included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when no token was seen: never after [`Model::prefill`].
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Model {
    /// A model around a network; `device` is where its weights are.
    pub fn new(config: ChatGlmConfig, network: ChatGlm, device: Device) -> Self {
        Self {
            config,
            network,
            device,
        }
    }

    /// The numbers of `config.json`.
    pub fn config(&self) -> ModelConfig {
        ModelConfig::ChatGlm(self.config.clone())
    }

    /// The network itself.
    pub fn network(&self) -> &ChatGlm {
        &self.network
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Rows of the embedding and of the head: ids below are valid.
    pub fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    /// The longest sequence that the model was trained for, in tokens.
    pub fn max_sequence_length(&self) -> usize {
        self.config.max_sequence_length
    }

    /// The id that ends a reply.
    pub fn eos_token_id(&self) -> TokenId {
        // In range: the config's ids are below vocab_size, which is below 2^20.
        self.config.eos_token_id as TokenId
    }

    /// Reads the prompts and returns the logits of the token after each: `[batch, vocab_size]`, f32. Shorter rows are
    /// padded on the left, which changes no row's result.
    ///
    /// # Errors
    /// [`Error::Prompt`] for no prompt at all, for an id that is not below `vocab_size`, and as [`PrefixLm::of`].
    pub fn prefill(&self, prompts: &[&[TokenId]]) -> Result<(Tensor<2>, DecodeState)> {
        let layouts = self.layouts(prompts)?;
        let input = self.input(prompts, &layouts, PaddingSide::Left);
        let [_, len] = input.input_ids.dims();
        let mut state = DecodeState {
            rows: layouts,
            pad_lengths: prompts.iter().map(|row| len - row.len()).collect(),
            len,
            cache: self.new_cache(),
        };
        Ok((self.last_logits(input, &mut state.cache), state))
    }

    /// Reads one more token per row and returns the logits of the next: `[batch, vocab_size]`, f32.
    ///
    /// # Errors
    /// [`Error::Prompt`] for an id that is not below `vocab_size`, or not one token per row.
    pub fn decode(&self, state: &mut DecodeState, tokens: &[TokenId]) -> Result<Tensor<2>> {
        self.check_ids(tokens)?;
        if tokens.len() != state.rows.len() {
            return Err(Error::Prompt {
                expected: format!("one token for each of {} rows", state.rows.len()),
                tokens: tokens.len(),
            });
        }
        let batch = tokens.len();
        let total = state.len + 1;
        let position_ids: Vec<i64> = state
            .rows
            .iter()
            .zip(&state.pad_lengths)
            .flat_map(|(row, pads)| row.decode_position_ids(total - pads))
            .map(|position| position as i64)
            .collect();
        let kinds = position_ids.len() / batch;
        let input = ModelInput {
            input_ids: self
                .int_tensor(tokens.iter().map(|&id| i64::from(id)).collect(), [batch, 1]),
            position_ids: self.int_tensor(position_ids, [batch, kinds, 1]),
            attention_mask: state.pad_lengths.iter().any(|&pads| pads > 0).then(|| {
                let masked = state
                    .pad_lengths
                    .iter()
                    .flat_map(|&pads| (0..total).map(move |key| key < pads))
                    .collect();
                self.bool_tensor(masked, [batch, 1, 1, total])
            }),
        };
        let logits = self.last_logits(input, &mut state.cache);
        state.len = total;
        Ok(logits)
    }

    /// Positions and mask of each row, found from its ids.
    ///
    /// # Errors
    /// As [`Model::prefill`].
    pub fn layouts(&self, rows: &[&[TokenId]]) -> Result<Vec<PrefixLm>> {
        if rows.is_empty() {
            return Err(Error::Prompt {
                expected: "at least one prompt".to_owned(),
                tokens: 0,
            });
        }
        rows.iter()
            .map(|row| {
                self.check_ids(row)?;
                PrefixLm::of(row, &self.config)
            })
            .collect()
    }

    /// The tensors of a pass over whole rows, padded to the longest. Padding is seen by no real token.
    ///
    /// # Panics
    /// If `rows` and `layouts` differ in length.
    pub fn input(
        &self,
        rows: &[&[TokenId]],
        layouts: &[PrefixLm],
        side: PaddingSide,
    ) -> ModelInput {
        assert_eq!(rows.len(), layouts.len(), "one layout per row");
        let batch = rows.len();
        let len = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let mut input_ids = Vec::with_capacity(batch * len);
        let mut position_ids = Vec::new();
        let mut masked = Vec::with_capacity(batch * len * len);
        for (row, layout) in rows.iter().zip(layouts) {
            let start = match side {
                PaddingSide::Left => len - row.len(),
                PaddingSide::Right => 0,
            };
            let place = start..start + row.len();
            let at = |index: usize| place.contains(&index).then(|| index - start);
            input_ids.extend(
                (0..len)
                    .map(|i| at(i).map_or(self.config.pad_token_id as i64, |i| i64::from(row[i]))),
            );
            for positions in layout.position_ids(row.len()) {
                position_ids.extend((0..len).map(|i| at(i).map_or(0, |i| positions[i] as i64)));
            }
            for query in 0..len {
                masked.extend((0..len).map(|key| match (at(query), at(key)) {
                    (Some(query), Some(key)) => layout.is_masked(query, key),
                    _ => true,
                }));
            }
        }
        let kinds = position_ids.len() / (batch * len).max(1);
        ModelInput {
            input_ids: self.int_tensor(input_ids, [batch, len]),
            position_ids: self.int_tensor(position_ids, [batch, kinds, len]),
            attention_mask: masked
                .contains(&true)
                .then(|| self.bool_tensor(masked, [batch, 1, len, len])),
        }
    }

    /// A cache for one conversation with this model.
    pub fn new_cache(&self) -> KvCache {
        KvCache::new(self.config.num_layers)
    }

    /// All logits of a pass, `[batch, seq, vocab_size]`, without cache; `observe` sees every stage.
    pub fn forward_observed(
        &self,
        input: ModelInput,
        observe: impl FnMut(Stage, &Tensor<3>),
    ) -> Tensor<3> {
        let mut cache = KvCache::disabled(self.config.num_layers);
        let hidden_states = self.network.hidden_states(
            input.input_ids,
            input.position_ids,
            input.attention_mask,
            &mut cache,
            observe,
        );
        self.network.logits(hidden_states)
    }

    /// A pass whose last position alone goes through the head: `[batch, vocab_size]`.
    fn last_logits(&self, input: ModelInput, cache: &mut KvCache) -> Tensor<2> {
        let hidden_states = self.network.hidden_states(
            input.input_ids,
            input.position_ids,
            input.attention_mask,
            cache,
            |_, _| {},
        );
        let last = hidden_states.slice(s![.., -1, ..]); // [batch, 1, hidden_size]
        self.network.logits(last).squeeze_dim(1) // [batch, vocab_size]
    }

    fn check_ids(&self, ids: &[TokenId]) -> Result<()> {
        match ids
            .iter()
            .find(|&&id| id as usize >= self.config.vocab_size)
        {
            None => Ok(()),
            Some(id) => Err(Error::Prompt {
                expected: format!(
                    "token ids below the vocabulary size {}, not {id}; does the tokenizer belong to this model?",
                    self.config.vocab_size
                ),
                tokens: ids.len(),
            }),
        }
    }

    fn int_tensor<const D: usize>(&self, values: Vec<i64>, shape: [usize; D]) -> Tensor<D, Int> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    fn bool_tensor<const D: usize>(&self, values: Vec<bool>, shape: [usize; D]) -> Tensor<D, Bool> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
}
