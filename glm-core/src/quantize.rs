//! Quantises a model that is in memory: by rounding, or with GPTQ from a calibration text.
//!
//! Loading with a precision ([`LoadOptions::precision`](crate::LoadOptions::precision)) rounds while it reads and needs less
//! memory. GPTQ ([Frantar et al. 2022](https://arxiv.org/abs/2210.17323)) looks at what each matrix is multiplied with, so
//! it needs the model to run: block after block, each reading what the quantised blocks before it give.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{DType, Int, Tensor};
use glm_backends::PackedWeight;
use glm_quant::{
    PackedLayout, PackedMatrix,
    gptq::{self, Hessian},
    half::f16,
};
use glm_tokenizer::phrase;

use crate::{
    attention_mask::AttentionMask,
    checkpoint::Precision,
    error::{Error, Result},
    kv_cache::KvCache,
    layers::{
        attention::AttentionContext,
        embedding::TokenEmbedding,
        linear::{FloatLinear, GlmLinear, InputObserver},
    },
    model::{Model, PaddingSide},
    network::Network,
    prefix_lm::TokenId,
};

/// How codes are found for the matrices of the layers. Embedding and head are always rounded.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Quantizer<'a> {
    /// Each weight to the nearest code.
    RoundToNearest,
    /// GPTQ: later weights of a row make up for the rounding of earlier ones, as far as it shows on this text.
    Gptq {
        /// Token rows such as the model will meet: prompt, `[gMASK] <sop>`, answer.
        calibration: &'a [Vec<TokenId>],
    },
}

impl Model {
    /// The same model with its float matrices quantised; matrices that are quantised already stay as they are. `head` is
    /// the precision of embedding and head, [`Precision::default_head`] if `None`. `progress` is told how many blocks are
    /// done, and of how many.
    ///
    /// # Errors
    /// [`Error::Quantize`] for a weight that cannot be quantised; as [`Model::layouts`] for a calibration row;
    /// [`Error::InvalidOption`] for a calibration without rows.
    pub fn quantize(
        mut self,
        layers: Precision,
        head: Option<Precision>,
        quantizer: Quantizer<'_>,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Self> {
        let mut calibration = match quantizer {
            Quantizer::RoundToNearest => None,
            Quantizer::Gptq { calibration } => Some(Calibration::new(&self, calibration)?),
        };
        let numerics = self.numerics();
        let network = self.network_mut();
        let total = network.num_layers();
        for layer in 0..total {
            quantize_block(network, layer, layers, calibration.as_mut())?;
            progress(layer + 1, total);
        }
        let head = head.unwrap_or(layers.default_head());
        if let TokenEmbedding::Float(weight) = network.word_embeddings() {
            let name = "word_embeddings";
            if let Some(weight) = quantize_matrix(name, &weight.val(), head, None)? {
                *network.word_embeddings_mut() = TokenEmbedding::packed(weight);
            }
        }
        if let Some(linear) = network.head_mut() {
            quantize_linear("head", linear, head, None)?;
        }
        Ok(self.with_numerics(numerics))
    }
}

/// The calibration text on its way through the blocks.
struct Calibration {
    rows: Vec<CalibrationRow>,
}

struct CalibrationRow {
    hidden_states: Tensor<3>, // [1, seq, hidden_size]
    position_ids: Tensor<3, Int>,
    mask: AttentionMask,
}

impl Calibration {
    fn new(model: &Model, rows: &[Vec<TokenId>]) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::InvalidOption {
                option: "calibration",
                expected: phrase!("option-calibration", "at least one row of tokens"),
                found: phrase!("option-none", "none"),
            });
        }
        let row = |row: &Vec<TokenId>| {
            let row = [row.as_slice()];
            let input = model.input(&row, &model.layouts(&row)?, PaddingSide::Left);
            Ok(CalibrationRow {
                hidden_states: model.network().word_embeddings().forward(input.input_ids),
                position_ids: input.position_ids,
                mask: input.attention_mask,
            })
        };
        Ok(Self {
            rows: rows.iter().map(row).collect::<Result<_>>()?,
        })
    }

    /// What the rows become in block `layer`.
    fn outputs(&self, network: &Network, layer: usize) -> Vec<Tensor<3>> {
        let output = |row: &CalibrationRow| {
            let [_, seq, _] = row.hidden_states.dims();
            let rotary = network.rotary(row.position_ids.clone());
            let attention = AttentionContext::new(rotary, &row.mask, 0, seq);
            let mut cache = KvCache::disabled(network.num_layers());
            network.forward_block(layer, row.hidden_states.clone(), &attention, &mut cache)
        };
        self.rows.iter().map(output).collect()
    }

    /// Puts the rows behind block `layer`.
    fn advance(&mut self, network: &Network, layer: usize) {
        let outputs = self.outputs(network, layer);
        for (row, output) in self.rows.iter_mut().zip(outputs) {
            row.hidden_states = output;
        }
    }
}

/// The four matrices of one block; with a calibration all of them from the inputs that they have while the block still
/// is as it was.
fn quantize_block(
    network: &mut Network,
    layer: usize,
    precision: Precision,
    calibration: Option<&mut Calibration>,
) -> Result<()> {
    let mut observed = [const { None }; 4];
    if let Some(calibration) = &calibration {
        observed = network
            .linears_mut(layer)
            .map(|(_, linear)| observe(linear));
        calibration.outputs(network, layer);
        for (_, linear) in network.linears_mut(layer) {
            stop_observing(linear);
        }
    }
    for ((name, linear), observed) in network.linears_mut(layer).into_iter().zip(observed) {
        let name = format!("layers.{layer}.{name}");
        let hessian = observed.map(take).transpose();
        let hessian = hessian.map_err(|source| failed(&name, source))?;
        quantize_linear(&name, linear, precision, hessian.as_ref())?;
    }
    if let Some(calibration) = calibration {
        calibration.advance(network, layer);
    }
    Ok(())
}

/// The second moments of a layer's inputs, or why they could not be taken.
type Observed = Arc<Mutex<glm_quant::Result<Hessian>>>;

/// Collects the statistics of every input of a float layer from now on.
fn observe(linear: &mut GlmLinear) -> Option<Observed> {
    let GlmLinear::Float(layer) = linear else {
        return None;
    };
    let [_, cols] = layer.weight.dims();
    let observed: Observed = Arc::new(Mutex::new(Hessian::new(cols)));
    let shared = Arc::clone(&observed);
    layer.observer = Some(InputObserver::new(move |x| {
        let mut observed = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let values = x.into_data().try_to_vec::<f32>().unwrap_or_default(); // On the host f32 always converts.
        if let Ok(hessian) = &mut *observed
            && let Err(error) = hessian.add(&values)
        {
            *observed = Err(error);
        }
    }));
    Some(observed)
}

/// A layer that stays float must not go on collecting.
fn stop_observing(linear: &mut GlmLinear) {
    if let GlmLinear::Float(layer) = linear {
        layer.observer = None;
    }
}

fn take(observed: Observed) -> glm_quant::Result<Hessian> {
    let mut observed = observed.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *observed, Hessian::new(0))
}

fn failed(name: &str, source: glm_quant::Error) -> Error {
    Error::Quantize {
        path: "the model in memory".into(),
        tensor: name.to_owned(),
        source,
    }
}

fn quantize_linear(
    name: &str,
    linear: &mut GlmLinear,
    precision: Precision,
    hessian: Option<&Hessian>,
) -> Result<()> {
    if let GlmLinear::Float(FloatLinear { weight, bias, .. }) = linear
        && let Some(weight) = quantize_matrix(name, &weight.val(), precision, hessian)?
    {
        let bias = bias.as_ref().map(|bias| bias.val());
        *linear = GlmLinear::packed(weight, bias);
    }
    Ok(())
}

/// `None` when the precision is that of the weight.
fn quantize_matrix(
    name: &str,
    weight: &Tensor<2>,
    precision: Precision,
    hessian: Option<&Hessian>,
) -> Result<Option<PackedWeight>> {
    let [rows, cols] = weight.dims();
    let Some(layout) = precision.layout(rows, cols) else {
        return Ok(None);
    };
    let matrix = quantized(layout, weight, hessian).map_err(|source| failed(name, source))?;
    Ok(Some(PackedWeight::from_matrix(matrix, &weight.device())))
}

fn quantized(
    layout: PackedLayout,
    weight: &Tensor<2>,
    hessian: Option<&Hessian>,
) -> glm_quant::Result<PackedMatrix> {
    let data = weight.clone().into_data();
    if let (None, Ok(halves)) = (hessian, data.as_slice::<f16>()) {
        return PackedMatrix::quantize_f16(layout, halves);
    }
    let data = data.convert_dtype(DType::F32);
    let weights = data.as_slice::<f32>().unwrap_or_default(); // Of the wrong length, if it were no f32.
    match hessian {
        None => PackedMatrix::quantize_f32(layout, weights),
        Some(hessian) => gptq::quantize(layout, weights, hessian, &gptq::Options::default()),
    }
}
