//! The gather thread: one thread that calls the exposition, so that the network thread never does.
//!
//! ```text
//! scrape -> submit -> waits, with all others that came since the last batch began
//! gather thread: takes all that wait: one collection, a page a variant, each to its waiters (batch)
//! ```
//!
//! A scrape joins only a batch that has not begun, so its page always has what was recorded before it arrived. The scrapes
//! that come during one batch cost one more: **whatever they ask for, a scrape waits for the batch in progress and its
//! own, and for no other**. Bodies are sent without a copy, from memory that comes back (`buffers`).
//!
//! The queue is bounded by its callers: at most one waiter a connection, and
//! [`Limits::scrapes`](crate::Limits::scrapes) in all.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::scrape::batch_worker::{BatchWorker, Waiter};
use crate::scrape::compress::Compression;
use crate::scrape::deadline::ScrapeDeadline;
use crate::scrape::encoding::Wanted;
use crate::scrape::exposition::Exposition;
use crate::scrape::outcome::GatherOutcome;
use crate::scrape::request::ScrapeRequest;
use crate::telemetry::ServerTelemetry;

pub(crate) const GATHER_THREAD: &str = "metrics-gather"; // Linux cuts names at 15 bytes.

/// Starts the gather thread of an exposition.
pub(crate) type StartGatherer =
    Box<dyn FnOnce(Compression, Arc<ServerTelemetry>) -> io::Result<Gatherer> + Send + Sync>;

/// The running gather thread; [`Gatherer::stop`] ends it.
#[derive(Debug)]
pub(crate) struct Gatherer {
    queue: Arc<GatherQueue>,
    thread: JoinHandle<()>,
    /// Disconnected when the thread's body is over: `JoinHandle` itself cannot be waited for with a
    /// deadline.
    ended: Receiver<()>,
}

impl Gatherer {
    pub(crate) fn spawn<E: Exposition>(
        exposition: E,
        compression: Compression,
        telemetry: Arc<ServerTelemetry>,
    ) -> io::Result<Self> {
        let queue = Arc::new(GatherQueue::default());
        let (running, ended) = sync_channel(0);
        let thread = thread::Builder::new().name(GATHER_THREAD.into()).spawn({
            let queue = Arc::clone(&queue);
            move || run(&queue, &exposition, compression, &telemetry, running)
        })?;
        Ok(Self { queue, thread, ended })
    }

    pub(crate) fn queue(&self) -> Arc<GatherQueue> {
        Arc::clone(&self.queue)
    }

    /// Lets the batch in progress finish and joins the thread; scrapes whose batch has not begun are dropped. Returns false
    /// when the batch took longer than `wait`: it cannot be interrupted, so its thread is left to end by itself.
    pub(crate) fn stop(self, wait: Duration) -> bool {
        self.queue.close();
        // The exposition itself may drop the server, on this very thread.
        if self.thread.thread().id() == thread::current().id() {
            return false;
        }
        match self.ended.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => false,
            // The body is over (nothing is ever sent): joining costs the thread's exit only. Its
            // result is of no use, a panic has been logged by the panic hook.
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                drop(self.thread.join());
                true
            }
        }
    }
}

/// Scrapes that wait for the next batch.
#[derive(Debug, Default)]
pub(crate) struct GatherQueue {
    state: Mutex<QueueState>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: Vec<Waiter>,
    closed: bool,
}

impl GatherQueue {
    /// Asks for a gather that begins after this call. A scrape whose receiver is dropped before that is left out; when the
    /// queue closes, the receiver returns an error.
    pub(crate) fn submit(
        &self,
        request: &ScrapeRequest<'_>,
        wanted: Wanted,
        deadline: ScrapeDeadline,
    ) -> oneshot::Receiver<GatherOutcome> {
        let (sender, receiver) = oneshot::channel();
        let (request, ends) = (request.to_waiting(), deadline.ends());
        let waiter = Waiter { request, wanted, ends, sender };
        let mut state = self.lock();
        if state.closed {
            return receiver;
        }
        state.waiting.push(waiter);
        drop(state);
        self.wake.notify_one();
        receiver
    }

    /// Waits for scrapes and exchanges `batch`, which is empty, for all of them; false once the queue is closed.
    fn next(&self, batch: &mut Vec<Waiter>) -> bool {
        let mut state = self.lock();
        loop {
            if state.closed {
                return false;
            }
            state.waiting.retain(|waiter| !waiter.sender.is_closed());
            if !state.waiting.is_empty() {
                std::mem::swap(&mut state.waiting, batch);
                return true;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Drops the scrapes whose batch has not begun and ends the thread after the one that has.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.wake.notify_one();
    }

    // Nothing under the lock can panic halfway through a change, so a poisoned state is whole.
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run<E: Exposition>(
    queue: &GatherQueue,
    exposition: &E,
    compression: Compression,
    telemetry: &ServerTelemetry,
    _running: SyncSender<()>,
) {
    let mut worker = BatchWorker::new(compression);
    while queue.next(&mut worker.waiters) {
        worker.serve(exposition, telemetry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submit(queue: &GatherQueue, accept: &str) -> oneshot::Receiver<GatherOutcome> {
        let request = ScrapeRequest::new(Some(accept), None, None);
        queue.submit(&request, Wanted::IDENTITY, ScrapeDeadline::after(Duration::ZERO))
    }

    #[test]
    fn a_batch_is_all_that_wait_and_none_that_come_later() {
        let queue = GatherQueue::default();
        let (_first, _second) = (submit(&queue, "a"), submit(&queue, "b"));
        drop(submit(&queue, "gone"));
        let mut batch = Vec::new();
        assert!(queue.next(&mut batch));
        assert_eq!(batch.len(), 2);
        // It has begun: an equal scrape from now on waits for the next.
        let _third = submit(&queue, "a");
        batch.clear();
        assert!(queue.next(&mut batch));
        assert_eq!(batch.len(), 1);
    }

    #[test]
    fn closing_wakes_every_waiter() {
        let queue = GatherQueue::default();
        let mut before = submit(&queue, "a");
        queue.close();
        let mut after = submit(&queue, "a");
        for receiver in [&mut before, &mut after] {
            assert_eq!(receiver.try_recv().err(), Some(oneshot::error::TryRecvError::Closed));
        }
        assert!(!queue.next(&mut Vec::new()));
    }
}
