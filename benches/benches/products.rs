//! The packed products at the sizes of ChatGLM-6B, on all cores: one token (a decode step), 8 (drafted tokens, a batch)
//! and 128 and 512 (a prompt).
//!
//! Each weight is used again and again, so on a CPU with large caches the rates of single tokens are those of the caches,
//! not of memory; `glm-bench` measures whole models, which fit no cache.

#![allow(clippy::expect_used)] // A bench that cannot be set up has nothing to say.

use std::{hint::black_box, time::Duration};

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use glm_backends::cpu::{Activations, PackedView, packed_linear, packed_row};
use glm_quant::{Bits, GroupSize, PackedLayout, PackedMatrix, half::f16};

/// `[rows, cols]` of the matrices of a block, and of the head; the batches that they meet.
const MATRICES: [(&str, usize, usize, &[usize]); 5] = [
    ("dense", 4096, 4096, &[1, 8, 128, 512]),
    ("query_key_value", 12288, 4096, &[1, 8, 128, 512]),
    ("dense_h_to_4h", 16384, 4096, &[1, 8, 128, 512]),
    ("dense_4h_to_h", 4096, 16384, &[1, 8, 128, 512]),
    ("lm_head", 130_528, 4096, &[1, 8]),
];

const FORMATS: [(&str, Bits, GroupSize); 6] = [
    ("int4-row", Bits::Four, GroupSize::Row),
    ("int4-g128", Bits::Four, GroupSize::G128),
    ("int4-g32", Bits::Four, GroupSize::G32),
    ("int8-row", Bits::Eight, GroupSize::Row),
    ("int8-g128", Bits::Eight, GroupSize::G128),
    ("int8-g32", Bits::Eight, GroupSize::G32),
];

fn bench(criterion: &mut Criterion) {
    for (name, rows, cols, batches) in MATRICES {
        let mut group = criterion.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat);
        for (format, bits, size) in FORMATS {
            let layout = PackedLayout {
                rows,
                cols,
                bits,
                group: size,
            };
            let weight = counted(layout);
            for &m in batches {
                let x = exact_activations(m * cols);
                let mut out = vec![0.0; m * rows];
                let view = PackedView::from(&weight);
                packed_linear(&x, m, view, None, Activations::Int8, &mut out);
                check(view, &x, &out);
                let id = BenchmarkId::new(format, m);
                group.throughput(if m < 100 {
                    Throughput::Bytes(layout.byte_len() as u64)
                } else {
                    Throughput::Elements(2 * (m * rows * cols) as u64)
                });
                group.bench_function(id, |bencher| {
                    bencher.iter(|| {
                        packed_linear(black_box(&x), m, view, None, Activations::Int8, &mut out);
                    });
                });
            }
        }
        group.finish();
    }
}

/// Codes from a counter and two different scales: no quantiser has to run for half a gigabyte.
fn counted(layout: PackedLayout) -> PackedMatrix {
    let codes = (0..layout.words() as u32)
        .map(|index| index.wrapping_mul(0x9e37_79b9) ^ 0x5555_0000)
        .collect();
    let scales = (0..layout.scales())
        .map(|index| f16::from_f32(if index % 3 == 0 { 0.01 } else { 0.02 }))
        .collect();
    PackedMatrix::new(layout, codes, scales).expect("as long as the layout says")
}

/// Whole numbers with a 127 in every 32: rounding them to int8 changes nothing.
fn exact_activations(len: usize) -> Vec<f32> {
    let value = |index: usize| match index % 32 {
        0 => 127.0,
        _ => ((index * 37 + index / 32) % 255) as f32 - 127.0,
    };
    (0..len).map(value).collect()
}

/// Some rows of the weight times the first and the last token, in f64.
fn check(weight: PackedView<'_>, x: &[f32], out: &[f32]) {
    let &PackedLayout { rows, cols, .. } = weight.layout();
    let mut weights = vec![0.0; cols];
    let m = x.len() / cols;
    for row in [0, 1, rows / 2 + 7, rows - 1] {
        packed_row(weight, row, &mut weights);
        for token in [0, m - 1] {
            let x = &x[token * cols..][..cols];
            let products = || {
                x.iter()
                    .zip(&weights)
                    .map(|(x, w)| f64::from(*x) * f64::from(*w))
            };
            let (expected, size): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
            let found = f64::from(out[token * rows + row]);
            assert!(
                (found - expected).abs() <= 1e-6 * size,
                "row {row} of {:?}: {found} instead of {expected}",
                weight.layout()
            );
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
