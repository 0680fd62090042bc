//! Rotary position embedding ([RoFormer](https://arxiv.org/abs/2104.09864)) as ChatGLM-6B uses it.
//!
//! The head is cut into as many equal parts as a token has position ids: two (position and block position,
//! [GLM](https://arxiv.org/abs/2103.10360) section 2.3), or one. Inside a part of width `d` the values `j` and
//! `j + d / 2` are turned together by the angle `position · θ_j`, with
//!
//! ```text
//! θ_j = 10000^(-2j / d),   0 <= j < d / 2
//! ```

use burn::tensor::{Device, Int, Tensor, TensorData, assert_shape};
use half::f16;

const BASE: f32 = 10_000.0;

/// The cosines and sines of one forward pass: the same for every layer and head.
#[derive(Debug, Clone)]
pub struct RotaryTable {
    cos: Tensor<3>, // [batch, seq, head_dim / 2], part after part
    sin: Tensor<3>, // [batch, seq, head_dim / 2]
    parts: usize,
}

impl RotaryTable {
    /// The table for these positions.
    ///
    /// The frequencies are rounded to f16: the official module calls `inv_freq.half()` before anything else, and
    /// keeps the rounded values when it computes in f32.
    ///
    /// # Shapes
    /// - `position_ids`: `[batch, parts, seq]`, parts being 2 (2-D positions) or 1
    ///
    /// # Panics
    /// If `head_dim` is not a multiple of twice the number of parts.
    pub fn new(position_ids: Tensor<3, Int>, head_dim: usize) -> Self {
        let [batch, parts, seq] = position_ids.dims();
        assert_eq!(
            head_dim % (2 * parts),
            0,
            "a head of {head_dim} cannot be cut into {parts} rotary parts"
        );
        let frequencies = inverse_frequencies(head_dim / parts, &position_ids.device()); // [1, 1, 1, d / 2]
        let angles = position_ids.float().unsqueeze_dim::<4>(3) * frequencies; // [batch, parts, seq, d / 2]
        let angles = angles
            .swap_dims(1, 2) // [batch, seq, parts, d / 2]
            .reshape([batch, seq, head_dim / 2]);
        Self {
            cos: angles.clone().cos(),
            sin: angles.sin(),
            parts,
        }
    }

    /// Cosine and sine of every pair, `[batch, seq, head_dim / 2]` each, part after part.
    pub fn by_pair(&self) -> (Tensor<3>, Tensor<3>) {
        (self.cos.clone(), self.sin.clone())
    }

    /// Position ids of a token: the parts that the head is cut into.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// Where the table is.
    pub fn device(&self) -> Device {
        self.cos.device()
    }

    /// Turns queries or keys.
    ///
    /// # Shapes
    /// - `x` and result: `[batch, heads, seq, head_dim]`
    pub fn rotate(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, seq, pairs] = self.cos.dims();
        assert_shape!(x, [batch, _, seq, 2 * pairs]);
        let quarter_turn = self.quarter_turn(x.clone());
        x * self.by_value(&self.cos) + quarter_turn * self.by_value(&self.sin)
    }

    /// One number for each pair → one for each value: both of a pair have the same, and the parts stand side by side.
    fn by_value(&self, table: &Tensor<3>) -> Tensor<4> {
        let [batch, seq, pairs] = table.dims();
        table
            .clone()
            .reshape([batch, seq, self.parts, 1, pairs / self.parts])
            .repeat_dim(3, 2) // [batch, seq, parts, 2, d / 2]
            .reshape([batch, 1, seq, 2 * pairs])
    }

    /// `(a, b)` → `(-b, a)` for the two halves of every part; the official `rotate_half`.
    fn quarter_turn(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, _, head_dim] = x.dims();
        let half = head_dim / (2 * self.parts);
        let mut turned = Vec::with_capacity(2 * self.parts);
        for part in 0..self.parts {
            let start = 2 * part * half;
            turned.push(-x.clone().narrow(3, start + half, half));
            turned.push(x.clone().narrow(3, start, half));
        }
        Tensor::cat(turned, 3)
    }
}

/// `θ_j` of a part of width `dim`, rounded to f16: `[1, 1, 1, dim / 2]`.
fn inverse_frequencies(dim: usize, device: &Device) -> Tensor<4> {
    let frequencies: Vec<f32> = (0..dim / 2)
        .map(|j| {
            let exponent = (2 * j) as f32 / dim as f32;
            f16::from_f32(1.0 / BASE.powf(exponent)).to_f32()
        })
        .collect();
    Tensor::from_data(TensorData::new(frequencies, [1, 1, 1, dim / 2]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula of the paper, one pair at a time, in f64.
    fn naive(x: &[f32], positions: &[usize]) -> Vec<f64> {
        let mut out = vec![0.0; x.len()];
        let dim = x.len() / positions.len();
        for (part, &position) in positions.iter().enumerate() {
            for j in 0..dim / 2 {
                let theta = 10000f64.powf(-2.0 * j as f64 / dim as f64);
                let theta = f64::from(f16::from_f64(theta).to_f32());
                let (sin, cos) = (position as f64 * theta).sin_cos();
                let (a, b) = (part * dim + j, part * dim + j + dim / 2);
                out[a] = f64::from(x[a]) * cos - f64::from(x[b]) * sin;
                out[b] = f64::from(x[b]) * cos + f64::from(x[a]) * sin;
            }
        }
        out
    }

    #[test]
    fn equals_the_formula_pair_by_pair() {
        let device = Device::default();
        for positions in [vec![7, 2], vec![100, 0], vec![31]] {
            let head_dim = 16;
            let x: Vec<f32> = (0..head_dim).map(|i| (i as f32 * 0.7).sin()).collect();
            let ids: Vec<i32> = positions.iter().map(|&p| p as i32).collect();
            let ids =
                Tensor::<3, Int>::from_data(TensorData::new(ids, [1, positions.len(), 1]), &device);
            let table = RotaryTable::new(ids, head_dim);
            let input = Tensor::from_data(TensorData::new(x.clone(), [1, 1, 1, head_dim]), &device);
            let rotated = table.rotate(input).into_data().try_to_vec::<f32>().unwrap();
            for (found, expected) in rotated.iter().zip(naive(&x, &positions)) {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{positions:?}");
            }
        }
    }
}
