//! The gather thread: one thread that calls the exposition, so that the network thread never does.
//!
//! ```text
//! scrape -> submit(key) -> is a gather with this key waiting? join it : queue a new one
//! gather thread: take the oldest gather, expose into a buffer, hand the frozen body to its waiters
//! ```
//!
//! A scrape joins only a gather that has not begun, so it always sees what was recorded before it
//! arrived; n scrapes during one gather cost one gather more, and at most one compression a coding.
//! Bodies are sent without a copy, from memory that comes back ([`BufferPool`]).
//!
//! The queue is bounded by its callers: at most one waiter a connection, and
//! [`Limits::scrapes`](crate::Limits::scrapes) in all.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::coding::{Coding, Wanted};
use crate::compress::{Compression, Compressor};
use crate::exposition::{ContentType, Exposition, GatherFailure, ScrapeRequest, expose_fenced};
use crate::pool::BufferPool;
use crate::telemetry::ServerTelemetry;

pub(crate) const GATHER_THREAD: &str = "metrics-gather"; // Linux cuts names at 15 bytes.

/// What a waiter of a gather receives.
pub(crate) type GatherOutcome = Result<Gathered, GatherFailure>;

/// A body, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Gathered {
    pub(crate) content_type: ContentType,
    pub(crate) coding: Coding,
    pub(crate) body: Bytes,
}

/// What makes two scrapes equal: all of the request that an exposition can see but the timeout.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GatherKey {
    accept: Option<Box<str>>,
    query: Option<Box<str>>,
}

impl GatherKey {
    pub(crate) fn of(request: &ScrapeRequest<'_>) -> Self {
        Self { accept: request.accept().map(Into::into), query: request.query().map(Into::into) }
    }
}

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
    pub(crate) fn spawn(
        exposition: Box<dyn Exposition>,
        compression: Compression,
        telemetry: Arc<ServerTelemetry>,
    ) -> io::Result<Self> {
        let queue = Arc::new(GatherQueue::default());
        let (running, ended) = sync_channel(0);
        let thread = thread::Builder::new().name(GATHER_THREAD.into()).spawn({
            let queue = Arc::clone(&queue);
            move || run(&queue, &*exposition, &compression, &telemetry, running)
        })?;
        Ok(Self { queue, thread, ended })
    }

    pub(crate) fn queue(&self) -> Arc<GatherQueue> {
        Arc::clone(&self.queue)
    }

    /// Lets the gather in progress finish and joins the thread; gathers that have not begun are
    /// dropped. Returns false when the gather took longer than `wait`: it cannot be interrupted,
    /// so its thread is left to end by itself.
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

/// Gathers that wait for their turn, oldest first.
#[derive(Debug, Default)]
pub(crate) struct GatherQueue {
    state: Mutex<QueueState>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<Gather>,
    closed: bool,
}

/// One gather that has not begun, and the scrapes that will share it.
#[derive(Debug)]
struct Gather {
    key: GatherKey,
    /// The most hurried waiter's.
    deadline: Option<Instant>,
    waiters: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    wanted: Wanted,
    sender: oneshot::Sender<GatherOutcome>,
}

impl GatherQueue {
    /// Asks for a gather that begins after this call. When the receiver is dropped before that,
    /// the gather is left out; when the queue closes, the receiver errs.
    pub(crate) fn submit(
        &self,
        key: GatherKey,
        wanted: Wanted,
        deadline: Option<Instant>,
    ) -> oneshot::Receiver<GatherOutcome> {
        let (sender, receiver) = oneshot::channel();
        let waiter = Waiter { wanted, sender };
        let mut state = self.lock();
        if state.closed {
            return receiver;
        }
        match state.waiting.iter_mut().find(|gather| gather.key == key) {
            Some(gather) => {
                gather.deadline = match (gather.deadline, deadline) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
                gather.waiters.push(waiter);
            }
            None => state.waiting.push_back(Gather { key, deadline, waiters: vec![waiter] }),
        }
        drop(state);
        self.wake.notify_one();
        receiver
    }

    /// The oldest gather that somebody still waits for; `None` once the queue is closed.
    fn next(&self) -> Option<Gather> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            match state.waiting.pop_front() {
                Some(mut gather) => {
                    gather.waiters.retain(|waiter| !waiter.sender.is_closed());
                    if !gather.waiters.is_empty() {
                        return Some(gather);
                    }
                }
                None => state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Drops the gathers that have not begun and ends the thread after the one that has.
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

fn run(
    queue: &GatherQueue,
    exposition: &dyn Exposition,
    compression: &Compression,
    telemetry: &ServerTelemetry,
    _running: SyncSender<()>,
) {
    let mut pool = BufferPool::default();
    let mut compressor = Compressor::default();
    while let Some(gather) = queue.next() {
        let begin = Instant::now();
        let request = ScrapeRequest::new(
            gather.key.accept.as_deref(),
            gather.key.query.as_deref(),
            gather.deadline.map(|deadline| deadline.saturating_duration_since(begin)),
        );
        let slot = pool.lease(telemetry);
        let exposed = expose_fenced(exposition, &request, &mut slot.buffer);
        let outcome = match exposed {
            Ok(content_type) => {
                Ok(Gathered { content_type, coding: Coding::Identity, body: slot.freeze() })
            }
            Err(failure) => {
                slot.discard();
                match failure.panicked {
                    true => telemetry.gather_panic(),
                    false => telemetry.gather_error(),
                }
                Err(failure)
            }
        };
        telemetry.gather(begin.elapsed(), gather.waiters.len());
        hand_out(&outcome, gather.waiters, compression, &mut compressor, telemetry);
        // `outcome` ends here, before the next lease: a clone kept any longer would keep the
        // buffer's memory from coming back.
    }
}

/// Sends each waiter what it wants: first the text as it is, which is there; then each compression
/// that somebody waits for, made once.
fn hand_out(
    outcome: &GatherOutcome,
    mut waiters: Vec<Waiter>,
    compression: &Compression,
    compressor: &mut Compressor,
    telemetry: &ServerTelemetry,
) {
    // A waiter that is gone needs no answer, nor an encoder.
    waiters.retain(|waiter| !waiter.sender.is_closed());
    let is_small =
        outcome.as_ref().map_or(true, |gathered| gathered.body.len() < compression.bytes_min());
    for waiter in &mut waiters {
        if outcome.is_err() || (is_small && !waiter.wanted.always) {
            waiter.wanted = Wanted::IDENTITY;
        }
    }
    for &coding in Coding::ALL {
        let mut coded = None;
        for waiter in waiters.extract_if(.., |waiter| waiter.wanted.coding == coding) {
            let coded = coded.get_or_insert_with(|| match outcome {
                Ok(gathered) => Ok(compressed(gathered, coding, compressor, telemetry)),
                Err(failure) => Err(*failure),
            });
            drop(waiter.sender.send(coded.clone()));
        }
    }
}

/// The same body in another coding, or the body itself when the encoder cannot.
fn compressed(
    gathered: &Gathered,
    coding: Coding,
    compressor: &mut Compressor,
    telemetry: &ServerTelemetry,
) -> Gathered {
    let begin = Instant::now();
    let Some(body) = compressor.compress(coding, &gathered.body, telemetry) else {
        return gathered.clone();
    };
    telemetry.compressed(begin.elapsed(), gathered.body.len(), body.len());
    Gathered { content_type: gathered.content_type, coding, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(accept: &str) -> GatherKey {
        GatherKey { accept: Some(accept.into()), query: None }
    }

    #[test]
    fn equal_scrapes_share_a_waiting_gather_and_others_queue_in_order() {
        let queue = GatherQueue::default();
        let soon = Instant::now();
        let later = soon + Duration::from_secs(1);
        let _first = queue.submit(key("a"), Wanted::IDENTITY, Some(later));
        let _second = queue.submit(key("b"), Wanted::IDENTITY, None);
        let _third = queue.submit(key("a"), Wanted::IDENTITY, Some(soon));

        let gather = queue.next().expect("two wait");
        assert_eq!((gather.key, gather.waiters.len(), gather.deadline), (key("a"), 2, Some(soon)));
        // The first has begun: an equal scrape from now on waits for a gather of its own.
        let _fourth = queue.submit(key("a"), Wanted::IDENTITY, None);
        let gather = queue.next().expect("two wait");
        assert_eq!((gather.key, gather.waiters.len()), (key("b"), 1));
        let gather = queue.next().expect("one waits");
        assert_eq!((gather.key, gather.waiters.len()), (key("a"), 1));
    }

    #[test]
    fn a_gather_that_nobody_waits_for_is_left_out() {
        let queue = GatherQueue::default();
        drop(queue.submit(key("gone"), Wanted::IDENTITY, None));
        let _kept = queue.submit(key("kept"), Wanted::IDENTITY, None);
        assert_eq!(queue.next().map(|gather| gather.key), Some(key("kept")));
    }

    #[test]
    fn closing_wakes_every_waiter() {
        let queue = GatherQueue::default();
        let mut before = queue.submit(key("a"), Wanted::IDENTITY, None);
        queue.close();
        let mut after = queue.submit(key("a"), Wanted::IDENTITY, None);
        for receiver in [&mut before, &mut after] {
            assert_eq!(receiver.try_recv().err(), Some(oneshot::error::TryRecvError::Closed));
        }
        assert!(queue.next().is_none());
    }
}
