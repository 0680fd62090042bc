//! Large results in memory that is used again.
//!
//! A prompt of 512 tokens makes some two hundred tensors of 8 to 33 MB. From the system each of them comes as untouched
//! pages, which cost about a tenth of the whole pass when they are first written. So the operations of this crate give the
//! memory of the tensors that they consume to those that come next.

use std::cell::RefCell;

use burn_flex::FlexTensor;

/// Fewer values than these are left to the allocator, which keeps small pieces by itself.
const LARGE: usize = 1 << 16;

/// Buffers that are kept: more than are alive at once in a block.
const KEPT: usize = 8;

thread_local! {
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// `len` values, of which nothing is known: to be overwritten.
///
/// The first small request after large ones frees what is kept: a prompt is over, and tokens come one at a time.
pub(crate) fn take(len: usize) -> Vec<f32> {
    SPARE.with_borrow_mut(|spare| {
        if len < LARGE {
            spare.clear();
            return vec![0.0; len];
        }
        let fitting = (0..spare.len())
            .filter(|&index| (len..=2 * len).contains(&spare[index].len()))
            .min_by_key(|&index| spare[index].len());
        match fitting {
            Some(index) => {
                let mut buffer = spare.swap_remove(index);
                buffer.truncate(len);
                buffer
            }
            None => vec![0.0; len],
        }
    })
}

/// Keeps the memory of a tensor that nobody else has.
pub(crate) fn give_back(tensor: FlexTensor) {
    let values = tensor.layout().shape().num_elements();
    if values < LARGE || !tensor.is_unique() || !tensor.is_contiguous() {
        return;
    }
    if let Ok(buffer) = tensor.into_data().try_into_vec::<f32>() {
        keep(buffer);
    }
}

/// As [`give_back`], for what was taken and became no tensor.
pub(crate) fn keep(buffer: Vec<f32>) {
    if buffer.len() < LARGE {
        return;
    }
    SPARE.with_borrow_mut(|spare| {
        if spare.len() == KEPT {
            spare.remove(0);
        }
        spare.push(buffer);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flex::float_tensor;

    #[test]
    fn memory_comes_back_until_something_small_is_asked_for() {
        let tensor = float_tensor(vec![1.0; LARGE], [LARGE]);
        let place = tensor.storage::<f32>().as_ptr();
        give_back(tensor);
        let larger = take(3 * LARGE);
        assert_ne!(larger.as_ptr(), place, "too small");
        let again = take(LARGE);
        assert_eq!((again.as_ptr(), again.len()), (place, LARGE));

        give_back(float_tensor(again, [LARGE]));
        assert_eq!(take(1), [0.0]);
        assert_eq!(take(LARGE), vec![0.0; LARGE], "new memory");
    }

    #[test]
    fn what_somebody_still_has_is_left_alone() {
        let tensor = float_tensor(vec![1.0; LARGE], [LARGE]);
        give_back(tensor.clone());
        let mut other = take(LARGE);
        other.fill(2.0);
        assert!(tensor.storage::<f32>().iter().all(|&value| value == 1.0));
    }
}
