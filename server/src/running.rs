//! The handle of a running server, which has its address and ends its two threads.
//!
//! The order of the end matters: first the network thread, since its scrapes need the gather thread, then the gather
//! thread, which has nothing left to do unless an exposition hangs.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::auth::Watch;
use crate::scrape::gather::Gatherer;
use crate::telemetry::ServerTelemetry;

/// A server that runs, until it is shut down or dropped.
///
/// ```
/// # use dynamo_metrics_server::{ContentType, ScrapeRequest, Server, bytes::BytesMut};
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use std::time::Duration;
///
/// let server = Server::builder()
///     .exposition(|_: &ScrapeRequest<'_>, body: &mut BytesMut| {
///         body.extend_from_slice(b"up 1\n");
///         Ok(ContentType::TEXT_0_0_4)
///     })
///     .spawn()?;
///
/// let mut client = TcpStream::connect(server.local_addr())?;
/// client.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
/// let mut response = String::new();
/// client.read_to_string(&mut response)?;
/// assert!(response.ends_with("\r\n\r\nup 1\n"));
/// assert_eq!(server.telemetry().responses(2), 1);
///
/// let report = server.shutdown(Duration::from_secs(5));
/// assert_eq!(report.connections_cut, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it stops the server"]
pub struct RunningServer {
    address: SocketAddr,
    scheme: &'static str,
    telemetry: Arc<ServerTelemetry>,
    /// `None` only once it is stopped.
    running: Option<Running>,
}

/// The means to end the two threads.
pub(crate) struct Running {
    /// Brings the grace to the network thread.
    pub(crate) stop: oneshot::Sender<Duration>,
    /// Returns how many connections were cut.
    pub(crate) network: JoinHandle<usize>,
    pub(crate) gatherer: Gatherer,
    /// Looks for changes of the web configuration until it is dropped.
    pub(crate) _watch: Option<Watch>,
}

impl RunningServer {
    pub(crate) fn new(
        address: SocketAddr,
        scheme: &'static str,
        telemetry: Arc<ServerTelemetry>,
        running: Running,
    ) -> Self {
        Self { address, scheme, telemetry, running: Some(running) }
    }

    /// Returns the address that it listens on, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the scheme of its URLs: `https` when it started with TLS, else `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Returns its counters.
    #[must_use]
    pub fn telemetry(&self) -> &Arc<ServerTelemetry> {
        &self.telemetry
    }

    /// Stops the server: lets requests in progress finish for at most `grace`, closes the connections that are left, and
    /// joins both threads. It blocks until then, so do not call it from an async task of a busy runtime. It returns as
    /// soon as nothing is in progress.
    ///
    /// * A connection that the kernel has completed by now is served; later ones are refused.
    /// * A request that has arrived by now, and any that is read later, is answered **with `Connection: close`**.
    /// * A connection that is idle, or has sent only a part of a head, is closed at once.
    /// * An exposition cannot be interrupted. One that outlasts the grace keeps its thread until it returns, and the
    ///   report says so.
    pub fn shutdown(mut self, grace: Duration) -> ShutdownReport {
        self.stop(grace)
    }

    fn stop(&mut self, grace: Duration) -> ShutdownReport {
        let Some(Running { stop, network, gatherer, _watch }) = self.running.take() else {
            return ShutdownReport::default();
        };
        let begin = Instant::now();
        // An error means that the thread has ended already; joining tells.
        let _ = stop.send(grace);
        // A probe that drops its server does so on the network thread, which cannot join itself.
        let connections_cut = if network.thread().id() == thread::current().id() {
            0
        } else {
            network.join().unwrap_or_else(|_panic| {
                tracing::error!("the network thread had panicked");
                0
            })
        };
        // When no scrape is left the gather thread is idle and ends at once. Allow it a moment even
        // if the grace is used up, for being scheduled.
        let left = grace.saturating_sub(begin.elapsed()).max(GATHER_EXIT);
        let gather_abandoned = !gatherer.stop(left);
        ShutdownReport { connections_cut, gather_abandoned }
    }
}

impl Drop for RunningServer {
    /// Stops the server with a grace of 100 ms.
    fn drop(&mut self) {
        self.stop(DROP_GRACE);
    }
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer")
            .field("address", &self.address)
            .field("telemetry", &self.telemetry)
            .finish_non_exhaustive()
    }
}

/// The work that a shutdown could not finish.
///
/// ```
/// use dynamo_metrics_server::ShutdownReport;
///
/// let clean = ShutdownReport::default();
/// assert!(clean.connections_cut == 0 && !clean.gather_abandoned);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections that were closed with a request in progress.
    pub connections_cut: usize,
    /// True if the exposition did not return in time; its thread ends when it does.
    pub gather_abandoned: bool,
}

// Long enough for a body that is ready to leave, short enough for a destructor.
const DROP_GRACE: Duration = Duration::from_millis(100);
const GATHER_EXIT: Duration = Duration::from_millis(20);
