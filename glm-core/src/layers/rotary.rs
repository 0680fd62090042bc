//! Rotary position embedding ([RoFormer](https://arxiv.org/abs/2104.09864)).
//!
//! In ChatGLM-6B the head is cut into as many equal parts as a token has position ids: two (position and block position,
//! [GLM](https://arxiv.org/abs/2103.10360) section 2.3), or one. Inside a part of width `d` the values `j` and
//! `j + d / 2` are turned together by the angle `position · θ_j`, with
//!
//! ```text
//! θ_j = 10000^(-2j / d),   0 <= j < d / 2
//! ```
//!
//! In ChatGLM2-6B it is one part, the first half of the head, in which the values `2j` and `2j + 1` are turned together. The
//! other half passes through.

use burn::tensor::{Device, Int, Tensor, assert_shape};
use glm_backends::cpu::RotaryPairs;
use half::f16;

const BASE: f32 = 10_000.0;

/// The cosines and sines of one forward pass: the same for every layer and head.
#[derive(Debug, Clone)]
pub struct RotaryTable {
    cos: Tensor<3>, // [batch, seq, pairs], part after part
    sin: Tensor<3>, // [batch, seq, pairs]
    pairs: RotaryPairs,
}

impl RotaryTable {
    /// The table of ChatGLM-6B for these positions.
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
        let [_, parts, _] = position_ids.dims();
        assert_eq!(
            head_dim % (2 * parts),
            0,
            "a head of {head_dim} cannot be cut into {parts} rotary parts"
        );
        let frequencies =
            inverse_frequencies(head_dim / parts, |theta| f16::from_f32(theta).to_f32());
        Self::of_angles(
            position_ids.float(),
            &frequencies,
            RotaryPairs::Halves { parts },
        )
    }

    /// The table of ChatGLM2-6B: neighbours in the first `rotary_dim` values of a head, turned as far as positions divided
    /// by `rope_ratio` say.
    ///
    /// # Shapes
    /// - `position_ids`: `[batch, 1, seq]`
    pub fn neighbours(position_ids: Tensor<3, Int>, rotary_dim: usize, rope_ratio: f64) -> Self {
        let positions = position_ids.float() / rope_ratio;
        let frequencies = inverse_frequencies(rotary_dim, |theta| theta);
        Self::of_angles(positions, &frequencies, RotaryPairs::Neighbours)
    }

    /// Every position `[batch, parts, seq]` times every frequency of a part.
    fn of_angles(positions: Tensor<3>, frequencies: &[f32], pairs: RotaryPairs) -> Self {
        let [batch, parts, seq] = positions.dims();
        let frequencies = Tensor::<1>::from_floats(frequencies, &positions.device()); // [d / 2]
        let [half] = frequencies.dims();
        let angles = positions.unsqueeze_dim::<4>(3) * frequencies.unsqueeze(); // [batch, parts, seq, d / 2]
        let angles = angles
            .swap_dims(1, 2) // [batch, seq, parts, d / 2]
            .reshape([batch, seq, parts * half]);
        Self {
            cos: angles.clone().cos(),
            sin: angles.sin(),
            pairs,
        }
    }

    /// Cosine and sine of every pair, `[batch, seq, pairs]` each, part after part.
    pub fn by_pair(&self) -> (Tensor<3>, Tensor<3>) {
        (self.cos.clone(), self.sin.clone())
    }

    /// Equal parts that the head is turned in: as many as a token has position ids.
    pub fn parts(&self) -> usize {
        match self.pairs {
            RotaryPairs::Halves { parts } => parts,
            RotaryPairs::Neighbours => 1,
        }
    }

    /// Where the table is.
    pub fn device(&self) -> Device {
        self.cos.device()
    }

    /// Turns queries or keys; values of a head behind the last pair stay as they are.
    ///
    /// # Shapes
    /// - `x` and result: `[batch, heads, seq, head_dim]`
    pub fn rotate(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, seq, pairs] = self.cos.dims();
        assert_shape!(x, [batch, _, seq, _]);
        let [_, heads, _, head_dim] = x.dims();
        // A head as [parts, 2, d / 2] or [1, pairs, 2]: the two of a pair lie along `axis`.
        let parts = self.parts();
        let (part, axis) = match self.pairs {
            RotaryPairs::Halves { .. } => ([2, pairs / parts], 4),
            RotaryPairs::Neighbours => ([pairs, 2], 5),
        };
        let turned = x.clone().narrow(3, 0, 2 * pairs);
        let turned = turned.reshape([batch, heads, seq, parts, part[0], part[1]]);
        let (a, b) = (turned.clone().narrow(axis, 0, 1), turned.narrow(axis, 1, 1));
        let [cos, sin] = [&self.cos, &self.sin].map(|table| {
            let [_, _, _, _, rows, columns] = a.dims();
            table.clone().reshape([batch, 1, seq, parts, rows, columns])
        });
        let turned = vec![
            a.clone() * cos.clone() - b.clone() * sin.clone(),
            b * cos + a * sin,
        ];
        let turned = Tensor::cat(turned, axis).reshape([batch, heads, seq, 2 * pairs]);
        match head_dim - 2 * pairs {
            0 => turned,
            rest => Tensor::cat(vec![turned, x.narrow(3, 2 * pairs, rest)], 3),
        }
    }
}

/// `θ_j` of a part of width `dim`, rounded as the official code does.
fn inverse_frequencies(dim: usize, round: impl Fn(f32) -> f32) -> Vec<f32> {
    (0..dim / 2)
        .map(|j| {
            let exponent = (2 * j) as f32 / dim as f32;
            round(1.0 / BASE.powf(exponent))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

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

    #[test]
    fn neighbours_in_the_first_half_are_turned_and_the_rest_passes() {
        let device = Device::default();
        let (head_dim, rotary_dim, position, ratio) = (16, 8, 37, 4.0);
        let x: Vec<f32> = (0..head_dim).map(|i| (i as f32 * 0.7).sin()).collect();
        let ids = Tensor::<3, Int>::from_data([[[position]]], &device);
        let table = RotaryTable::neighbours(ids, rotary_dim, ratio);
        let input = Tensor::from_data(TensorData::new(x.clone(), [1, 1, 1, head_dim]), &device);
        let found = table.rotate(input).into_data().try_to_vec::<f32>().unwrap();
        for j in 0..rotary_dim / 2 {
            let theta = 10000f64.powf(-2.0 * j as f64 / rotary_dim as f64);
            let (sin, cos) = (f64::from(position) / ratio * theta).sin_cos();
            let (a, b) = (f64::from(x[2 * j]), f64::from(x[2 * j + 1]));
            assert!((f64::from(found[2 * j]) - (a * cos - b * sin)).abs() < 1e-6);
            assert!((f64::from(found[2 * j + 1]) - (b * cos + a * sin)).abs() < 1e-6);
        }
        assert_eq!(found[rotary_dim..], x[rotary_dim..]);
    }
}
