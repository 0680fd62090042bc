//! A model of either family behind one type: what the generator, the server and the tuner call.

use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::{Device, Int, Tensor, TensorData, s};

use crate::{
    attention_mask::AttentionMask,
    config::{ModelConfig, PREFILL_CHUNK, PositionRules},
    error::{Error, Result},
    kv_cache::KvCache,
    layers::Stage,
    network::Network,
    numerics::Numerics,
    row_layout::RowLayout,
};
use glm_tokenizer::{GlmTokenizer, TokenId};

/// A loaded model. Cheap to clone (the weights are shared), `Send` and `Sync`: one model serves any number of
/// conversations, each with a [`DecodeState`] of its own.
#[derive(Debug, Clone)]
pub struct Model {
    config: ModelConfig,
    network: Network,
    device: Device,
    numerics: Numerics,
    identity: Identity,
}

/// Tells models apart that may compute something else; clones share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64);

impl Identity {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// One forward pass over several rows of equal length.
#[derive(Debug, Clone)]
pub struct ModelInput {
    /// `[batch, seq]`.
    pub input_ids: Tensor<2, Int>,
    /// `[batch, 2, seq]`, or `[batch, 1, seq]` without 2-D positions.
    pub position_ids: Tensor<3, Int>,
    /// What each row sees.
    pub attention_mask: AttentionMask,
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
    rows: Vec<RowLayout>,
    pad_lengths: Vec<usize>,
    /// Padded length of every row, generated tokens included.
    len: usize,
    cache: KvCache,
    /// Of the model that has read the rows.
    model: Identity,
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

    /// Forgets all but the first `len` tokens of every row, padding included; does nothing when there are fewer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.cache.truncate(len);
    }

    /// A copy of the first `len` tokens of every row, padding included, or of all when there are fewer. It costs as much
    /// as those tokens have bytes.
    #[must_use]
    pub fn first_tokens(&self, len: usize) -> Self {
        Self {
            rows: self.rows.clone(),
            pad_lengths: self.pad_lengths.clone(),
            len: self.len.min(len),
            cache: self.cache.first_tokens(len),
            model: self.model,
        }
    }

    /// Goes on with these rows, in this order; a row may occur several times or not at all.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn select_rows(&mut self, rows: &[usize]) {
        self.rows = rows.iter().map(|&row| self.rows[row]).collect();
        self.pad_lengths = rows.iter().map(|&row| self.pad_lengths[row]).collect();
        self.cache.select_rows(rows);
    }

    /// The rows of several states of one model side by side, with room for `capacity` tokens of each: shorter ones are
    /// padded on the left. So prompts can be read one by one, and rows can join others that are being generated.
    ///
    /// # Panics
    /// If there is no state, or they are of different models or numerics.
    pub fn side_by_side(states: Vec<Self>, capacity: usize) -> Self {
        let len = states.iter().map(Self::len).max().unwrap_or(0);
        let model = states[0].model;
        let (mut rows, mut pad_lengths, mut caches) = (Vec::new(), Vec::new(), Vec::new());
        for state in states {
            let pads = len - state.len;
            rows.extend(state.rows);
            pad_lengths.extend(state.pad_lengths.into_iter().map(|before| before + pads));
            caches.push(state.cache);
        }
        Self {
            rows,
            pad_lengths,
            len,
            cache: KvCache::side_by_side(caches, capacity),
            model,
        }
    }

    /// The keys and values kept so far.
    pub fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// A single row that `model` has read, laid out as `layout` says.
    pub(crate) fn of_row(model: &Model, layout: RowLayout, cache: KvCache) -> Self {
        Self {
            rows: vec![layout],
            pad_lengths: vec![0],
            len: cache.len(),
            cache,
            model: model.identity,
        }
    }

    /// Whether this is a single row that `model` has read and that is laid out as `layout` says.
    pub(crate) fn is_of(&self, model: &Model, layout: &RowLayout) -> bool {
        self.model == model.identity && self.rows == [*layout] && self.pad_lengths == [0]
    }

    /// Whether the same model has read both, each a single row of the same layout.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.model == other.model
            && self.rows == other.rows
            && self.pad_lengths == other.pad_lengths
    }

    fn attention_mask(&self) -> AttentionMask {
        let rows = self.rows.iter().zip(&self.pad_lengths);
        AttentionMask::new(rows.map(|(row, &pads)| row.span(pads)).collect())
    }
}

impl Model {
    /// A model around a network; `config` is of the same family, and `device` is where the weights are.
    pub fn new(
        config: impl Into<ModelConfig>,
        network: impl Into<Network>,
        device: Device,
    ) -> Self {
        Self {
            config: config.into(),
            network: network.into(),
            device,
            numerics: Numerics::default(),
            identity: Identity::new(),
        }
    }

    /// The same model, computing in another way.
    #[must_use]
    pub fn with_numerics(mut self, numerics: Numerics) -> Self {
        self.network.set_activations(numerics.activations);
        self.numerics = numerics;
        self.identity = Identity::new();
        self
    }

    /// The same model with other rules for positions; those of the checkpoint are in its configuration. ChatGLM2-6B has
    /// no others.
    #[must_use]
    pub fn with_position_rules(mut self, rules: PositionRules) -> Self {
        if let ModelConfig::ChatGlm(config) = &mut self.config {
            config.position_rules = rules;
            self.identity = Identity::new();
        }
        self
    }

    /// How the model computes.
    pub fn numerics(&self) -> Numerics {
        self.numerics
    }

    /// The numbers of `config.json`.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The network itself.
    pub fn network(&self) -> &Network {
        &self.network
    }

    pub(crate) fn network_mut(&mut self) -> &mut Network {
        self.identity = Identity::new();
        &mut self.network
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Rows of the embedding and of the head: ids below are valid.
    pub fn vocab_size(&self) -> usize {
        self.config.vocab_size()
    }

    /// The longest sequence that the model was trained for, in tokens. Chats are held to it; a prompt or a generation that
    /// is longer is read and goes on, with positions that the model has never seen: it is the answers that suffer.
    pub fn max_sequence_length(&self) -> usize {
        self.config.max_sequence_length()
    }

    /// The id of the tokens before shorter rows.
    pub(crate) fn pad_token_id(&self) -> TokenId {
        // In range, as the id below.
        self.config.pad_token_id() as TokenId
    }

    /// The id that ends a reply.
    pub fn eos_token_id(&self) -> TokenId {
        // In range: the config's ids are below vocab_size, which is below 2^20.
        self.config.eos_token_id() as TokenId
    }

    /// Reads the prompts and returns the logits of the token after each: `[batch, vocab_size]`, f32. Shorter rows are
    /// padded on the left, which changes no row's result.
    ///
    /// # Errors
    /// [`Error::Prompt`] for no prompt at all, for an id that is not below `vocab_size`, and as [`RowLayout::of`].
    pub fn prefill(&self, prompts: &[&[TokenId]]) -> Result<(Tensor<2>, DecodeState)> {
        self.prefill_with_capacity(prompts, 0)
    }

    /// As [`Model::prefill`], for rows that are expected to become `capacity` tokens long, padding included: the cache
    /// makes room for them once. It grows beyond when need be.
    ///
    /// # Errors
    /// As [`Model::prefill`].
    pub fn prefill_with_capacity(
        &self,
        prompts: &[&[TokenId]],
        capacity: usize,
    ) -> Result<(Tensor<2>, DecodeState)> {
        let layouts = self.layouts(prompts)?;
        let input = self.input(prompts, &layouts, PaddingSide::Left);
        let [_, len] = input.input_ids.dims();
        let mut state = DecodeState {
            rows: layouts,
            pad_lengths: prompts.iter().map(|row| len - row.len()).collect(),
            len,
            cache: self.new_cache(capacity.max(len)),
            model: self.identity,
        };
        let logits = self.last_logits(input, self.config.tokens_at_once(len), &mut state.cache);
        Ok((logits, state))
    }

    /// Reads more tokens of a single row, any number of them, and returns the logits of the token behind the last:
    /// `[1, vocab_size]`, f32. So a conversation goes on where its cache ends.
    ///
    /// # Errors
    /// As [`Model::extend`].
    pub fn append(&self, state: &mut DecodeState, tokens: &[TokenId]) -> Result<Tensor<2>> {
        self.check_continuation(state, tokens)?;
        let input = self.continuation(state, tokens);
        let logits = self.last_logits(input, PREFILL_CHUNK, &mut state.cache);
        state.len += tokens.len();
        Ok(logits)
    }

    /// Reads one more token per row and returns the logits of the next: `[batch, vocab_size]`, f32.
    ///
    /// # Errors
    /// [`Error::Prompt`] for an id that is not below `vocab_size`, or not one token per row.
    pub fn decode(&self, state: &mut DecodeState, tokens: &[TokenId]) -> Result<Tensor<2>> {
        if tokens.len() != state.rows.len() {
            return Err(Error::Prompt {
                expected: format!("one token for each of {} rows", state.rows.len()),
                tokens: tokens.len(),
            });
        }
        self.check_ids(tokens)?;
        let logits = self.step(state, tokens);
        Ok(logits.squeeze_dim(1)) // [batch, vocab_size]
    }

    /// Reads several more tokens of a single row at once and returns the logits behind each of them:
    /// `[tokens, vocab_size]`, f32. On the CPU they are the same bits as those of [`Model::decode`] with one token after
    /// the other.
    ///
    /// # Errors
    /// [`Error::Prompt`] for an id that is not below `vocab_size`, for no token, and for a state of several rows.
    pub fn extend(&self, state: &mut DecodeState, tokens: &[TokenId]) -> Result<Tensor<2>> {
        self.check_continuation(state, tokens)?;
        let logits = self.step(state, tokens);
        Ok(logits.squeeze_dim(0)) // [tokens, vocab_size]
    }

    fn check_continuation(&self, state: &DecodeState, tokens: &[TokenId]) -> Result<()> {
        if tokens.is_empty() || state.rows.len() != 1 {
            return Err(Error::Prompt {
                expected: format!(
                    "at least one token for a single row, not {} rows",
                    state.rows.len()
                ),
                tokens: tokens.len(),
            });
        }
        self.check_ids(tokens)
    }

    /// The next tokens of every row, as many for each, row after row: logits `[batch, new, vocab_size]`.
    fn step(&self, state: &mut DecodeState, tokens: &[TokenId]) -> Tensor<3> {
        let input = self.continuation(state, tokens);
        let hidden_states = self.hidden_states(input, &mut state.cache);
        state.len += tokens.len() / state.rows.len();
        self.network.logits(hidden_states)
    }

    /// The tensors of a pass over the next tokens of every row, as many for each, row after row.
    fn continuation(&self, state: &DecodeState, tokens: &[TokenId]) -> ModelInput {
        let batch = state.rows.len();
        let new = tokens.len() / batch;
        let mut position_ids = Vec::new(); // [batch, kinds, new]
        for (row, pads) in state.rows.iter().zip(&state.pad_lengths) {
            let ends = state.len + 1 - pads..=state.len + new - pads;
            let positions: Vec<Vec<usize>> = ends.map(|len| row.decode_position_ids(len)).collect();
            for kind in 0..positions[0].len() {
                position_ids.extend(positions.iter().map(|position| position[kind] as i64));
            }
        }
        let kinds = position_ids.len() / tokens.len();
        let ids = tokens.iter().map(|&id| i64::from(id)).collect();
        ModelInput {
            input_ids: self.int_tensor(ids, [batch, new]),
            position_ids: self.int_tensor(position_ids, [batch, kinds, new]),
            attention_mask: state.attention_mask(),
        }
    }

    /// Positions and mask of each row, found from its ids.
    ///
    /// # Errors
    /// As [`Model::prefill`].
    pub fn layouts(&self, rows: &[&[TokenId]]) -> Result<Vec<RowLayout>> {
        if rows.is_empty() {
            return Err(Error::Prompt {
                expected: "at least one prompt".to_owned(),
                tokens: 0,
            });
        }
        rows.iter()
            .map(|row| {
                self.check_ids(row)?;
                RowLayout::of(row, &self.config)
            })
            .collect()
    }

    /// The tensors of a pass over whole rows, padded to the longest. Padding is seen by no real token: on the left it is
    /// outside every span, on the right it comes after everything that a real token sees.
    ///
    /// # Panics
    /// If `rows` and `layouts` differ in length.
    pub fn input(
        &self,
        rows: &[&[TokenId]],
        layouts: &[RowLayout],
        side: PaddingSide,
    ) -> ModelInput {
        assert_eq!(rows.len(), layouts.len(), "one layout per row");
        let batch = rows.len();
        let len = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let mut input_ids = Vec::with_capacity(batch * len);
        let mut position_ids = Vec::new();
        let mut spans = Vec::with_capacity(batch);
        for (row, layout) in rows.iter().zip(layouts) {
            let start = match side {
                PaddingSide::Left => len - row.len(),
                PaddingSide::Right => 0,
            };
            let place = start..start + row.len();
            let at = |index: usize| place.contains(&index).then(|| index - start);
            input_ids.extend(
                (0..len).map(|i| {
                    at(i).map_or(self.config.pad_token_id() as i64, |i| i64::from(row[i]))
                }),
            );
            for positions in layout.position_ids(row.len()) {
                position_ids.extend((0..len).map(|i| at(i).map_or(0, |i| positions[i] as i64)));
            }
            spans.push(layout.span(start));
        }
        let kinds = position_ids.len() / (batch * len).max(1);
        ModelInput {
            input_ids: self.int_tensor(input_ids, [batch, len]),
            position_ids: self.int_tensor(position_ids, [batch, kinds, len]),
            attention_mask: AttentionMask::new(spans),
        }
    }

    /// A cache for one conversation with this model, with room for `capacity` tokens of each row.
    pub fn new_cache(&self, capacity: usize) -> KvCache {
        KvCache::new(self.config.num_layers(), self.numerics.kv_cache, capacity)
    }

    /// All logits of a pass, `[batch, seq, vocab_size]`, without cache; `observe` sees every stage.
    pub fn forward_observed(
        &self,
        input: ModelInput,
        observe: impl FnMut(Stage, &Tensor<3>),
    ) -> Tensor<3> {
        let mut cache = KvCache::disabled(self.config.num_layers());
        let hidden_states = self.network.hidden_states(
            input.input_ids,
            input.position_ids,
            &input.attention_mask,
            &mut cache,
            observe,
        );
        self.network.logits(hidden_states)
    }

    /// A pass over `chunk` tokens of every row at a time, whose last position alone goes through the head:
    /// `[batch, vocab_size]`.
    fn last_logits(&self, input: ModelInput, chunk: usize, cache: &mut KvCache) -> Tensor<2> {
        let [_, len] = input.input_ids.dims();
        let mut start = 0;
        loop {
            let end = len.min(start + chunk);
            let part = ModelInput {
                input_ids: input.input_ids.clone().slice(s![.., start..end]),
                position_ids: input.position_ids.clone().slice(s![.., .., start..end]),
                attention_mask: input.attention_mask.clone(),
            };
            let hidden_states = self.hidden_states(part, cache);
            if end == len {
                let last = hidden_states.slice(s![.., -1, ..]); // [batch, 1, hidden_size]
                return self.network.logits(last).squeeze_dim(1); // [batch, vocab_size]
            }
            start = end;
        }
    }

    /// A pass up to the final norm: `[batch, seq, hidden_size]`.
    pub(crate) fn hidden_states(&self, input: ModelInput, cache: &mut KvCache) -> Tensor<3> {
        self.network.hidden_states(
            input.input_ids,
            input.position_ids,
            &input.attention_mask,
            cache,
            |_, _| {},
        )
    }

    /// Whether `tokenizer` makes this model's ids.
    ///
    /// # Errors
    /// [`Error::OtherTokenizer`] for one of another model or generation, whose ids would mean something else.
    pub fn check_tokenizer(&self, tokenizer: &GlmTokenizer) -> Result<()> {
        let special = tokenizer.special_tokens();
        let tokens = match &self.config {
            ModelConfig::ChatGlm(config) => vec![
                ("<sop>", config.bos_token_id, special.sop),
                ("[gMASK]", config.gmask_token_id, special.gmask),
                ("[MASK]", config.mask_token_id, special.mask),
            ],
            ModelConfig::ChatGlm2(config) => vec![("</s>", config.eos_token_id, special.eos)],
        };
        for (token, expected, found) in tokens {
            let found = found as usize;
            if found != expected {
                return Err(Error::OtherTokenizer {
                    token,
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }

    pub(crate) fn check_ids(&self, ids: &[TokenId]) -> Result<()> {
        match ids
            .iter()
            .find(|&&id| id as usize >= self.config.vocab_size())
        {
            None => Ok(()),
            Some(id) => Err(Error::Prompt {
                expected: format!(
                    "token ids below the vocabulary size {}, not {id}; does the tokenizer belong to this model?",
                    self.config.vocab_size()
                ),
                tokens: ids.len(),
            }),
        }
    }

    fn int_tensor<const D: usize>(&self, values: Vec<i64>, shape: [usize; D]) -> Tensor<D, Int> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
}
