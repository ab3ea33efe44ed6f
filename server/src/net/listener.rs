//! The listening sockets: one for TCP, and on request one for a Unix domain socket.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
#[cfg(feature = "tls")]
use std::rc::Rc;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

use crate::net::stream::Stream;
#[cfg(feature = "tls")]
use crate::net::tls::{Handshakes, TlsSocket};
#[cfg(unix)]
use crate::net::unix::{UnixBound, UnixListening};

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

/// Sockets that listen, before they are tied to an event loop.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) tcp: TcpListener,
    #[cfg(unix)]
    pub(crate) unix: Option<UnixBound>,
}

/// Sockets that listen on the event loop of one thread.
pub(crate) struct Listener {
    tcp: tokio::net::TcpListener,
    #[cfg(unix)]
    unix: Option<UnixListening>,
    #[cfg(feature = "tls")]
    tls: Option<TlsSource>,
}

/// An accepted connection.
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    /// The client's address; all clients of a Unix socket are one.
    pub(crate) peer: Option<IpAddr>,
}

/// TLS for TCP connections: the configuration, which is asked for at each connection so that a renewed certificate is
/// used at once, and the turns that handshakes take.
#[cfg(feature = "tls")]
pub(crate) struct TlsSource {
    pub(crate) config: Box<dyn Fn() -> Option<Arc<rustls::ServerConfig>>>,
    pub(crate) handshakes: Rc<Handshakes>,
}

impl Bound {
    /// Ties the sockets to the event loop of this thread.
    pub(crate) fn open(
        self,
        #[cfg(feature = "tls")] tls: Option<TlsSource>,
    ) -> io::Result<Listener> {
        Ok(Listener {
            tcp: tokio::net::TcpListener::from_std(self.tcp)?,
            #[cfg(unix)]
            unix: self.unix.map(UnixBound::open).transpose()?,
            #[cfg(feature = "tls")]
            tls,
        })
    }
}

impl Listener {
    /// The next connection. An error concerns one attempt; the sockets go on.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        #[cfg(unix)]
        if let Some(unix) = &self.unix
            && let Poll::Ready(accepted) = unix.poll_accept(cx)
        {
            return Poll::Ready(
                accepted.map(|stream| Accepted { stream: Stream::Unix(stream), peer: None }),
            );
        }
        self.tcp.poll_accept(cx).map_ok(|(stream, peer)| {
            set_no_delay(&stream);
            Accepted { stream: self.stream(stream), peer: Some(peer.ip()) }
        })
    }

    /// The stream under TLS, when the configuration of the moment has it. A Unix socket never is: its file's mode says
    /// which users may connect, and its bytes leave no machine.
    fn stream(&self, stream: TcpStream) -> Stream {
        #[cfg(feature = "tls")]
        if let Some(TlsSource { config, handshakes }) = &self.tls
            && let Some(config) = config()
        {
            return Stream::Tls(Box::new(TlsSocket::new(stream, config, handshakes)));
        }
        Stream::Tcp(stream)
    }
}

fn set_no_delay(stream: &TcpStream) {
    // A response is written whole, so Nagle's algorithm could only delay its last packet.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
}
