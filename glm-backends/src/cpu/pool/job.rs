//! Tasks that several threads take one after the other, and the first panic among them.

use std::{
    any::Any,
    cell::Cell,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What a panic leaves.
type Payload = Box<dyn Any + Send>;

/// `task(0)`, …, `task(count - 1)`.
pub(super) struct Job<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    count: usize,
    next: AtomicUsize,
    panic: Mutex<Option<Payload>>,
}

thread_local! {
    /// True while this thread runs tasks.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

/// True within a task, on whatever thread it runs.
pub(super) fn is_in_task() -> bool {
    IN_TASK.get()
}

impl<'a> Job<'a> {
    pub(super) fn new(count: usize, task: &'a (dyn Fn(usize) + Sync)) -> Self {
        Self {
            task,
            count,
            next: AtomicUsize::new(0),
            panic: Mutex::new(None),
        }
    }

    /// Takes tasks until none is left. Never unwinds.
    pub(super) fn run(&self) {
        let outer = IN_TASK.replace(true);
        let tasks = AssertUnwindSafe(|| {
            while let Some(index) = self.take() {
                (self.task)(index);
            }
        });
        if let Err(payload) = catch_unwind(tasks) {
            self.next.store(self.count, Ordering::Relaxed);
            self.keep_first(payload);
        }
        IN_TASK.set(outer);
    }

    /// The panic of the first task that panicked.
    pub(super) fn into_panic(self) -> Option<Payload> {
        let panic = self.panic.into_inner();
        panic.unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<usize> {
        // Never counts past the end, so that no count can wrap around.
        self.next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                (next < self.count).then(|| next + 1)
            })
            .ok()
    }

    fn keep_first(&self, payload: Payload) {
        let mut first = self.first_panic();
        if first.is_none() {
            *first = Some(payload);
            return;
        }
        // Nobody will ask for this one. To drop it is to call foreign code, which may panic in its turn.
        drop(first);
        if let Err(of_drop) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(of_drop);
        }
    }

    fn first_panic(&self) -> MutexGuard<'_, Option<Payload>> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::panic_any;

    use super::*;

    /// Panics when it is dropped.
    struct Bomb;

    impl Drop for Bomb {
        #[allow(clippy::panic)]
        fn drop(&mut self) {
            panic!("a payload was dropped");
        }
    }

    #[test]
    fn a_second_payload_that_panics_when_it_is_dropped_does_not_unwind_and_the_first_is_kept() {
        let first = AtomicUsize::new(0);
        let task = |_| match first.fetch_add(1, Ordering::Relaxed) {
            0 => panic!("the first"),
            _ => panic_any(Bomb),
        };
        let job = Job::new(2, &task);
        job.run();
        for _ in 0..3 {
            job.next.store(0, Ordering::Relaxed);
            assert!(catch_unwind(AssertUnwindSafe(|| job.run())).is_ok());
            assert!(!is_in_task());
        }
        let payload = job.into_panic().unwrap();
        assert_eq!(payload.downcast_ref(), Some(&"the first"));
    }
}
