//! A listener: binds a port, with an error that names the setting to change, and serves a router on it.
//!
//! ```text
//! accept -> a place in the table -> heads -> hyper -> guard -> the router's handler
//!   |         evicted: closed                the body wrapped, so that the place is busy until its end
//!   fails: the one that has waited longest is evicted, then a pause
//! ```
//!
//! axum's own `serve` has neither deadlines nor a cap: it gives hyper no timer.

use super::guard::{self, Refused};
use super::heads::{Heads, Verdict};
use super::limits::{Limit, Limits};
use super::stalls::Stalls;
use super::table::{Busy, Place, Table};
use super::telemetry::Telemetry;
use crate::failure::Failure;
use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Listens on `host:port`; port 0 is any free one. `setting` names the option or variable that the port came from.
///
/// # Errors
/// The port cannot be had; the error names the setting and the remedy.
pub async fn bind(host: IpAddr, port: u16, setting: &str) -> Result<TcpListener, Failure> {
    let address = SocketAddr::new(host, port);
    let bound = TcpListener::bind(address).await.map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another process has it; stop that, or choose another port (0 takes any free one)"
            }
            io::ErrorKind::PermissionDenied => "ports below 1024 need privileges; choose another",
            _ => "choose another address or port",
        };
        format!("cannot listen on {address} ({setting}): {error}; {remedy}")
    })?;
    let address = bound.local_addr()?;
    tracing::info!(%address, setting, "listening");
    Ok(bound)
}

/// A listener's handlers and limits.
pub(crate) struct Port {
    pub(crate) router: Router,
    pub(crate) limits: Limits,
    pub(crate) telemetry: Arc<Telemetry>,
    /// Answers requests that no handler sees.
    pub(crate) refused: Refused,
}

impl Port {
    pub(crate) fn new(router: Router, telemetry: Arc<Telemetry>) -> Self {
        // The guard has a limit for bodies, with a counter.
        let router = router.layer(DefaultBodyLimit::disable());
        Self { router, limits: Limits::default(), telemetry, refused: Arc::new(guard::refused) }
    }

    /// Serves until `stop`, then completes the requests in progress, for `grace` at most, and closes the others.
    /// Meanwhile connections are still accepted, for one answer each, so that probes see the shutdown.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
        grace: Duration,
    ) {
        let Self { router, limits, telemetry, refused } = self;
        let mut http = builder(&limits);
        let table = Table::new(limits.connections);
        let bodies = Arc::new(guard::room(&limits));
        let limits = Arc::new(limits);
        let (stopping, stopped) = watch::channel(());
        let ending = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let mut pause = Limits::ACCEPT_PAUSE_MIN;
        let mut stopping = Some(stopping);
        // Those that were opened after the stop are not waited for.
        let mut late = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        let mut end = std::pin::pin!(tokio::time::sleep(Duration::MAX));
        loop {
            let draining = stopping.is_none();
            if draining && tasks.is_empty() {
                break;
            }
            let accepted = tokio::select! {
                () = &mut stop, if !draining => {
                    // Release pairs with the Acquire where answers are made.
                    ending.store(true, Release);
                    // The receivers see the end of the channel.
                    stopping = None;
                    http.keep_alive(false);
                    end.as_mut().reset(Instant::now() + grace);
                    continue;
                }
                () = &mut end, if draining => break,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
                Some(_) = late.join_next(), if !late.is_empty() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    pause = Limits::ACCEPT_PAUSE_MIN;
                    telemetry.accepted();
                    // Without a place the stream is dropped here, which closes it.
                    let Some(place) = table.admit() else {
                        telemetry.hit(Limit::Connections);
                        continue;
                    };
                    let connection = Connection {
                        place,
                        router: TowerToHyperService::new(router.clone()),
                        limits: Arc::clone(&limits),
                        bodies: Arc::clone(&bodies),
                        telemetry: Arc::clone(&telemetry),
                        refused: Arc::clone(&refused),
                        ending: Arc::clone(&ending),
                        stopped: (!draining).then(|| stopped.clone()),
                    };
                    let connection = connection.run(http.clone(), stream);
                    if draining {
                        late.spawn(connection)
                    } else {
                        tasks.spawn(connection)
                    };
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    telemetry.hit(Limit::AcceptPause);
                    if pause == Limits::ACCEPT_PAUSE_MIN {
                        tracing::warn!(%error, "accept failed; the listener pauses");
                    }
                    // As a rule descriptors ran out: an evicted connection frees one.
                    table.evict();
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Limits::ACCEPT_PAUSE_MAX);
                }
            }
        }
        for _ in 0..tasks.len() {
            telemetry.hit(Limit::ShutdownGrace);
        }
        tasks.shutdown().await;
        late.shutdown().await;
    }
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()) // Without one the timeout below would be inert.
        .header_read_timeout(limits.head_deadline)
        .max_buf_size(limits.head_bytes)
        .max_header_size(limits.head_bytes)
        .max_headers(limits.headers);
    http
}

/// Returns whether an error of `accept` is about one client that is gone already.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
    )
}

/// One client's connection.
struct Connection {
    place: Arc<Place>,
    router: TowerToHyperService<Router>,
    limits: Arc<Limits>,
    bodies: Arc<Semaphore>,
    telemetry: Arc<Telemetry>,
    refused: Refused,
    /// True once the listener was asked to stop. Every request that is read from then on is answered with `Connection: close`.
    ending: Arc<AtomicBool>,
    /// Ends when the listener stops; `None` when it has.
    stopped: Option<watch::Receiver<()>>,
}

impl Connection {
    async fn run(self, http: http1::Builder, stream: TcpStream) {
        let Self { place, router, limits, bodies, telemetry, refused, ending, stopped } = self;
        let _open = Open::new(&telemetry);
        // A token is a packet of its own; Nagle's algorithm would hold it back.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let linger_for = limits.linger;
        let stream = Stalls::new(stream, limits.write_deadline, Arc::clone(&telemetry));
        let verdict = Arc::new(Verdict::default());
        let stream = Heads::new(stream, Arc::clone(&limits), Arc::clone(&verdict));
        let (seat, counters) = (Arc::clone(&place), Arc::clone(&telemetry));
        let life = Arc::new(Life::default());
        let told = Arc::clone(&life);
        let service = service_fn(move |request| {
            let busy = seat.busy();
            let verdict = verdict.next_request();
            let (router, limits) = (router.clone(), Arc::clone(&limits));
            let (telemetry, life) = (Arc::clone(&counters), Arc::clone(&told));
            let (refused, bodies) = (Arc::clone(&refused), Arc::clone(&bodies));
            let ending = Arc::clone(&ending);
            life.asked.store(true, Relaxed);
            Box::pin(async move {
                let mut response = guard::answer(
                    router, request, &limits, &bodies, &telemetry, verdict, &*refused,
                )
                .await;
                if response.headers().contains_key(header::CONNECTION) {
                    life.unread.store(true, Relaxed);
                }
                // Acquire pairs with the Release in `serve`: the task of this connection may read a request
                // before its own notice of the stop.
                if ending.load(Acquire) {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                Ok(response.map(|body| Answered { body, _busy: busy }))
            }) as Answer
        });
        let mut connection = http.serve_connection(TokioIo::new(stream), service);
        let mut stopped = std::pin::pin!(async {
            match stopped {
                Some(mut stopped) => _ = stopped.changed().await,
                None => std::future::pending().await,
            }
        });
        // A client that has connected is about to ask, and would see a reset if the connection were closed now.
        let mut first_ask = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        let mut stopping = false;
        let mut waits = false;
        let ended = loop {
            tokio::select! {
                ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
                () = place.told_to_leave() => return telemetry.hit(Limit::Evicted),
                () = &mut stopped, if !stopping => {
                    stopping = true;
                    if life.asked.load(Relaxed) {
                        Pin::new(&mut connection).graceful_shutdown();
                    } else {
                        waits = true;
                        first_ask.as_mut().reset(Instant::now() + linger_for);
                    }
                }
                () = &mut first_ask, if waits => {
                    waits = false;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        match ended {
            Err(error) if error.is_timeout() => return telemetry.hit(Limit::HeadDeadline),
            Err(error) if error.is_parse_too_large() => telemetry.hit(Limit::HeadSize),
            Err(error) if error.is_parse() => telemetry.hit(Limit::Grammar),
            Ok(()) if life.unread.load(Relaxed) => {}
            Ok(()) | Err(_) => return,
        }
        linger(connection.into_parts().io.into_inner().into_inner().into_inner(), linger_for).await;
    }
}

/// Boxed, since hyper lets go of a socket without closing it only when it may move what it polls.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Answered>, Infallible>> + Send>>;

/// Closes a socket without a reset that overtakes the last answer: what the client still sends is thrown away until it
/// closes, or for as long as it may take.
async fn linger(mut stream: TcpStream, at_most: Duration) {
    let discard = async {
        stream.shutdown().await?;
        let mut waste = [0; 4096];
        while stream.read(&mut waste).await? > 0 {}
        io::Result::Ok(())
    };
    // The socket is closed in any case.
    let _ = tokio::time::timeout(at_most, discard).await;
}

/// Flags that a connection's service and its loop share. Relaxed: both are one task.
#[derive(Default)]
struct Life {
    /// A request has come.
    asked: AtomicBool,
    /// The client may have sent bytes that are not read.
    unread: AtomicBool,
}

/// Counts a connection as open until it is dropped.
struct Open<'a>(&'a Telemetry);

impl<'a> Open<'a> {
    fn new(telemetry: &'a Telemetry) -> Self {
        telemetry.opened();
        Self(telemetry)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.closed();
    }
}

/// An answer's body, which keeps its connection's place busy until hyper has taken all of it.
struct Answered {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
