//! The threads of the kernels: started once, spinning briefly between products and asleep when nothing is asked.
//!
//! A decoded token takes some two hundred products of a fraction of a millisecond each, so waking threads through the
//! kernel for each would cost as much as a small product. A thread that has finished its work watches for the next for
//! `SPIN` and then parks. The calling thread takes tasks like any other, one at a time: a thread that is held up by
//! another program delays the task it holds and nothing else.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

/// How long a thread watches for the next job before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// Looks at the gate between two looks at the clock.
const LOOKS_PER_CLOCK: usize = 16;

/// Why the number of threads cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ThreadsError {
    /// At least one is needed.
    #[error("cannot compute with no threads")]
    Zero,
    /// The threads already run: the number is set before the first product.
    #[error("cannot use {threads} threads: {running} already run")]
    AlreadyRunning {
        /// The number as given.
        threads: usize,
        /// Threads that run.
        running: usize,
    },
}

static POOL: OnceLock<Pool> = OnceLock::new();

/// Calls `task(0)`, …, `task(count - 1)`, each once, on all threads; returns when all are done.
///
/// Tasks are handed out in order, one at a time. A call within a task runs all of its tasks on the thread that makes it.
/// Of calls from several threads at once one runs and the others wait; so a task must not wait for another thread that
/// calls this function.
///
/// # Panics
/// With the panic of a task: the first one that panics. Tasks that have not started by then are left out.
pub fn for_each(count: usize, task: impl Fn(usize) + Sync + Send) {
    Pool::global().for_each(count, task);
}

/// Threads that [`for_each`] uses, the calling one included.
#[must_use]
pub fn threads() -> usize {
    Pool::global().threads()
}

/// Sets how many threads [`for_each`] uses, for the whole process; without it, one for each core that the process may
/// use.
///
/// # Errors
/// [`ThreadsError`] for zero, and when the threads already run.
pub fn set_threads(threads: usize) -> Result<(), ThreadsError> {
    if threads == 0 {
        return Err(ThreadsError::Zero);
    }
    let mut started = false;
    let pool = POOL.get_or_init(|| {
        started = true;
        Pool::new(threads)
    });
    if started {
        return Ok(());
    }
    let running = pool.threads();
    Err(ThreadsError::AlreadyRunning { threads, running })
}

/// A set of threads; the process has one, tests make their own.
pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    /// Held by the thread whose job runs.
    turn: Mutex<()>,
}

struct Worker {
    thread: Option<JoinHandle<()>>,
    handle: Thread,
    parked: Arc<AtomicBool>,
}

struct Shared {
    /// Which job runs, whether it may still be entered, and how many workers are inside. Workers touch `job` only
    /// while they are counted here.
    gate: AtomicU64,
    job: AtomicPtr<Job<'static>>,
    /// The thread that waits for the last worker to leave, once it sleeps.
    waiting: Mutex<Option<Thread>>,
    stop: AtomicBool,
}

/// Bits of [`Shared::gate`]: 31 count the workers inside, one says that the job may be entered, 32 number the jobs.
/// The number only tells a worker whether it has seen this job; should it wrap around while a worker sleeps, that
/// worker leaves one job to the others.
const INSIDE: u64 = OPEN - 1;
const OPEN: u64 = 1 << 31;
const NEXT_JOB: u64 = 1 << 32;

struct Job<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    count: usize,
    next: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

thread_local! {
    /// True while this thread runs tasks.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

impl Pool {
    /// The threads of the process, started at the first call.
    pub(super) fn global() -> &'static Self {
        POOL.get_or_init(|| {
            Self::new(thread::available_parallelism().map_or(1, std::num::NonZero::get))
        })
    }

    /// Starts `threads - 1` threads; fewer when the system refuses more.
    pub(super) fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            gate: AtomicU64::new(0),
            job: AtomicPtr::new(ptr::null_mut()),
            waiting: Mutex::new(None),
            stop: AtomicBool::new(false),
        });
        let workers = (1..threads).map_while(|index| {
            let parked = Arc::new(AtomicBool::new(false));
            let (own_shared, own_parked) = (Arc::clone(&shared), Arc::clone(&parked));
            let thread = thread::Builder::new()
                .name(format!("glm-{index}"))
                .spawn(move || own_shared.work(&own_parked))
                .ok()?;
            Some(Worker {
                handle: thread.thread().clone(),
                thread: Some(thread),
                parked,
            })
        });
        let workers = workers.collect();
        Self {
            shared,
            workers,
            turn: Mutex::new(()),
        }
    }

    /// See [`threads`].
    pub(super) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// See [`for_each`].
    pub(super) fn for_each(&self, count: usize, task: impl Fn(usize) + Sync) {
        if count <= 1 || self.workers.is_empty() || IN_TASK.get() {
            (0..count).for_each(task);
            return;
        }
        let turn = lock(&self.turn);
        let job = Job {
            task: &task,
            count,
            next: AtomicUsize::new(0),
            panic: Mutex::new(None),
        };
        self.open(&job);
        job.run();
        self.shared.close();
        drop(turn);
        let panic = lock(&job.panic).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Lets the workers at the job, and wakes as many as can be of use.
    fn open(&self, job: &Job<'_>) {
        let gate = self.shared.gate.load(Ordering::Relaxed);
        debug_assert_eq!(gate & (OPEN | INSIDE), 0, "the gate is shut between jobs");
        self.shared
            .job
            .store(ptr::from_ref(job).cast_mut().cast(), Ordering::Relaxed);
        // In one total order with the load of `parked` below and the two accesses in `Shared::rest`: either this thread
        // sees that a worker is parked, or the worker sees the open gate.
        let gate = (gate | OPEN).wrapping_add(NEXT_JOB);
        self.shared.gate.store(gate, Ordering::SeqCst);
        for worker in self.workers.iter().take(job.count - 1) {
            if worker.parked.load(Ordering::SeqCst) {
                worker.handle.unpark();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in &mut self.workers {
            worker.handle.unpark();
            if let Some(thread) = worker.thread.take() {
                // A worker does not panic: tasks are caught.
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    /// The life of a worker.
    fn work(&self, parked: &AtomicBool) {
        let mut seen = 0;
        while let Some(gate) = self.rest(seen, parked) {
            let entered =
                self.gate
                    .compare_exchange(gate, gate + 1, Ordering::Acquire, Ordering::Relaxed);
            if entered.is_err() {
                continue; // Another worker came or went, or the job is over: look again.
            }
            seen = gate / NEXT_JOB;
            // SAFETY: the pointer was stored before the gate was opened, and entering acquired that store. The job
            // lives until `Shared::close` returns, which waits until this worker is no longer counted.
            let job = unsafe { &*self.job.load(Ordering::Relaxed) };
            job.run();
            self.leave();
        }
    }

    /// Waits for an open gate with another number than `seen` and returns it; `None` when the pool is dropped.
    fn rest(&self, seen: u64, parked: &AtomicBool) -> Option<u64> {
        let new_job = || {
            let gate = self.gate.load(Ordering::SeqCst);
            (gate & OPEN != 0 && gate / NEXT_JOB != seen).then_some(gate)
        };
        let start = Instant::now();
        while start.elapsed() < SPIN {
            for _ in 0..LOOKS_PER_CLOCK {
                if let Some(gate) = new_job() {
                    return Some(gate);
                }
                std::hint::spin_loop();
            }
        }
        parked.store(true, Ordering::SeqCst);
        let found = loop {
            if let Some(gate) = new_job() {
                break Some(gate);
            }
            if self.stop.load(Ordering::SeqCst) {
                break None;
            }
            thread::park();
        };
        parked.store(false, Ordering::SeqCst);
        found
    }

    fn leave(&self) {
        let before = self.gate.fetch_sub(1, Ordering::AcqRel);
        if before & (OPEN | INSIDE) == 1
            && let Some(caller) = lock(&self.waiting).take()
        {
            caller.unpark();
        }
    }

    /// Shuts the gate and returns when every worker has left.
    fn close(&self) {
        self.gate.fetch_and(!OPEN, Ordering::AcqRel);
        let empty = || self.gate.load(Ordering::Acquire) & INSIDE == 0;
        let start = Instant::now();
        while start.elapsed() < SPIN {
            for _ in 0..LOOKS_PER_CLOCK {
                if empty() {
                    return;
                }
                std::hint::spin_loop();
            }
        }
        // A worker that leaves after this lock finds the handle; one that left before is seen by `empty`.
        *lock(&self.waiting) = Some(thread::current());
        while !empty() {
            thread::park();
        }
        *lock(&self.waiting) = None;
    }
}

impl Job<'_> {
    /// Takes tasks until none is left.
    fn run(&self) {
        let tasks = AssertUnwindSafe(|| {
            while let Some(index) = self.take() {
                (self.task)(index);
            }
        });
        let outer = IN_TASK.replace(true);
        let result = catch_unwind(tasks);
        IN_TASK.set(outer);
        if let Err(panic) = result {
            self.next.store(self.count, Ordering::Relaxed);
            lock(&self.panic).get_or_insert(panic);
        }
    }

    fn take(&self) -> Option<usize> {
        // Never counts past the end, so that no count can wrap around.
        self.next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                (next < self.count).then(|| next + 1)
            })
            .ok()
    }
}

/// None of the mutexes guards anything that a panic could leave half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, atomic::AtomicU32};

    use super::*;

    /// Runs `count` tasks and says how often each ran.
    fn runs(pool: &Pool, count: usize) -> Vec<u32> {
        let counts: Vec<AtomicU32> = (0..count).map(|_| AtomicU32::new(0)).collect();
        pool.for_each(count, |index| {
            counts[index].fetch_add(1, Ordering::Relaxed);
        });
        counts.into_iter().map(AtomicU32::into_inner).collect()
    }

    #[test]
    fn every_task_runs_once() {
        for threads in 1..6 {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads);
            for count in [0, 1, 2, 3, 7, 100, 5000] {
                assert_eq!(runs(&pool, count), vec![1; count]);
            }
        }
    }

    /// Jobs of a few instructions, so that workers come and go at every moment of a job's life.
    #[test]
    fn short_jobs_in_a_row() {
        let pool = Pool::new(4);
        let total = AtomicUsize::new(0);
        for count in 0..20_000 {
            let count = count % 9;
            // A worker that entered a job after its end would count into the next one's.
            let of_job = AtomicUsize::new(0);
            pool.for_each(count, |index| {
                of_job.fetch_add(index + 1, Ordering::Relaxed);
            });
            assert_eq!(of_job.load(Ordering::Relaxed), count * (count + 1) / 2);
            total.fetch_add(count, Ordering::Relaxed);
        }
        assert_eq!(
            total.into_inner(),
            (0..20_000).map(|count| count % 9).sum::<usize>()
        );
    }

    #[test]
    fn all_threads_take_part() {
        let pool = Pool::new(3);
        // No task ends before three threads are in one.
        let barrier = Barrier::new(3);
        for _ in 0..10 {
            pool.for_each(3, |_| {
                barrier.wait();
            });
        }
    }

    #[test]
    fn parked_threads_are_woken() {
        let pool = Pool::new(3);
        let barrier = Barrier::new(3);
        let all_parked = || {
            let mut workers = pool.workers.iter();
            workers.all(|worker| worker.parked.load(Ordering::SeqCst))
        };
        for _ in 0..3 {
            while !all_parked() {
                thread::yield_now();
            }
            pool.for_each(3, |_| {
                barrier.wait();
            });
        }
    }

    #[test]
    fn several_callers_at_once() {
        let pool = Pool::new(3);
        thread::scope(|scope| {
            for caller in 0..4 {
                let pool = &pool;
                scope.spawn(move || {
                    for count in 0..200 {
                        assert_eq!(runs(pool, count + caller), vec![1; count + caller]);
                    }
                });
            }
        });
    }

    #[test]
    fn nested_calls_stay_on_their_thread() {
        let pool = Pool::new(3);
        let total = AtomicUsize::new(0);
        pool.for_each(20, |_| {
            let outer = thread::current().id();
            pool.for_each(10, |_| {
                assert_eq!(thread::current().id(), outer);
                total.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(total.into_inner(), 200);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_stays_usable() {
        for threads in [1, 4] {
            let pool = Pool::new(threads);
            for failing in [0, 17, 99] {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    pool.for_each(100, |index| {
                        assert!(index != failing, "task {index} fails");
                    });
                }));
                let payload = caught.unwrap_err();
                let message = payload.downcast_ref::<String>().unwrap();
                assert_eq!(*message, format!("task {failing} fails"));
                assert_eq!(runs(&pool, 50), vec![1; 50]);
            }
        }
    }

    /// Ends only because a panic leaves the remaining tasks out, and counts past the end would start again at 0.
    #[test]
    fn any_count() {
        let pool = Pool::new(4);
        let started = AtomicUsize::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.for_each(usize::MAX, |_| {
                assert!(started.fetch_add(1, Ordering::Relaxed) < 1000, "enough");
            });
        }));
        assert!(caught.is_err());
        assert!(started.into_inner() < 2000);
    }

    /// The only test of this program that sets the number, and so the only one that may find the pool not started.
    #[test]
    fn the_number_of_threads_is_set_once() {
        assert_eq!(set_threads(0), Err(ThreadsError::Zero));
        let first = set_threads(3);
        let running = threads();
        if first.is_ok() {
            assert_eq!(running, 3);
        }
        let error = set_threads(7).unwrap_err();
        assert_eq!(
            error,
            ThreadsError::AlreadyRunning {
                threads: 7,
                running
            }
        );
        assert_eq!(
            error.to_string(),
            format!("cannot use 7 threads: {running} already run")
        );
    }
}
