//! One query over a piece of a cache with 16-bit codes: what [`super::decode`] does with other caches, in integers. What it
//! gives has the bits of [`super::tile`].

use super::{
    PIECE,
    codes::{BLOCK, BlockScale, Rows, quantize_query, rounded},
    decode::exponentials,
};
use crate::cpu::{
    lanes::{LANES, Lanes, Pair, round_to_i16},
    prefetch::Stream,
};

/// Codes in a vector of pairs.
const CODES: usize = 2 * LANES;

/// Keys whose products are added up together.
const TOGETHER: usize = 4;

/// Memory that is kept between calls.
#[derive(Default)]
pub(super) struct Scratch {
    /// The codes of a query, padded to whole vectors.
    query: Vec<i16>,
    /// The weighted sums of the values: of the even dims of each vector of codes, and of the odd ones.
    sums: Vec<[[f32; LANES]; 2]>,
}

impl Scratch {
    /// Writes the weighted sum of up to [`PIECE`] values to `out`, `[head_dim]`; returns the largest score and the sum of
    /// the exponentials. Scores are multiplied with `scale`. After keys and values, what is at `then` is read, at addresses
    /// that need not be valid.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn attend<L: Lanes>(
        &mut self,
        lanes: L,
        (query, scale): (&[f32], f32),
        [keys, values]: [Rows<'_>; 2],
        then: [*const u8; 2],
        out: &mut [f32],
    ) -> (f32, f32) {
        let head_dim = query.len();
        self.query.resize(head_dim.next_multiple_of(CODES), 0);
        let scale = scale * quantize_query(lanes, query, &mut self.query);
        let mut products = [0; PIECE];
        // Loops of a known length for the heads of the published models.
        let stream = Stream::new(keys.codes, then[0]);
        match head_dim {
            128 => self.dots(lanes, (keys.codes, stream), 128, &mut products),
            _ => self.dots(lanes, (keys.codes, stream), head_dim, &mut products),
        }
        let mut scores = [0.0; PIECE];
        let scores = &mut scores[..keys.scales.len()];
        for ((score, product), key_scale) in scores.iter_mut().zip(products).zip(keys.scales) {
            *score = product as f32 * scale * key_scale;
        }
        let seen = exponentials(lanes, scores);
        self.sums.clear();
        let vectors = head_dim.div_ceil(CODES);
        self.sums.resize(vectors, [[0.0; LANES]; 2]);
        for (weight, scale) in scores.iter_mut().zip(values.scales) {
            *weight *= scale;
        }
        let stream = Stream::new(values.codes, then[1]);
        let blocks = values.codes.chunks(BLOCK * head_dim);
        for (weights, values) in scores.chunks(BLOCK).zip(blocks) {
            let (codes, scale) = weight_codes(lanes, weights);
            let codes = &codes[..weights.len()];
            match head_dim {
                128 => self.add_weighted::<L, 4>(lanes, (values, stream), 128, 0, codes, scale),
                _ => {
                    for vector in 0..vectors {
                        let values = (values, stream);
                        self.add_weighted::<L, 1>(lanes, values, head_dim, vector, codes, scale);
                    }
                }
            }
        }
        for (out, [even, odd]) in out.chunks_mut(CODES).zip(&self.sums) {
            for (out, sums) in out.chunks_mut(2).zip(even.iter().zip(odd)) {
                for (out, sum) in out.iter_mut().zip([sums.0, sums.1]) {
                    *out = *sum;
                }
            }
        }
        seen
    }

    /// The products of the query with all keys, without scales.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn dots<L: Lanes>(
        &self,
        lanes: L,
        (keys, stream): (&[i16], Stream),
        head_dim: usize,
        products: &mut [i32; PIECE],
    ) {
        let groups = keys.chunks(TOGETHER * head_dim);
        for (keys, products) in groups.zip(products.as_chunks_mut::<TOGETHER>().0) {
            stream.prefetch(keys);
            let mut sums = [lanes.no_ints(); TOGETHER];
            for (key, sum) in keys.chunks_exact(head_dim).zip(&mut sums) {
                for vector in 0..head_dim.div_ceil(CODES) {
                    let query = pairs(lanes, &self.query, vector);
                    *sum = lanes.add_products(query, pairs(lanes, key, vector), *sum);
                }
            }
            *products = lanes.sum_ints(sums);
        }
    }

    /// Adds the weighted values of a block to `C` vectors of sums, from number `first` on.
    #[cfg_attr(not(unoptimised), inline(always))]
    fn add_weighted<L: Lanes, const C: usize>(
        &mut self,
        lanes: L,
        (values, stream): (&[i16], Stream),
        head_dim: usize,
        first: usize,
        weights: &[i16],
        scale: L::Vector,
    ) {
        let mut totals = [[lanes.no_ints(); 2]; C];
        for (value, weight) in values.chunks_exact(head_dim).zip(weights) {
            stream.prefetch(value);
            // The products of the even dims alone, and of the odd ones.
            let weights = [[*weight, 0], [0, *weight]].map(|pair| lanes.splat_pair(pair));
            for vector in 0..C {
                let value = pairs(lanes, value, first + vector);
                for half in 0..2 {
                    totals[vector][half] =
                        lanes.add_products(value, weights[half], totals[vector][half]);
                }
            }
        }
        for (sums, totals) in self.sums[first..].iter_mut().zip(totals) {
            for (sums, total) in sums.iter_mut().zip(totals) {
                let total = lanes.to_floats(total);
                lanes.store(lanes.mul_add(total, scale, lanes.load(sums)), sums);
            }
        }
    }
}

/// The codes of the weights of a block, and their scale in all lanes.
#[cfg_attr(not(unoptimised), inline(always))]
fn weight_codes<L: Lanes>(lanes: L, weights: &[f32]) -> ([i16; BLOCK], L::Vector) {
    let mut largest = lanes.splat(0.0);
    for weights in weights.chunks(LANES) {
        largest = lanes.max(lanes.load_part(weights, 0.0), largest);
    }
    let finest = BlockScale::finest(lanes, lanes.splat(lanes.largest(largest)));
    let mut sum = lanes.splat(0.0);
    for weights in weights.chunks(LANES) {
        let weights = lanes.load_part(weights, 0.0);
        sum = lanes.add(sum, rounded(lanes, weights, finest));
    }
    let sum = lanes.splat(lanes.sum(sum));
    let BlockScale { factor, scale } = BlockScale::new(lanes, finest, sum);
    let mut codes = [0; BLOCK];
    let mut weighted = [0.0; LANES];
    for (weights, codes) in weights.chunks(LANES).zip(codes.chunks_mut(LANES)) {
        lanes.store(
            lanes.mul(lanes.load_part(weights, 0.0), factor),
            &mut weighted,
        );
        for (code, weighted) in codes.iter_mut().zip(weighted) {
            *code = round_to_i16(weighted);
        }
    }
    (codes, scale)
}

/// Vector number `vector` of a row of codes; zeros where it has none.
#[cfg_attr(not(unoptimised), inline(always))]
fn pairs<L: Lanes>(lanes: L, row: &[i16], vector: usize) -> L::Pairs {
    let (pairs, _): (&[Pair], _) = row.as_chunks();
    match pairs.as_chunks().0.get(vector) {
        Some(pairs) => lanes.load_pairs(pairs),
        None => {
            let mut padded = [0; CODES];
            let rest = row.chunks(CODES).nth(vector).unwrap_or_default();
            padded[..rest.len()].copy_from_slice(rest);
            let (pairs, _) = padded.as_chunks();
            pairs
                .first_chunk()
                .map_or(lanes.splat_pair([0; 2]), |pairs| lanes.load_pairs(pairs))
        }
    }
}
