//! The gather thread: one thread that calls the exposition, so that the network thread never does.
//!
//! ```text
//! scrape -> submit(key) -> is a gather with this key waiting? join it : queue a new one
//! gather thread: take the oldest gather, expose into a buffer, hand the frozen body to its waiters
//! ```
//!
//! A scrape joins only a gather that has not begun, so it always sees what was recorded before it
//! arrived; n scrapes during one gather cost one gather more. Bodies are sent without a copy:
//! the buffer is split off and frozen, and once the last waiter's response is written its memory
//! comes back to the pool, because `BytesMut::try_reclaim` finds itself its only owner.
//!
//! The queue is bounded by its callers: at most one waiter a connection, and
//! [`Limits::scrapes`](crate::Limits::scrapes) in all.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use crate::exposition::{ContentType, Exposition, GatherFailure, ScrapeRequest, expose_fenced};
use crate::telemetry::ServerTelemetry;

pub(crate) const GATHER_THREAD: &str = "metrics-gather"; // Linux cuts names at 15 bytes.

/// What every waiter of one gather receives.
pub(crate) type GatherOutcome = Result<(ContentType, Bytes), GatherFailure>;

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
        telemetry: Arc<ServerTelemetry>,
    ) -> io::Result<Self> {
        let queue = Arc::new(GatherQueue::default());
        let (running, ended) = sync_channel(0);
        let thread = thread::Builder::new().name(GATHER_THREAD.into()).spawn({
            let queue = Arc::clone(&queue);
            move || run(&queue, &*exposition, &telemetry, running)
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
    waiters: Vec<oneshot::Sender<GatherOutcome>>,
}

impl GatherQueue {
    /// Asks for a gather that begins after this call. When the receiver is dropped before that,
    /// the gather is left out; when the queue closes, the receiver errs.
    pub(crate) fn submit(
        &self,
        key: GatherKey,
        deadline: Option<Instant>,
    ) -> oneshot::Receiver<GatherOutcome> {
        let (waiter, receiver) = oneshot::channel();
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
                    gather.waiters.retain(|waiter| !waiter.is_closed());
                    if !gather.waiters.is_empty() {
                        return Some(gather);
                    }
                }
                None => state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn close(&self) {
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
    telemetry: &ServerTelemetry,
    _running: SyncSender<()>,
) {
    let mut pool = BufferPool::default();
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
            Ok(content_type) => Ok((content_type, slot.freeze())),
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
        for waiter in gather.waiters {
            // A waiter that is gone needs no answer.
            drop(waiter.send(outcome.clone()));
        }
        // `outcome` ends here, before the next lease: a clone kept any longer would keep the
        // buffer's memory from coming back.
    }
}

/// Buffers whose memory goes to the socket and comes back.
///
/// One is enough for one scraper; a second is made when the first body is still being sent, and so
/// on up to [`BUFFERS_MAX`]. Beyond it a buffer is replaced by a fresh one and its memory is freed
/// with its last response. So memory at rest is at most `BUFFERS_MAX` bodies, and under load at
/// most one body a connection.
#[derive(Debug, Default)]
struct BufferPool {
    slots: Vec<Slot>,
}

// A handful of scrapers that overlap; more overlap than this is no steady state.
const BUFFERS_MAX: usize = 4;

impl BufferPool {
    /// An empty buffer that owns all of its memory.
    fn lease(&mut self, telemetry: &ServerTelemetry) -> &mut Slot {
        let free = self.slots.iter_mut().position(Slot::reclaim);
        let index = free.unwrap_or_else(|| {
            telemetry.buffer_allocated();
            // The last body's size is the best guess for the next one's.
            let capacity = self.slots.last().map_or(0, |slot| slot.capacity);
            let slot = Slot { buffer: BytesMut::with_capacity(capacity), capacity, oversized: 0 };
            if self.slots.len() == BUFFERS_MAX {
                self.slots.remove(0);
            }
            self.slots.push(slot);
            self.slots.len() - 1
        });
        &mut self.slots[index]
    }
}

#[derive(Debug)]
struct Slot {
    buffer: BytesMut,
    /// Bytes of the whole allocation, which `BytesMut` does not tell once a body is split off.
    capacity: usize,
    /// Bodies in a row that needed less than a quarter of it.
    oversized: u32,
}

// One huge exposition (a burst of series, since expired) must not hold its memory for ever; at one
// scrape every 15 s the memory is returned after 4 minutes.
const OVERSIZED_MAX: u32 = 16;
// Below this there is nothing worth returning.
const OVERSIZED_CAPACITY_MIN: usize = 64 * 1024;

impl Slot {
    /// Takes the memory back, unless a body is still being sent from it.
    fn reclaim(&mut self) -> bool {
        self.buffer.try_reclaim(self.capacity)
    }

    fn freeze(&mut self) -> Bytes {
        self.capacity = self.buffer.capacity();
        let body = self.buffer.split().freeze();
        let oversized = self.capacity > OVERSIZED_CAPACITY_MIN && body.len() < self.capacity / 4;
        self.oversized = if oversized { self.oversized + 1 } else { 0 };
        if self.oversized > OVERSIZED_MAX {
            *self = Self { buffer: BytesMut::new(), capacity: 0, oversized: 0 };
        }
        body
    }

    fn discard(&mut self) {
        self.buffer.clear();
        self.capacity = self.buffer.capacity();
    }
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
        let _first = queue.submit(key("a"), Some(later));
        let _second = queue.submit(key("b"), None);
        let _third = queue.submit(key("a"), Some(soon));

        let gather = queue.next().expect("two wait");
        assert_eq!((gather.key, gather.waiters.len(), gather.deadline), (key("a"), 2, Some(soon)));
        // The first has begun: an equal scrape from now on waits for a gather of its own.
        let _fourth = queue.submit(key("a"), None);
        let gather = queue.next().expect("two wait");
        assert_eq!((gather.key, gather.waiters.len()), (key("b"), 1));
        let gather = queue.next().expect("one waits");
        assert_eq!((gather.key, gather.waiters.len()), (key("a"), 1));
    }

    #[test]
    fn a_gather_that_nobody_waits_for_is_left_out() {
        let queue = GatherQueue::default();
        drop(queue.submit(key("gone"), None));
        let _kept = queue.submit(key("kept"), None);
        assert_eq!(queue.next().map(|gather| gather.key), Some(key("kept")));
    }

    #[test]
    fn closing_wakes_every_waiter() {
        let queue = GatherQueue::default();
        let mut before = queue.submit(key("a"), None);
        queue.close();
        let mut after = queue.submit(key("a"), None);
        for receiver in [&mut before, &mut after] {
            assert_eq!(receiver.try_recv().err(), Some(oneshot::error::TryRecvError::Closed));
        }
        assert!(queue.next().is_none());
    }

    #[test]
    fn a_buffer_comes_back_when_its_body_is_gone_and_not_before() {
        let telemetry = ServerTelemetry::default();
        let mut pool = BufferPool::default();
        let mut body = |bytes: usize| {
            let slot = pool.lease(&telemetry);
            slot.buffer.resize(bytes, b'x');
            slot.freeze()
        };
        let first = body(1000);
        let address = first.as_ptr();
        let second = body(1000);
        assert_ne!(second.as_ptr(), address, "the first body is still being sent");
        drop(first);
        assert_eq!(body(1000).as_ptr(), address);
        assert_eq!(telemetry.buffers_allocated(), 2);
    }

    #[test]
    fn the_pool_is_bounded_and_returns_memory_after_a_burst() {
        let telemetry = ServerTelemetry::default();
        let mut pool = BufferPool::default();
        let held: Vec<Bytes> = (0..20)
            .map(|_| {
                let slot = pool.lease(&telemetry);
                slot.buffer.resize(1 << 20, b'x');
                slot.freeze()
            })
            .collect();
        assert_eq!(pool.slots.len(), BUFFERS_MAX);
        drop(held);
        for _ in 0..=OVERSIZED_MAX {
            let slot = pool.lease(&telemetry);
            slot.buffer.resize(10, b'x');
            drop(slot.freeze());
        }
        assert_eq!(pool.slots[0].capacity, 0);
    }
}
