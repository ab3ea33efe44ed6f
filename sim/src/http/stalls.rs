//! A socket whose client has a deadline to read the bytes that are written for it.
//!
//! Without it a client that reads nothing holds its stream, and the worker's slot behind it, for as long as it likes.
//! The deadline counts from the last byte that was read: a slow reader keeps it, and streams are slow.

use super::limits::Limit;
use super::telemetry::Telemetry;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A stream that fails when a write was pending for too long.
#[derive(Debug)]
pub(crate) struct Stalls<S> {
    stream: S,
    deadline: Duration,
    telemetry: Arc<Telemetry>,
    /// Runs while a write is pending.
    pending: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalls<S> {
    pub(crate) fn new(stream: S, deadline: Duration, telemetry: Arc<Telemetry>) -> Self {
        Self { stream, deadline, telemetry, pending: None }
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    fn timed<T>(&mut self, poll: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.pending = None;
            return poll;
        }
        let deadline = self.deadline;
        let pending = self.pending.get_or_insert_with(|| Box::pin(tokio::time::sleep(deadline)));
        ready!(pending.as_mut().poll(cx));
        self.pending = None;
        self.telemetry.hit(Limit::WriteDeadline);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalls<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalls<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.timed(poll, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.timed(poll, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
