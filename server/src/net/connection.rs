//! The phases of one connection, with the deadline of each.
//!
//! hyper parses and writes; it has one timer, for the next head, that runs from the end of the previous response. This
//! file tells apart the phases that this timer cannot, from the reads and writes that `http/io.rs` reports:
//!
//! ```text
//!  accept -> Head --head complete--> Answering --response ready--> Answered --the last one--> Lingering
//!             ^                                                       | all bytes taken
//!             +----------- first byte of a further head -- Idle <-----+
//! ```
//!
//! Each phase has its deadline ([`Limits`]); bytes that the client does not take have theirs,
//! whatever the phase. Invariant: a connection that waits for its client, in any phase, has a
//! deadline; one without a deadline waits for us.

use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Limits;
use crate::reason::Limit;

/// The state of one connection, and the order that the table gave it.
#[derive(Debug)]
pub(crate) struct Connection {
    phase: Cell<Phase>,
    /// hyper has a head that has not become a request yet.
    head_released: Cell<bool>,
    /// Bytes of a further request have arrived.
    bytes_waiting: Cell<bool>,
    /// Requests that have begun.
    requests: Cell<u32>,
    /// The end of its lifetime.
    retires: Instant,
    stall: Cell<Option<Stall>>,
    order: Cell<Order>,
    reset_on_close: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head { since: Instant },
    Answering,
    Answered,
    Idle { since: Instant },
    Lingering { since: Instant },
}

/// Bytes that are queued because the client does not take them, or not fast enough.
#[derive(Clone, Copy, Debug)]
struct Stall {
    since: Instant,
    window_since: Instant,
    window_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Serve on.
    Serve,
    /// Finish the request in progress, if there is one, then close.
    Finish,
    /// Close now.
    Evict,
}

// A new connection is spared for so long, if another one of its address can be evicted: its head may be on the way (the
// client is far, or busy) and not withheld.
const NEWCOMER: Duration = Duration::from_millis(250);
// A client counts as stalled after this: a large body over a slow link pauses now and then.
const STALL_MIN: Duration = Duration::from_secs(1);

impl Connection {
    pub(crate) fn new(now: Instant, lifetime: Duration) -> Self {
        Self {
            phase: Cell::new(Phase::Head { since: now }),
            head_released: Cell::new(false),
            bytes_waiting: Cell::new(false),
            requests: Cell::new(0),
            retires: now + lifetime,
            stall: Cell::new(None),
            order: Cell::new(Order::Serve),
            reset_on_close: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    /// The deadline of the present phase and the limit that it belongs to; `None` while the connection waits for us.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<(Instant, Limit)> {
        if let Some(stall) = self.stall.get() {
            let whole = (stall.since + limits.write_deadline, Limit::WriteDeadline);
            let window = (stall.window_since + limits.write_window, Limit::WriteRate);
            return Some(if window.0 < whole.0 { window } else { whole });
        }
        match self.phase.get() {
            Phase::Head { since } => Some((since + limits.head_deadline, Limit::HeadDeadline)),
            Phase::Idle { since } => {
                let idle = (since + limits.keep_alive_idle, Limit::KeepAliveIdle);
                let retires = (self.retires, Limit::ConnectionLifetime);
                Some(if retires.0 < idle.0 { retires } else { idle })
            }
            Phase::Lingering { since } => Some((since + limits.linger, Limit::Linger)),
            Phase::Answering | Phase::Answered => None,
        }
    }

    /// Begins another window and returns true, if the client took enough in the one that is over.
    pub(crate) fn next_write_window(&self, limits: &Limits) -> bool {
        let Some(mut stall) = self.stall.get() else { return true };
        let due = limits.write_window.as_secs_f64() * f64::from(limits.write_rate);
        if (stall.window_bytes as f64) < due {
            return false;
        }
        stall.window_since = Instant::now();
        stall.window_bytes = 0;
        self.stall.set(Some(stall));
        true
    }

    /// The order in which connections are evicted, the least first: a rank, and the start of the wait for the client.
    /// `None`: it is being answered and is not evicted. A keep-alive client reconnects without noticing, and a client
    /// that lingers has its answer, so both go first; then those that owe a head; then those that take no bytes; last
    /// those that are new.
    pub(crate) fn eviction_rank(&self, now: Instant) -> Option<(u8, Instant)> {
        match (self.stall.get(), self.phase.get()) {
            (Some(stall), _) => {
                (now.duration_since(stall.since) >= STALL_MIN).then_some((2, stall.since))
            }
            (None, Phase::Idle { since } | Phase::Lingering { since }) => Some((0, since)),
            (None, Phase::Head { since }) => {
                let is_new = self.requests.get() == 0 && now.duration_since(since) < NEWCOMER;
                Some((if is_new { 3 } else { 1 }, since))
            }
            (None, Phase::Answering | Phase::Answered) => None,
        }
    }

    /// Returns whether hyper may be handed a head: every request before it is answered, and the client has taken the answers.
    pub(crate) fn expects_head(&self) -> bool {
        matches!(self.phase.get(), Phase::Head { .. } | Phase::Idle { .. })
            && !self.head_released.get()
    }

    pub(crate) fn head_released(&self, bytes_waiting: bool) {
        self.head_released.set(true);
        self.bytes_waiting.set(bytes_waiting);
    }

    /// Takes note that a head became a request, or the stand-in for one that was rejected.
    pub(crate) fn head_complete(&self) {
        self.phase.set(Phase::Answering);
        self.head_released.set(false);
        self.requests.set(self.requests.get().saturating_add(1));
    }

    /// The limit that makes the response that is about to be sent the last one, if there is one.
    pub(crate) fn retirement(&self, limits: &Limits) -> Option<Limit> {
        if self.requests.get() >= limits.connection_requests {
            return Some(Limit::ConnectionRequests);
        }
        (Instant::now() >= self.retires).then_some(Limit::ConnectionLifetime)
    }

    pub(crate) fn response_ready(&self) {
        self.phase.set(Phase::Answered);
    }

    pub(crate) fn bytes_read(&self) {
        self.bytes_waiting.set(true);
        if let Phase::Idle { .. } = self.phase.get() {
            self.phase.set(Phase::Head { since: Instant::now() });
        }
    }

    pub(crate) fn write_blocked(&self) {
        if self.stall.get().is_none() {
            let now = Instant::now();
            self.stall.set(Some(Stall { since: now, window_since: now, window_bytes: 0 }));
        }
    }

    pub(crate) fn bytes_written(&self, count: usize) {
        if let Some(mut stall) = self.stall.get() {
            stall.window_bytes = stall.window_bytes.saturating_add(count);
            self.stall.set(Some(stall));
        }
    }

    pub(crate) fn all_written(&self) {
        let was_stalled = self.stall.take().is_some();
        match self.phase.get() {
            Phase::Answered if self.bytes_waiting.get() => {
                self.phase.set(Phase::Head { since: Instant::now() });
                // `poll_read` returned Pending without a waker, so the wake-up is due here. (Today's hyper asks again by
                // itself.)
                self.wake();
            }
            Phase::Answered => self.phase.set(Phase::Idle { since: Instant::now() }),
            Phase::Idle { .. } if was_stalled => {
                self.phase.set(Phase::Idle { since: Instant::now() });
            }
            Phase::Head { .. }
            | Phase::Answering
            | Phase::Idle { .. }
            | Phase::Lingering { .. } => {}
        }
    }

    /// Returns whether the close waits for the client to close first: it has sent bytes that are not read (behind a rejected
    /// head, or behind the last request), and a close would become a reset that may overtake our last answer. Asked when our
    /// side is shut down; the wait has its deadline from the first call on.
    pub(crate) fn lingers(&self) -> bool {
        if !self.bytes_waiting.get() || self.order.get() != Order::Serve {
            return false;
        }
        if !matches!(self.phase.get(), Phase::Lingering { .. }) {
            self.phase.set(Phase::Lingering { since: Instant::now() });
        }
        true
    }

    /// Makes the close a reset, since bytes that the client has not taken by now would stay in the kernel.
    pub(crate) fn reset_on_close(&self) {
        self.reset_on_close.set(true);
    }

    pub(crate) fn resets_on_close(&self) -> bool {
        self.reset_on_close.get()
    }

    pub(crate) fn keep_waker(&self, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    pub(crate) fn order(&self) -> Order {
        self.order.get()
    }

    pub(crate) fn obey(&self, order: Order) {
        self.order.set(order);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_connection_is_evicted_last() {
        let now = Instant::now();
        let connection = Connection::new(now, Duration::from_secs(300));
        assert_eq!(connection.eviction_rank(now), Some((3, now)));
        assert_eq!(connection.eviction_rank(now + NEWCOMER), Some((1, now)));
        // Its second head is due like any other.
        connection.head_complete();
        connection.response_ready();
        connection.bytes_read();
        connection.all_written();
        let rank = connection.eviction_rank(Instant::now()).map(|(rank, _)| rank);
        assert_eq!(rank, Some(1));
    }
}
