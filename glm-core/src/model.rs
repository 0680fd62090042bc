//! A model of either family behind one type: what the generator, the server and the tuner call.

mod decode_state;
mod reading;

use std::{path::Path, sync::Arc};

use burn::tensor::{Device, Int, Tensor, TensorData};
use glm_tokenizer::phrase;

use crate::{
    attention_mask::AttentionMask,
    config::{ModelConfig, PositionRules},
    error::{Error, Result},
    kv_cache::KvCache,
    layers::Stage,
    network::Network,
    numerics::Numerics,
    row_layout::RowLayout,
};
use glm_tokenizer::{GlmTokenizer, TokenId};

pub use decode_state::DecodeState;
use decode_state::Identity;

/// A loaded model. Cheap to clone (the weights are shared), `Send` and `Sync`: one model serves any number of
/// conversations, each with a [`DecodeState`] of its own.
#[derive(Debug, Clone)]
pub struct Model {
    config: ModelConfig,
    network: Network,
    device: Device,
    numerics: Numerics,
    identity: Identity,
    /// Where it came from, for messages.
    source: Option<Arc<Path>>,
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

impl ModelInput {
    /// Padded length of every row.
    fn len(&self) -> usize {
        let [_, len] = self.input_ids.dims();
        len
    }
}

/// Where the padding of shorter rows goes: left to generate, right to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaddingSide {
    /// Before the row.
    Left,
    /// Behind the row.
    Right,
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
            source: None,
        }
    }

    /// The same model, which came from this folder or file: messages name it.
    #[must_use]
    pub(crate) fn loaded_from(mut self, source: &Path) -> Self {
        self.source = Some(source.into());
        self
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

    /// Positions and mask of each row, found from its ids.
    ///
    /// # Errors
    /// As [`Model::prefill`].
    pub fn layouts(&self, rows: &[&[TokenId]]) -> Result<Vec<RowLayout>> {
        if rows.is_empty() {
            return Err(Error::Prompt {
                expected: phrase!("prompt-at-least-one", "at least one prompt"),
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
        for (token, expected) in self.config.special_tokens() {
            let found = match token {
                "<sop>" => special.sop,
                "[gMASK]" => special.gmask,
                "[MASK]" => special.mask,
                _ => special.eos,
            } as usize;
            if found != expected {
                return Err(Error::OtherTokenizer {
                    token,
                    expected,
                    found: Some(found),
                    model: self.source.as_deref().map(Path::to_path_buf),
                    tokenizer: Some(tokenizer.name().into()),
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
                expected: phrase!(
                    "prompt-ids",
                    "token ids below the vocabulary size {vocab_size}, not {id}; does the tokenizer belong to this \
                     model?",
                    vocab_size = self.config.vocab_size(),
                    id
                ),
                tokens: ids.len(),
            }),
        }
    }

    fn int_tensor<const D: usize>(&self, values: Vec<i64>, shape: [usize; D]) -> Tensor<D, Int> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
}
