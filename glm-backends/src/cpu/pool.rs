//! The threads of the kernels: started once, spinning briefly between products and asleep when nothing is asked.
//!
//! A decoded token takes some two hundred products of a fraction of a millisecond each, so waking threads through the
//! kernel for each would cost as much as a small product. A thread that has finished its work watches for the next for
//! a moment and then parks. The calling thread takes tasks like any other, one at a time: a thread that is held up by
//! another program delays the task it holds and nothing else.

mod gate;
mod job;
#[cfg(all(test, not(loom)))]
mod tests;

use std::{
    io,
    num::NonZero,
    panic::resume_unwind,
    ptr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::{self, JoinHandle},
};

use gate::{Gate, Parked};
use job::{Job, is_in_task};

/// Stack of a thread, whatever the system or `RUST_MIN_STACK` say. The kernels need less than 128 KiB, also without
/// optimisation (`tests/small_stack.rs`); what a panic prints needs more.
const STACK_BYTES: usize = 2 << 20;

/// So many threads may be asked for on every machine, and [`MOST_PER_CORE`] for each core where that is more. Threads
/// without a core of their own only make the others wait; thousands of them exhaust what a process may have, and then
/// the system ends it.
const MOST_ANYWHERE: usize = 64;
/// See [`MOST_ANYWHERE`].
const MOST_PER_CORE: usize = 4;

/// Why the number of threads cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ThreadsError {
    /// At least one is needed.
    #[error("cannot compute with no threads")]
    Zero,
    /// More than this machine can make use of.
    #[error("cannot use {threads} threads: at most {limit} are allowed on {cores} cores")]
    TooMany {
        /// The number as given.
        threads: usize,
        /// The largest number that is allowed.
        limit: usize,
        /// Cores that the process may use.
        cores: usize,
    },
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
pub(super) fn for_each(count: usize, task: impl Fn(usize) + Sync + Send) {
    Pool::global().for_each(count, task);
}

/// Threads that the kernels use, the calling one included.
#[must_use]
pub fn threads() -> usize {
    Pool::global().threads()
}

/// Sets how many threads the kernels use, the calling one included, for the whole process; without it, one for each
/// core that the process may use. Returns how many run: fewer, when the system refuses to start more.
///
/// # Errors
/// [`ThreadsError`] for zero, for more than 64 and than four for each core, and when the threads already run.
pub fn set_threads(threads: usize) -> Result<usize, ThreadsError> {
    check(threads, cores())?;
    let mut started = false;
    let pool = POOL.get_or_init(|| {
        started = true;
        Pool::new(threads)
    });
    let running = pool.threads();
    match started {
        true => Ok(running),
        false => Err(ThreadsError::AlreadyRunning { threads, running }),
    }
}

fn check(threads: usize, cores: usize) -> Result<(), ThreadsError> {
    let limit = MOST_ANYWHERE.max(cores.saturating_mul(MOST_PER_CORE));
    match threads {
        0 => Err(ThreadsError::Zero),
        _ if threads > limit => Err(ThreadsError::TooMany {
            threads,
            limit,
            cores,
        }),
        _ => Ok(()),
    }
}

/// Cores that the process may use.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// A set of threads; the process has one, tests make their own.
pub(super) struct Pool {
    gate: Arc<Gate<Job<'static>>>,
    workers: Vec<Worker>,
    /// Held by the thread whose job runs.
    turn: Mutex<()>,
}

struct Worker {
    thread: Option<JoinHandle<()>>,
    parked: Arc<Parked>,
}

impl Pool {
    /// The threads of the process, started at the first call.
    pub(super) fn global() -> &'static Self {
        POOL.get_or_init(|| Self::new(cores()))
    }

    /// Starts `threads - 1` threads; fewer when the system refuses some.
    pub(super) fn new(threads: usize) -> Self {
        Self::start(threads, |builder, work| builder.spawn(work))
    }

    /// As [`Pool::new`], with threads that `spawn` starts.
    fn start(
        threads: usize,
        spawn: impl Fn(thread::Builder, Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>>,
    ) -> Self {
        let pool = Self::start_up_to(threads, &spawn);
        if pool.threads() == threads {
            return pool;
        }
        // What the system gives is used up. The tensor library and the program need threads too: they get half.
        let fewer = pool.workers.len().saturating_sub(1) / 2 + 1;
        drop(pool);
        Self::start_up_to(fewer, &spawn)
    }

    fn start_up_to(
        threads: usize,
        spawn: &impl Fn(thread::Builder, Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>>,
    ) -> Self {
        let gate = Arc::new(Gate::new());
        let workers = (1..threads).map_while(|index| {
            let parked = Arc::new(Parked::new());
            let (own_gate, own_parked) = (Arc::clone(&gate), Arc::clone(&parked));
            let builder = thread::Builder::new()
                .name(format!("glm-{index}"))
                .stack_size(STACK_BYTES);
            let work = move || work(&own_gate, &own_parked);
            let thread = Some(spawn(builder, Box::new(work)).ok()?);
            Some(Worker { thread, parked })
        });
        let workers = workers.collect();
        Self {
            gate,
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
        if count <= 1 || self.workers.is_empty() || is_in_task() {
            (0..count).for_each(task);
            return;
        }
        // Guards nothing that a panic could leave half done.
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let job = Job::new(count, &task);
        // SAFETY: `job` outlives `open`, which is dropped below and by whatever unwinds before, and then waits for
        // everyone who has the job; no one keeps it, so that it lives long enough for them whatever its lifetime is
        // called. The turn makes this the only guard.
        let open = unsafe { self.gate.open(ptr::from_ref(&job).cast()) };
        // As many as can be of use.
        for worker in self.workers.iter().take(count - 1) {
            worker.wake_if_parked();
        }
        job.run();
        drop(open);
        drop(turn);
        if let Some(panic) = job.into_panic() {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.gate.stop();
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                thread.thread().unpark();
                // A worker does not panic: what its tasks do is caught.
                let _ = thread.join();
            }
        }
    }
}

impl Worker {
    fn wake_if_parked(&self) {
        if let Some(thread) = &self.thread
            && self.parked.get()
        {
            thread.thread().unpark();
        }
    }
}

/// The life of a worker.
fn work(gate: &Gate<Job<'static>>, parked: &Parked) {
    let mut seen = 0;
    while let Some(job) = gate.enter(&mut seen, parked) {
        job.run();
    }
}
