//! One connection's life: which phase it is in, and how long it may stay there.
//!
//! hyper parses and writes; it has one timer, for "a head is due", that runs from the end of the
//! previous response. This file tells apart what that timer cannot, by what `socket` sees:
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
use crate::refusal::Refusal;

/// What the watcher of one socket has seen, and what the table asks of it.
#[derive(Debug)]
pub(crate) struct Connection {
    phase: Cell<Phase>,
    /// A head is with hyper and has not become a request yet.
    head_released: Cell<bool>,
    /// Bytes of a further request wait.
    bytes_waiting: Cell<bool>,
    /// Why the request that comes next is none.
    refusal: Cell<Option<Refusal>>,
    /// Requests that were begun.
    requests: Cell<u32>,
    /// When it has lived long enough.
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

/// Bytes are queued that the client does not take, or not fast enough.
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
    GiveWay,
}

// Who has just come is shielded so long, if another one of its address can go: a head that follows its
// connection late is on its way (a far client, a busy one) and not withheld.
const NEWCOMER: Duration = Duration::from_millis(250);
// A client is not called stalled before this: a large body over a slow link pauses now and then.
const STALL_MIN: Duration = Duration::from_secs(1);

impl Connection {
    pub(crate) fn new(now: Instant, lifetime: Duration) -> Self {
        Self {
            phase: Cell::new(Phase::Head { since: now }),
            head_released: Cell::new(false),
            bytes_waiting: Cell::new(false),
            refusal: Cell::new(None),
            requests: Cell::new(0),
            retires: now + lifetime,
            stall: Cell::new(None),
            order: Cell::new(Order::Serve),
            reset_on_close: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

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

    /// Begins another window if the client took enough in the one that is over.
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

    /// How readily it gives way, the least first, and since when it has waited for its client.
    /// `None`: it does not. A keep-alive client reconnects without noticing, and who lingers has
    /// its answer, so they go first; then who owes a head; then who takes no bytes; last who has just
    /// come.
    pub(crate) fn readiness_to_give_way(&self, now: Instant) -> Option<(u8, Instant)> {
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

    /// Whether hyper may be handed a head: all that was asked before is answered and taken.
    pub(crate) fn expects_head(&self) -> bool {
        matches!(self.phase.get(), Phase::Head { .. } | Phase::Idle { .. })
            && !self.head_released.get()
    }

    pub(crate) fn head_released(&self, bytes_waiting: bool) {
        self.head_released.set(true);
        self.bytes_waiting.set(bytes_waiting);
    }

    /// The next request is a stand-in for a head that was refused.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.refusal.set(Some(refusal));
    }

    /// A head became a request, or the stand-in for one that was refused.
    pub(crate) fn head_complete(&self) -> Option<Refusal> {
        self.phase.set(Phase::Answering);
        self.head_released.set(false);
        self.requests.set(self.requests.get().saturating_add(1));
        self.refusal.take()
    }

    /// Why the response that is about to be sent is the last one, if it is.
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
                // `poll_read` said Pending and left no waker, so this owes the wake-up. Today's hyper
                // happens to ask again by itself.
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

    /// Whether the close waits for the client to close first: it has sent bytes that nobody reads
    /// (a refused head, requests behind the last one), and a close would become a reset that may
    /// overtake our last answer. Asked when our side is shut down; the wait has its deadline from
    /// the first time on.
    pub(crate) fn lingers(&self) -> bool {
        if !self.bytes_waiting.get() || self.order.get() != Order::Serve {
            return false;
        }
        if !matches!(self.phase.get(), Phase::Lingering { .. }) {
            self.phase.set(Phase::Lingering { since: Instant::now() });
        }
        true
    }

    /// What the client has not taken by now would linger in the kernel.
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
    fn who_has_just_come_gives_way_last() {
        let now = Instant::now();
        let connection = Connection::new(now, Duration::from_secs(300));
        assert_eq!(connection.readiness_to_give_way(now), Some((3, now)));
        assert_eq!(connection.readiness_to_give_way(now + NEWCOMER), Some((1, now)));
        // Its second head is due like everybody's.
        connection.head_complete();
        connection.response_ready();
        connection.bytes_read();
        connection.all_written();
        let rank = connection.readiness_to_give_way(Instant::now()).map(|(rank, _)| rank);
        assert_eq!(rank, Some(1));
    }
}
