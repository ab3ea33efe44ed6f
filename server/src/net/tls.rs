//! A TCP connection under TLS: first a handshake, then the client's bytes in plain.
//!
//! The handshake goes on whenever bytes are read, so it stands under the deadline of the first head. Its signature is
//! computed on the network thread, so handshakes take turns ([`Handshakes`]): of many that come at once some wait, and
//! open connections are served meanwhile. The bytes of ours that rustls may hold are bounded. The bytes that the client
//! has taken are counted at the socket, because rustls takes bytes that the socket does not.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::reason::Limit;
use crate::telemetry::ServerTelemetry;

/// Two records: one on its way, one being filled. rustls' own bound is 64 KiB a connection.
const PENDING_BYTES_MAX: usize = 32 * 1024;

/// The part of a second's handshakes that may begin at once. A flood of them delays a probe by no more than so many
/// signatures.
const BURST_PART: u32 = 5;

/// The handshakes that may begin: a bucket of tokens, for all sockets of a server.
#[derive(Debug)]
pub(crate) struct Handshakes {
    /// Time until the next token comes.
    interval: Duration,
    burst: u32,
    /// The instant at which the bucket would be empty, as it fills.
    empty: Cell<Instant>,
    telemetry: Arc<ServerTelemetry>,
}

impl Handshakes {
    pub(crate) fn new(a_second: u32, telemetry: Arc<ServerTelemetry>) -> Rc<Self> {
        let interval = Duration::from_secs(1) / a_second.max(1);
        let burst = (a_second / BURST_PART).max(1);
        let empty = Cell::new(Instant::now() - interval * burst);
        Rc::new(Self { interval, burst, empty, telemetry })
    }

    /// Takes a token, or returns the instant of the next one.
    fn take(&self, now: Instant) -> Result<(), Instant> {
        let full = now - self.interval * self.burst;
        let next = self.empty.get().max(full) + self.interval;
        if next > now {
            return Err(next);
        }
        self.empty.set(next);
        Ok(())
    }
}

/// The turn of a socket whose handshake has not begun.
struct Turn {
    handshakes: Rc<Handshakes>,
    sleep: Option<Pin<Box<Sleep>>>,
    counted: bool,
}

impl Turn {
    /// Ready when it has its token. A client that sends nothing takes none: the socket itself is looked at, since one
    /// that was just accepted counts as ready before any byte came.
    fn poll(&mut self, socket: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0];
        if ready!(socket.poll_peek(cx, &mut ReadBuf::new(&mut byte)))? == 0 {
            return Poll::Ready(Ok(())); // The client has closed, which costs nothing.
        }
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
            }
            let Err(next) = self.handshakes.take(Instant::now()) else {
                return Poll::Ready(Ok(()));
            };
            if !self.counted {
                self.counted = true;
                self.handshakes.telemetry.limit_hit(Limit::Handshakes);
            }
            self.sleep = Some(Box::pin(sleep_until(next)));
        }
    }
}

pub(crate) struct TlsSocket {
    state: State,
    /// `None` once the handshake has begun.
    turn: Option<Turn>,
}

enum State {
    Handshake(Accept<Counted>),
    Open(TlsStream<Counted>),
    /// The handshake failed, and the client was told if it could be.
    Failed,
}

impl TlsSocket {
    pub(crate) fn new(
        socket: TcpStream,
        config: Arc<ServerConfig>,
        handshakes: &Rc<Handshakes>,
    ) -> Self {
        let accept =
            TlsAcceptor::from(config).accept_with(Counted { socket, taken: 0 }, |session| {
                session.set_buffer_limit(Some(PENDING_BYTES_MAX));
            });
        let turn = Turn { handshakes: Rc::clone(handshakes), sleep: None, counted: false };
        Self { state: State::Handshake(accept), turn: Some(turn) }
    }

    /// Returns whether the handshake is done.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        let counted = match &self.state {
            State::Handshake(accept) => accept.get_ref()?,
            State::Open(stream) => stream.get_ref().0,
            State::Failed => return None,
        };
        Some(&counted.socket)
    }

    /// Bytes that the kernel took since the last call.
    pub(crate) fn take_taken(&mut self) -> usize {
        match &mut self.state {
            State::Open(stream) => std::mem::take(&mut stream.get_mut().0.taken),
            State::Handshake(_) | State::Failed => 0,
        }
    }

    /// The stream, once the handshake is done.
    fn poll_open(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Pin<&mut TlsStream<Counted>>>> {
        if let State::Handshake(accept) = &mut self.state {
            if let (Some(turn), Some(counted)) = (&mut self.turn, accept.get_ref()) {
                ready!(turn.poll(&counted.socket, cx))?;
                self.turn = None;
            }
            let opened = ready!(Pin::new(accept).poll(cx));
            self.state = State::Failed;
            self.state = State::Open(opened?);
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(stream))),
            State::Handshake(_) | State::Failed => {
                Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
            }
        }
    }
}

impl std::fmt::Debug for TlsSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsSocket").field("tcp", &self.tcp()).finish_non_exhaustive()
    }
}

impl AsyncRead for TlsSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = ready!(self.poll_open(cx))?;
        match ready!(stream.poll_read(cx, buffer)) {
            // An end without `close_notify` is an end: half a head is never served anyway.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            read => Poll::Ready(read),
        }
    }
}

impl AsyncWrite for TlsSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Open(stream) => Pin::new(stream).poll_flush(cx),
            // Nothing of ours is under way.
            State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Open(stream) => Pin::new(stream).poll_shutdown(cx),
            State::Handshake(accept) => match accept.get_mut() {
                Some(counted) => Pin::new(counted).poll_shutdown(cx),
                None => Poll::Ready(Ok(())),
            },
            State::Failed => Poll::Ready(Ok(())),
        }
    }
}

/// A socket that counts the bytes that it takes.
struct Counted {
    socket: TcpStream,
    taken: usize,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        self.taken = self.taken.saturating_add(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, slices))?;
        self.taken = self.taken.saturating_add(count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_handshakes_begin_than_a_burst_and_their_rate() {
        let handshakes = Handshakes::new(50, Arc::default());
        let begin = Instant::now() + Duration::from_secs(60);
        let within = |second: Duration| {
            // A thousand ask each millisecond.
            (0..1000).filter(|_| handshakes.take(begin + second).is_ok()).count()
        };
        assert_eq!(within(Duration::ZERO), 10, "the burst");
        let taken: usize = (1..=1000).map(|ms| within(Duration::from_millis(ms))).sum();
        assert_eq!(taken, 50);
        let next = handshakes.take(begin + Duration::from_secs(1)).expect_err("none is left");
        assert_eq!(next, begin + Duration::from_millis(1020));
        assert_eq!(within(Duration::from_secs(3600)), 10, "no more is saved up");
    }
}
