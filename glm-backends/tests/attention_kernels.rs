//! Attention against its formula, on every level of this CPU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cache_memory;

use cache_memory::{Cache, PRECISIONS, Precision, noise, precisions};
use glm_backends::cpu::{CpuLevel, QkvLayout, Span, Step, attention_at};
use half::f16;
use proptest::prelude::*;

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

    fn assert_is_the_formula(&self) {
        for (found, expected) in self.run(CpuLevel::active()).iter().zip(self.naive()) {
            assert!(
                (f64::from(*found) - expected).abs() <= self.keys.tolerance(),
                "{found} {expected}"
            );
        }
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
            (f64::from(*found) - expected).abs() <= case.keys.tolerance(),
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
    fn a_query_has_the_same_bits_among_few_and_among_many(case in cases(2..80, 0..1100), split in 1_usize..64) {
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
    fn a_padded_row_has_the_bits_of_the_row_alone(case in cases(1..40, 500..1200), pads in 0_usize..1100) {
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
            case.assert_is_the_formula();
        }
    }
}

#[test]
fn scores_of_any_size_give_numbers() {
    for seq in [1, 20] {
        let sizes = [1e-30, 1e4, 1e15].into_iter();
        for (size, precision) in
            sizes.flat_map(|size| PRECISIONS.map(|precision| (size, precision)))
        {
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
            let mut case = Case::new(layout, step, spans, precision, 9);
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
    for precision in [Precision::F32, Precision::Int16] {
        // What a call leaves in the memory of a thread must not reach the next.
        let layout = QkvLayout::by_head(1, 128, 1);
        let mut spoilt = Case::new(layout, step, spans.clone(), precision, 3);
        match precision {
            Precision::Int16 => spoilt.keys = Cache::Int16(vec![1; 17 * 128], vec![f32::NAN; 17]),
            _ => spoilt.keys = Cache::F32(vec![f32::NAN; 17 * 128]),
        }
        let good = spoilt.values.clone();
        for values in [spoilt.keys.clone(), good] {
            spoilt.values = values;
            let found = spoilt.run(CpuLevel::active());
            assert!(found.iter().all(|value| value.is_nan()));
        }
        let layout = QkvLayout::by_head(1, 20, 1);
        let case = Case::new(layout, step, spans.clone(), precision, 4);
        case.assert_is_the_formula();
    }
}

#[test]
fn no_number_in_a_query_or_a_value_gives_none() {
    for (precision, seq) in PRECISIONS.into_iter().flat_map(|p| [(p, 1), (p, 20)]) {
        let step = Step {
            batch: 1,
            seq,
            start: 200,
            capacity: 220,
        };
        let spans = vec![Span {
            first: 0,
            context: 0,
        }];
        let case = Case::new(QkvLayout::by_head(1, 24, 1), step, spans, precision, 6);
        let mut of_query = case.clone();
        of_query.query[7] = f32::NAN;
        let mut of_value = case;
        match &mut of_value.values {
            Cache::F32(values) => values[100 * 24..101 * 24].fill(f32::NAN),
            Cache::F16(values) => values[100 * 24..101 * 24].fill(f16::NAN),
            Cache::Int16(_, scales) => scales[100] = f32::NAN,
            Cache::Int8(_, scales) => scales[100] = f16::NAN,
        }
        for level in CpuLevel::available() {
            let [of_query, of_value] = [of_query.run(level), of_value.run(level)];
            assert!(
                of_query[..24].iter().all(|value| value.is_nan()),
                "{precision:?}"
            );
            assert!(of_query[24..].iter().all(|value| value.is_finite()));
            assert!(
                of_value.iter().all(|value| value.is_nan()),
                "{precision:?} {seq} {level}"
            );
        }
    }
}
