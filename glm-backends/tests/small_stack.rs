//! Every kernel on a thread with little stack. Without optimisation (`CARGO_PROFILE_DEV_OPT_LEVEL=0`) this is where large
//! frames show; the kernels run on threads of the caller's making, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cache_memory;

use std::thread;

use cache_memory::{Cache, PRECISIONS, noise};
use glm_backends::cpu::{
    Activations, CpuLevel, QkvLayout, Span, Step, attention_at, gelu_at, layer_norm_at,
    packed_linear_at, packed_row, rms_norm_at, rotary_append_at, scaled_add_at, set_threads,
    swiglu_at,
};
use glm_quant::{Bits, GroupSize, PackedLayout, PackedMatrix, half::f16};

/// A sixteenth of what a thread has by default, and no more than any system gives.
const STACK_BYTES: usize = 128 << 10;

#[test]
fn every_kernel_at_every_level_runs_in_little_stack() {
    // No workers: everything is done by the thread that asks for it.
    set_threads(1).unwrap();
    for level in CpuLevel::available() {
        let thread = thread::Builder::new().stack_size(STACK_BYTES);
        let kernels = thread.spawn(move || {
            elementwise(level);
            products(level);
            for step in [[1, 520], [16, 4], [20, 0]] {
                attention(level, QkvLayout::by_head(2, 128, 2), 128, step);
                attention(level, QkvLayout::by_part(16, 1, 128), 32, step);
                attention(level, QkvLayout::by_part(2, 1, 20), 5, step);
            }
        });
        kernels.unwrap().join().unwrap();
    }
}

fn elementwise(level: CpuLevel) {
    let x = noise(4 * 144, 1);
    let mut out = x.clone();
    gelu_at(level, &mut out);
    scaled_add_at(level, 0.5, &x, &mut out);
    swiglu_at(level, &x, 72, &mut out[..2 * 144]);
    layer_norm_at(level, &x, &x[..144], &x[..144], 1e-5, &mut out);
    rms_norm_at(level, &x, &x[..144], 1e-5, &mut out);
    assert!(out.iter().all(|value| value.is_finite()));
}

fn products(level: CpuLevel) {
    for bits in [Bits::Four, Bits::Eight] {
        for group in [GroupSize::Row, GroupSize::G32, GroupSize::G128] {
            let layout = PackedLayout {
                rows: 70,
                cols: 300,
                bits,
                group,
            };
            let codes = vec![0x1234_5678; layout.words()];
            let scales = vec![f16::from_f32(0.01); layout.scales()];
            let weight = PackedMatrix::new(layout, codes, scales).unwrap();
            for activations in [Activations::Float32, Activations::Int8] {
                for m in [1, 5, 13, 70] {
                    let mut out = vec![f32::NAN; m * 70];
                    let x = noise(m * 300, 2);
                    let weight = (&weight).into();
                    packed_linear_at(level, &x, m, weight, None, activations, &mut out);
                    assert!(out.iter().all(|value| value.is_finite()));
                }
            }
            packed_row((&weight).into(), 3, &mut [0.0; 300]);
        }
    }
}

/// `seq` tokens after `start` others, of which `pairs` values each are turned.
fn attention(level: CpuLevel, layout: QkvLayout, pairs: usize, [seq, start]: [usize; 2]) {
    let total = start + seq;
    let step = Step {
        batch: 1,
        seq,
        start,
        capacity: total,
    };
    let pairs = pairs.min(layout.head_dim / 2);
    let qkv = noise(seq * layout.width(), 3);
    let (cos, sin) = (noise(seq * pairs, 4), noise(seq * pairs, 5));
    for precision in PRECISIONS {
        let rows = layout.kv_heads * total;
        let mut keys = Cache::new(precision, rows, layout.head_dim);
        let mut values = keys.clone();
        for row in 0..rows {
            let filled = noise(layout.head_dim, row as u64);
            keys.fill(row, layout.head_dim, &filled);
            values.fill(row, layout.head_dim, &filled);
        }
        let mut query = vec![f32::NAN; seq * layout.heads * layout.head_dim];
        let (to_keys, to_values) = (keys.slice_mut(), values.slice_mut());
        rotary_append_at(
            level, layout, step, &qkv, &cos, &sin, &mut query, to_keys, to_values,
        );
        let span = Span {
            first: 0,
            context: start,
        };
        let mut out = vec![f32::NAN; query.len()];
        let (keys, values) = (keys.slice(), values.slice());
        attention_at(level, layout, step, &query, keys, values, &[span], &mut out);
        assert!(out.iter().all(|value| value.is_finite()));
    }
}
