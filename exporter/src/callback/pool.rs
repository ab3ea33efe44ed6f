//! Threads for callbacks: one while all callbacks are quick, another for each callback that hangs.
//!
//! A job is queued when a scrape needs it and taken by an idle thread, or by a new one. Jobs come one after
//! the other, so in steady state one thread runs them all. A thread that finds another one idle ends. No thread
//! is joined: a callback that hangs cannot be stopped.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::thread;

/// Number of callbacks that may hang at the same time. With one more, all callbacks are late until one of them
/// returns; more threads would only hide that for a while.
pub const CALLBACK_THREADS_MAX: usize = 16;

/// Number of threads that wait for the next scrape.
const IDLE_MAX: usize = 1;
const THREAD_NAME: &str = "metrics-callbk"; // Linux cuts names at 15 bytes.

/// A function to run, which does not panic.
pub(super) trait Job: Send + Sync {
    fn run(&self);
}

/// The threads. Dropping the pool ends the idle ones, and the others at the end of their jobs.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// Each job at most once: its owner submits it again only after its end.
    queue: VecDeque<Arc<dyn Job>>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Pool {
    /// Creates a pool without threads.
    pub(super) fn new() -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), wake: Condvar::new() }) }
    }

    /// Runs a job as soon as a thread is free; returns `false` where there is no thread and none can be started.
    pub(super) fn submit(&self, job: Arc<dyn Job>) -> bool {
        let mut state = self.shared.state.lock();
        state.queue.push_back(job);
        if state.idle >= state.queue.len() {
            self.shared.wake.notify_one();
        } else if state.threads < CALLBACK_THREADS_MAX {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name(THREAD_NAME.into());
            match thread.spawn(move || shared.work()) {
                Ok(_) => state.threads += 1,
                Err(error) => {
                    tracing::warn!(%error, "no thread for a callback");
                    if state.threads == 0 {
                        // Not dropped under the lock: it may be the last owner of this pool.
                        let job = state.queue.pop_back();
                        drop(state);
                        drop(job);
                        return false;
                    }
                }
            }
        }
        true
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        // A job is dropped here, outside the lock: it may be the last owner of the pool.
        while let Some(job) = self.next() {
            job.run();
        }
    }

    fn next(&self) -> Option<Arc<dyn Job>> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            if state.closed || state.idle >= IDLE_MAX {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            self.wake.wait(&mut state);
            state.idle -= 1;
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Shared")
            .field("queue", &state.queue.len())
            .field("threads", &state.threads)
            .field("idle", &state.idle)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::{Duration, Instant};

    const SOON: Duration = Duration::from_secs(20);

    /// Sends a message when it begins, then waits for one.
    struct Stuck {
        began: Mutex<Sender<()>>,
        go: Mutex<Receiver<()>>,
    }

    impl Job for Stuck {
        fn run(&self) {
            let _ = self.began.lock().send(());
            let _ = self.go.lock().recv();
        }
    }

    fn stuck(began: &Sender<()>) -> (Arc<Stuck>, Sender<()>) {
        let (go, wait) = channel();
        (Arc::new(Stuck { began: Mutex::new(began.clone()), go: Mutex::new(wait) }), go)
    }

    fn eventually(pool: &Pool, holds: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + SOON;
        while !holds(&pool.shared.state.lock()) {
            assert!(Instant::now() < deadline, "{pool:?}");
            thread::yield_now();
        }
    }

    #[test]
    fn quick_jobs_share_one_thread() {
        struct Quick;
        impl Job for Quick {
            fn run(&self) {}
        }
        let pool = Pool::new();
        for _ in 0..100 {
            assert!(pool.submit(Arc::new(Quick)));
            eventually(&pool, |state| state.queue.is_empty() && state.idle == 1);
            assert_eq!(pool.shared.state.lock().threads, 1);
        }
    }

    #[test]
    fn stuck_jobs_hold_a_bounded_number_of_threads_which_end_when_the_jobs_return() {
        let pool = Pool::new();
        let (began, begins) = channel();
        let (jobs, senders): (Vec<_>, Vec<_>) =
            (0..CALLBACK_THREADS_MAX + 3).map(|_| stuck(&began)).unzip();
        jobs.iter().for_each(|job| assert!(pool.submit(Arc::clone(job) as Arc<dyn Job>)));
        for _ in 0..CALLBACK_THREADS_MAX {
            begins.recv_timeout(SOON).unwrap();
        }
        assert_eq!(pool.shared.state.lock().threads, CALLBACK_THREADS_MAX);
        assert_eq!(pool.shared.state.lock().queue.len(), 3);
        drop(senders);
        eventually(&pool, |state| state.queue.is_empty() && state.threads == IDLE_MAX);
    }

    #[test]
    fn a_dropped_pool_does_not_wait_and_its_threads_end() {
        let (began, begins) = channel();
        let (job, sender) = stuck(&began);
        let pool = Pool::new();
        pool.submit(Arc::clone(&job) as Arc<dyn Job>);
        begins.recv_timeout(SOON).unwrap();
        let shared = Arc::clone(&pool.shared);
        drop(pool);
        drop(sender);
        let deadline = Instant::now() + SOON;
        while shared.state.lock().threads > 0 {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    }
}
