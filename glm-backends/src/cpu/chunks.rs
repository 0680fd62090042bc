//! One buffer that several tasks write to, each its own part.

use std::{marker::PhantomData, ops::Range};

use super::pool;

/// Calls `task(i, chunk)` for every chunk of `size` elements (the last one may be shorter), on all threads.
pub(super) fn for_each_chunk<T: Send>(
    values: &mut [T],
    size: usize,
    task: impl Fn(usize, &mut [T]) + Sync + Send,
) {
    let count = values.len().div_ceil(size);
    if count <= 1 {
        // Not worth waking a thread.
        if count == 1 {
            task(0, values);
        }
        return;
    }
    let len = values.len();
    let values = Parts::new(values);
    pool::for_each(count, |index| {
        let range = index * size..len.min((index + 1) * size);
        // SAFETY: the pool runs every index once, and chunks of different indices do not overlap.
        task(index, unsafe { values.part(range) });
    });
}

/// A borrowed slice that hands out parts to several threads at once.
pub(super) struct Parts<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a `&mut [T]`, and `part` makes its callers keep the parts apart.
unsafe impl<T: Send> Send for Parts<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    pub(super) fn new(values: &'a mut [T]) -> Self {
        Self {
            start: values.as_mut_ptr(),
            len: values.len(),
            borrow: PhantomData,
        }
    }

    /// Where an element is, which need not exist.
    pub(super) fn address(&self, index: usize) -> *const T {
        self.start.wrapping_add(index)
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// No other part that overlaps this one is alive.
    ///
    /// # Panics
    /// If the range does not lie inside the slice.
    pub(super) unsafe fn part(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} is outside of {} elements",
            self.len
        );
        // SAFETY: the range is inside the slice, as just asserted, which is borrowed for 'a; the caller keeps parts
        // apart.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_in_one_chunk() {
        for len in [0, 1, 6, 7, 8, 70, 71] {
            let mut values = vec![0_usize; len];
            for_each_chunk(&mut values, 7, |index, chunk| {
                for (offset, value) in chunk.iter_mut().enumerate() {
                    *value += index * 7 + offset + 1;
                }
            });
            assert!(values.iter().copied().eq(1..=len), "{values:?}");
        }
    }

    #[test]
    #[should_panic(expected = "outside of 3 elements")]
    fn a_part_outside_of_the_slice_is_refused() {
        let mut values = [0; 3];
        // SAFETY: there is no other part.
        unsafe { Parts::new(&mut values).part(2..4) };
    }
}
