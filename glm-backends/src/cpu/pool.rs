//! The threads of the kernels.

use rayon::prelude::*;

/// Calls `task(0)`, …, `task(count - 1)`, each once, on all threads; returns when all are done.
pub fn for_each(count: usize, task: impl Fn(usize) + Sync + Send) {
    (0..count).into_par_iter().for_each(task);
}

/// Threads that [`for_each`] uses.
#[must_use]
pub fn threads() -> usize {
    rayon::current_num_threads()
}
