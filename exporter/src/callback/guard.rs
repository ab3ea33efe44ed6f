//! One callback: its last value, and whether it is running. It never runs twice at the same time.

use super::pool::Job;
use super::round::RunAhead;
use super::{CALLBACK_TIMEOUT, CALLBACK_VALUE_AGE_MAX, Shared};
use crate::catch_panic::catch_panic;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Instant;

/// A callback, its last value, and whether it is running.
pub(crate) struct Guard<T> {
    callback: Box<dyn Fn() -> T + Send + Sync>,
    run: Mutex<Run<T>>,
    ended: Condvar,
    shared: Arc<Shared>,
}

/// The result of a call for one scrape.
#[derive(Debug, PartialEq)]
pub(crate) struct Called<T> {
    /// True if no run ended in time, so that the value is an earlier one.
    pub(crate) late: bool,
    /// The value, if there is one that is not too old; the message of the panic that ended the last run.
    pub(crate) value: Result<Option<T>, String>,
}

#[derive(Debug)]
struct Run<T> {
    /// The begin of the run that is in progress.
    running: Option<Instant>,
    /// Number of runs that ended.
    runs: u64,
    last: Last<T>,
    /// The round that the last value is of, until a scrape takes it; 0 for none.
    round: u64,
    /// The last run took too long, or the present one does already: no scrape waits for it.
    slow: bool,
}

#[derive(Debug)]
enum Last<T> {
    Nothing,
    /// The value, and the begin of its run.
    Value(T, Instant),
    /// The message of the panic.
    Panic(String),
}

impl<T: Clone + Send + 'static> Guard<T> {
    pub(super) fn new(callback: Box<dyn Fn() -> T + Send + Sync>, shared: Arc<Shared>) -> Self {
        let run = Run { running: None, runs: 0, last: Last::Nothing, round: 0, slow: false };
        Self { callback, run: Mutex::new(run), ended: Condvar::new(), shared }
    }

    /// Returns the value of this scrape's round, or else runs the callback on the pool and waits for it up to
    /// [`CALLBACK_TIMEOUT`] and the scrape's own deadline. A panic is returned once.
    pub(crate) fn call(self: &Arc<Self>) -> Called<T> {
        let scrape = *self.shared.scrape.lock();
        let now = Instant::now();
        let mut run = self.run.lock();
        let is_of_this_round = scrape.round != 0 && run.round == scrape.round;
        run.round = 0;
        let mut late = false;
        if !is_of_this_round {
            let before = run.runs;
            if run.running.is_none() {
                run.running = Some(now);
                if !self.shared.pool.submit(Arc::clone(self) as Arc<dyn Job>) {
                    run.running = None;
                }
            }
            // Counted from the begin of the run: the time that a round has waited is not waited again.
            let since = run.running.unwrap_or(now);
            let own = if run.slow { now } else { since + CALLBACK_TIMEOUT };
            let until = scrape.deadline.map_or(own, |deadline| deadline.min(own));
            let waits = |run: &mut Run<T>| run.runs == before && run.running.is_some();
            self.ended.wait_while_until(&mut run, waits, until);
            late = run.runs == before;
            run.slow |= late;
        }
        Called { late, value: run.take_last() }
    }

    /// Runs the callback and keeps the result. The caller has set `running`.
    fn run_as_part_of(&self, round: u64) {
        let began = Instant::now();
        let last = match catch_panic(&self.callback) {
            Ok(value) => Last::Value(value, began),
            Err(message) => Last::Panic(message),
        };
        let mut run = self.run.lock();
        run.last = last;
        run.round = round;
        run.slow = began.elapsed() > CALLBACK_TIMEOUT;
        run.running = None;
        run.runs += 1;
        drop(run);
        self.ended.notify_all();
    }

    /// Puts the guard into the state of a run that hangs, with a last value of that time.
    #[cfg(test)]
    pub(super) fn hang_since(&self, since: Instant) {
        let mut run = self.run.lock();
        if let Last::Value(_, began) = &mut run.last {
            *began = since;
        }
        (run.running, run.slow) = (Some(since), true);
    }
}

impl<T: Clone> Run<T> {
    fn take_last(&mut self) -> Result<Option<T>, String> {
        match std::mem::replace(&mut self.last, Last::Nothing) {
            Last::Panic(message) => Err(message),
            Last::Value(value, began) if began.elapsed() <= CALLBACK_VALUE_AGE_MAX => {
                self.last = Last::Value(value.clone(), began);
                Ok(Some(value))
            }
            _ => Ok(None),
        }
    }
}

impl<T: Clone + Send + 'static> Job for Guard<T> {
    fn run(&self) {
        self.run_as_part_of(0);
    }
}

impl<T: Clone + Send + 'static> RunAhead for Guard<T> {
    fn run_ahead(&self, round: u64) {
        let mut run = self.run.lock();
        // A slow callback would keep the others waiting: it gets a thread of its own when it is called.
        if run.running.is_some() || run.slow {
            return;
        }
        run.running = Some(Instant::now());
        drop(run);
        self.run_as_part_of(round);
    }
}

impl<T> std::fmt::Debug for Guard<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let run = self.run.lock();
        f.debug_struct("Guard")
            .field("running", &run.running)
            .field("runs", &run.runs)
            .field("slow", &run.slow)
            .finish_non_exhaustive()
    }
}
