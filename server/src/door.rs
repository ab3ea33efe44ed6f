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

use crate::stream::Stream;
#[cfg(feature = "tls")]
use crate::tls_stream::{Handshakes, TlsSocket};
#[cfg(unix)]
use crate::unix::UnixDoor;
#[cfg(feature = "tls")]
use crate::web::Current;

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
pub(crate) struct Door {
    tcp: tokio::net::TcpListener,
    #[cfg(unix)]
    unix: Option<UnixDoor>,
    /// Asked for TLS at each connection, so that a renewed certificate is used at once.
    #[cfg(feature = "tls")]
    web: Option<(Arc<Current>, Rc<Handshakes>)>,
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
            #[cfg(feature = "tls")]
            web: None,
        })
    }

    /// Asks this configuration whether TCP connections are under TLS, whose handshakes take turns.
    #[cfg(feature = "tls")]
    pub(crate) fn with_web(self, web: Option<Arc<Current>>, handshakes: Rc<Handshakes>) -> Self {
        Self { web: web.map(|web| (web, handshakes)), ..self }
    }

    /// The next connection, and whose it is; all clients of a Unix socket are one. An error concerns one
    /// attempt; the sockets go on.
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Stream, Option<IpAddr>)>> {
        #[cfg(unix)]
        if let Some(unix) = &self.unix
            && let Poll::Ready(accepted) = unix.poll_accept(cx)
        {
            return Poll::Ready(accepted.map(|stream| (Stream::Unix(stream), None)));
        }
        self.tcp.poll_accept(cx).map_ok(|(stream, peer)| {
            set_no_delay(&stream);
            (self.dressed(stream), Some(peer.ip()))
        })
    }

    /// Under TLS, when the configuration of the moment has it. A Unix socket never is: its file's
    /// mode says who may connect, and its bytes leave no machine.
    fn dressed(&self, stream: TcpStream) -> Stream {
        #[cfg(feature = "tls")]
        if let Some((web, handshakes)) = &self.web
            && let Some(tls) = &web.load().tls
        {
            let config = Arc::clone(&tls.config);
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
