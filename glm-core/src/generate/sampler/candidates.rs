//! The tokens that may still be drawn, and the two rules that make them fewer: top-k and top-p.
//!
//! Both give exactly the set that torch's full sort gives, without sorting a vocabulary of 130,528.

/// A token that may still be drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) id: u32,
    pub(super) score: f32,
    /// Softmax numerator, in [0, 1].
    pub(super) weight: f32,
}

impl Candidate {
    /// `largest` is the largest of all scores. `libm` rather than the platform's `exp`, so that a seed
    /// means the same tokens everywhere.
    pub(super) fn new(id: usize, score: f32, largest: f32) -> Self {
        Self {
            id: id as u32,
            // Adding 0 turns -0 into 0: the two must tie.
            score: score + 0.0,
            weight: libm::expf(score - largest),
        }
    }

    /// The order of torch's stable ascending sort: by score, then by id.
    pub(super) fn rank(&self, other: &Self) -> std::cmp::Ordering {
        self.score
            .total_cmp(&other.score)
            .then(self.id.cmp(&other.id))
    }
}

/// Top-p: removes, from the smallest probability up, the candidates whose cumulative probability is at
/// most `tail`; the last in rank stays always.
pub(super) fn keep_nucleus(
    candidates: &mut Vec<Candidate>,
    tail: f32,
    ranked: &mut Vec<Candidate>,
) {
    let total = total_weight(candidates) as f32;
    let probability = |candidate: &Candidate| candidate.weight / total;

    // Candidates with less than an even share of the tail fit into it all together, wherever they rank
    // among themselves. Over a whole vocabulary this spares most of the sorting.
    let even_share = f64::from(tail) / candidates.len() as f64;
    let mut cumulative = 0.0;
    ranked.clear();
    for candidate in candidates.iter() {
        let probability = f64::from(probability(candidate));
        if probability < even_share {
            cumulative += probability;
        } else {
            ranked.push(*candidate);
        }
    }
    ranked.sort_unstable_by(Candidate::rank);
    let smallest_kept = ranked.iter().find(|candidate| {
        cumulative += f64::from(probability(candidate));
        cumulative as f32 > tail
    });
    let last = || candidates.iter().max_by(|a, b| a.rank(b));
    if let Some(smallest_kept) = smallest_kept.or_else(last).copied() {
        candidates.retain(|candidate| candidate.rank(&smallest_kept).is_ge());
    }
}

/// The k-th largest of `scores`, counting equal scores as often as they occur; negative infinity when
/// fewer than `k` scores are above it.
///
/// One pass: scores above the current bound are collected, and whenever the buffer is full it is cut
/// back to its `k` largest, which raises the bound. Few scores of a vocabulary pass the bound for long.
pub(super) fn kth_largest(scores: &[f32], k: usize, largest: &mut Vec<f32>) -> f32 {
    let capacity = 2 * k.max(256);
    largest.clear();
    let mut bound = f32::NEG_INFINITY;
    for &score in scores {
        if score > bound {
            largest.push(score);
            if largest.len() == capacity {
                bound = cut_to_largest(largest, k);
            }
        }
    }
    if largest.len() < k {
        return bound;
    }
    cut_to_largest(largest, k)
}

/// Keeps the `k` largest values and returns the smallest of them. `k` is from 1 to `values.len()`.
fn cut_to_largest(values: &mut Vec<f32>, k: usize) -> f32 {
    let (_, kth, _) = values.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let kth = *kth;
    values.truncate(k);
    kth
}

/// The softmax denominator.
pub(super) fn total_weight(candidates: &[Candidate]) -> f64 {
    candidates
        .iter()
        .map(|candidate| f64::from(candidate.weight))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Wide, flat, and full of ties; with removed scores among them.
    fn scores() -> impl Strategy<Value = Vec<f32>> {
        let score = prop_oneof![
            Just((-30.0_f32..30.0).boxed()),
            Just((-1.0_f32..1.0).boxed()),
            Just((-4_i8..4).prop_map(|score| f32::from(score) / 4.0).boxed()),
        ];
        score.prop_flat_map(|score| {
            let score = prop_oneof![9 => score, 1 => Just(f32::NEG_INFINITY)];
            prop::collection::vec(score, 1..2000)
        })
    }

    proptest! {
        #[test]
        fn kth_largest_is_that_of_the_sorted_scores(scores in scores(), k in 1_usize..2000) {
            let k = k.min(scores.len());
            let mut sorted = scores.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let found = kth_largest(&scores, k, &mut Vec::new());
            prop_assert_eq!(found, sorted[k - 1]);
        }

        #[test]
        fn nucleus_is_a_top_of_the_ranking(scores in scores(), tail in 0.0_f32..1.0) {
            let mut candidates: Vec<Candidate> = scores
                .iter()
                .enumerate()
                .filter(|(_, score)| **score > f32::NEG_INFINITY)
                .map(|(id, &score)| Candidate::new(id, score, 30.0))
                .collect();
            prop_assume!(!candidates.is_empty());
            let mut ranking = candidates.clone();
            ranking.sort_by(Candidate::rank);
            keep_nucleus(&mut candidates, tail, &mut Vec::new());

            let mut kept: Vec<u32> = ranking[ranking.len() - candidates.len()..]
                .iter()
                .map(|candidate| candidate.id)
                .collect();
            kept.sort_unstable();
            let ids: Vec<u32> = candidates.iter().map(|candidate| candidate.id).collect();
            prop_assert_eq!(ids, kept);
            // The removed ones fit into the tail, and one more would not.
            let total = total_weight(&ranking);
            let removed = &ranking[..ranking.len() - candidates.len()];
            let removed_share = total_weight(removed) / total;
            prop_assert!(removed_share <= f64::from(tail) + 1e-6);
            if candidates.len() > 1 {
                let one_more = &ranking[..=removed.len()];
                prop_assert!(total_weight(one_more) / total >= f64::from(tail) - 1e-6);
            }
        }
    }

    #[test]
    fn descending_and_ascending_scores_cut_the_buffer_differently() {
        let ascending: Vec<f32> = (0..5000_i16).map(f32::from).collect();
        let descending: Vec<f32> = ascending.iter().rev().copied().collect();
        for k in [1, 50, 256, 257, 4999, 5000] {
            let expected = (5000 - k) as f32;
            assert_eq!(kth_largest(&ascending, k, &mut Vec::new()), expected);
            assert_eq!(kth_largest(&descending, k, &mut Vec::new()), expected);
        }
    }
}
