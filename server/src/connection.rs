//! One connection's life, and the table of all of them.
//!
//! hyper parses and writes; it has one timer, for "a head is due", that runs from the end of the
//! previous response. This file tells apart what that timer cannot, by watching the socket under
//! hyper:
//!
//! ```text
//!  accept -> Head --head complete--> Answering --response ready--> Answered
//!             ^                                                       | all bytes taken
//!             +----------- first byte of a further head -- Idle <-----+
//! ```
//!
//! Each phase has its deadline ([`Limits`]); bytes that the client does not take have theirs,
//! whatever the phase. Invariant: a connection that waits for its client, in any phase, has a
//! deadline; one without a deadline waits for us.
//!
//! All of it lives on the network thread, hence `Rc` and `Cell`: no order of memory to reason about.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::limits::{Limit, Limits};
use crate::respond::Responder;
use crate::telemetry::ServerTelemetry;

/// Serves one admitted connection to its end.
pub(crate) async fn serve(
    stream: TcpStream,
    admission: Admission,
    http: http1::Builder,
    responder: Rc<Responder>,
) {
    let Admission { connection, table, .. } = &admission;
    let service = service_fn(|request| {
        connection.head_complete();
        let (connection, responder) = (Rc::clone(connection), Rc::clone(&responder));
        async move {
            let response = responder.respond(request).await;
            connection.response_ready();
            Ok::<_, Infallible>(response)
        }
    });
    let socket = WatchedSocket { stream, connection: Rc::clone(connection) };
    let mut http = pin!(http.serve_connection(TokioIo::new(socket), service));
    let mut alarm = pin!(sleep_until(Instant::now()));
    let mut finishing = false;

    let ending = poll_fn(|cx| {
        connection.keep_waker(cx.waker());
        if connection.order.get() == Order::GiveWay {
            return Poll::Ready(Ending::GaveWay);
        }
        if let Poll::Ready(result) = http.as_mut().poll(cx) {
            return Poll::Ready(Ending::Http(result));
        }
        // After the poll above, which has picked up a request that was already on its way.
        if connection.order.get() == Order::Finish && !finishing {
            finishing = true;
            http.as_mut().graceful_shutdown();
            if let Poll::Ready(result) = http.as_mut().poll(cx) {
                return Poll::Ready(Ending::Http(result));
            }
        }
        let Some((deadline, limit)) = connection.deadline(&table.limits) else {
            return Poll::Pending;
        };
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(Ending::Expired(limit))
    })
    .await;

    match ending {
        // The table has counted it.
        Ending::GaveWay => {}
        Ending::Expired(limit) => {
            table.telemetry.limit_hit(limit);
            // What the client has not taken by now would linger in the kernel.
            connection.reset_on_close.set(limit == Limit::WriteDeadline);
        }
        Ending::Http(Ok(())) => {}
        Ending::Http(Err(error)) => {
            tracing::debug!(%error, "a connection ended with an error");
            if error.is_parse_too_large() {
                table.telemetry.limit_hit(Limit::HeadSize);
                table.telemetry.response(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
            } else if error.is_parse() {
                table.telemetry.response(StatusCode::BAD_REQUEST);
            } else if error.is_timeout() {
                // hyper's own timer, which is set to the sum of both deadlines.
                table.telemetry.limit_hit(Limit::KeepAliveIdle);
            }
        }
    }
}

enum Ending {
    GaveWay,
    Expired(Limit),
    Http(hyper::Result<()>),
}

/// What the watcher of one socket has seen, and what the table asks of it.
#[derive(Debug)]
pub(crate) struct Connection {
    phase: Cell<Phase>,
    /// Bytes of a further request came while one was being answered.
    early_bytes: Cell<bool>,
    /// Since when bytes are queued that the client does not take.
    stalled_since: Cell<Option<Instant>>,
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Serve on.
    Serve,
    /// Finish the request in progress, if there is one, then close.
    Finish,
    /// Close now.
    GiveWay,
}

// A client is not called stalled before this: a large body over a slow link pauses now and then.
const STALL_MIN: Duration = Duration::from_secs(1);

impl Connection {
    fn new(now: Instant) -> Self {
        Self {
            phase: Cell::new(Phase::Head { since: now }),
            early_bytes: Cell::new(false),
            stalled_since: Cell::new(None),
            order: Cell::new(Order::Serve),
            reset_on_close: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    fn deadline(&self, limits: &Limits) -> Option<(Instant, Limit)> {
        if let Some(since) = self.stalled_since.get() {
            return Some((since + limits.write_deadline, Limit::WriteDeadline));
        }
        match self.phase.get() {
            Phase::Head { since } => Some((since + limits.head_deadline, Limit::HeadDeadline)),
            Phase::Idle { since } => Some((since + limits.keep_alive_idle, Limit::KeepAliveIdle)),
            Phase::Answering | Phase::Answered => None,
        }
    }

    /// How readily it gives way, the least first, and since when it has waited for its client.
    /// `None`: it does not. A keep-alive client reconnects without noticing, so it goes first; then
    /// who owes a head; then who takes no bytes.
    fn readiness_to_give_way(&self, now: Instant) -> Option<(u8, Instant)> {
        match (self.stalled_since.get(), self.phase.get()) {
            (Some(since), _) => (now.duration_since(since) >= STALL_MIN).then_some((2, since)),
            (None, Phase::Idle { since }) => Some((0, since)),
            (None, Phase::Head { since }) => Some((1, since)),
            (None, Phase::Answering | Phase::Answered) => None,
        }
    }

    fn head_complete(&self) {
        self.phase.set(Phase::Answering);
        self.early_bytes.set(false);
    }

    fn response_ready(&self) {
        self.phase.set(Phase::Answered);
    }

    fn bytes_read(&self) {
        match self.phase.get() {
            Phase::Idle { .. } => self.phase.set(Phase::Head { since: Instant::now() }),
            Phase::Answering | Phase::Answered => self.early_bytes.set(true),
            Phase::Head { .. } => {}
        }
    }

    fn write_blocked(&self) {
        if self.stalled_since.get().is_none() {
            self.stalled_since.set(Some(Instant::now()));
        }
    }

    fn all_written(&self) {
        let was_stalled = self.stalled_since.take().is_some();
        match self.phase.get() {
            Phase::Answered if self.early_bytes.get() => {
                self.phase.set(Phase::Head { since: Instant::now() });
            }
            Phase::Answered => self.phase.set(Phase::Idle { since: Instant::now() }),
            Phase::Idle { .. } if was_stalled => {
                self.phase.set(Phase::Idle { since: Instant::now() });
            }
            Phase::Head { .. } | Phase::Answering | Phase::Idle { .. } => {}
        }
    }

    fn keep_waker(&self, waker: &Waker) {
        let mut kept = self.waker.borrow_mut();
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
    }

    fn obey(&self, order: Order) {
        self.order.set(order);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// All open connections, at most [`Limits::connections`].
#[derive(Debug)]
pub(crate) struct ConnectionTable {
    open: RefCell<HashMap<u64, Rc<Connection>>>,
    next_id: Cell<u64>,
    limits: Limits,
    telemetry: Arc<ServerTelemetry>,
}

impl ConnectionTable {
    pub(crate) fn new(limits: Limits, telemetry: Arc<ServerTelemetry>) -> Rc<Self> {
        Rc::new(Self { open: RefCell::default(), next_id: Cell::new(0), limits, telemetry })
    }

    /// A slot for a new connection. At the cap somebody gives way; if nobody can, there is none.
    pub(crate) fn admit(self: &Rc<Self>) -> Option<Admission> {
        let now = Instant::now();
        let mut open = self.open.borrow_mut();
        if open.len() >= self.limits.connections {
            let victim = open
                .iter()
                .filter_map(|(&id, other)| other.readiness_to_give_way(now).map(|rank| (rank, id)))
                .min()
                .and_then(|(_, id)| open.remove(&id));
            let Some(victim) = victim else {
                self.telemetry.limit_hit(Limit::Connections);
                return None;
            };
            self.telemetry.limit_hit(Limit::GaveWay);
            self.telemetry.connection_closed();
            victim.obey(Order::GiveWay);
        }
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let connection = Rc::new(Connection::new(now));
        open.insert(id, Rc::clone(&connection));
        self.telemetry.connection_opened();
        Some(Admission { connection, table: Rc::clone(self), id })
    }

    /// Asks every connection to end with the request in progress.
    pub(crate) fn finish_all(&self) {
        for connection in self.open.borrow().values() {
            connection.obey(Order::Finish);
        }
    }
}

/// A connection's slot in the table, given back when dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    connection: Rc<Connection>,
    table: Rc<ConnectionTable>,
    id: u64,
}

impl Drop for Admission {
    fn drop(&mut self) {
        // One that gave way has left the table already.
        if self.table.open.borrow_mut().remove(&self.id).is_some() {
            self.table.telemetry.connection_closed();
        }
    }
}

/// The socket under hyper, with the watcher's eyes on it.
///
/// It relies on one habit of hyper's: the socket's `poll_flush` is called only when nothing is
/// queued any more. `tests/limits.rs` fails when that changes.
struct WatchedSocket {
    stream: TcpStream,
    connection: Rc<Connection>,
}

impl WatchedSocket {
    fn watch_write(&self, written: &Poll<io::Result<usize>>) {
        if written.is_pending() {
            self.connection.write_blocked();
        }
    }
}

impl AsyncRead for WatchedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.connection.bytes_read();
        }
        read
    }
}

impl AsyncWrite for WatchedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.connection.all_written();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for WatchedSocket {
    fn drop(&mut self) {
        if self.connection.reset_on_close.get() {
            // If it fails, the kernel keeps the bytes a little longer: nothing to be done.
            drop(socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)));
        }
    }
}
