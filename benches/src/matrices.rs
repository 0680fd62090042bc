//! The matrices of a model in the order in which a pass multiplies with them, to time the products alone.
//!
//! The library has no door to single matrices, and needs none: burn shows the parameters of a module to any visitor, and
//! their place in the module says which matrix they belong to.

use std::time::{Duration, Instant};

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Device, Int, Tensor, TensorData},
};
use glm_backends::PackedWeight;
use glm_core::{Model, config::ModelConfig, layers::linear::GlmLinear};
use glm_quant::{Bits, GroupSize, PackedLayout};

use crate::Error;

const EMBEDDING: &str = "word_embeddings";
/// The head of ChatGLM-6B, and that of ChatGLM2-6B.
const HEADS: [&str; 2] = ["lm_head", "output_layer"];

/// One matrix of one layer, or the head.
pub(crate) struct Matrix {
    /// Its name in the checkpoint.
    pub(crate) name: &'static str,
    linear: GlmLinear,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Of weight and bias.
    pub(crate) bytes: u64,
}

impl Matrix {
    /// Rows of activations that it is multiplied with in a pass over `tokens`: the head reads the last one alone.
    pub(crate) fn batch(&self, tokens: usize) -> usize {
        if self.is_head() { 1 } else { tokens }
    }

    fn is_head(&self) -> bool {
        HEADS.contains(&self.name)
    }

    /// Multiplications and additions of a pass over `tokens`.
    pub(crate) fn operations(&self, tokens: usize) -> u64 {
        2 * (self.batch(tokens) * self.rows * self.cols) as u64
    }
}

/// The matrices of a model.
pub(crate) struct Matrices {
    all: Vec<Matrix>,
    device: Device,
}

impl Matrices {
    /// Those of `model`, sharing its memory.
    ///
    /// # Errors
    /// [`Error::Matrices`] when they are not those of a known family.
    pub(crate) fn of(model: &Model) -> Result<Self, Error> {
        let config = model.config();
        let mut visitor = MatrixVisitor::default();
        model.network().visit(&mut visitor);
        let mut all = Vec::new();
        for tensors in visitor.found {
            let mut matrix = tensors.into_matrix(config)?;
            if let GlmLinear::Packed(_) = matrix.linear {
                matrix.linear.set_activations(model.numerics().activations);
            }
            all.push(matrix);
        }
        // The embedding is multiplied with only where it is the head, and then last.
        if all.first().is_some_and(|first| first.name == EMBEDDING) {
            let mut embedding = all.remove(0);
            if !all.last().is_some_and(Matrix::is_head) {
                embedding.name = HEADS[0];
                all.push(embedding);
            }
        }
        let expected = 4 * config.num_layers() + 1;
        if all.len() != expected {
            return Err(Error::Matrices {
                reason: format!("{} were found instead of {expected}", all.len()),
            });
        }
        Ok(Self {
            all,
            device: model.device().clone(),
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Matrix> {
        self.all.iter()
    }

    /// Bytes of all weights and biases.
    pub(crate) fn bytes(&self) -> u64 {
        self.iter().map(|matrix| matrix.bytes).sum()
    }

    /// Multiplications and additions of a pass over `tokens`.
    pub(crate) fn operations(&self, tokens: usize) -> u64 {
        self.iter().map(|matrix| matrix.operations(tokens)).sum()
    }

    /// Random activations for a pass over `tokens` that takes `at_once` of them at a time.
    pub(crate) fn inputs(&self, tokens: usize, at_once: usize) -> Inputs {
        let starts = (0..tokens).step_by(at_once);
        let parts: Vec<usize> = starts.map(|start| at_once.min(tokens - start)).collect();
        let mut tensors: Vec<Tensor<2>> = Vec::new();
        for matrix in self.iter() {
            for &part in &parts {
                let shape = [matrix.batch(part), matrix.cols];
                if !tensors.iter().any(|tensor| tensor.dims() == shape) {
                    let values: Vec<f32> = (0..shape[0] * shape[1]).map(noise).collect();
                    let data = TensorData::new(values, shape);
                    tensors.push(Tensor::from_data(data, &self.device));
                }
            }
        }
        Inputs { parts, tensors }
    }

    /// All products of a pass, in its order: the time of each matrix.
    pub(crate) fn multiply(&self, inputs: &Inputs) -> Vec<Duration> {
        let mut times = vec![Duration::ZERO; self.all.len()];
        for (index, &part) in inputs.parts.iter().enumerate() {
            let is_last = index + 1 == inputs.parts.len();
            for (matrix, time) in self.iter().zip(&mut times) {
                if matrix.is_head() && !is_last {
                    continue;
                }
                let x = inputs.of(matrix, part);
                let start = Instant::now();
                drop(std::hint::black_box(matrix.linear.forward(x)));
                *time += start.elapsed();
            }
        }
        times
    }
}

/// Activations for every width of matrix.
pub(crate) struct Inputs {
    /// Tokens that go through all layers at once, one part after the other.
    parts: Vec<usize>,
    tensors: Vec<Tensor<2>>, // [a part or 1, cols]
}

impl Inputs {
    fn of(&self, matrix: &Matrix, part: usize) -> Tensor<2> {
        let shape = [matrix.batch(part), matrix.cols];
        let found = self.tensors.iter().find(|tensor| tensor.dims() == shape);
        // `Matrices::inputs` has made one for every matrix.
        found.unwrap_or(&self.tensors[0]).clone()
    }
}

/// A number from -1 to 1 for every index.
fn noise(index: usize) -> f32 {
    let mixed = (index as u32).wrapping_mul(0x9e37_79b9);
    (mixed ^ mixed >> 15) as f32 / (1u64 << 31) as f32 - 1.0
}

/// The parameters of one matrix.
struct MatrixTensors {
    name: &'static str,
    codes: Option<Tensor<3, Int>>,
    scales: Option<Tensor<3>>,
    float: Option<Tensor<2>>,
    bias: Option<Tensor<1>>,
}

impl MatrixTensors {
    fn into_matrix(self, config: &ModelConfig) -> Result<Matrix, Error> {
        let [rows, cols] = shape(config, self.name).ok_or_else(|| Error::Matrices {
            reason: "the family is new to this program".to_owned(),
        })?;
        let bias_bytes = if self.bias.is_some() { 4 * rows } else { 0 };
        let (linear, weight_bytes) = match (self.codes, self.scales, self.float) {
            (Some(codes), Some(scales), None) => {
                let layout = layout([rows, cols], codes.dims(), scales.dims());
                let layout = layout.ok_or_else(|| Error::Matrices {
                    reason: format!("{} is not [{rows}, {cols}]", self.name),
                })?;
                let weight = PackedWeight::new(layout, codes, scales);
                (GlmLinear::packed(weight, self.bias), layout.byte_len())
            }
            (None, None, Some(weight)) => {
                let bytes = rows * cols * weight.dtype().size();
                (GlmLinear::float(weight, self.bias), bytes)
            }
            _ => {
                return Err(Error::Matrices {
                    reason: format!("{} is neither float nor packed", self.name),
                });
            }
        };
        Ok(Matrix {
            name: self.name,
            linear,
            rows,
            cols,
            bytes: (weight_bytes + bias_bytes) as u64,
        })
    }
}

/// `[rows, cols]` of the matrix with a name, which packed ones do not show; `None` in an unknown family.
fn shape(config: &ModelConfig, name: &str) -> Option<[usize; 2]> {
    let shape = match config {
        ModelConfig::ChatGlm(config) => {
            let (hidden, inner) = (config.hidden_size, config.inner_hidden_size);
            match name {
                "query_key_value" => [3 * hidden, hidden],
                "dense" => [hidden, hidden],
                "dense_h_to_4h" => [inner, hidden],
                "dense_4h_to_h" => [hidden, inner],
                _ => [config.vocab_size, hidden],
            }
        }
        ModelConfig::ChatGlm2(config) => {
            let (hidden, ffn) = (config.hidden_size, config.ffn_hidden_size);
            match name {
                "query_key_value" => [config.qkv_size(), hidden],
                "dense" => [hidden, config.num_attention_heads * config.kv_channels],
                "dense_h_to_4h" => [2 * ffn, hidden],
                "dense_4h_to_h" => [hidden, ffn],
                _ => [config.padded_vocab_size, hidden],
            }
        }
        _ => return None,
    };
    Some(shape)
}

/// The layout of a matrix whose codes and scales have these shapes; `None` when there is none.
fn layout([rows, cols]: [usize; 2], codes: [usize; 3], scales: [usize; 3]) -> Option<PackedLayout> {
    // A short row may have as many groups of one size as of another: the largest then, which costs the same.
    let groups = [GroupSize::Row, GroupSize::G128, GroupSize::G32];
    let bits = [Bits::Four, Bits::Eight];
    let all = bits.into_iter().flat_map(|bits| {
        groups.map(|group| PackedLayout {
            rows,
            cols,
            bits,
            group,
        })
    });
    all.into_iter().find(|layout| {
        codes == [layout.row_blocks(), layout.steps(), glm_quant::BLOCK_ROWS]
            && scales == [layout.row_blocks(), layout.groups(), glm_quant::BLOCK_ROWS]
    })
}

/// Collects the parameters of matrices.
#[derive(Default)]
struct MatrixVisitor {
    path: Vec<String>,
    found: Vec<MatrixTensors>,
}

impl MatrixVisitor {
    /// The matrix that the visitor is in, made when its first parameter comes.
    fn current(&mut self) -> Option<&mut MatrixTensors> {
        const NAMES: [&str; 7] = [
            EMBEDDING,
            "query_key_value",
            "dense",
            "dense_h_to_4h",
            "dense_4h_to_h",
            HEADS[0],
            HEADS[1],
        ];
        let name = NAMES
            .into_iter()
            .find(|name| self.path.iter().any(|part| part == name))?;
        let is_new = match self.found.last() {
            None => true,
            Some(last) => last.name != name,
        };
        if is_new {
            self.found.push(MatrixTensors {
                name,
                codes: None,
                scales: None,
                float: None,
                bias: None,
            });
        }
        self.found.last_mut()
    }
}

impl ModuleVisitor for MatrixVisitor {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        if let Some(matrix) = self.current()
            && let [blocks, steps, lanes] = param.val().dims()[..]
        {
            matrix.codes = Some(param.val().reshape([blocks, steps, lanes]));
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        if let Some(matrix) = self.current() {
            match tensor.dims()[..] {
                [rows] => matrix.bias = Some(tensor.reshape([rows])),
                [rows, cols] => matrix.float = Some(tensor.reshape([rows, cols])),
                [blocks, groups, lanes] => {
                    matrix.scales = Some(tensor.reshape([blocks, groups, lanes]));
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use glm_core::{checkpoint::Precision, random_model::random_packed};

    use super::*;

    const CHATGLM: &str = r#"{"model_type": "chatglm", "vocab_size": 640, "hidden_size": 256, "num_layers": 2,
        "num_attention_heads": 4, "bos_token_id": 624, "eos_token_id": 625, "mask_token_id": 620,
        "gmask_token_id": 621, "pad_token_id": 3}"#;

    const CHATGLM2: &str = r#"{"model_type": "chatglm", "padded_vocab_size": 640, "hidden_size": 256,
        "ffn_hidden_size": 320, "num_layers": 2, "num_attention_heads": 4, "kv_channels": 64,
        "multi_query_attention": true, "multi_query_group_num": 2, "seq_length": 256, "add_qkv_bias": true}"#;

    fn model(json: &str, layers: &str, head: &str) -> Model {
        let config = ModelConfig::from_json("config.json", json.as_bytes()).unwrap();
        let precision = |name: &str| name.parse::<Precision>().unwrap();
        random_packed(&config, precision(layers), precision(head), 7).unwrap()
    }

    #[test]
    fn every_matrix_is_found_in_the_order_of_a_pass() {
        // Weights of a layer: twelve squares of the hidden size; rows of the four matrices times 256 columns, the last
        // turned.
        let (chatglm, chatglm2) = (12 * 256 * 256, (512 + 256 + 640 + 320) * 256);
        for (json, head_name, of_layer) in
            [(CHATGLM, HEADS[0], chatglm), (CHATGLM2, HEADS[1], chatglm2)]
        {
            for (layers, head) in [("int4-g32", "int8-row"), ("int8-g128", "int4-g128")] {
                let matrices = Matrices::of(&model(json, layers, head)).unwrap();
                let names: Vec<&str> = matrices.iter().map(|matrix| matrix.name).collect();
                let layer = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"];
                let expected: Vec<&str> =
                    layer.into_iter().chain(layer).chain([head_name]).collect();
                assert_eq!(names, expected);
                let weights = 2 * of_layer;
                // The head multiplies one token.
                assert_eq!(
                    matrices.operations(10),
                    2 * (10 * weights + 640 * 256) as u64
                );
                let bits = if layers.starts_with("int4") { 4 } else { 8 };
                let codes = (weights * bits + 640 * 256 * (12 - bits)) as u64 / 8;
                let scales_and_biases = matrices.bytes() - codes;
                assert!(scales_and_biases < codes / 4, "{scales_and_biases}");
                for (at_once, parts) in [(3, &[3][..]), (2, &[2, 1]), (1, &[1, 1, 1])] {
                    let inputs = matrices.inputs(3, at_once);
                    assert_eq!(inputs.parts, parts);
                    assert_eq!(matrices.multiply(&inputs).len(), 9);
                }
            }
        }
    }

    #[test]
    fn the_layout_follows_from_the_shapes() {
        for bits in [Bits::Four, Bits::Eight] {
            for group in [GroupSize::Row, GroupSize::G32, GroupSize::G128] {
                let expected = PackedLayout {
                    rows: 40,
                    cols: 272,
                    bits,
                    group,
                };
                let codes = [expected.row_blocks(), expected.steps(), 16];
                let scales = [expected.row_blocks(), expected.groups(), 16];
                assert_eq!(layout([40, 272], codes, scales), Some(expected));
                assert_eq!(layout([400, 272], codes, scales), None);
            }
        }
    }
}
