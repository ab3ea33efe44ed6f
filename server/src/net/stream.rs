//! The kinds of sockets that a connection may come from, as one type.
//!
//! An enum and not a parameter: the code above it is compiled once.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

#[cfg(feature = "tls")]
use crate::net::tls::TlsSocket;

/// An accepted connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    /// Boxed: a TLS session is far larger than a socket.
    #[cfg(feature = "tls")]
    Tls(Box<TlsSocket>),
    /// A pipe of tests under a clock that stands still: bytes that are written are there at once.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

/// Calls the same method of every kind of socket.
macro_rules! either {
    ($stream:expr, $socket:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($socket) => $call,
            #[cfg(unix)]
            Stream::Unix($socket) => $call,
            #[cfg(feature = "tls")]
            Stream::Tls($socket) => $call,
            #[cfg(test)]
            Stream::Memory($socket) => $call,
        }
    };
}

impl Stream {
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(socket) => Some(socket),
            #[cfg(unix)]
            Self::Unix(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(socket) => socket.tcp(),
            #[cfg(test)]
            Self::Memory(_) => None,
        }
    }

    /// Makes the close drop what the client has not taken instead of keeping it in the kernel.
    pub(crate) fn reset_on_close(&self) {
        // The bytes of a Unix socket are dropped with it anyway. If it fails for TCP, the kernel
        // keeps the bytes a little longer: nothing to be done.
        if let Some(socket) = self.tcp() {
            drop(socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)));
        }
    }

    /// The number of bytes that the client's side took when `count` were taken from us: less or more under TLS, which
    /// holds some back.
    pub(crate) fn taken(&mut self, count: usize) -> usize {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(socket) => socket.take_taken(),
            _ => count,
        }
    }

    /// Returns whether an error is that of a TLS handshake.
    pub(crate) fn is_handshake_error(&self, error: &io::Error) -> bool {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(socket) => !socket.is_open() && error.kind() == io::ErrorKind::InvalidData,
            _ => {
                let _ = error;
                false
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, socket => socket.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_shutdown(cx))
    }
}
