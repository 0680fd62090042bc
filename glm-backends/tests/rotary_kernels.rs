//! Rotary positions, and keys and values on their way to the cache, against their formulas, on every level of this CPU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cache_memory;

use cache_memory::{Cache, Precision, noise, precisions};
use glm_backends::cpu::{CacheSliceMut, CpuLevel, QkvLayout, RotaryPairs, Step, rotary_append_at};
use proptest::prelude::*;

/// What one head of one token becomes.
fn turned(x: &[f32], cos: &[f32], sin: &[f32], pairs: RotaryPairs) -> Vec<f64> {
    let mut out: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    for pair in 0..cos.len() {
        let (a, b) = match pairs {
            RotaryPairs::Halves { parts } => {
                let half = cos.len() / parts;
                let a = pair / half * 2 * half + pair % half;
                (a, a + half)
            }
            RotaryPairs::Neighbours => (2 * pair, 2 * pair + 1),
        };
        let (cos, sin) = (f64::from(cos[pair]), f64::from(sin[pair]));
        let (x, y) = (f64::from(x[a]), f64::from(x[b]));
        (out[a], out[b]) = (x * cos - y * sin, y * cos + x * sin);
    }
    out
}

#[derive(Debug, Clone)]
struct RotaryCase {
    layout: QkvLayout,
    step: Step,
    pairs: usize,
    precision: Precision,
}

fn rotary_cases() -> impl Strategy<Value = RotaryCase> {
    let steps =
        (1_usize..3, 1_usize..12, 0_usize..4, 0_usize..3).prop_map(|(batch, seq, start, spare)| {
            Step {
                batch,
                seq,
                start,
                capacity: start + seq + spare,
            }
        });
    let layouts = prop_oneof![
        // All of a head turned, in one or two parts.
        (1_usize..4, 1_usize..3, 1_usize..40).prop_map(|(heads, parts, half)| {
            (
                QkvLayout::by_head(heads, 2 * parts * half, parts),
                parts * half,
            )
        }),
        // Half of a head turned.
        (1_usize..3, 1_usize..3, 1_usize..40).prop_map(|(group, kv_heads, pairs)| {
            (
                QkvLayout::by_part(group * kv_heads, kv_heads, 4 * pairs),
                pairs,
            )
        }),
    ];
    (layouts, steps, precisions()).prop_map(|((layout, pairs), step, precision)| RotaryCase {
        layout,
        step,
        pairs,
        precision,
    })
}

proptest! {
    #[test]
    fn rotated_queries_and_keys_equal_the_formula(case in rotary_cases(), seed in any::<u32>()) {
        let RotaryCase { layout, step, pairs, precision } = case;
        let QkvLayout { heads, kv_heads, head_dim, .. } = layout;
        let tokens = step.batch * step.seq;
        let qkv = noise(tokens * layout.width(), u64::from(seed));
        let angles = noise(tokens * pairs, u64::from(seed) + 1);
        let cos: Vec<f32> = angles.iter().map(|angle| (angle * 100.0).cos()).collect();
        let sin: Vec<f32> = angles.iter().map(|angle| (angle * 100.0).sin()).collect();
        let rows = step.batch * kv_heads * step.capacity;
        let run = |level| {
            let mut query = vec![f32::NAN; tokens * heads * head_dim];
            let mut keys = Cache::new(precision, rows, head_dim);
            let mut values = keys.clone();
            let (to_keys, to_values) = (keys.slice_mut(), values.slice_mut());
            rotary_append_at(level, layout, step, &qkv, &cos, &sin, &mut query, to_keys, to_values);
            (query, keys, values)
        };
        let (query, keys, values) = run(CpuLevel::Scalar);
        // Values are below 1 and turned ones below √2.
        let tolerance = match precision {
            Precision::F32 => 1e-6,
            Precision::F16 => 6e-4,
            Precision::Int16 => 1.42 / 8191.0 * 0.51,
            Precision::Int8 => 1.42 / 127.0 * 0.55,
        };
        for token in 0..tokens {
            let (batch, position) = (token / step.seq, step.start + token % step.seq);
            let row = &qkv[token * layout.width()..][..layout.width()];
            let (cos, sin) = (&cos[token * pairs..][..pairs], &sin[token * pairs..][..pairs]);
            for head in 0..heads {
                let x = &row[layout.query.first + head * layout.query.stride..][..head_dim];
                let found = &query[(token * heads + head) * head_dim..][..head_dim];
                for (found, expected) in found.iter().zip(turned(x, cos, sin, layout.pairs)) {
                    prop_assert!((f64::from(*found) - expected).abs() <= 1e-6);
                }
            }
            for head in 0..kv_heads {
                let first = ((batch * kv_heads + head) * step.capacity + position) * head_dim;
                let x = &row[layout.key.first + head * layout.key.stride..][..head_dim];
                for (dim, expected) in turned(x, cos, sin, layout.pairs).into_iter().enumerate() {
                    prop_assert!((keys.get(first + dim, head_dim) - expected).abs() <= tolerance);
                }
                let x = &row[layout.value.first + head * layout.value.stride..][..head_dim];
                for (dim, expected) in x.iter().enumerate() {
                    prop_assert!((values.get(first + dim, head_dim) - f64::from(*expected)).abs() <= tolerance);
                }
            }
        }
        // Nothing is written beside the new tokens.
        let untouched = Cache::new(precision, rows, head_dim);
        for row in 0..rows {
            let position = row % step.capacity;
            if position < step.start || position >= step.total() {
                let (found, before) = (keys.get(row * head_dim, head_dim), untouched.get(0, head_dim));
                prop_assert!(found.to_bits() == before.to_bits());
            }
        }
        for level in CpuLevel::available() {
            let found = run(level);
            prop_assert_eq!(format!("{found:?}"), format!("{:?}", (&query, &keys, &values)), "{}", level);
        }
    }
}

/// The heads of a single token are shared by the threads when there are as many as in a published model.
#[test]
fn a_wide_token_alone_is_what_it_is_among_others() {
    for layout in [
        QkvLayout::by_head(32, 128, 2),
        QkvLayout::by_part(60, 3, 128),
    ] {
        let (capacity, tokens, pairs) = (3, 2, 64);
        let width = layout.heads * layout.head_dim;
        let qkv = noise(tokens * layout.width(), 1);
        let (cos, sin) = (noise(tokens * pairs, 2), noise(tokens * pairs, 3));
        // The tokens in steps of `seq`.
        let run = |seq: usize| {
            let rows = layout.kv_heads * capacity;
            let mut query = vec![f32::NAN; tokens * width];
            let mut keys = Cache::new(Precision::Int16, rows, layout.head_dim);
            let mut values = keys.clone();
            for start in (0..tokens).step_by(seq) {
                let step = Step {
                    batch: 1,
                    seq,
                    start,
                    capacity,
                };
                let angles = start * pairs..(start + seq) * pairs;
                rotary_append_at(
                    CpuLevel::active(),
                    layout,
                    step,
                    &qkv[start * layout.width()..][..seq * layout.width()],
                    &cos[angles.clone()],
                    &sin[angles],
                    &mut query[start * width..][..seq * width],
                    keys.slice_mut(),
                    values.slice_mut(),
                );
            }
            format!("{query:?} {keys:?} {values:?}")
        };
        assert!(run(1) == run(tokens), "{layout:?}");
    }
}

#[test]
#[should_panic(expected = "room for 3 tokens, not for 4")]
fn a_full_cache_is_refused() {
    let step = Step {
        batch: 1,
        seq: 2,
        start: 2,
        capacity: 3,
    };
    let (mut keys, mut values) = (vec![0.0; 12], vec![0.0; 12]);
    rotary_append_at(
        CpuLevel::active(),
        QkvLayout::by_head(1, 4, 1),
        step,
        &[0.0; 24],
        &[1.0; 4],
        &[0.0; 4],
        &mut [0.0; 8],
        CacheSliceMut::F32(&mut keys),
        CacheSliceMut::F32(&mut values),
    );
}
