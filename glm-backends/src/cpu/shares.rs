//! Who does which part of a range. Each thread goes through a share of its own from the front, so that what it asks memory
//! for ahead of time is what it will use; one that is done takes from the ends of the others' shares.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use super::pool::Pool;

/// Calls `task` with parts of `0..len` until all of it is done, on all threads of `pool`. A part is of at least `least`
/// indices, unless it is the last, and of at most `most`.
///
/// # Panics
/// As [`Pool::for_each`] does, and if the range is longer than 32 bits can count.
pub(super) fn for_each_part(
    pool: &Pool,
    len: usize,
    least: usize,
    most: usize,
    task: impl Fn(Range<usize>) + Sync,
) {
    let threads = pool.threads().min(len.div_ceil(least));
    let shares = Shares::new(len, threads, least, most);
    pool.for_each(threads, |share| {
        while let Some(part) = shares.take(share) {
            task(part);
        }
    });
}

/// A range in as many shares as there are threads.
struct Shares {
    /// What is left of each, as [`pack`] has it.
    left: Vec<AtomicU64>,
    /// Fewest indices that are taken at a time.
    least: usize,
    /// Most.
    most: usize,
}

impl Shares {
    /// `0..len` in `count` shares, of which at least `least` indices are taken at a time and at most `most`. Everything
    /// starts at a multiple of `least`.
    fn new(len: usize, count: usize, least: usize, most: usize) -> Self {
        assert!(u32::try_from(len).is_ok(), "{len} is too long to share");
        let steps = len.div_ceil(least);
        let start = |share: usize| len.min(steps * share / count * least);
        let left = (0..count).map(|share| AtomicU64::new(pack(start(share)..start(share + 1))));
        Self {
            left: left.collect(),
            least,
            most,
        }
    }

    /// The next indices of a share; when it is used up, the last of another one; `None` when all are. It is half of what
    /// is left, within the limits, so that all threads are done at about the same time.
    fn take(&self, share: usize) -> Option<Range<usize>> {
        let half = |left: &Range<usize>| {
            let half = (left.len() / 2).clamp(self.least, self.most);
            half / self.least * self.least
        };
        let own = take(&self.left[share], |left| {
            let middle = left.end.min(left.start + half(&left));
            (left.start..middle, middle..left.end)
        });
        own.or_else(|| {
            let count = self.left.len();
            let mut others = (1..count).map(|offset| &self.left[(share + offset) % count]);
            others.find_map(|other| {
                take(other, |left| {
                    let steps = left.len().saturating_sub(half(&left)).div_ceil(self.least);
                    let middle = left.end.min(left.start + steps * self.least);
                    (middle..left.end, left.start..middle)
                })
            })
        })
    }
}

/// The first of the two parts that `split` makes of what is left; the second is left. `None` when nothing was.
fn take(
    left: &AtomicU64,
    split: impl Fn(Range<usize>) -> (Range<usize>, Range<usize>),
) -> Option<Range<usize>> {
    let parts = |left| {
        Some(unpack(left))
            .filter(|left| !left.is_empty())
            .map(&split)
    };
    let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        parts(left).map(|(_, rest)| pack(rest))
    });
    parts(before.ok()?).map(|(taken, _)| taken)
}

/// A range in one word, the end in the upper half.
fn pack(range: Range<usize>) -> u64 {
    (range.end as u64) << 32 | range.start as u64
}

fn unpack(range: u64) -> Range<usize> {
    range as u32 as usize..(range >> 32) as usize
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_index_is_taken_once(
            len in 0_usize..300, least in 1_usize..20, more in 0_usize..40, threads in 1_usize..9,
        ) {
            let taken = Mutex::new(Vec::new());
            for_each_part(&Pool::new(threads), len, least, least + more, |range| {
                assert!(!range.is_empty() && range.len() <= least + more);
                assert!(range.start.is_multiple_of(least));
                taken.lock().unwrap().extend(range);
            });
            let mut taken = taken.into_inner().unwrap();
            taken.sort_unstable();
            prop_assert!(taken.into_iter().eq(0..len));
        }
    }

    #[test]
    fn a_share_is_taken_from_the_front_and_others_from_behind() {
        let shares = Shares::new(45, 2, 2, 8);
        let taken: Vec<_> = std::iter::from_fn(|| shares.take(0)).collect();
        let own = [0..8, 8..14, 14..18, 18..20, 20..22];
        let other = [38..45, 30..38, 26..30, 24..26, 22..24];
        assert_eq!(taken[..5], own);
        assert_eq!(taken[5..], other);
        assert_eq!(shares.take(1), None);
    }
}
