//! The byte stream that hyper reads and writes: the socket, with every head validated and every phase recorded.
//!
//! On the way in it hands hyper one validated head at a time ([`RequestBuffer`]), so hyper never holds a request that
//! waits behind another one. On the way out it tells [`Connection`] when the client takes no bytes and when it has taken
//! all. It relies on two habits of hyper's: the socket's `poll_flush` is called only when nothing is queued any more
//! (the tests of deadlines fail when that changes), and a whole head becomes a request within the `poll_read` that
//! brought its end.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::rejection::Rejection;
use crate::http::request_buffer::{Next, RequestBuffer};
use crate::net::connection::Connection;
use crate::net::stream::Stream;
use crate::net::table::ConnectionTable;
use crate::reason::Limit;

pub(crate) struct HttpIo {
    stream: Stream,
    heads: RequestBuffer,
    /// The part of a head that did not fit into hyper's buffer.
    rest: Vec<u8>,
    connection: Rc<Connection>,
    table: Rc<ConnectionTable>,
    rejection: PendingRejection,
}

/// The reason why the next request is a stand-in for a head that was rejected: set by [`HttpIo`], taken by the service.
pub(crate) type PendingRejection = Rc<Cell<Option<Rejection>>>;

/// Handed to hyper in place of a rejected head; [`PendingRejection`] tells the service that it is one. Always a `GET`, so
/// that the answer has its text: a rejected head is not believed about its method, and the connection closes behind the
/// answer.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

// Unread bytes in the kernel would turn the close into a reset, which may overtake the answer.
const DRAIN_BYTES: usize = 4096;

impl HttpIo {
    pub(crate) fn new(
        stream: Stream,
        connection: Rc<Connection>,
        table: Rc<ConnectionTable>,
        rejection: PendingRejection,
    ) -> Self {
        Self { stream, heads: RequestBuffer::new(), rest: Vec::new(), connection, table, rejection }
    }

    /// Reads bytes from the socket, as far as there is room.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limits = self.table.limits();
        let space = self.heads.space(limits);
        if space.is_empty() {
            return Poll::Pending; // `Connection` wakes the task when the answer is on its way.
        }
        let mut buffer = ReadBuf::new(space);
        if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
            if self.stream.is_handshake_error(&error) {
                self.table.telemetry().limit_hit(Limit::TlsHandshake);
            }
            return Poll::Ready(Err(error));
        }
        let count = buffer.filled().len();
        self.heads.filled(count, limits);
        if self.heads.is_full(limits) {
            self.table.telemetry().limit_hit(Limit::Pipelined);
        }
        if count > 0 {
            self.connection.bytes_read();
        }
        Poll::Ready(Ok(()))
    }

    fn watch_write(&mut self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.connection.write_blocked(),
            Poll::Ready(Ok(count)) => self.connection.bytes_written(self.stream.taken(*count)),
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl AsyncRead for HttpIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            let count = this.rest.len().min(buffer.remaining());
            buffer.put_slice(&this.rest[..count]);
            this.rest.drain(..count);
            return Poll::Ready(Ok(()));
        }
        loop {
            if this.connection.expects_head() {
                let head = match this.heads.next(this.table.limits()) {
                    Next::Head(head) => Some(head),
                    Next::Rejection(rejection) if rejection.answer().is_some() => {
                        this.rejection.set(Some(rejection));
                        Some(STAND_IN)
                    }
                    Next::Rejection(rejection) => {
                        this.table.telemetry().limit_hit(rejection.limit());
                        return Poll::Ready(Ok(()));
                    }
                    Next::End => return Poll::Ready(Ok(())),
                    Next::Nothing => None,
                };
                if let Some(head) = head {
                    let (fits, rest) = head.split_at(head.len().min(buffer.remaining()));
                    buffer.put_slice(fits);
                    this.rest.extend_from_slice(rest);
                    this.connection.head_released(this.heads.has_bytes());
                    return Poll::Ready(Ok(()));
                }
            } else if this.heads.is_at_end() {
                return Poll::Ready(Ok(())); // The end of the stream, which ends the request in progress.
            }
            ready!(this.poll_fill(cx))?;
        }
    }
}

impl AsyncWrite for HttpIo {
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
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_pending() {
            // Under TLS only: bytes were taken from hyper that the client has not taken yet.
            self.connection.write_blocked();
            let taken = self.stream.taken(0);
            self.connection.bytes_written(taken);
        }
        ready!(flushed)?;
        self.connection.all_written();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        if shut.is_pending() {
            this.connection.write_blocked(); // Under TLS only, whose end is bytes too.
        }
        ready!(shut)?;
        // Bytes that the client still sends are read and dropped, until it closes or its time is up.
        while this.connection.lingers() {
            let mut dropped = [0; DRAIN_BYTES];
            let mut buffer = ReadBuf::new(&mut dropped);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) | Err(_) => break, // Closed, one way or the other.
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for HttpIo {
    fn drop(&mut self) {
        if self.connection.resets_on_close() {
            self.stream.reset_on_close();
        }
    }
}
