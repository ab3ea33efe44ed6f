//! The listening sockets: one for TCP, and on request one for a Unix domain socket.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

use crate::stream::Stream;
#[cfg(unix)]
use crate::unix::UnixDoor;

/// A listening TCP socket, not yet tied to an event loop.
pub(crate) fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Elsewhere than on Unix it would let two programs share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?; // A restart must not wait for TIME_WAIT to pass.
    if address.is_ipv6() {
        socket.set_only_v6(false)?; // `[::]` serves IPv4 too, whatever the system's default is.
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// What clients come in through.
#[derive(Debug)]
pub(crate) struct Door {
    tcp: tokio::net::TcpListener,
    #[cfg(unix)]
    unix: Option<UnixDoor>,
}

impl Door {
    /// Ties the sockets to the event loop of this thread.
    pub(crate) fn open(
        tcp: TcpListener,
        #[cfg(unix)] unix: Option<crate::unix::UnixBound>,
    ) -> io::Result<Self> {
        Ok(Self {
            tcp: tokio::net::TcpListener::from_std(tcp)?,
            #[cfg(unix)]
            unix: unix.map(crate::unix::UnixBound::open).transpose()?,
        })
    }

    /// The next connection. An error concerns one attempt; the sockets go on.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        #[cfg(unix)]
        if let Some(unix) = &self.unix
            && let Poll::Ready(accepted) = unix.poll_accept(cx)
        {
            return Poll::Ready(accepted.map(Stream::Unix));
        }
        self.tcp.poll_accept(cx).map_ok(|(stream, _peer)| {
            set_no_delay(&stream);
            Stream::Tcp(stream)
        })
    }
}

fn set_no_delay(stream: &TcpStream) {
    // A response is written whole, so Nagle's algorithm could only delay its last packet.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
}
