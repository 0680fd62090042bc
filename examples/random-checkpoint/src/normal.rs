//! Normal f16 values at the speed of a disk: drawn from a table of quantiles.

use half::f16;
use rand_pcg::{
    Pcg64,
    rand_core::{Rng, SeedableRng},
};

/// Bits of randomness per value, and so the size of the table.
const BITS: u32 = 12;

/// A stream of values for one tensor.
pub(crate) struct NormalF16 {
    quantiles: Vec<f32>,
    rng: Pcg64,
}

impl NormalF16 {
    /// The stream of the tensor `name`: independent of which other tensors are written.
    pub(crate) fn new(seed: u64, name: &str, std: f32) -> Self {
        // FNV-1a: any fixed hash will do, std's may change between releases.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let size = 1_u32 << BITS;
        let quantiles =
            (0..size).map(|i| std * quantile((f64::from(i) + 0.5) / f64::from(size)) as f32);
        Self {
            quantiles: quantiles.collect(),
            rng: Pcg64::seed_from_u64(seed ^ hash),
        }
    }

    /// `count` values of deviation `std` around `mean`, as little-endian bytes.
    pub(crate) fn around(&mut self, count: usize, mean: f32) -> Vec<u8> {
        let table: Vec<[u8; 2]> = self
            .quantiles
            .iter()
            .map(|&value| f16::from_f32(mean + value).to_le_bytes())
            .collect();
        let mut bytes = Vec::with_capacity(count * 2);
        let per_draw = (64 / BITS) as usize;
        let mut left = count;
        while left > 0 {
            let mut random = self.rng.next_u64();
            for _ in 0..left.min(per_draw) {
                bytes.extend_from_slice(&table[(random as usize) & (table.len() - 1)]);
                random >>= BITS;
            }
            left = left.saturating_sub(per_draw);
        }
        bytes
    }

    /// `count` times `value`.
    pub(crate) fn constant(&self, count: usize, value: f16) -> Vec<u8> {
        value.to_le_bytes().repeat(count)
    }

    /// `count` random bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

/// The standard normal value below which a share `p` lies, by bisection of the distribution function.
fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if distribution(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Standard normal distribution function: the series of Marsaglia, "Evaluating the Normal Distribution" (2004).
fn distribution(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        k += 2.0;
        term *= x * x / k;
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_normal_and_repeat_by_name() {
        let values = |name| {
            let bytes = NormalF16::new(7, name, 0.5).around(100_001, 1.0);
            let (pairs, rest) = bytes.as_chunks::<2>();
            assert!(rest.is_empty());
            pairs
                .iter()
                .map(|&b| f64::from(f16::from_le_bytes(b).to_f32()))
                .collect::<Vec<f64>>()
        };
        let first = values("a");
        assert_eq!(first, values("a"));
        assert_ne!(first, values("b"));
        let mean = first.iter().sum::<f64>() / first.len() as f64;
        let variance = first.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / first.len() as f64;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        assert!((variance.sqrt() - 0.5).abs() < 0.01, "{variance}");
        let beyond =
            first.iter().filter(|v| (**v - 1.0).abs() > 1.0).count() as f64 / first.len() as f64;
        assert!(
            (beyond - 0.0455).abs() < 0.005,
            "{beyond} lie beyond two deviations"
        );
    }
}
