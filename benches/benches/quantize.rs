//! From f16 weights to official codes, and from those to packed ones: `dense` of ChatGLM-6B, on one core.

#![allow(clippy::expect_used)] // A bench that cannot be set up has nothing to say.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use glm_quant::{Int4Matrix, Int8Matrix, PackedMatrix, half::f16};

const ROWS: usize = 4096;
const COLS: usize = 4096;

fn bench(criterion: &mut Criterion) {
    let weights: Vec<f16> = (0..ROWS * COLS)
        .map(|index| f16::from_f32((index as f32 * 0.37).sin() * 0.02))
        .collect();
    let int8 = Int8Matrix::quantize_f16(ROWS, COLS, &weights).expect("finite weights");
    let int4 = Int4Matrix::quantize_f16(ROWS, COLS, &weights).expect("finite weights");
    let packed8 = PackedMatrix::from_int8(&int8).expect("a matrix of ordinary size");
    let packed4 = PackedMatrix::from_int4(&int4).expect("a matrix of ordinary size");
    check(&packed8, &weights);
    check(&packed4, &weights);

    let mut group = criterion.benchmark_group("quantize");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(weights.len() as u64));
    group.bench_function("int8", |bencher| {
        bencher.iter(|| Int8Matrix::quantize_f16(ROWS, COLS, black_box(&weights)));
    });
    group.bench_function("int4", |bencher| {
        bencher.iter(|| Int4Matrix::quantize_f16(ROWS, COLS, black_box(&weights)));
    });
    group.finish();

    let mut group = criterion.benchmark_group("pack");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(weights.len() as u64));
    group.bench_function("int8", |bencher| {
        bencher.iter(|| PackedMatrix::from_int8(black_box(&int8)));
    });
    group.bench_function("int4", |bencher| {
        bencher.iter(|| PackedMatrix::from_int4(black_box(&int4)));
    });
    group.finish();
}

/// Each weight of some rows is at most half a step off, and a little for the quotients, which the official quantisers round
/// to f16: by 1/32 of a step where they are largest.
fn check(packed: &PackedMatrix, weights: &[f16]) {
    let mut found = vec![0.0; COLS];
    for row in [0, 1, ROWS / 2, ROWS - 1] {
        packed
            .dequantize_row(row, &mut found)
            .expect("a row of the matrix");
        let scale = packed.scales()[packed.layout().scale_index(row, 0)].to_f32();
        for (found, weight) in found.iter().zip(&weights[row * COLS..]) {
            let difference = (found - weight.to_f32()).abs();
            assert!(difference <= 0.54 * scale, "row {row}: {difference}");
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
