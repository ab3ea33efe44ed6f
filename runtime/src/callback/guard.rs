//! One callback: its last value, and whether it is running. It runs once at a time, whoever asks.

use super::pool::Job;
use super::round::Ahead;
use super::{CALLBACK_TIMEOUT, CALLBACK_VALUE_AGE_MAX, Late, Shared};
use crate::fence::fenced;
use parking_lot::{Condvar, Mutex};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Instant;

/// A callback, its last value, and whether it is running.
pub(crate) struct Guard<T> {
    value: Box<dyn Fn() -> T + Send + Sync>,
    late: Late,
    run: Mutex<Run<T>>,
    ended: Condvar,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Run<T> {
    /// Since when, if it is.
    running: Option<Instant>,
    /// Runs that ended.
    runs: u64,
    last: Last<T>,
    /// The round that the last value is of, until a scrape has it; 0 for none.
    round: u64,
    /// The last run took too long, or this one does already: nobody waits for it.
    slow: bool,
}

#[derive(Debug)]
enum Last<T> {
    Nothing,
    /// And when its run began.
    Value(T, Instant),
    /// What it said, if it was text.
    Panic(String),
}

impl<T: Copy + Send + 'static> Guard<T> {
    pub(super) fn new(
        value: Box<dyn Fn() -> T + Send + Sync>,
        late: Late,
        shared: Arc<Shared>,
    ) -> Self {
        let run = Run { running: None, runs: 0, last: Last::Nothing, round: 0, slow: false };
        Self { value, late, run: Mutex::new(run), ended: Condvar::new(), shared }
    }

    /// What the scrape prints: the value, if it is there in time.
    ///
    /// # Panics
    /// If the callback did: the registry's fence counts it.
    pub(crate) fn call(self: &Arc<Self>) -> Option<T> {
        let scrape = *self.shared.scrape.lock();
        let now = Instant::now();
        let mut run = self.run.lock();
        let of_this_round = scrape.round != 0 && run.round == scrape.round;
        run.round = 0;
        if !of_this_round {
            let before = run.runs;
            if run.running.is_none() {
                run.running = Some(now);
                if !self.shared.pool.submit(Arc::clone(self) as Arc<dyn Job>) {
                    run.running = None;
                }
            }
            // Counted from its begin: what a round has waited for is not waited for again.
            let since = run.running.unwrap_or(now);
            let own = if run.slow { now } else { since + CALLBACK_TIMEOUT };
            let until = scrape.patience.map_or(own, |patience| patience.min(own));
            let waits = |run: &mut Run<T>| run.runs == before && run.running.is_some();
            self.ended.wait_while_until(&mut run, waits, until);
            if run.runs == before {
                run.slow = true;
                self.late.family.visit([&self.late.name], |late| late.inc());
            }
        }
        match std::mem::replace(&mut run.last, Last::Nothing) {
            // As if it had panicked here, with a payload that is harmless.
            Last::Panic(message) => {
                drop(run);
                resume_unwind(Box::new(message))
            }
            Last::Value(value, began) if began.elapsed() <= CALLBACK_VALUE_AGE_MAX => {
                run.last = Last::Value(value, began);
                Some(value)
            }
            _ => None,
        }
    }

    /// Runs it and notes what came of it. Whoever calls this has set `running`.
    fn run_as_part_of(&self, round: u64) {
        let began = Instant::now();
        let last = match fenced(&self.value) {
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

    /// As one that hangs, with a value of that time.
    #[cfg(test)]
    pub(super) fn hang_since(&self, since: Instant) {
        let mut run = self.run.lock();
        if let Last::Value(_, began) = &mut run.last {
            *began = since;
        }
        (run.running, run.slow) = (Some(since), true);
    }
}

impl<T: Copy + Send + 'static> Job for Guard<T> {
    fn run(&self) {
        self.run_as_part_of(0);
    }
}

impl<T: Copy + Send + 'static> Ahead for Guard<T> {
    fn run_ahead(&self, round: u64) {
        let mut run = self.run.lock();
        // What is slow must not keep the others waiting: it gets a thread of its own when it is asked.
        if run.running.is_some() || run.slow {
            return;
        }
        run.running = Some(Instant::now());
        drop(run);
        self.run_as_part_of(round);
    }
}
