//! Every task once, on every thread, whatever panics, and however many threads the system gives.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    sync::{
        Barrier,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

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
        workers.all(|worker| worker.parked.get())
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

/// Panics when it is dropped.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    #[allow(clippy::panic)]
    fn drop(&mut self) {
        panic!("a payload was dropped");
    }
}

/// The caller must not unwind while others are in a task, and a worker must leave, whatever a payload does when it is
/// dropped: the next round would not find the gate shut, or wait for a worker that is gone.
#[test]
fn panics_whose_payload_panics_too_leave_the_pool_as_it_was() {
    let pool = Pool::new(4);
    let barrier = Barrier::new(4);
    for _ in 0..50 {
        let inside = AtomicUsize::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.for_each(4, |_| {
                inside.fetch_add(1, Ordering::Relaxed);
                barrier.wait();
                panic_any(Bomb);
            });
        }));
        let payload = caught.unwrap_err();
        assert!(payload.is::<Bomb>(), "the payload of a drop came out");
        std::mem::forget(payload);
        assert_eq!(inside.into_inner(), 4);
        // All four threads are still there.
        pool.for_each(4, |_| {
            barrier.wait();
        });
    }
}

/// A task may drop or compute anything while it unwinds, with the pool too.
#[test]
fn a_payload_that_uses_the_pool_when_it_is_dropped_does_not_wait_for_itself() {
    struct Computing(Arc<Pool>);
    impl Drop for Computing {
        fn drop(&mut self) {
            assert_eq!(runs(&self.0, 10), [1; 10]);
        }
    }
    let pool = Arc::new(Pool::new(3));
    let barrier = Barrier::new(3);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        pool.for_each(3, |_| {
            barrier.wait();
            panic_any(Computing(Arc::clone(&pool)));
        });
    }));
    drop(caught.unwrap_err());
}

#[test]
fn a_pool_that_gets_fewer_threads_works_with_half_of_them() {
    for (granted, expected) in [(0, 1), (1, 1), (2, 1), (3, 2), (7, 4), (8, 4)] {
        let running = Arc::new(AtomicUsize::new(0));
        let pool = Pool::start(20, |builder, work| {
            if running.load(Ordering::SeqCst) == granted {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            running.fetch_add(1, Ordering::SeqCst);
            let running = Arc::clone(&running);
            builder.spawn(move || {
                work();
                running.fetch_sub(1, Ordering::SeqCst);
            })
        });
        assert_eq!(pool.threads(), expected, "{granted} granted");
        assert_eq!(running.load(Ordering::SeqCst), expected - 1);
        assert_eq!(runs(&pool, 100), [1; 100]);
    }
}

#[test]
fn no_more_threads_than_a_machine_can_use() {
    for (threads, cores) in [(1, 1), (64, 1), (64, 16), (65, 17), (768, 192)] {
        assert_eq!(check(threads, cores), Ok(()));
    }
    assert_eq!(check(0, 2), Err(ThreadsError::Zero));
    for (threads, cores, limit) in [(65, 1, 64), (usize::MAX, 2, 64), (769, 192, 768)] {
        assert_eq!(
            check(threads, cores),
            Err(ThreadsError::TooMany {
                threads,
                limit,
                cores
            })
        );
    }
    assert_eq!(
        set_threads(20_000_000).unwrap_err().to_string(),
        format!(
            "cannot use 20000000 threads: at most {} are allowed on {} cores",
            (4 * cores()).max(64),
            cores()
        )
    );
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
    if let Ok(started) = first {
        assert_eq!((started, running), (3, 3));
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
