//! Rotary positions, the cache and attention against their formulas, on every level of this CPU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use glm_backends::cpu::{
    CacheSlice, CacheSliceMut, CpuLevel, QkvLayout, RotaryPairs, Span, Step, attention_at,
    rotary_append_at,
};
use half::f16;
use proptest::prelude::*;

/// Sums of some hundred products of values below 1 in f32.
const TOLERANCE: f64 = 1e-5;

/// Repeatable values between -1 and 1.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    F32,
    F16,
    Int8,
}

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::F16, Precision::Int8];

/// Keys or values with the memory behind them.
#[derive(Debug, Clone, PartialEq)]
enum Cache {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Int8(Vec<i8>, Vec<f16>),
}

impl Cache {
    /// Nothing but values that would show: NaN where the type has one.
    fn new(precision: Precision, rows: usize, head_dim: usize) -> Self {
        match precision {
            Precision::F32 => Self::F32(vec![f32::NAN; rows * head_dim]),
            Precision::F16 => Self::F16(vec![f16::NAN; rows * head_dim]),
            Precision::Int8 => Self::Int8(vec![-128; rows * head_dim], vec![f16::NAN; rows]),
        }
    }

    fn fill(&mut self, row: usize, head_dim: usize, values: &[f32]) {
        let here = row * head_dim..(row + 1) * head_dim;
        match self {
            Self::F32(rows) => rows[here].copy_from_slice(values),
            Self::F16(rows) => {
                for (to, from) in rows[here].iter_mut().zip(values) {
                    *to = f16::from_f32(*from);
                }
            }
            Self::Int8(codes, scales) => {
                scales[row] = f16::from_f32(1.0 / 127.0);
                for (to, from) in codes[here].iter_mut().zip(values) {
                    *to = (from * 127.0) as i8;
                }
            }
        }
    }

    fn get(&self, index: usize, head_dim: usize) -> f64 {
        match self {
            Self::F32(values) => f64::from(values[index]),
            Self::F16(values) => f64::from(values[index]),
            Self::Int8(codes, scales) => {
                f64::from(codes[index]) * f64::from(scales[index / head_dim])
            }
        }
    }

    fn slice(&self) -> CacheSlice<'_> {
        match self {
            Self::F32(values) => CacheSlice::F32(values),
            Self::F16(values) => CacheSlice::F16(values),
            Self::Int8(codes, scales) => CacheSlice::Int8 { codes, scales },
        }
    }

    /// Some of the rows.
    fn rows(&self, rows: Vec<usize>, head_dim: usize) -> Self {
        fn of<T: Copy>(values: &[T], rows: &[usize], width: usize) -> Vec<T> {
            let row = |row: &usize| values[row * width..][..width].to_vec();
            rows.iter().flat_map(row).collect()
        }
        match self {
            Self::F32(values) => Self::F32(of(values, &rows, head_dim)),
            Self::F16(values) => Self::F16(of(values, &rows, head_dim)),
            Self::Int8(codes, scales) => {
                Self::Int8(of(codes, &rows, head_dim), of(scales, &rows, 1))
            }
        }
    }

    fn slice_mut(&mut self) -> CacheSliceMut<'_> {
        match self {
            Self::F32(values) => CacheSliceMut::F32(values),
            Self::F16(values) => CacheSliceMut::F16(values),
            Self::Int8(codes, scales) => CacheSliceMut::Int8 { codes, scales },
        }
    }
}

#[derive(Debug, Clone)]
struct Case {
    layout: QkvLayout,
    step: Step,
    spans: Vec<Span>,
    query: Vec<f32>,
    keys: Cache,
    values: Cache,
}

impl Case {
    fn new(
        layout: QkvLayout,
        step: Step,
        spans: Vec<Span>,
        precision: Precision,
        seed: u64,
    ) -> Self {
        let head_dim = layout.head_dim;
        let rows = step.batch * layout.kv_heads * step.capacity;
        let mut keys = Cache::new(precision, rows, head_dim);
        let mut values = Cache::new(precision, rows, head_dim);
        let filled = noise(rows * 2 * head_dim, seed);
        for (row, filled) in filled.chunks(2 * head_dim).enumerate() {
            if row % step.capacity < step.total() {
                keys.fill(row, head_dim, &filled[..head_dim]);
                values.fill(row, head_dim, &filled[head_dim..]);
            }
        }
        // Larger queries, so that the weights differ.
        let mut query = noise(step.batch * step.seq * layout.heads * head_dim, seed + 1);
        query.iter_mut().for_each(|query| *query *= 4.0);
        Self {
            layout,
            step,
            spans,
            query,
            keys,
            values,
        }
    }

    fn run(&self, level: CpuLevel) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.query.len()];
        let (keys, values) = (self.keys.slice(), self.values.slice());
        attention_at(
            level,
            self.layout,
            self.step,
            &self.query,
            keys,
            values,
            &self.spans,
            &mut out,
        );
        out
    }

    /// The formula, one query after the other.
    fn naive(&self) -> Vec<f64> {
        let QkvLayout {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.layout;
        let Step {
            seq,
            start,
            capacity,
            ..
        } = self.step;
        let mut out = Vec::new();
        for (row, query) in self.query.chunks(head_dim).enumerate() {
            let (batch, index, head) = (row / heads / seq, row / heads % seq, row % heads);
            let Span { first, context } = self.spans[batch];
            let end = (start + index + 1).max(context).min(start + seq);
            let kv_head = batch * kv_heads + head / (heads / kv_heads);
            let element = |key: usize, dim: usize| (kv_head * capacity + key) * head_dim + dim;
            let weights: Vec<f64> = (first..end)
                .map(|key| {
                    let dot = (0..head_dim)
                        .map(|dim| {
                            f64::from(query[dim]) * self.keys.get(element(key, dim), head_dim)
                        })
                        .sum::<f64>();
                    (dot / (head_dim as f64).sqrt()).exp()
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            for dim in 0..head_dim {
                let weighted = (first..end)
                    .zip(&weights)
                    .map(|(key, weight)| weight * self.values.get(element(key, dim), head_dim))
                    .sum::<f64>();
                out.push(if weights.is_empty() {
                    0.0
                } else {
                    weighted / sum
                });
            }
        }
        out
    }

    /// The step with only some of its queries: those up to `end`, from `start` on.
    fn part(&self, start: usize, end: usize) -> Self {
        let width = self.layout.heads * self.layout.head_dim;
        let mut part = self.clone();
        part.step.start += start;
        part.step.seq = end - start;
        part.query = self
            .query
            .chunks(self.step.seq * width)
            .flat_map(|row| row[start * width..end * width].to_vec())
            .collect();
        part
    }

    /// A row of the batch alone, without its padding.
    fn alone(&self, batch: usize) -> Self {
        let pads = self.spans[batch].first;
        let width = self.layout.heads * self.layout.head_dim * self.step.seq;
        let heads = batch * self.layout.kv_heads..(batch + 1) * self.layout.kv_heads;
        let rows: Vec<usize> = heads
            .flat_map(|head| head * self.step.capacity + pads..(head + 1) * self.step.capacity)
            .collect();
        Self {
            layout: self.layout,
            step: Step {
                batch: 1,
                start: self.step.start - pads,
                capacity: self.step.capacity - pads,
                ..self.step
            },
            spans: vec![Span {
                first: 0,
                context: self.spans[batch].context.saturating_sub(pads),
            }],
            query: self.query[batch * width..][..width].to_vec(),
            keys: self.keys.rows(rows.clone(), self.layout.head_dim),
            values: self.values.rows(rows, self.layout.head_dim),
        }
    }
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let scalar = case.run(CpuLevel::Scalar);
    for (index, (found, expected)) in scalar.iter().zip(case.naive()).enumerate() {
        prop_assert!(
            (f64::from(*found) - expected).abs() <= TOLERANCE,
            "element {index}: {found}, expected {expected}"
        );
    }
    for level in CpuLevel::available() {
        let found: Vec<u32> = case.run(level).into_iter().map(f32::to_bits).collect();
        let scalar: Vec<u32> = scalar.iter().copied().map(f32::to_bits).collect();
        prop_assert_eq!(found, scalar, "{}", level);
    }
    Ok(())
}

fn precisions() -> impl Strategy<Value = Precision> {
    prop::sample::select(PRECISIONS.to_vec())
}

/// A few queries over up to three pieces of keys, or many over several blocks.
fn cases(
    seq: std::ops::Range<usize>,
    start: std::ops::Range<usize>,
) -> impl Strategy<Value = Case> {
    let head_dims = prop_oneof![
        3 => 1_usize..100,
        1 => prop::sample::select(vec![16_usize, 32, 64, 80, 128, 144]),
    ];
    let shape = (
        1_usize..3,
        seq,
        start,
        0_usize..3,
        (1_usize..4, 1_usize..3),
        head_dims,
    );
    (shape, precisions(), any::<u32>()).prop_flat_map(
        |((batch, seq, start, spare, heads, head_dim), precision, seed)| {
            let (groups, kv_heads) = heads;
            let total = start + seq;
            let layout = QkvLayout::by_part(groups * kv_heads, kv_heads, head_dim);
            let step = Step {
                batch,
                seq,
                start,
                capacity: total + spare,
            };
            // Padding may cover a query or everything; a context may lie before, among or behind the queries.
            let span = (
                prop_oneof![Just(0), 0..total + 2],
                prop_oneof![Just(0), 0..total + 3],
            )
                .prop_map(|(first, context)| Span { first, context });
            prop::collection::vec(span, batch)
                .prop_map(move |spans| Case::new(layout, step, spans, precision, u64::from(seed)))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn few_queries_equal_the_formula(case in cases(1..17, 0..300)) {
        check(&case)?;
    }

    #[test]
    fn many_queries_equal_the_formula(case in cases(17..180, 0..100)) {
        check(&case)?;
    }

    #[test]
    fn a_query_has_the_same_bits_alone_and_among_others(case in cases(2..17, 0..600), split in 1_usize..16) {
        let width = case.layout.heads * case.layout.head_dim;
        let split = split.min(case.step.seq - 1);
        let seq = case.step.seq;
        for level in CpuLevel::available() {
            let mut case = case.clone();
            // What is beyond the last token of a part must not be seen from it.
            for span in &mut case.spans {
                span.context = span.context.min(case.step.start + 1);
            }
            let together = case.run(level);
            let (before, behind) = (case.part(0, split).run(level), case.part(split, seq).run(level));
            for (batch, together) in together.chunks(seq * width).enumerate() {
                prop_assert_eq!(&together[..split * width], &before[batch * split * width..][..split * width]);
                let behind_len = (seq - split) * width;
                prop_assert_eq!(&together[split * width..], &behind[batch * behind_len..][..behind_len]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_padded_row_has_the_bits_of_the_row_alone(case in cases(1..17, 500..1200), pads in 0_usize..1100) {
        for level in CpuLevel::available() {
            let mut case = case.clone();
            for (row, span) in case.spans.iter_mut().enumerate() {
                span.first = (pads + 37 * row).min(case.step.start);
            }
            let together = case.run(level);
            for (batch, together) in together.chunks(together.len() / case.step.batch).enumerate() {
                prop_assert_eq!(together, case.alone(batch).run(level));
            }
        }
    }
}

#[test]
fn long_contexts_equal_the_formula() {
    for precision in PRECISIONS {
        for (seq, start) in [(1, 2047), (3, 1500), (200, 700)] {
            let layout = QkvLayout::by_head(2, 128, 2);
            let step = Step {
                batch: 1,
                seq,
                start,
                capacity: start + seq + 1,
            };
            let spans = vec![Span {
                first: 3,
                context: start,
            }];
            let case = Case::new(layout, step, spans, precision, 5);
            for (found, expected) in case.run(CpuLevel::active()).iter().zip(case.naive()) {
                assert!(
                    (f64::from(*found) - expected).abs() <= TOLERANCE,
                    "{found} {expected}"
                );
            }
        }
    }
}

#[test]
fn scores_of_any_size_give_numbers() {
    for seq in [1, 20] {
        for size in [1e-30, 1e4, 1e15] {
            let layout = QkvLayout::by_head(1, 16, 1);
            let step = Step {
                batch: 1,
                seq,
                start: 300,
                capacity: 320,
            };
            let spans = vec![Span {
                first: 0,
                context: 0,
            }];
            let mut case = Case::new(layout, step, spans, Precision::F32, 9);
            case.query.iter_mut().for_each(|query| *query *= size);
            for value in case.run(CpuLevel::active()) {
                assert!(value.abs() <= 1.0, "{value}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "the cache has 6 rows of 16")]
fn a_cache_of_another_size_is_refused() {
    let step = Step {
        batch: 1,
        seq: 1,
        start: 0,
        capacity: 3,
    };
    let span = Span {
        first: 0,
        context: 0,
    };
    let mut case = Case::new(
        QkvLayout::by_head(2, 16, 1),
        step,
        vec![span],
        Precision::F16,
        0,
    );
    case.values = Cache::new(Precision::F16, 5, 16);
    case.run(CpuLevel::active());
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

#[test]
fn a_short_head_after_a_long_one_and_no_number_among_its_keys() {
    let step = Step {
        batch: 1,
        seq: 17,
        start: 0,
        capacity: 17,
    };
    let spans = vec![Span {
        first: 0,
        context: 0,
    }];
    // What a call leaves in the memory of a thread must not reach the next.
    let mut spoilt = Case::new(
        QkvLayout::by_head(1, 128, 1),
        step,
        spans.clone(),
        Precision::F32,
        3,
    );
    spoilt.keys = Cache::F32(vec![f32::NAN; 17 * 128]);
    spoilt.values = spoilt.keys.clone();
    assert!(
        spoilt
            .run(CpuLevel::active())
            .iter()
            .all(|value| value.is_nan())
    );
    let case = Case::new(QkvLayout::by_head(1, 20, 1), step, spans, Precision::F32, 4);
    for (found, expected) in case.run(CpuLevel::active()).iter().zip(case.naive()) {
        assert!(
            (f64::from(*found) - expected).abs() <= TOLERANCE,
            "{found} {expected}"
        );
    }
}
