//! Every order in which a caller and its workers can pass the gate, up to a few preemptions:
//!
//! ```sh
//! RUSTFLAGS='--cfg loom' cargo test -p glm-backends --no-default-features --lib gate::checked
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::{
    cell::UnsafeCell,
    model::Builder,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::{Gate, Parked};

/// What the caller lends. The checker reports whoever looks into the cell while another writes to it.
struct Job {
    lent: UnsafeCell<usize>,
    entered: AtomicUsize,
}

// SAFETY: the cell is only used by `run` and `end`; that these never meet is what is checked.
unsafe impl Sync for Job {}

impl Job {
    fn new() -> Self {
        Self {
            lent: UnsafeCell::new(0),
            entered: AtomicUsize::new(0),
        }
    }

    fn run(&self) {
        // SAFETY: it is read, and written only by who is alone with it: that is what is checked.
        self.lent.with(|lent| assert_eq!(unsafe { *lent }, 0));
        self.entered.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes where a worker that is still inside would read.
    fn end(&self) {
        // SAFETY: as above.
        self.lent.with_mut(|lent| unsafe { *lent = 1 });
    }
}

struct Worker {
    thread: JoinHandle<()>,
    parked: Arc<Parked>,
}

impl Worker {
    /// Runs jobs until the gate stops; `after` each one.
    fn new(gate: &Arc<Gate<Job>>, after: impl Fn() + 'static) -> Self {
        let parked = Arc::new(Parked::new());
        let (gate, own_parked) = (Arc::clone(gate), Arc::clone(&parked));
        let thread = thread::spawn(move || {
            let mut seen = 0;
            while let Some(job) = gate.enter(&mut seen, &own_parked) {
                job.run();
                after();
            }
        });
        Self { thread, parked }
    }
}

fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut model = Builder::new();
    model.preemption_bound = Some(3);
    model.check(body);
}

/// Lends one job, and is alone with it afterwards.
fn lend(gate: &Gate<Job>, workers: &[Worker]) -> usize {
    let job = Job::new();
    // SAFETY: the job is dropped after the guard, and each guard before the next.
    let open = unsafe { gate.open(&raw const job) };
    for worker in workers {
        if worker.parked.get() {
            worker.thread.thread().unpark();
        }
    }
    job.run();
    drop(open);
    job.end();
    job.entered.load(Ordering::Relaxed)
}

fn stop(gate: &Gate<Job>, workers: Vec<Worker>) {
    gate.stop();
    for worker in workers {
        worker.thread.thread().unpark();
        worker.thread.join().unwrap();
    }
}

#[test]
fn two_workers_at_a_job() {
    model(|| {
        let gate = Arc::new(Gate::new());
        let workers: Vec<_> = (0..2).map(|_| Worker::new(&gate, || ())).collect();
        assert!((1..=3).contains(&lend(&gate, &workers)));
        stop(&gate, workers);
    });
}

#[test]
fn two_jobs_in_a_row() {
    model(|| {
        let gate = Arc::new(Gate::new());
        let workers = vec![Worker::new(&gate, || ())];
        for _ in 0..2 {
            // None enters a job twice.
            assert!((1..=2).contains(&lend(&gate, &workers)));
        }
        stop(&gate, workers);
    });
}

/// Ends only if no worker sleeps through a job.
#[test]
fn a_job_that_needs_a_worker_gets_one() {
    model(|| {
        let gate = Arc::new(Gate::new());
        let caller = thread::current();
        let workers = vec![Worker::new(&gate, move || caller.unpark())];
        let job = Job::new();
        // SAFETY: the job is dropped after the guard, the only one.
        let open = unsafe { gate.open(&raw const job) };
        if workers[0].parked.get() {
            workers[0].thread.thread().unpark();
        }
        while job.entered.load(Ordering::Relaxed) == 0 {
            thread::park();
        }
        drop(open);
        job.end();
        stop(&gate, workers);
    });
}

#[test]
fn a_caller_that_unwinds_takes_the_job_back() {
    model(|| {
        let gate = Arc::new(Gate::new());
        let workers = vec![Worker::new(&gate, || ())];
        let job = Job::new();
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the job is dropped after the guard, the only one.
            let _open = unsafe { gate.open(&raw const job) };
            if workers[0].parked.get() {
                workers[0].thread.thread().unpark();
            }
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(unwound.is_err());
        job.end();
        stop(&gate, workers);
    });
}

#[test]
fn a_worker_that_unwinds_leaves() {
    model(|| {
        let gate = Arc::new(Gate::<Job>::new());
        let parked = Arc::new(Parked::new());
        let (own_gate, own_parked) = (Arc::clone(&gate), Arc::clone(&parked));
        let thread = thread::spawn(move || {
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                if let Some(job) = own_gate.enter(&mut 0, &own_parked) {
                    job.run();
                    std::panic::resume_unwind(Box::new(()));
                }
            }));
            drop(unwound);
        });
        let workers = vec![Worker { thread, parked }];
        lend(&gate, &workers);
        stop(&gate, workers);
    });
}
