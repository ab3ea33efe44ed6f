//! A TCP connection under TLS: first a handshake, then the client's bytes in plain.
//!
//! The handshake goes on whenever bytes are read, so it stands under the deadline of the first
//! head. What rustls may hold of our bytes is bounded; what the client has taken is counted where it
//! leaves, because rustls takes bytes that the socket does not.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// Two records: one on its way, one being filled. rustls' own bound is 64 KiB a connection.
const PENDING_BYTES_MAX: usize = 32 * 1024;

pub(crate) struct TlsSocket(State);

enum State {
    Handshake(Accept<Counted>),
    Open(TlsStream<Counted>),
    /// The handshake failed, and the client was told if it could be.
    Failed,
}

impl TlsSocket {
    pub(crate) fn new(socket: TcpStream, config: Arc<ServerConfig>) -> Self {
        let accept =
            TlsAcceptor::from(config).accept_with(Counted { socket, taken: 0 }, |session| {
                session.set_buffer_limit(Some(PENDING_BYTES_MAX));
            });
        Self(State::Handshake(accept))
    }

    /// Whether the client has not shown yet that it speaks TLS and may.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.0, State::Open(_))
    }

    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        let counted = match &self.0 {
            State::Handshake(accept) => accept.get_ref()?,
            State::Open(stream) => stream.get_ref().0,
            State::Failed => return None,
        };
        Some(&counted.socket)
    }

    /// Bytes that the kernel took since the last call.
    pub(crate) fn take_taken(&mut self) -> usize {
        match &mut self.0 {
            State::Open(stream) => std::mem::take(&mut stream.get_mut().0.taken),
            State::Handshake(_) | State::Failed => 0,
        }
    }

    /// The stream, once the handshake is done.
    fn poll_open(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Pin<&mut TlsStream<Counted>>>> {
        if let State::Handshake(accept) = &mut self.0 {
            let opened = ready!(Pin::new(accept).poll(cx));
            self.0 = State::Failed;
            self.0 = State::Open(opened?);
        }
        match &mut self.0 {
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
        match &mut self.0 {
            State::Open(stream) => Pin::new(stream).poll_flush(cx),
            // Nothing of ours is under way.
            State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
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
