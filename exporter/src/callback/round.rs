//! All callbacks of a scrape, one after the other on one thread: one wake-up for all of them, not one for each.
//!
//! Measured side by side, ten callbacks cost a scrape 9 us in a round, 64 us one by one, and 0.5 us when the scrape
//! calls them itself, without a guard. A round that hangs in a callback stays there until the callback returns;
//! meanwhile there is no other round, and each callback runs when it is called.

use super::pool::{Job, Pool};
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// A callback that can run before a scrape calls it.
pub(super) trait RunAhead: Send + Sync {
    /// Runs the callback, unless it is running or slow. Does not panic.
    fn run_ahead(&self, round: u64);
}

/// The callbacks that rounds run.
#[derive(Default)]
pub(super) struct Round {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// The callbacks in the order of registration. Dropped callbacks are removed when another one is added.
    callbacks: Vec<Weak<dyn RunAhead>>,
    running: bool,
    /// Number of the last round; the first has 1.
    number: u64,
}

impl Round {
    pub(super) fn add(&self, callback: Weak<dyn RunAhead>) {
        let mut state = self.state.lock();
        state.callbacks.retain(|known| known.strong_count() > 0);
        state.callbacks.push(callback);
    }

    /// Runs a round on the pool and waits for its end, at most until `until`. Returns the number of the round,
    /// also where it has not ended by then; 0 where none began, since there is no callback or the last round hangs.
    pub(super) fn run_all(self: &Arc<Self>, pool: &Pool, until: Instant) -> u64 {
        let mut state = self.state.lock();
        if state.running || state.callbacks.is_empty() {
            return 0;
        }
        state.running = true;
        state.number += 1;
        let number = state.number;
        if !pool.submit(Arc::clone(self) as Arc<dyn Job>) {
            state.running = false;
            return 0;
        }
        self.ended.wait_while_until(&mut state, |state| state.running, until);
        number
    }

    /// Returns the callback at `at`, if it is not dropped; `None` beyond the last.
    fn callback(&self, at: usize) -> Option<Option<Arc<dyn RunAhead>>> {
        Some(self.state.lock().callbacks.get(at)?.upgrade())
    }
}

impl Job for Round {
    fn run(&self) {
        let number = self.state.lock().number;
        let mut at = 0;
        // Not under the lock, or a callback that hangs would hold it for ever.
        while let Some(callback) = self.callback(at) {
            if let Some(callback) = callback {
                callback.run_ahead(number);
            }
            at += 1;
        }
        self.state.lock().running = false;
        self.ended.notify_all();
    }
}

impl fmt::Debug for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Round")
            .field("callbacks", &state.callbacks.len())
            .field("running", &state.running)
            .finish_non_exhaustive()
    }
}
