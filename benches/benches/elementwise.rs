//! What a block does to each value: norm, activation, residual; for a token and for a prompt of 512.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use glm_backends::cpu::{gelu, layer_norm, rms_norm, scaled_add, swiglu};

const HIDDEN: usize = 4096;
const INNER: usize = 16384;
/// Of ChatGLM2-6B, behind the gate.
const GATED: usize = 13696;
const TOKENS: [usize; 2] = [1, 512];
const EPS: f32 = 1e-5;

fn bench(criterion: &mut Criterion) {
    norms(criterion);
    let mut group = criterion.benchmark_group("gelu");
    for tokens in TOKENS {
        let x = wave(tokens * INNER);
        let mut y = x.clone();
        gelu(&mut y);
        for (x, y) in x.iter().zip(&y).step_by(997) {
            let x = f64::from(*x);
            let u = 0.797_884_560_802_865_4 * x * (1.0 + 0.044_715 * x * x);
            let expected = 0.5 * x * (1.0 + u.tanh());
            assert!((f64::from(*y) - expected).abs() < 1e-5, "gelu({x}) = {y}");
        }
        group.throughput(Throughput::Bytes(size_of_val(y.as_slice()) as u64));
        // In place, again and again: the values go to zero and to a fixed point, at no other speed.
        group.bench_function(BenchmarkId::from_parameter(tokens), |bencher| {
            bencher.iter(|| gelu(black_box(&mut y)));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("swiglu");
    for tokens in TOKENS {
        let x = wave(tokens * 2 * GATED);
        let mut y = vec![0.0; tokens * GATED];
        swiglu(&x, GATED, &mut y);
        for index in (0..y.len()).step_by(997) {
            let at = index / GATED * 2 * GATED + index % GATED;
            let (gate, value) = (f64::from(x[at]), f64::from(x[at + GATED]));
            let expected = gate / (1.0 + (-gate).exp()) * value;
            assert!((f64::from(y[index]) - expected).abs() < 1e-5);
        }
        group.throughput(Throughput::Bytes(size_of_val(x.as_slice()) as u64));
        group.bench_function(BenchmarkId::from_parameter(tokens), |bencher| {
            bencher.iter(|| swiglu(black_box(&x), GATED, &mut y));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("scaled_add");
    for tokens in TOKENS {
        let (a, mut b) = (wave(tokens * HIDDEN), vec![0.5; tokens * HIDDEN]);
        scaled_add(2.0, &a, &mut b);
        assert!(
            a.iter()
                .zip(&b)
                .all(|(a, b)| (2.0 * a + 0.5 - b).abs() < 1e-5)
        );
        group.throughput(Throughput::Bytes(2 * size_of_val(a.as_slice()) as u64));
        group.bench_function(BenchmarkId::from_parameter(tokens), |bencher| {
            bencher.iter(|| scaled_add(0.5, black_box(&a), &mut b));
        });
    }
    group.finish();
}

fn norms(criterion: &mut Criterion) {
    let (weight, bias) = (vec![2.0; HIDDEN], vec![1.0; HIDDEN]);
    for name in ["layer_norm", "rms_norm"] {
        let norm = |x: &[f32], out: &mut [f32]| match name {
            "layer_norm" => layer_norm(x, &weight, &bias, EPS, out),
            _ => rms_norm(x, &weight, EPS, out),
        };
        let mut group = criterion.benchmark_group(name);
        for tokens in TOKENS {
            let x = wave(tokens * HIDDEN);
            let mut out = vec![0.0; x.len()];
            norm(&x, &mut out);
            // Twice something whose squares have a mean of one; and the bias.
            let shift = if name == "layer_norm" { 1.0 } else { 0.0 };
            for row in out.chunks(HIDDEN) {
                let squares = row.iter().map(|y| (f64::from(*y) - shift).powi(2));
                let mean = squares.sum::<f64>() / HIDDEN as f64;
                assert!((mean - 4.0).abs() < 1e-3, "{name}: {mean}");
            }
            group.throughput(Throughput::Bytes(2 * size_of_val(x.as_slice()) as u64));
            group.bench_function(BenchmarkId::from_parameter(tokens), |bencher| {
                bencher.iter(|| norm(black_box(&x), &mut out));
            });
        }
        group.finish();
    }
}

fn wave(len: usize) -> Vec<f32> {
    (0..len)
        .map(|index| 3.0 * (index as f32 * 0.37).sin())
        .collect()
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
