//! The state of an engine in real time, and the keeper that drives it by the wall clock.
//!
//! One keeper task sleeps until the step under way ends, lets the [`Batch`] step, and hands the tokens to the streams. Steps that are
//! overdue follow each other at once, each at its own time, so the rate of tokens does not depend on tokio's clock, which ticks in
//! milliseconds. A slow reader delays no other sequence.
//!
//! Cost: a lock a request, a timer and a lock a step, nothing while idle.

use super::batch::{Batch, Job};
use super::kv_cache::KvStats;
use super::model::EngineConfig;
use super::observer::Observer;
use super::token_stream::{EngineError, Ticket};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// Overdue steps that are made under one lock. With token times of nanoseconds more are due than can be made, and requests must
/// come in meanwhile.
const STEPS_AT_ONCE: usize = 1_024;

/// The wait that stands for "never", since a timer cannot hold every instant: ten years.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The state that handles, streams and the keeper share.
#[derive(Debug)]
pub(super) struct Shared {
    waiting_max: u64,
    /// The zero of the batch's clock.
    epoch: Instant,
    state: Mutex<State>,
    /// The figures after the last change; readers do not take the lock.
    stats: watch::Sender<KvStats>,
    keeper_wanted: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    batch: Batch<Vec<u64>>,
    /// The end of the step under way; `None` while idle.
    step_end_ns: Option<u64>,
    streams: Streams,
    next_id: usize,
    dead: bool,
}

/// The streams of jobs that are in the batch. Their readers are woken after the figures have been published.
#[derive(Debug, Default)]
struct Streams {
    open: HashMap<usize, Arc<Ticket>>,
    changed: Vec<Arc<Ticket>>,
}

impl Shared {
    /// The state of an idle engine, and its keeper, on the tokio runtime of the caller. The settings must be valid.
    pub(super) fn start(config: EngineConfig) -> Arc<Shared> {
        let batch = Batch::new(0, config, true);
        let stats = batch.stats();
        let state = State {
            batch,
            step_end_ns: None,
            streams: Streams::default(),
            next_id: 0,
            dead: false,
        };
        let keeper_wanted = Arc::new(Notify::new());
        let shared = Arc::new(Shared {
            waiting_max: config.waiting,
            epoch: Instant::now(),
            state: Mutex::new(state),
            stats: watch::Sender::new(stats),
            keeper_wanted: Arc::clone(&keeper_wanted),
        });
        tokio::spawn(keep(Arc::downgrade(&shared), keeper_wanted));
        shared
    }

    /// Puts a request in the queue; returns its number, and the ticket that says whatever goes wrong.
    pub(super) fn submit(
        &self,
        blocks: Vec<u64>,
        input_tokens: u64,
        output_tokens: u64,
    ) -> (usize, Arc<Ticket>) {
        let ticket = Arc::new(Ticket::default());
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        if state.dead {
            ticket.fail(EngineError::Dead);
        } else {
            state.streams.open.insert(id, Arc::clone(&ticket));
            state.batch.enqueue(Job { request: id, blocks, input_tokens, output_tokens });
            self.settle(&mut state);
            // Only now: a free slot takes it even where no request may wait.
            if state.batch.waiting() as u64 > self.waiting_max && state.withdraw(id) {
                ticket.fail(EngineError::Overloaded);
                self.settle(&mut state);
            }
        }
        drop(state);
        (id, ticket)
    }

    /// The engine's figures now.
    pub(super) fn stats(&self) -> KvStats {
        *self.stats.borrow()
    }

    /// Follows the engine's figures: each change marks the receiver changed.
    pub(super) fn watch(&self) -> watch::Receiver<KvStats> {
        self.stats.subscribe()
    }

    /// Ends every stream with [`EngineError::Dead`], and every later one.
    pub(super) fn kill(&self) {
        let mut state = self.lock();
        state.dead = true;
        state.batch.clear();
        state.step_end_ns = None;
        for ticket in std::mem::take(&mut state.streams.open).into_values() {
            ticket.fail(EngineError::Dead);
        }
        self.publish(&mut state);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not take the engine down: every change of state is complete
        // before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request out, wherever it is; nothing happens when it has left already.
    pub(super) fn leave(&self, id: usize) {
        let mut state = self.lock();
        if state.withdraw(id) {
            self.settle(&mut state);
        }
    }

    /// Makes the steps that are due; returns when the next one ends.
    fn advance(&self) -> Option<Instant> {
        let mut state = self.lock();
        let now_ns = self.now_ns();
        let mut stepped = false;
        for _ in 0..STEPS_AT_ONCE {
            let Some(end_ns) = state.step_end_ns.filter(|&end_ns| end_ns <= now_ns) else { break };
            let State { batch, streams, .. } = &mut *state;
            state.step_end_ns = batch.step(end_ns, streams);
            stepped = true;
        }
        if stepped {
            self.publish(&mut state);
        }
        let end = Duration::from_nanos(state.step_end_ns?);
        Some(
            self.epoch
                .checked_add(end)
                .unwrap_or_else(|| Instant::now() + NEVER)
                .min(Instant::now() + NEVER),
        )
    }

    /// After a request came or left: admits what fits, begins a step if none is under way, and publishes the figures.
    fn settle(&self, state: &mut State) {
        let State { batch, streams, step_end_ns, .. } = state;
        let end_ns = batch.restart(*step_end_ns, self.now_ns(), streams);
        if std::mem::replace(step_end_ns, end_ns) != end_ns {
            self.keeper_wanted.notify_one();
        }
        self.publish(state);
    }

    /// Publishes the figures, then wakes the readers of streams that changed.
    fn publish(&self, state: &mut State) {
        self.stats.send_replace(state.batch.stats());
        for ticket in state.streams.changed.drain(..) {
            ticket.wake();
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.keeper_wanted.notify_one();
    }
}

impl State {
    /// Takes a job out of the batch; false when it has left already.
    fn withdraw(&mut self, id: usize) -> bool {
        self.streams.open.remove(&id);
        self.batch.withdraw(id)
    }
}

impl Streams {
    fn change(&mut self, request: usize, change: impl FnOnce(&Ticket)) {
        if let Some(ticket) = self.open.get(&request) {
            change(ticket);
            self.changed.push(Arc::clone(ticket));
        }
    }
}

impl Observer for Streams {
    fn dispatched(&mut self, request: usize, _: usize, cached_tokens: Option<u64>, _: u64) {
        if let Some(ticket) = self.open.get(&request) {
            ticket.start(cached_tokens);
        }
    }

    fn tokens(&mut self, request: usize, tokens: u64, _: u64) {
        self.change(request, |ticket| ticket.add(tokens));
    }

    fn finished(&mut self, request: usize, _: u64) {
        self.change(request, Ticket::finish);
        self.open.remove(&request);
    }
}

/// The keeper: makes the steps when they are due, read or not. It holds no engine alive and ends with it.
async fn keep(shared: Weak<Shared>, wanted: Arc<Notify>) {
    loop {
        let next = match shared.upgrade() {
            Some(shared) => shared.advance(),
            None => return,
        };
        match next {
            Some(end) if end <= Instant::now() => tokio::task::yield_now().await,
            Some(end) => tokio::select! {
                () = sleep_until(end) => {}
                () = wanted.notified() => {}
            },
            None => wanted.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{sleep, timeout};

    #[tokio::test]
    async fn the_keeper_ends_with_the_engine() {
        let shared = Shared::start(EngineConfig::default());
        let wanted = Arc::downgrade(&shared.keeper_wanted);
        let (id, _ticket) = shared.submit(Vec::new(), 1, 1_000);
        shared.leave(id);
        drop(shared);
        timeout(Duration::from_secs(10), async {
            while wanted.upgrade().is_some() {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the keeper goes on without an engine");
    }
}
