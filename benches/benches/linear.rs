//! One decode step's products at the sizes of ChatGLM-6B, by how the weight is stored.

use std::hint::black_box;

use burn::tensor::{DType, Device, Distribution, FloatDType, Int, Tensor, TensorData};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// `[out, in]` of the four linear layers of a block.
const SHAPES: [(&str, usize, usize); 4] = [
    ("query_key_value", 12288, 4096),
    ("dense", 4096, 4096),
    ("dense_h_to_4h", 16384, 4096),
    ("dense_4h_to_h", 4096, 16384),
];

fn bench(criterion: &mut Criterion) {
    let device = Device::flex();
    for (name, out, input) in SHAPES {
        let mut group = criterion.benchmark_group(name);
        let x = Tensor::<2>::random([1, input], Distribution::Normal(0.0, 1.0), &device);
        let weight = Tensor::<2>::random([out, input], Distribution::Normal(0.0, 0.02), &device);
        let expected = glm_backends::linear(x.clone(), weight.clone());
        for (precision, dtype, bytes) in [("f32", FloatDType::F32, 4), ("f16", FloatDType::F16, 2)]
        {
            let weight = weight.clone().cast(dtype);
            let found = glm_backends::linear(x.clone(), weight.clone());
            let difference = (found - expected.clone()).abs().max().into_scalar::<f32>();
            assert!(
                difference < 1e-2,
                "{name} {precision} is off by {difference}"
            );
            group.throughput(Throughput::Bytes((out * input * bytes) as u64));
            group.bench_function(precision, |bencher| {
                bencher.iter(|| glm_backends::linear(black_box(x.clone()), weight.clone()));
            });
        }
        quantised(&mut group, &x, out, input);
        group.finish();
    }
}

/// Codes that are all one and scales that are all one half: every result is half the sum of the activations.
fn quantised(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    x: &Tensor<2>,
    out: usize,
    input: usize,
) {
    let device = x.device();
    let scales = Tensor::<1>::full([out], 0.5, &device).cast(FloatDType::F16);
    let half_sum = x.clone().sum().into_scalar::<f32>() * 0.5;
    let check = |found: Tensor<2>| {
        let difference = (found - half_sum).abs().max().into_scalar::<f32>();
        assert!(
            difference < 1e-2,
            "a quantised product is off by {difference}"
        );
    };
    let codes = |byte: u8, columns: usize, dtype| {
        let data = TensorData::new(vec![byte; out * columns], [out, columns]);
        Tensor::<2, Int>::from_data(data, (&device, dtype))
    };

    let int8 = codes(1, input, DType::I8);
    check(glm_backends::int8_linear(
        x.clone(),
        int8.clone(),
        scales.clone(),
    ));
    group.throughput(Throughput::Bytes((out * input) as u64));
    group.bench_function("int8", |bencher| {
        bencher
            .iter(|| glm_backends::int8_linear(black_box(x.clone()), int8.clone(), scales.clone()));
    });

    let int4 = codes(0x11, input / 2, DType::U8);
    check(glm_backends::int4_linear(
        x.clone(),
        int4.clone(),
        scales.clone(),
    ));
    group.throughput(Throughput::Bytes((out * input / 2) as u64));
    group.bench_function("int4", |bencher| {
        bencher
            .iter(|| glm_backends::int4_linear(black_box(x.clone()), int4.clone(), scales.clone()));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = bench
}
criterion_main!(benches);
