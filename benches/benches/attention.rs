//! Attention of one layer of ChatGLM-6B over a cache in each precision: a token behind a context, and a prompt. With the
//! rotary positions and the writing of the cache, as in a pass.

use std::{hint::black_box, time::Duration};

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use glm_backends::cpu::{
    CachePrecision, CacheSlice, KvBuffers, QkvLayout, Span, Step, attention, rotary_append,
};

const LAYOUT: QkvLayout = QkvLayout::by_head(32, 128, 2);

const PRECISIONS: [(&str, CachePrecision); 4] = [
    ("int16", CachePrecision::Int16),
    ("f16", CachePrecision::F16),
    ("int8", CachePrecision::Int8),
    ("f32", CachePrecision::F32),
];

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attention-decode");
    for (name, precision) in PRECISIONS {
        for context in [128, 1024, 2048] {
            let mut layer = Layer::new(precision, context + 1);
            layer.append(0, context);
            layer.append(context, 1);
            layer.attend(context, 1);
            layer.check(context, 0);
            group.throughput(Throughput::Bytes(layer.cache.byte_len() as u64));
            group.bench_function(BenchmarkId::new(name, context), |bencher| {
                bencher.iter(|| layer.attend(black_box(context), 1));
            });
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("attention-prefill");
    group.sampling_mode(SamplingMode::Flat);
    for (name, precision) in PRECISIONS {
        for prompt in [128, 512, 1024] {
            let mut layer = Layer::new(precision, prompt);
            layer.append(0, prompt);
            layer.attend(0, prompt);
            for query in [0, prompt / 2, prompt - 1] {
                layer.check(0, query);
            }
            // Scores, and what they weight: two operations for each of two products.
            let operations = 4 * prompt * prompt * LAYOUT.heads * LAYOUT.head_dim;
            group.throughput(Throughput::Elements(operations as u64));
            group.bench_function(BenchmarkId::new(name, prompt), |bencher| {
                bencher.iter(|| layer.attend(black_box(0), prompt));
            });
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("rotary-append");
    for (name, precision) in PRECISIONS {
        for tokens in [1, 512] {
            let mut layer = Layer::new(precision, tokens);
            layer.append(0, tokens);
            let bytes = size_of_val(&layer.qkv(0, tokens)[..]) as u64;
            group.throughput(Throughput::Bytes(bytes));
            let qkv = layer.qkv(0, tokens);
            group.bench_function(BenchmarkId::new(name, tokens), |bencher| {
                bencher.iter(|| layer.append_these(0, black_box(&qkv)));
            });
        }
    }
    group.finish();
}

/// One layer's cache, and the queries of the last step.
struct Layer {
    cache: KvBuffers,
    cos: Vec<f32>,
    sin: Vec<f32>,
    query: Vec<f32>,
    out: Vec<f32>,
}

impl Layer {
    fn new(precision: CachePrecision, capacity: usize) -> Self {
        let shape = [1, LAYOUT.kv_heads, capacity, LAYOUT.head_dim];
        let (sin, cos) = (0..capacity * LAYOUT.head_dim / 2)
            .map(|index| (index as f32 * 0.01).sin_cos())
            .unzip();
        Self {
            cache: KvBuffers::new(precision, shape),
            cos,
            sin,
            query: Vec::new(),
            out: Vec::new(),
        }
    }

    fn step(&self, start: usize, seq: usize) -> Step {
        Step {
            batch: 1,
            seq,
            start,
            capacity: self.cache.capacity(),
        }
    }

    fn qkv(&self, start: usize, seq: usize) -> Vec<f32> {
        let first = start * LAYOUT.width();
        let indices = first..first + seq * LAYOUT.width();
        indices.map(|index| (index as f32 * 0.73).sin()).collect()
    }

    fn append(&mut self, start: usize, seq: usize) {
        let qkv = self.qkv(start, seq);
        self.append_these(start, &qkv);
    }

    fn append_these(&mut self, start: usize, qkv: &[f32]) {
        let step = self.step(start, qkv.len() / LAYOUT.width());
        let width = step.seq * LAYOUT.heads * LAYOUT.head_dim;
        let angles = step.seq * LAYOUT.head_dim / 2;
        self.query.resize(width, 0.0);
        self.out.resize(width, 0.0);
        let [keys, values] = self.cache.slices_mut();
        let (cos, sin) = (&self.cos[..angles], &self.sin[..angles]);
        rotary_append(LAYOUT, step, qkv, cos, sin, &mut self.query, keys, values);
    }

    /// Everyone sees everything, as in the prompt of a GLM.
    fn attend(&mut self, start: usize, seq: usize) {
        let step = self.step(start, seq);
        let span = Span {
            first: 0,
            context: step.total(),
        };
        let [keys, values] = self.cache.slices();
        attention(
            LAYOUT,
            step,
            &self.query,
            keys,
            values,
            &[span],
            &mut self.out,
        );
    }

    /// One query of the last step in f64, over the first and the last head.
    fn check(&self, start: usize, index: usize) {
        let head_dim = LAYOUT.head_dim;
        let total = start + self.query.len() / (LAYOUT.heads * head_dim);
        let [keys, values] = self.cache.slices();
        for head in [0, LAYOUT.heads - 1] {
            let of_head = |all: &[f32]| {
                let first = (index * LAYOUT.heads + head) * head_dim;
                all[first..first + head_dim].to_vec()
            };
            let (query, found) = (of_head(&self.query), of_head(&self.out));
            let row = |slice, key| row(slice, head * self.cache.capacity() + key, head_dim);
            let scores: Vec<f64> = (0..total)
                .map(|key| {
                    let products = query
                        .iter()
                        .zip(row(keys, key))
                        .map(|(q, k)| f64::from(*q) * k);
                    products.sum::<f64>() / (head_dim as f64).sqrt()
                })
                .collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let mut expected = vec![0.0; head_dim];
            for (key, weight) in weights.iter().enumerate() {
                for (expected, value) in expected.iter_mut().zip(row(values, key)) {
                    *expected += weight / sum * value;
                }
            }
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-4,
                    "head {head}: {found} instead of {expected}"
                );
            }
        }
    }
}

/// One row of a cache, as it is stored.
fn row(slice: CacheSlice<'_>, index: usize, len: usize) -> Vec<f64> {
    let range = index * len..(index + 1) * len;
    match slice {
        CacheSlice::F32(values) => values[range].iter().map(|v| f64::from(*v)).collect(),
        CacheSlice::F16(values) => values[range].iter().map(|v| v.to_f64()).collect(),
        CacheSlice::Int16 { codes, scales } => {
            let scale = f64::from(scales[index]);
            codes[range]
                .iter()
                .map(|code| f64::from(*code) * scale)
                .collect()
        }
        CacheSlice::Int8 { codes, scales } => {
            let scale = scales[index].to_f64();
            codes[range]
                .iter()
                .map(|code| f64::from(*code) * scale)
                .collect()
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(300));
    targets = bench
}
criterion_main!(benches);
