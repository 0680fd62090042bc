//! The gate between a caller and its workers: a job is lent to them while it is open, and taken back when all have left.
//!
//! Both ends are guards. Whatever unwinds, [`Open`] shuts the gate and waits before the job is dropped, and [`Inside`]
//! counts its worker out. `checked.rs` has a model checker go through the orders in which threads can do this.

#[cfg(all(test, loom))]
mod checked;

use std::{ops::Deref, ptr};

#[cfg(all(test, loom))]
use loom::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering, fence},
    },
    thread::{self, Thread},
};
#[cfg(not(all(test, loom)))]
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering, fence},
    },
    thread::{self, Thread},
};

use std::sync::PoisonError;

/// Lends jobs of type `J` to workers, one at a time.
pub(super) struct Gate<J> {
    /// Which job runs, whether it may still be entered, and how many workers are inside. Workers touch `job` only
    /// while they are counted here.
    state: AtomicU64,
    job: AtomicPtr<J>,
    /// The thread that waits for the last worker to leave, once it sleeps.
    waiting: Mutex<Option<Thread>>,
    stop: AtomicBool,
}

/// Bits of [`Gate::state`]: 31 count the workers inside, one says that the job may be entered, 32 number the jobs.
/// The number only tells a worker whether it has seen this job; should it wrap around while a worker sleeps, that
/// worker leaves one job to the others.
const INSIDE: u64 = OPEN - 1;
const OPEN: u64 = 1 << 31;
const NEXT_JOB: u64 = 1 << 32;

/// A job is lent; dropping this takes it back.
#[must_use]
pub(super) struct Open<'a, J>(&'a Gate<J>);

/// A worker has a job; dropping this gives it back.
pub(super) struct Inside<'a, J> {
    gate: &'a Gate<J>,
    job: &'a J,
}

/// Whether a worker sleeps and has to be woken for a job.
pub(super) struct Parked(AtomicBool);

impl Parked {
    pub(super) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// True from before the worker looks for a job for the last time. After [`Gate::open`]: either this is true, or the
    /// worker finds the job.
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<J: Sync> Gate<J> {
    pub(super) fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
            job: AtomicPtr::new(ptr::null_mut()),
            waiting: Mutex::new(None),
            stop: AtomicBool::new(false),
        }
    }

    /// Lets the workers at a job. Those that are [`Parked`] have to be woken.
    ///
    /// # Safety
    /// The job lives, and its guard is dropped, not forgotten, before the job is. Only one guard is alive at a time.
    pub(super) unsafe fn open(&self, job: *const J) -> Open<'_, J> {
        let state = self.state.load(Ordering::Relaxed);
        debug_assert_eq!(state & (OPEN | INSIDE), 0, "the gate is shut between jobs");
        self.job.store(job.cast_mut(), Ordering::Relaxed);
        let state = (state | OPEN).wrapping_add(NEXT_JOB);
        self.state.store(state, Ordering::Release);
        // Pairs with the fence in `rest`: either this thread sees that a worker is parked, or the worker sees the open
        // gate.
        fence(Ordering::SeqCst);
        Open(self)
    }

    /// Ends the waiting of every worker that is woken from now on.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Waits for another job than number `seen` and enters it; `None` after [`Gate::stop`].
    pub(super) fn enter(&self, seen: &mut u64, parked: &Parked) -> Option<Inside<'_, J>> {
        loop {
            let state = self.rest(*seen, parked)?;
            let entered =
                self.state
                    .compare_exchange(state, state + 1, Ordering::Acquire, Ordering::Relaxed);
            if entered.is_err() {
                continue; // Another worker came or went, or the job is over: look again.
            }
            *seen = state / NEXT_JOB;
            // SAFETY: the pointer was stored before the gate was opened, and entering acquired that store. The job
            // lives until its `Open` is dropped, which waits until this worker is no longer counted.
            let job = unsafe { &*self.job.load(Ordering::Relaxed) };
            return Some(Inside { gate: self, job });
        }
    }

    /// Waits for an open gate with another number than `seen` and returns its state; `None` when the pool is dropped.
    fn rest(&self, seen: u64, parked: &Parked) -> Option<u64> {
        let new_job = || {
            let state = self.state.load(Ordering::Acquire);
            (state & OPEN != 0 && state / NEXT_JOB != seen).then_some(state)
        };
        let found = spin(new_job);
        if found.is_some() {
            return found;
        }
        parked.0.store(true, Ordering::Relaxed);
        // Pairs with the fence in `open`.
        fence(Ordering::SeqCst);
        let found = loop {
            if let Some(state) = new_job() {
                break Some(state);
            }
            if self.stop.load(Ordering::Acquire) {
                break None;
            }
            thread::park();
        };
        parked.0.store(false, Ordering::Relaxed);
        found
    }
}

impl<J> Gate<J> {
    fn waiting(&self) -> impl std::ops::DerefMut<Target = Option<Thread>> {
        // A handle is there or not; a panic leaves nothing half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> Drop for Open<'_, J> {
    /// Shuts the gate and returns when every worker has left.
    fn drop(&mut self) {
        let gate = self.0;
        gate.state.fetch_and(!OPEN, Ordering::AcqRel);
        let empty = || gate.state.load(Ordering::Acquire) & INSIDE == 0;
        if spin(|| empty().then_some(())).is_some() {
            return;
        }
        // A worker that leaves after this lock finds the handle; one that left before is seen by `empty`.
        *gate.waiting() = Some(thread::current());
        while !empty() {
            thread::park();
        }
        *gate.waiting() = None;
    }
}

impl<J> Drop for Inside<'_, J> {
    fn drop(&mut self) {
        let before = self.gate.state.fetch_sub(1, Ordering::AcqRel);
        if before & (OPEN | INSIDE) == 1
            && let Some(caller) = self.gate.waiting().take()
        {
            caller.unpark();
        }
    }
}

impl<J> Deref for Inside<'_, J> {
    type Target = J;

    fn deref(&self) -> &J {
        self.job
    }
}

/// Looks again and again for a while.
#[cfg(not(all(test, loom)))]
fn spin<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    use std::time::{Duration, Instant};

    /// How long a thread watches before it sleeps.
    const SPIN: Duration = Duration::from_micros(50);
    /// Looks between two looks at the clock.
    const LOOKS_PER_CLOCK: usize = 16;

    let start = Instant::now();
    while start.elapsed() < SPIN {
        for _ in 0..LOOKS_PER_CLOCK {
            let found = look();
            if found.is_some() {
                return found;
            }
            std::hint::spin_loop();
        }
    }
    None
}

/// The model checker tries every moment for the one look.
#[cfg(all(test, loom))]
fn spin<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    look()
}
